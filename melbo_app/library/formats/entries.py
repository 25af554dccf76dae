"""Vectors as people save them: a row, a table, a list of rows, or a dict with a row for each layer.

The meaning of a table's rows is decided in ``rows.py``, which may ask.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from melbo_app.errors import InputError
from melbo_app.library.bank_vectors import FIELD, check_vectors
from melbo_app.library.formats.format import Contents, Counted
from melbo_app.library.formats.layer_name import layer_of
from melbo_app.quoting import readable

_SHAPES = "It must be [vectors, hidden size], one row [hidden size], or a dict with a row for each layer"
_COUNTING = (
    "the file does not say whether layer L is the output or the input of block L; if it is the input, import it as "
    "counted by input."
)
# The names of entries in the package steering-vectors, and the only layer type that we support.
_ACTIVATIONS, _KIND, _BLOCK = "layer_activations", "layer_type", "decoder_block"
_LAYER = ("layer", "layer_idx", "layer_index", "source_layer")
_MOST_SAID = 6


def contents_of(value: Any) -> Contents:
    """The vectors in ``value``: an array, or lists and dicts of arrays under any names. ``says`` names the entries that
    are not read. Raises InputError."""
    if isinstance(value, InputError):
        raise value
    if isinstance(value, dict):
        return _of_dict(value)
    if isinstance(value, list):
        return contents_of(_stacked(value))
    if not isinstance(value, np.ndarray) or value.ndim == 0:
        kind = "single number" if isinstance(value, int | float | np.ndarray) else type(value).__name__
        raise InputError(FIELD, f"it holds a {kind} instead of vectors", _SHAPES)
    table = _table(value, 3)
    if len(table) == 1 and table.ndim == 2:
        return Contents({None: check_vectors(table)})
    return Contents({None: table}, undecided=True)


def one_table(count: int, shape: str) -> InputError:
    """The refusal of a file with several tensors that could be the vectors."""
    problem = f"it has no tensor “vectors”, but {count} others with {shape}"
    return InputError(FIELD, problem, "It must hold one tensor of the shape [vectors, hidden size]")


def _of_dict(entries: Mapping[Any, Any]) -> Contents:
    if isinstance(entries.get(_ACTIVATIONS), dict):
        kind = entries.get(_KIND, _BLOCK)
        if kind != _BLOCK:
            problem = f"its vectors are for the {_KIND} “{readable(str(kind))}”"
            raise InputError(FIELD, problem, "Only vectors that are added to the output of a block can be used")
        rest = {key: one for key, one in entries.items() if key not in (_ACTIVATIONS, _KIND)}
        return _by_layer(entries[_ACTIVATIONS], rest, "output")
    if any(layer_of(key) is not None and _holds_rows(one) for key, one in entries.items()):
        return _by_layer(entries, {}, None)
    name = _only(entries)
    rest = {key: one for key, one in entries.items() if key != name}
    found = entries[name]
    if isinstance(found, dict):
        return _by_layer(found, rest, None)
    said = [(key, rest[key]) for key in _LAYER if type(rest.get(key)) is int]
    if not said:
        inner = contents_of(found)
        return Contents(inner.layers, says=_besides(rest), undecided=inner.undecided)
    key, layer = said[0]
    return _by_layer({layer: found}, {other: one for other, one in rest.items() if other != key}, None)


def _by_layer(entries: Mapping[Any, Any], rest: Mapping[Any, Any], counted: Counted | None) -> Contents:
    """The entries named after layers; ``counted``, or else their names, say what the numbers mean."""
    layers: dict[int | None, np.ndarray] = {}
    said: set[Counted | None] = set()
    left = dict(rest)
    for key, value in entries.items():
        name = layer_of(key)
        if name is None or not _holds_rows(value):
            left[key] = value
            continue
        if isinstance(value, InputError):
            raise InputError(FIELD, f"layer {name.number}: {value.problem}", value.remedy)
        if name.number in layers:
            raise InputError(FIELD, f"it holds layer {name.number} twice", "Save one row for each layer")
        layers[name.number] = _table(_stacked(value) if isinstance(value, list) else value, 2)
        said.add(name.counted)
    if not layers:
        raise InputError(FIELD, "it holds a dict without a row for any layer", _SHAPES)
    if len({rows.shape[-1] for rows in layers.values()}) > 1:
        raise InputError(FIELD, "its rows have different lengths", "All must have the model's hidden size")
    if len(said) > 1:
        raise InputError(FIELD, "its names count layers in different ways", "Save layers of one kind")
    counted = counted or said.pop()
    return Contents(layers, counted or "output", "" if counted else _COUNTING, says=_besides(left), undecided=True)


def _holds_rows(value: Any) -> bool:
    """Whether ``value`` is, or should be, one row or several."""
    if isinstance(value, list):
        return bool(value) and all(isinstance(one, np.ndarray | list | int | float) for one in value)
    return isinstance(value, InputError) or (isinstance(value, np.ndarray) and value.ndim > 0)


def _is_table(value: Any) -> bool:
    """Whether an array has several dimensions, or a list has entries other than numbers."""
    return value.ndim > 1 if isinstance(value, np.ndarray) else not isinstance(value[0], int | float)


def _only(entries: Mapping[Any, Any]) -> Any:
    """The name of the entry with the vectors. Raises InputError unless there is exactly one."""
    if "vectors" in entries:
        return "vectors"
    nested = [key for key, one in entries.items() if isinstance(one, dict) and any(map(layer_of, one))]
    arrays = [key for key, one in entries.items() if _holds_rows(one) and not isinstance(one, InputError)]
    tables = [key for key in arrays if _is_table(entries[key])]
    for found in (nested, tables, arrays):
        if len(found) == 1:
            return found[0]
    if tables or arrays:
        raise one_table(len(tables or arrays), "two dimensions" if tables else "one dimension")
    if refused := next((one for one in entries.values() if isinstance(one, InputError)), None):
        raise refused
    names = ", ".join(f"“{readable(str(key), 40)}”" for key in list(entries)[:_MOST_SAID])
    raise InputError(FIELD, f"it holds a dict without vectors{f' ({names})' if names else ''}", _SHAPES)


def _stacked(parts: Sequence[object]) -> np.ndarray:
    """Stack rows or tables of one shape, or a list of numbers."""
    found = [_stacked(part) if isinstance(part, list) else part for part in parts]
    for part in found:
        if isinstance(part, InputError):
            raise part
    if found and all(type(part) in (int, float) for part in found):
        try:
            with np.errstate(over="ignore"):  # becomes infinite and is refused if it is used
                return np.array(found, dtype=np.float64).astype(np.float32)
        except OverflowError as error:
            raise InputError(FIELD, "it holds a number that is too large", _SHAPES) from error
    arrays = [part for part in found if isinstance(part, np.ndarray)]
    if not arrays or len(arrays) < len(found):
        raise InputError(FIELD, "it holds a list of entries other than rows", _SHAPES)
    shapes = {part.shape for part in arrays}
    if len(shapes) > 1 or len(arrays) > 1 << 16:
        first, other = sorted(map(list, shapes))[:2] if len(shapes) > 1 else ([], [])
        what = f"tensors of different shapes, such as {first} and {other}" if other else f"{len(arrays):,} tensors"
        raise InputError(FIELD, f"it holds a list of {what}", "Save tensors of one shape")
    return np.stack(arrays)


def _table(array: np.ndarray, most: int) -> np.ndarray:
    """``array`` with two to ``most`` dimensions: a row becomes a table, and leading dimensions of length 1 are dropped.
    Raises InputError for more dimensions."""
    shape = array.shape
    before = [side for side in shape[:-1] if side != 1] or [1]
    if len(before) + 1 > most:
        raise InputError(FIELD, f"its tensor has the shape {list(shape)}", _SHAPES)
    return array.reshape(*before, shape[-1])


def _besides(rest: Mapping[Any, Any]) -> tuple[str, ...]:
    """A sentence that names the file's other entries."""
    if not rest:
        return ()
    shown = [
        f"“{readable(str(key), 40)}”" + (f" = {readable(str(one), 60)}" if type(one) in (str, int, float) else "")
        for key, one in list(rest.items())[:_MOST_SAID]
    ]
    more = f" and {len(rest) - _MOST_SAID} more" if len(rest) > _MOST_SAID else ""
    return (f"Not read from the file: {', '.join(shown)}{more}.",)
