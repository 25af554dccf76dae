"""The meaning of a file's rows if their shape does not decide it: vectors of one block, or a row for each layer."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from melbo_app.errors import InputError
from melbo_app.library.bank import ImportHints
from melbo_app.library.bank_vectors import FIELD, check_vectors
from melbo_app.library.formats.format import Contents, Counted

ROWS = ("layers", "vectors")
_HIDDEN = "row k is the output of block k − 1, row 0 the output of the embedding"
_BLOCKS = "row k is the output of block k, or with --counted input its input"
_COUNTING = (
    "a file with a row for each block does not say whether row k is the output or the input of block k; if it is the "
    "input, import it as counted by input."
)


def check_rows(rows: str | None) -> None:
    """Raises InputError for an unknown value."""
    if rows not in (None, *ROWS):
        raise InputError("rows", f"“{rows}” is not known", "Choose layers or vectors")


def settled(contents: Contents, hints: ImportHints) -> Contents:
    """``contents`` with vectors [V, d] for each layer, according to ``hints``.

    Raises InputError("rows", …) if a person must decide: the table has as many rows as the model in ``hints`` has
    blocks or hidden states, or rows for several positions.
    """
    check_rows(hints.rows)
    if not contents.undecided:
        return _as_said(contents, hints)
    if None in contents.layers:
        table = contents.layers[None]
        return _table(contents, table, hints) if table.ndim == 2 else _positions(contents, table, hints)
    return _by_layer(contents, hints)


def _as_said(contents: Contents, hints: ImportHints) -> Contents:
    """The file itself says what its rows mean."""
    if hints.position is not None:
        raise _no_positions()
    says = "vectors" if None in contents.layers else "layers"
    if hints.rows is not None and hints.rows != says and contents.bank is None:
        what = "one or more vectors of one layer" if says == "vectors" else "a row for each layer that it names"
        raise InputError("rows", f"the file holds {what}, not {hints.rows}", "Leave it out")
    return contents


def _table(contents: Contents, table: np.ndarray, hints: ImportHints) -> Contents:
    count, blocks = len(table), hints.blocks
    fits = blocks is not None and count in (blocks, blocks + 1)
    if hints.rows is None and fits:
        hidden = "" if count == blocks else f", which makes {count} hidden states"
        problem = f"the file has {count} rows and the model {blocks} blocks{hidden}: "
        problem += f"they may be one for each layer, or {count} vectors of one block"
        remedy = f"Give --rows layers, and the row with --source ({_HIDDEN if hidden else _BLOCKS}), or --rows vectors"
        raise InputError("rows", problem, remedy)
    if hints.position is not None:
        raise _no_positions()
    if hints.rows != "layers":
        return replace(contents, layers={None: check_vectors(table)}, undecided=False)
    if blocks is not None and not fits:
        problem = f"the file has {count} rows, and the model {blocks} blocks"
        raise InputError("rows", problem, f"A row for each layer makes {blocks} or {blocks + 1}: give --rows vectors")
    return _of_layers(contents, dict(enumerate(table)), hints, f"Its {count} rows were taken as given")


def _positions(contents: Contents, table: np.ndarray, hints: ImportHints) -> Contents:
    """A table [layers, positions, d], or [positions, layers, d] if only that fits the model."""
    blocks, shape = hints.blocks, list(table.shape)
    fitting = [axis for axis in (0, 1) if blocks is None or table.shape[axis] in (blocks, blocks + 1)]
    if not fitting or hints.rows == "vectors":
        problem = f"its tensor has the shape {shape}"
        if not fitting:
            problem += f", and no dimension matches the model's {blocks} blocks or its hidden states (one more)"
        raise InputError(FIELD, problem, "Vectors of one block must be [vectors, hidden size]")
    if hints.rows is None:
        problem = f"the file's tensor has the shape {shape}: it seems to hold a row for each layer and position"
        raise InputError("rows", problem, f"Give --rows layers for that, {_LAST}")
    by_layer = table if fitting[0] == 0 else table.swapaxes(0, 1)
    place, where = _place(hints.position, by_layer.shape[1])
    first = "layers, positions" if fitting[0] == 0 else "positions, layers"
    taken = f"Its tensor {shape} was taken as [{first}, hidden size], and of the positions {where}"
    return _of_layers(contents, dict(enumerate(by_layer[:, place])), hints, taken)


def _by_layer(contents: Contents, hints: ImportHints) -> Contents:
    """Rows by layer number. Raises InputError if a person must say what several rows for one layer mean."""
    most = max(len(rows) for rows in contents.layers.values())
    if most == 1:
        if hints.rows == "vectors":
            raise InputError("rows", "the file holds a row for each layer that it names, not vectors", "Leave it out")
        if hints.position is not None:
            raise _no_positions()
    if most > 1 and hints.rows is None:
        problem = f"the file holds up to {most} rows for a layer: one for each position, or as many vectors"
        raise InputError("rows", problem, f"Give --rows vectors, or --rows layers for one of them, {_LAST}")
    layers, taken = dict(contents.layers), ""
    if most > 1 and hints.rows == "layers":
        layers = {layer: rows[[_place(hints.position, len(rows))[0]]] for layer, rows in layers.items()}
        taken = f"Of the rows for each layer, one for each position, {_place(hints.position, most)[1]}."
    counted, counting = contents.counted, contents.counting
    blocks = hints.blocks
    if counting and blocks is not None and set(range(1, blocks + 1)) <= layers.keys():
        # no block has this number: the file counts hidden states
        counted, counting = "input", ""
        taken = f"{taken} It counts up to {blocks} and the model's blocks up to {blocks - 1}: layer k was taken as the "
        taken = f"{taken}output of block k − 1.".strip()
    kept = {layer: check_vectors(rows) for layer, rows in layers.items() if np.count_nonzero(rows)}
    if not kept:
        raise InputError(FIELD, "all its rows are zeros", "Every vector needs a direction")
    return replace(contents, layers=kept, counted=counted, counting=counting, taken=taken, undecided=False)


def _of_layers(contents: Contents, rows: Mapping[int, np.ndarray], hints: ImportHints, taken: str) -> Contents:
    """A row for each hidden state or each block of the model, depending on their number."""
    hidden = hints.blocks is not None and len(rows) == hints.blocks + 1
    if hints.blocks is None and hints.counted is None:
        problem = "the model's number of blocks is unknown, so row 0 may be the output of the embedding"
        raise InputError("counted by", problem, "Give input for hidden states, output for rows of blocks")
    counted: Counted = "input" if hidden else "output"
    meaning = _HIDDEN if hidden and hints.counted is None else "one for each layer"
    taken = f"{taken}: {meaning}."
    if hidden and hints.counted is None and hints.source == hints.blocks:
        taken += " The last hidden state is taken after the model's final norm, and the output of its block before it."
    # a row of zeros stands for an unsteered layer, and rows that are not chosen may hold anything
    kept: dict[int | None, np.ndarray] = {
        layer: check_vectors(row[None]) if layer == hints.source else row[None]
        for layer, row in rows.items()
        if np.count_nonzero(row)
    }
    counting = "" if hidden else _COUNTING
    settled = replace(contents, layers=kept, counted=counted, counting=counting, taken=taken)
    return replace(settled, directions=False, undecided=False)


_LAST = "and the position with --position: from 0, or negative from the end; by default the last"


def _place(position: int | None, count: int) -> tuple[int, str]:
    """The index among ``count`` positions, and a description of the choice. Raises InputError."""
    if position is None:
        return count - 1, f"the last of {count} was taken"
    if not -count <= position < count:
        remedy = f"The file has {count}: choose 0 to {count - 1}, or -1 for the last"
        raise InputError("position", f"there is no position {position}", remedy)
    return position % count, f"position {position % count} of {count} was taken, as given"


def _no_positions() -> InputError:
    return InputError("position", "the file holds no rows for several positions", "Leave it out")
