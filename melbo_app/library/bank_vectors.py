"""Limits on the vectors of a bank: their number, their norms, and that every number is finite."""

import math

import numpy as np

from melbo_app.errors import InputError

FIELD = "bank file"
OUTPUTS = "output_directions"
MAX_BYTES = 1 << 30
MAX_VECTORS = 4096
MAX_ELEMENTS = MAX_BYTES // 4
# The squares of norms outside this range overflow or underflow float32.
MIN_NORM, MAX_NORM = 1e-9, 1e9
RADIUS_TOLERANCE = 0.01  # more than rows lose when another program stores them as bfloat16


def check_vectors(vectors: np.ndarray) -> np.ndarray:
    """``vectors`` [V, d] as a read-only float32 array. Raises InputError naming the first invalid row."""
    if vectors.ndim != 2:
        raise InputError(FIELD, f"its tensor has the shape {list(vectors.shape)}", "It must be [vectors, hidden size]")
    count, width = vectors.shape
    if count == 0 or width == 0:
        raise InputError(FIELD, f"its tensor is empty: {count} × {width}", "It must hold at least one vector")
    if count > MAX_VECTORS:
        raise InputError(FIELD, f"it holds {count:,} vectors", f"At most {MAX_VECTORS:,} can be used")
    if vectors.size > MAX_ELEMENTS:
        raise InputError(FIELD, f"its vectors take {vectors.size * 4:,} bytes", f"At most {MAX_BYTES:,} can be used")
    if not np.issubdtype(vectors.dtype, np.floating):
        raise InputError(FIELD, f"its numbers are of type {vectors.dtype}", "They must be floats")
    with np.errstate(over="ignore"):  # a float64 too large for float32 becomes infinite and is refused below
        clean = np.array(vectors, dtype=np.float32, order="C")
    for row, vector in enumerate(clean):
        if not np.isfinite(vector).all():
            kind = "NaN" if np.isnan(vector).any() else "infinity"
            raise InputError(FIELD, f"row {row} holds {kind}", "Every number must be finite in float32")
        norm = math.sqrt(np.dot(wide := vector.astype(np.float64), wide))
        if norm == 0:
            raise InputError(FIELD, f"row {row} is all zeros", "Every vector needs a direction")
        if not MIN_NORM <= norm <= MAX_NORM:
            remedy = f"Every vector needs a norm between {MIN_NORM:g} and {MAX_NORM:g}"
            raise InputError(FIELD, f"row {row} has the norm {norm:.3g}", remedy)
    clean.setflags(write=False)
    return clean


def check_radius(vectors: np.ndarray, radius: float, remedy: str, *, equal: bool) -> None:
    """Raises InputError if every row of [V, d] (``equal``), or their median, does not have the norm ``radius``."""
    norms = np.linalg.norm(vectors.astype(np.float64), axis=1)
    for row, norm in enumerate(norms) if equal else [(None, float(np.median(norms)))]:
        if not math.isclose(norm, radius, rel_tol=RADIUS_TOLERANCE):
            whose = "the median norm of its rows is" if row is None else f"row {row} has the norm"
            problem = f"its record says R = {radius:.6g}, and {whose} {norm:.6g}"
            raise InputError(FIELD, problem, remedy)


def check_directions(directions: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """``directions`` as a read-only float32 array. Raises InputError unless there is one for each vector."""
    if directions.shape != shape:
        problem = f"its tensor “{OUTPUTS}” has the shape {list(directions.shape)}, its vectors {list(shape)}"
        raise InputError(FIELD, problem, "Both must have one row for each vector")
    with np.errstate(over="ignore"):
        clean = np.array(directions, dtype=np.float32, order="C")
    if not np.isfinite(clean).all():
        raise InputError(FIELD, f"its tensor “{OUTPUTS}” holds numbers that are not finite", "Export it again")
    clean.setflags(write=False)
    return clean
