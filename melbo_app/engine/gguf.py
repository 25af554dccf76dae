"""Reads the header of a .gguf file, and converts its model to float32 safetensors that transformers can load."""

import math
import struct
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import psutil

from melbo_app.errors import InputError, StorageError

MAGIC = b"GGUF"
VERSIONS = (2, 3)
STRING, ARRAY = 8, 9
SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
MAX_DIMENSIONS = 4
MAX_TENSORS = 1 << 20
BYTES_PER_PARAMETER = 4


@dataclass(frozen=True)
class GgufHeader:
    """The facts needed before a conversion; ``parts`` counts the files of one model."""

    architecture: str
    parameters: int
    parts: int
    kind: str = ""
    """The file's type: model, adapter (a LoRA), mmproj or imatrix; "" where the header has none."""

    @property
    def size(self) -> int:
        """Bytes of the weights in float32."""
        return BYTES_PER_PARAMETER * self.parameters


@dataclass(frozen=True)
class GgufTensor:
    """One tensor; ``kind`` is its type number, ``offset`` counts bytes from the start of the data."""

    name: str
    shape: tuple[int, ...]
    kind: int
    offset: int


@dataclass(frozen=True)
class GgufTable:
    """The fields of a header (None for arrays), the tensors, and the position of their data in the file."""

    metadata: dict[str, int | float | str | None]
    tensors: tuple[GgufTensor, ...]
    start: int


class _Fields:
    """Reads little-endian fields in sequence, and never more bytes than the file has."""

    def __init__(self, file: BinaryIO, size: int) -> None:
        self.file, self.size = file, size

    def _check(self, count: int) -> None:
        if count > self.size - self.file.tell():
            raise ValueError("it ends too early")

    def take(self, count: int) -> bytes:
        self._check(count)
        return self.file.read(count)

    def skip(self, count: int) -> None:
        self._check(count)
        self.file.seek(count, 1)

    def number(self, code: str) -> int:
        return struct.unpack("<" + code, self.take(struct.calcsize("<" + code)))[0]

    def text(self) -> str:
        try:
            return self.take(self.number("Q")).decode()
        except UnicodeDecodeError as error:
            raise ValueError("it holds a text that is not UTF-8") from error

    def value(self, kind: int) -> int | float | str | None:
        """The scalar or text; None for an array, which is skipped."""
        if kind in SCALARS:
            return self.number(SCALARS[kind])
        if kind == STRING:
            return self.text()
        if kind != ARRAY:
            raise ValueError(f"its header has a field of unknown type {kind}")
        item, count = self.number("I"), self.number("Q")
        if item in SCALARS:
            self.skip(count * struct.calcsize("<" + SCALARS[item]))
        elif item == STRING:
            # each text has at least the 8 bytes of its length, so a hostile count stops at the end of the file
            for _ in range(count):
                self.skip(self.number("Q"))
        else:
            raise ValueError("its header has an array of arrays")
        return None


def read_header(gguf: Path) -> GgufHeader:
    """The header of ``gguf``; checks that every tensor lies inside the file.

    Takes milliseconds, because it reads only the header, and is safe on hostile files. Format: the ggml project's GGUF
    specification. Raises InputError("model") where the file cannot be read, is damaged, or ends too early.
    """
    try:
        with gguf.open("rb") as file:
            return _header(file, gguf.stat().st_size)
    except OSError as error:
        raise InputError("model", f"{gguf} cannot be read ({error.strerror})") from error
    except (ValueError, KeyError, OverflowError) as error:
        problem = f"{gguf.name} is not a complete GGUF file: {error}"
        raise InputError("model", problem, "Copy or download the file again") from error


