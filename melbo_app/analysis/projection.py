"""Projects embeddings of completions onto a plane."""

import functools
import threading
import warnings
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from melbo_app.engine.stopping import Stop, held, never, raise_if

LAYOUT = "2"
"""Version of the layout: change it if the same points would be laid out differently, to invalidate stored layouts."""
LEAST_FOR_UMAP = 15
NEIGHBOURS = 15
SAME = 1e-3  # distance, relative to the longest row, below which points are equal: rounding in batches is smaller
ROWS = 256  # compared with all others at a time: many at once are twenty times as fast as one by one
SPACING = 0.012  # distance between copies of one point, relative to the width of the map: about one marker

# numba's default threading layer on macOS aborts the process when two threads enter it at once.
_umap_lock = threading.Lock()


@dataclass(frozen=True)
class MapPoint:
    """One completion on the map, with its colouring and description."""

    id: int  # of the completion
    x: float
    y: float
    vector: int | Literal["random"] | None  # None: the baseline
    radius: float  # signed norm; 0 for the baseline
    label: str  # the vector's label; "" without one
    text: str
    prompt_index: int
    verdict: str | None = None  # readable, strange or broken; None: not scored
    cluster: int | None = None  # of the texts; None: in none


@dataclass(frozen=True)
class Projection:
    """Positions ``xy`` [N, 2] float32 without units, the method, and a note for people."""

    xy: np.ndarray
    method: Literal["UMAP", "PCA"]
    note: str


def project(points: np.ndarray, stop: Stop = never) -> Projection:
    """Project the rows of ``points`` [N, D] onto a plane so that similar rows are near each other.

    UMAP (McInnes et al. 2018) on cosine distances, or PCA for fewer than 15 distinct rows. Equal rows count once and
    form a small disc around their position, so that each can be seen and clicked. Deterministic for the same rows.
    Raises ``ValueError`` for another shape, D < 2, or values that are not finite, and Stopped.
    """
    points = np.asarray(points, dtype=np.float64)
    if points.ndim != 2 or points.shape[1] < 2 or not np.isfinite(points).all():
        raise ValueError("points must be a finite array of shape [N, D] with D of 2 or more")
    firsts, group = _distinct(points, stop)
    method: Literal["UMAP", "PCA"] = "UMAP" if len(firsts) >= LEAST_FOR_UMAP else "PCA"
    places = _umap(points[firsts], stop) if method == "UMAP" else _pca(points[firsts])
    xy = _spread(places, group).astype(np.float32)
    return Projection(xy, method, _note(len(points), len(firsts)))


def warm_up() -> None:
    """Make numba compile UMAP (about ten seconds, once on a machine), so that the first map need not wait."""
    project(np.random.default_rng(0).normal(size=(2 * LEAST_FOR_UMAP, 4)))


def _distinct(points: np.ndarray, stop: Stop) -> tuple[list[int], np.ndarray]:
    """The index of the first row of each set of equal rows, and the set's number for each row [N]."""
    squares = (points**2).sum(1)
    limit = SAME**2 * squares.max(initial=0)
    group = np.full(len(points), -1)
    firsts: list[int] = []
    for begin in range(0, len(points), ROWS):
        raise_if(stop)
        rows = np.flatnonzero(group[begin : begin + ROWS] < 0) + begin
        for row, products in zip(rows.tolist(), points[rows] @ points.T, strict=True):
            if group[row] < 0:
                near = squares + squares[row] - 2 * products <= limit
                near[row] = True
                group[near & (group < 0)] = len(firsts)
                firsts.append(row)
    return firsts, group


def _pca(points: np.ndarray) -> np.ndarray:
    places = np.zeros((len(points), 2))
    if len(points) > 1:
        from sklearn.decomposition import PCA

        parts = min(2, len(points))
        places[:, :parts] = PCA(parts, svd_solver="full").fit_transform(points)
    return places


