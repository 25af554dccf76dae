"""Vector arithmetic: new vectors from a formula over the vectors of banks."""

import ast
import operator
from collections.abc import Callable
from typing import Any

import numpy as np

from melbo_app.errors import InputError

LONGEST = 2000
EXAMPLE = "'pirate'[3] - 0.5 * 'weekend'[0]"
_OPERATIONS: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
}
Value = np.ndarray | float


def evaluate(formula: str, rows_of: Callable[[str], np.ndarray]) -> np.ndarray:
    """The vectors [n, d], float64, that a formula gives.

    ``'bank'`` is all vectors of a bank, ``'bank'[3]`` one, ``'bank'[0:4]`` several, ``'bank'[1, 5]`` a selection; a
    name that is a plain word needs no quotes. Vectors can be added and subtracted (a single one broadcasts), and
    multiplied and divided by numbers. ``mean(x, …)`` averages all rows, ``without(x, y, …)`` removes from x its
    projection onto the span of y, ``scaled(x, R)`` gives every row the norm R, and ``join(x, …)`` concatenates rows.
    No part of a formula is run as code.

    Args:
        rows_of: returns the vectors [V, d] of the bank with this name; its errors pass through.

    Raises:
        InputError: a formula that cannot be read, or that gives no vectors.
    """
    if not formula.strip():
        raise InputError("formula", "it is empty", f"Write one such as {EXAMPLE}")
    if len(formula) > LONGEST:
        raise InputError("formula", f"it is {len(formula):,} characters long", f"Use {LONGEST:,} or fewer")
    try:
        tree = ast.parse(formula.strip(), mode="eval").body
        with np.errstate(all="ignore"):
            value = _value(tree, rows_of)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise _unreadable(formula.strip()) from error
    if not isinstance(value, np.ndarray):
        raise InputError("formula", f"it gives the number {value:g}, not vectors", f"Write one such as {EXAMPLE}")
    if not np.isfinite(value).all():
        raise InputError("formula", "it gives numbers that are not finite", "Do not divide by zero")
    scale = max(1.0, float(np.abs(value).max(initial=0.0)))
    for row in np.flatnonzero(np.linalg.norm(value / scale, axis=1) <= 1e-9):
        raise InputError("formula", f"row {row} of its result is zero", "A vector needs a direction")
    return value


def _value(node: ast.expr, rows_of: Callable[[str], np.ndarray]) -> Value:
    match node:
        case ast.Constant(value=str(name)) | ast.Name(id=name):
            return np.asarray(rows_of(name), dtype=np.float64)
        case ast.Constant(value=int() | float() as number) if not isinstance(number, bool):
            return float(number)
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            return -_value(operand, rows_of)
        case ast.UnaryOp(op=ast.UAdd(), operand=operand):
            return _value(operand, rows_of)
        case ast.BinOp(left=left, op=op, right=right) if type(op) in _OPERATIONS:
            return _combined(type(op), _value(left, rows_of), _value(right, rows_of))
        case ast.Subscript(value=value, slice=index):
            return _chosen(_rows(_value(value, rows_of), "the value before the ["), index)
        case ast.Call(func=ast.Name(id=function), args=arguments, keywords=[]) if function in _FUNCTIONS and arguments:
            return _FUNCTIONS[function]([_value(argument, rows_of) for argument in arguments])
        case ast.Call(func=ast.Name(id=function)):
            problem = f"“{function}” is not a function"
            raise InputError("formula", problem, f"The functions are {', '.join(_FUNCTIONS)}")
        case _:
            raise _unreadable(ast.unparse(node))


def _combined(operation: type[ast.operator], left: Value, right: Value) -> Value:
    vectors = [value for value in (left, right) if isinstance(value, np.ndarray)]
    if operation in (ast.Add, ast.Sub) and len(vectors) == 1:
        remedy = "Multiply a vector by a number, or add two vectors"
        raise InputError("formula", "it adds a number and a vector", remedy)
    if operation is ast.Mult and len(vectors) == 2:
        raise InputError("formula", "it multiplies two vectors", "Multiply a vector by a number")
    if operation is ast.Div and isinstance(right, np.ndarray):
        raise InputError("formula", "it divides by a vector", "Divide by a number")
    if len(vectors) == 2 and len(vectors[0]) != len(vectors[1]) and 1 not in map(len, vectors):
        counts = f"{len(vectors[0])} and {len(vectors[1])} vectors"
        raise InputError("formula", f"it adds {counts}", "Add equal numbers of vectors, or one to several")
    if operation is ast.Div and right == 0:
        raise InputError("formula", "it divides by zero", "Divide by another number")
    return _OPERATIONS[operation](left, right)


def _chosen(rows: np.ndarray, index: ast.expr) -> np.ndarray:
    if isinstance(index, ast.Slice):
        first, last, step = (None if at is None else _whole(at) for at in (index.lower, index.upper, index.step))
        chosen = rows[first : len(rows) if last is None else last : step]
        if not len(chosen):
            problem = f"“[{ast.unparse(index)}]” selects no vector"
            raise InputError("formula", problem, f"Choose from 0 to {len(rows) - 1}")
        return chosen
    wanted = [_whole(at) for at in (index.elts if isinstance(index, ast.Tuple) else [index])]
    for at in wanted:
        if not 0 <= at < len(rows):
            raise InputError("formula", f"there is no vector {at}", f"Choose from 0 to {len(rows) - 1}")
    return rows[wanted]


def _whole(node: ast.expr) -> int:
    match node:
        case ast.Constant(value=int() as number) if not isinstance(number, bool):
            return number
        case _:
            raise InputError("formula", f"“{ast.unparse(node)}” is not a vector's number", "Write 3, 0:4 or 1, 5")


def _rows(value: Value, what: str) -> np.ndarray:
    if not isinstance(value, np.ndarray):
        raise InputError("formula", f"{what} is the number {value:g}", f"Write a vector such as {EXAMPLE.split()[0]}")
    return value


def _mean(values: list[Value]) -> np.ndarray:
    return _join(values).mean(axis=0, keepdims=True)


def _join(values: list[Value]) -> np.ndarray:
    return np.concatenate([_rows(value, "an argument") for value in values])


def _without(values: list[Value]) -> np.ndarray:
    if len(values) < 2:
        raise InputError("formula", "“without” has nothing to remove", "Write without(x, y)")
    rows, others = _rows(values[0], "the first argument"), _join(values[1:])
    _, sizes, directions = np.linalg.svd(others, full_matrices=False)
    basis = directions[sizes > 1e-6 * sizes[0]]
    rest = rows - (rows @ basis.T) @ basis
    # the remainder of a vector inside the span is rounding error
    rest[np.linalg.norm(rest, axis=1) <= 1e-6 * np.linalg.norm(rows, axis=1)] = 0
    return rest


def _scaled(values: list[Value]) -> np.ndarray:
    if len(values) != 2 or isinstance(values[1], np.ndarray):
        raise InputError("formula", "“scaled” needs vectors and a norm", "Write scaled(x, 8)")
    if not values[1] > 0:
        raise InputError("formula", f"{values[1]:g} is not a norm", "Choose a number greater than 0")
    rows = _rows(values[0], "the first argument")
    return values[1] * rows / np.linalg.norm(rows, axis=1, keepdims=True)


_FUNCTIONS: dict[str, Callable[[list[Value]], np.ndarray]] = {
    "mean": _mean,
    "without": _without,
    "scaled": _scaled,
    "join": _join,
}


def _unreadable(formula: str) -> InputError:
    return InputError("formula", f"“{formula[:80]}” cannot be read", f"Write one such as {EXAMPLE}")