def read_table(file: BinaryIO, size: int, longest: int | None = None, most: int = MAX_TENSORS) -> GgufTable:
    """The header of an untrusted GGUF stream of ``size`` bytes.

    Reads at most ``longest`` bytes and ``most`` tensors, and never more bytes than the file has; does not check where
    the tensors lie. Raises ValueError, with a sentence, for a damaged file.
    """
    fields = _Fields(file, size if longest is None else min(size, longest))
    if fields.take(4) != MAGIC:
        raise ValueError("it does not begin with GGUF")
    version = fields.number("I")
    if version not in VERSIONS:
        raise ValueError(f"its version is {version}, and only little-endian versions 2 and 3 can be read")
    count, pairs = fields.number("Q"), fields.number("Q")
    if count > most:
        raise ValueError(f"it announces {count:,} tensors, and at most {most:,} can be read")
    metadata: dict[str, int | float | str | None] = {}
    for _ in range(pairs):
        key = fields.text()
        if key in metadata:
            raise ValueError(f"its header sets {key} twice")
        metadata[key] = fields.value(fields.number("I"))
    tensors = []
    for _ in range(count):
        name, dimensions = fields.text(), fields.number("I")
        if dimensions > MAX_DIMENSIONS:
            raise ValueError(f"the tensor {name} has {dimensions} dimensions")
        shape = tuple(fields.number("Q") for _ in range(dimensions))
        tensors.append(GgufTensor(name, shape, fields.number("I"), fields.number("Q")))
    alignment = metadata.get("general.alignment", 32)
    if not isinstance(alignment, int) or alignment < 1:
        raise ValueError("its alignment is invalid")
    return GgufTable(metadata, tuple(tensors), -(-file.tell() // alignment) * alignment)


def _header(file: BinaryIO, size: int) -> GgufHeader:
    from gguf import GGML_QUANT_SIZES, GGMLQuantizationType

    table = read_table(file, size)
    parameters = end = 0
    for tensor in table.tensors:
        elements = math.prod(tensor.shape)
        block, bytes_of_block = GGML_QUANT_SIZES[GGMLQuantizationType(tensor.kind)]
        if elements % block:
            raise ValueError(f"the tensor {tensor.name} has an invalid shape")
        parameters += elements
        end = max(end, tensor.offset + elements // block * bytes_of_block)
    if table.start + end > size:
        raise ValueError(f"it has {size:,} bytes, and its header announces {table.start + end:,}")
    parts = table.metadata.get("split.count", 1)
    return GgufHeader(
        architecture=str(table.metadata.get("general.architecture", "")),
        parameters=parameters,
        parts=parts if isinstance(parts, int) else 1,
        kind=str(table.metadata.get("general.type") or ""),
    )


def dequantise(gguf: Path, folder: Path) -> None:
    """Write the model of ``gguf`` into the existing ``folder``: float32 safetensors, config, tokenizer, chat template.

    Takes about 15 s for 135 M parameters on two cores, and about 5 bytes of memory per parameter. Raises
    InputError("model") for a damaged file, an architecture that transformers does not read, a model that is not a
    causal language model or does not fit in memory, and StorageError where ``folder`` cannot be written.
    """
    header = read_header(gguf)
    if header.kind not in ("", "model"):
        problem = f"{gguf.name} does not hold a whole model: the type in its header is {header.kind}"
        raise InputError("model", problem, "Choose the .gguf file of the model itself")
    if header.parts > 1:
        problem = f"{gguf.name} is one of {header.parts} parts"
        raise InputError("model", problem, "Join them first: llama-gguf-split --merge FIRST_PART JOINED")
    free = psutil.virtual_memory().available
    if header.size * 5 // 4 > free:
        problem = f"{gguf.name} needs {header.size * 5 // 4:,} bytes of memory as float32 and {free:,} are free"
        raise InputError("model", problem, "Choose a smaller model or a larger machine")

    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig
    from transformers.utils.logging import disable_progress_bar

    from melbo_app.engine.leftovers import refuse_leftovers

    disable_progress_bar()
    try:
        tokenizer = AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name, trust_remote_code=False)
        # without dequantize=True the weights stay packed: products are slow and have no gradients
        loaded: Any = AutoModelForCausalLM.from_pretrained(
            gguf.parent,
            gguf_file=gguf.name,
            quantization_config=GgufConfig(dequantize=True),
            dtype=torch.float32,
            trust_remote_code=False,
            output_loading_info=True,
        )
        model, report = loaded
        # transformers fills missing tensors with random numbers, without an error
        if report["missing_keys"]:
            raise ValueError(f"it lacks {', '.join(sorted(report['missing_keys'])[:3])}")
        with gguf.open("rb") as file:
            table = read_table(file, gguf.stat().st_size)
        # the tokens that end a text, a turn or a message; transformers reads only the first
        ends = {table.metadata.get(f"tokenizer.ggml.{end}_token_id") for end in ("eos", "eot", "eom")}
        known = sorted(id for id in ends if isinstance(id, int))
        model.generation_config.eos_token_id = known or model.generation_config.eos_token_id
        named = _named_templates(table)
        if named:
            own = {"default": tokenizer.chat_template} if tokenizer.chat_template else {}
            tokenizer.chat_template = own | named
        unused = _unused(gguf, table, model, report["unexpected_keys"])
        if unused:
            refuse_leftovers(gguf.name, unused, header.architecture)
        with torch.no_grad():
            if not torch.isfinite(model(torch.tensor([[0, 1, 2]])).logits).all():
                raise ValueError("its weights give logits that are not finite")
    except InputError:
        raise
    except Exception as error:  # transformers raises any kind of error for a file it cannot use
        reason = str(error).strip().split("\n")[0].rstrip(".") or type(error).__name__
        raise InputError(
            "model",
            f"{gguf.name} (architecture {header.architecture or 'not named'}) cannot be loaded: {reason}",
            "Choose a causal language model of an architecture whose GGUF files transformers reads, "
            "for example llama, qwen2, qwen3, gemma2 or phi3",
        ) from error
    try:
        # save_pretrained refuses a model marked as quantised
        if hasattr(model.config, "quantization_config"):
            del model.config.quantization_config
        model.hf_quantizer = None
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
    except Exception as error:  # safetensors has its own error for a full disk
        raise StorageError(f"{gguf.name} could not be written to {folder} as {header.size:,} bytes: {error}") from error


def _named_templates(table: GgufTable) -> dict[str, str]:
    """The file's chat templates after the first, by name; transformers reads only the first."""
    begin = "tokenizer.chat_template."
    texts = {key: text for key, text in table.metadata.items() if key.startswith(begin)}
    return {key.removeprefix(begin): text for key, text in texts.items() if isinstance(text, str) and text}


def _unused(gguf: Path, table: GgufTable, model: Any, unexpected: Collection[str]) -> list[str]:
    """The file's tensors that ``model`` does not use, without known extras and biases of zeros, sorted.

    ``unexpected`` is transformers' own list, which it gives for the newer architectures; for the others it silently
    drops tensors without a name.
    """
    from transformers.integrations.gguf.utils import is_gguf_arch_supported
    from transformers.modeling_gguf_pytorch_utils import TENSOR_PROCESSORS, TensorProcessor, get_gguf_hf_weights_map

    from melbo_app.engine.leftovers import EXTRAS_OF_GGUF

    architecture = str(table.metadata.get("general.architecture"))
    if is_gguf_arch_supported(architecture):
        return sorted(unexpected)
    processor = TENSOR_PROCESSORS.get(architecture, TensorProcessor)(config=model.config.to_dict())
    known = get_gguf_hf_weights_map(_Names(model), processor)
    unused = [
        tensor.name
        for tensor in table.tensors
        # the experts of a layer share one name without a suffix
        if not {tensor.name, tensor.name.removesuffix(".weight")} & known.keys()
        and not EXTRAS_OF_GGUF.search(tensor.name)
    ]
    return sorted(set(unused) - _zero_biases(gguf, unused))


class _Names:
    """The names of a model's tensors, with and without the first part: it may have been converted without its head.
    Replaces the model, whose every module transformers would match against a table of its own (seconds)."""

    def __init__(self, model: Any) -> None:
        self.config, self._names = model.config, list(model.state_dict())

    def state_dict(self) -> list[str]:
        return [*self._names, *(name.partition(".")[2] for name in self._names)]

    def named_children(self) -> tuple[()]:
        return ()


def _zero_biases(gguf: Path, names: Collection[str]) -> set[str]:
    """The tensors among ``names`` that are biases of zeros, which have no effect."""
    from gguf import GGUFReader, dequantize

    names = {name for name in names if name.endswith(".bias")}
    if not names:
        return set()
    tensors = [tensor for tensor in GGUFReader(gguf).tensors if tensor.name in names]  # reads the vocabulary: slow
    return {tensor.name for tensor in tensors if not dequantize(tensor.data, tensor.tensor_type).any()}