def _epochs(numbers: Iterable[int], stop: Stop = never, **_: Any) -> Iterator[int]:
    """Replaces UMAP's progress bar, the only place where it can be asked to stop. (A bar of tqdm that raises an error
    keeps the lock of all bars.)"""
    for number in numbers:
        raise_if(stop)
        yield number


def _umap(points: np.ndarray, stop: Stop) -> np.ndarray:
    with held(_umap_lock, stop), warnings.catch_warnings():
        # umap warns that TensorFlow is missing, which is not needed here
        warnings.filterwarnings("ignore", message="Tensorflow not installed", category=ImportWarning)
        warnings.filterwarnings("ignore", message=r"precomputed_knn\[2\]")  # needed for placing more points later
        from sklearn.metrics import pairwise_distances

        neighbours = min(NEIGHBOURS, len(points) - 1)
        raise_if(stop)
        distances = pairwise_distances(points.astype(np.float32), metric="cosine")
        raise_if(stop)
        nearest = np.argsort(distances, axis=1)[:, :neighbours]

        # spectral initialisation, the default, fails on the small, disconnected graphs of few completions
        reducer = _compiled_umap()(
            n_neighbors=neighbours,
            metric="cosine",
            # the neighbours that UMAP would find after half a minute of compiling
            precomputed_knn=(nearest, np.take_along_axis(distances, nearest, axis=1)),
            min_dist=0.4,  # the default 0.1 piles up the few markers of a group
            init="pca",
            disconnection_distance=3.0,  # by default, rows opposite to all others (distance 2) get no position
            random_state=0,
            n_jobs=1,
            tqdm_kwds={"stop": stop},
        )
        return np.asarray(reducer.fit_transform(points.astype(np.float32)), dtype=np.float64)


@functools.cache
def _compiled_umap() -> Any:
    """The class UMAP, with numba's cache of compiled functions enabled (beside the package)."""
    import numba

    settings: Any = numba.config
    before = settings.DISABLE_JIT
    # importing pynndescent compiles for twenty seconds; its search is not used, because the neighbours are precomputed
    settings.DISABLE_JIT = True
    try:
        import pynndescent  # noqa: F401
    finally:
        settings.DISABLE_JIT = before
    from umap import UMAP, layouts, umap_

    layouts.tqdm = _epochs
    epoch = layouts._get_optimize_layout_euclidean_single_epoch_fn()
    for function in (umap_.smooth_knn_dist, umap_.compute_membership_strengths, epoch):
        function.enable_caching()
    return UMAP


def _spread(places: np.ndarray, group: np.ndarray) -> np.ndarray:
    """Positions [N, 2] of all rows: the first of each set at its own position, its copies in a spiral around it."""
    width = width_of(places)
    seen: Counter[int] = Counter()
    xy = np.zeros((len(group), 2))
    for row, number in enumerate(group.tolist()):
        xy[row] = places[number] + beside(seen[number], width)
        seen[number] += 1
    return xy


def width_of(places: np.ndarray) -> float:
    """The larger side of the box around ``places`` [N, 2]; 1 without one."""
    return (float(np.ptp(places, axis=0).max()) if len(places) > 1 else 0.0) or 1.0


def beside(copy: int, width: float) -> np.ndarray:
    """How far copy number ``copy`` of a text lies from the first, 0, on a map of this ``width``: [2], in a spiral."""
    angle = copy * np.pi * (3 - np.sqrt(5))
    return SPACING * width * np.sqrt(copy) * np.array([np.cos(angle), np.sin(angle)])


def _note(count: int, distinct: int) -> str:
    if count == 0:
        return "No points yet"
    points = f"{count} point{'s' * (count != 1)}"
    if distinct < count:
        points += f", {distinct} of them distinct (copies lie in a disc around the first)"
    if distinct < LEAST_FOR_UMAP:
        return f"{points}: UMAP needs {LEAST_FOR_UMAP} or more{' distinct ones' * (distinct < count)}, so this is PCA"
    return f"{points}, by UMAP on cosine distances; only nearness is meaningful, not the axes"
