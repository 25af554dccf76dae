"""GGUF control vectors of llama.cpp and repeng: a float32 row ``direction.L`` for each layer L.

L is the output of block L, counted from 0; llama.cpp refuses L = 0, so it cannot steer the output of the first block.
"""

import io
import re
import shlex
import tempfile
from pathlib import Path

import numpy as np

from melbo_app.engine.gguf import GgufTable, read_table
from melbo_app.errors import InputError
from melbo_app.library.bank_vectors import FIELD, check_vectors
from melbo_app.library.formats.format import Contents, Given, Parcel, model_name
from melbo_app.library.tensor_file import MAX_HEADER
from melbo_app.quoting import readable

ARCHITECTURE = "controlvector"
MAX_LAYERS = 1024
_DIRECTION = re.compile(r"direction\.(0|[1-9][0-9]{0,4})", re.ASCII)
_ADDED = ("add", "additive")
_AFTER_THE_BLOCK = "residual_stream_post_layer"
_F32 = 0


def read(given: Given) -> Contents:
    """The nonzero directions by layer. Refuses vectors that are not simply added after a block."""
    try:
        table = read_table(io.BytesIO(given.data), len(given.data), MAX_HEADER, MAX_LAYERS)
    except ValueError as error:
        problem = f"it is not a complete GGUF file: {readable(str(error), 200)}"
        raise InputError(FIELD, problem, "Copy or download it again") from error
    _check_kind(table)
    layers: dict[int | None, np.ndarray] = {}
    seen: set[str] = set()
    for tensor in table.tensors:
        name = readable(tensor.name)
        found = _DIRECTION.fullmatch(tensor.name)
        if found is None or tensor.name in seen:
            problem = f"its tensor “{name}” " + ("occurs twice" if found else "is not the direction of a layer")
            raise InputError(FIELD, problem, "A control vector holds only a tensor direction.L for each layer L")
        seen.add(tensor.name)
        if tensor.kind != _F32 or len(tensor.shape) != 1:
            raise InputError(FIELD, f"its tensor “{name}” is not one row of float32", "llama.cpp needs this type")
        begin, size = table.start + tensor.offset, 4 * tensor.shape[0]
        if begin + size > len(given.data):
            raise InputError(FIELD, "it is cut short", "Copy or download it again")
        row = np.frombuffer(given.data, "<f4", tensor.shape[0], begin)
        if np.count_nonzero(row):  # zeros stand for layers that are not steered
            layers[int(found[1])] = check_vectors(row[None])
    if not layers:
        raise InputError(FIELD, "it holds no direction", "It must be a control vector of llama.cpp or repeng")
    if 0 in layers:
        problem = "it has a direction.0, which llama.cpp refuses, so it may count its layers differently"
        raise InputError(FIELD, problem, "Write it again with L for the output of block L, counted from 0")
    if len({rows.shape[1] for rows in layers.values()}) > 1:
        raise InputError(FIELD, "its directions have different lengths", "All must have the model's hidden size")
    return Contents(layers, says=_says(table))


def write(parcel: Parcel) -> bytes:
    """A control vector with the bank's only vector, scaled to R. Raises InputError for several, or for block 0."""
    from gguf import GGUFWriter

    bank = parcel.bank
    record = bank.record
    if len(bank.vectors) != 1:
        raise InputError("vector", f"a GGUF control vector holds one, not {len(bank.vectors)}", "Choose one")
    if record.source == 0:
        problem = "llama.cpp cannot add a vector to the output of block 0"
        raise InputError("source layer", problem, "Train or import the bank for a later block")
    with tempfile.TemporaryDirectory() as folder:  # the writer only writes to files
        path = Path(folder, "vector.gguf")
        writer = GGUFWriter(path, ARCHITECTURE)
        writer.add_type(ARCHITECTURE)
        writer.add_name(parcel.stem)
        writer.add_description(f"R = {bank.record.radius:.6g}, to be added to the output of block {record.source}")
        writer.add_base_model_count(1)
        writer.add_base_model_name(0, model_name(record.model))
        writer.add_string(f"{ARCHITECTURE}.model_hint", model_name(record.model))
        writer.add_uint32(f"{ARCHITECTURE}.layer_count", 1)
        writer.add_tensor(f"direction.{record.source}", np.array(bank.vectors[0], dtype=np.float32))
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
        return path.read_bytes()


def command(file: str, model: str, prompt: str | None) -> str:
    """The llama.cpp command line that runs ``file``, with the model's own file if that is a .gguf."""
    weights = model if model.lower().endswith(".gguf") else "MODEL.gguf"
    words = ["llama-cli", "-m", weights, "--control-vector", file, "--temp", "0"]
    if prompt and prompt.isprintable() and len(prompt) <= 200:
        words += ["-p", prompt]
    return shlex.join(words)


def _check_kind(table: GgufTable) -> None:
    """Refuse models, and vectors that are not meant to be added to the output of a block."""
    architecture = table.metadata.get("general.architecture")
    if architecture != ARCHITECTURE:
        named = readable(str(architecture)) if architecture else "not named"
        remedy = "A GGUF file must hold a control vector; to load a model, use the field for the model"
        raise InputError(FIELD, f"its architecture is {named}, not {ARCHITECTURE}", remedy)
    for key, value in table.metadata.items():
        kind = key.rpartition(".")[2]
        if (kind == "mode" and value not in _ADDED) or (kind == "hook_point" and value != _AFTER_THE_BLOCK):
            problem = f"it says {readable(key)} = {readable(str(value))}: it is not meant to be added after a block"
            raise InputError(FIELD, problem, "Only vectors that are added to the output of a block can be used")


def _says(table: GgufTable) -> tuple[str, ...]:
    for key in ("general.base_model.0.name", f"{ARCHITECTURE}.model_hint"):
        if (value := table.metadata.get(key)) and isinstance(value, str):
            return (f"It says that it is for the model “{readable(value)}”.",)
    return ()
