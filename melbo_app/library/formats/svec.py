"""``.svec`` files: JSON with ``model_type`` and ``directions``, a list of numbers for each layer.

They do not say what a layer's number means. Both libraries that write them measure at the output of block L; one also
adds the direction there (AI Steering 360), the other one adds it to the input of block L (activation-steering).
"""

import json
from typing import Any

import numpy as np

from melbo_app.errors import InputError
from melbo_app.library.bank_vectors import FIELD, check_vectors
from melbo_app.library.formats.format import Contents, Given, Parcel, model_name
from melbo_app.library.formats.layer_name import layer_of
from melbo_app.library.text_file import text_of
from melbo_app.quoting import readable

MAX_BYTES = 1 << 26
MAX_PARTS = 1 << 17
_REMEDY = "It must be JSON with “model_type” and “directions”: a list of numbers for each layer"
_COUNTING = (
    "A .svec file does not say whether layer L is the output or the input of block L: its directions are measured at "
    "the output, but activation-steering adds them to the input; to do the same, import it as counted by input."
)


def read(given: Given) -> Contents:
    """The directions by layer."""
    content = _json(given.data)
    directions = content.get("directions") if isinstance(content, dict) else None
    if directions is None and isinstance(content, dict) and all(layer_of(name) for name in content):
        directions = content
    if not isinstance(directions, dict) or not directions:
        raise InputError(FIELD, "it holds no directions", _REMEDY)
    layers: dict[int | None, np.ndarray] = {}
    for name, numbers in directions.items():
        layer = layer_of(name)
        if layer is None or layer.number < 0 or layer.counted is not None:
            raise InputError(FIELD, f"“{readable(name)}” is not the number of a layer", _REMEDY)
        row = _row(readable(name), numbers)
        if layer.number in layers:
            raise InputError(FIELD, f"layer {layer.number} occurs twice", _REMEDY)
        if np.count_nonzero(row):
            layers[layer.number] = check_vectors(row[None])
    if len({rows.shape[1] for rows in layers.values()}) != 1:
        raise InputError(FIELD, "its directions are all zeros or differ in length", _REMEDY)
    kind = content.get("model_type")
    says = (f"It says that it is for a model of the type “{readable(kind)}”.",) if isinstance(kind, str) else ()
    return Contents(layers, "output", _COUNTING, says=says)


def write(parcel: Parcel) -> bytes:
    """The bank's only vector, scaled to R, under its source layer. Raises InputError for several."""
    bank = parcel.bank
    if len(bank.vectors) != 1:
        raise InputError("vector", f"a .svec file holds one per layer, not {len(bank.vectors)}", "Choose one")
    layer = str(bank.record.source)
    content = {
        "model_type": model_name(bank.record.model),
        "directions": {layer: [float(number) for number in bank.vectors[0]]},
        "explained_variances": {layer: 0.0},  # unknown, but activation-steering needs the entry
    }
    return json.dumps(content).encode()


def _json(data: bytes) -> Any:
    if len(data) > MAX_BYTES:
        raise InputError(FIELD, f"it is {len(data):,} bytes long", f"At most {MAX_BYTES:,} bytes can be read")
    # In memory, lists, objects and strings take many times their bytes; numbers do not.
    if sum(data.count(mark) for mark in (b"[", b"{", b'"')) > MAX_PARTS:
        raise InputError(FIELD, "it has more parts than a file of directions needs", _REMEDY)
    try:
        return json.loads(text_of(data))
    except (ValueError, RecursionError) as error:
        raise InputError(FIELD, "it is not valid JSON", _REMEDY) from error


def _row(layer: str, numbers: Any) -> np.ndarray:
    """The numbers of one layer [d], possibly nested in a list of one."""
    if isinstance(numbers, list) and numbers and isinstance(numbers[0], list):
        if len(numbers) > 1:
            problem = f"layer {layer} has {len(numbers)} rows, for single tokens or heads"
            raise InputError(FIELD, problem, "Only one direction for all tokens can be used")
        numbers = numbers[0]
    if not isinstance(numbers, list) or not numbers or not all(type(number) in (int, float) for number in numbers):
        raise InputError(FIELD, f"layer {layer} is not a list of numbers", _REMEDY)
    try:
        return np.array(numbers, dtype=np.float64)
    except OverflowError as error:
        raise InputError(FIELD, f"layer {layer} holds a number that is too large", _REMEDY) from error
