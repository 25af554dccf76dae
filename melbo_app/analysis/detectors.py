"""Detectors of anomalies that know only clean examples: each scores rows of activations, higher where less usual."""

from collections.abc import Callable

import numpy as np

from melbo_app.engine.stopping import Stop, raise_if

Scorer = Callable[[np.ndarray], np.ndarray]
"""Scores [n] of rows [n, d]."""
Detector = Callable[[np.ndarray], Scorer]
"""Learns clean rows [m, d]."""
PARTS = 10
"""Clean rows are scored in so many parts, each by a detector that learned the others."""


class Cosines:
    """Cosines with V directions, of rows less the clean mean.

    With ``standard``, those with each direction are counted in standard deviations from their mean over the clean rows.
    Activations vary much more along some directions than along others, and the largest of the plain cosines would be
    that of the direction along which clean rows scatter most, whatever comes in; counted so, every direction is as
    likely to be the largest on clean rows.
    """

    def __init__(self, clean: np.ndarray, directions: np.ndarray, *, standard: bool = True) -> None:
        self._mean, self._directions = clean.mean(axis=0), _unit(directions)
        self._centre, self._spread = np.zeros(len(directions)), np.ones(len(directions))
        if standard:
            # less the mean of the other rows, a row has the same direction: no cosine knows its own row
            found = self.each(clean)
            self._centre, self._spread = found.mean(axis=0), np.maximum(found.std(axis=0, ddof=1), 1e-9)

    def each(self, rows: np.ndarray) -> np.ndarray:
        """[n, V], one score for each direction."""
        return (_unit(rows - self._mean) @ self._directions.T - self._centre) / self._spread

    def __call__(self, rows: np.ndarray) -> np.ndarray:
        return self.each(rows).max(axis=1)


class Projections:
    """Lengths along V directions of rows less the clean mean, in standard deviations over the clean rows."""

    def __init__(self, clean: np.ndarray, directions: np.ndarray) -> None:
        self._mean, self._directions = clean.mean(axis=0), _unit(directions)
        self._spread = np.maximum(((clean - self._mean) @ self._directions.T).std(axis=0, ddof=1), 1e-9)

    def __call__(self, rows: np.ndarray) -> np.ndarray:
        return ((rows - self._mean) @ self._directions.T / self._spread).max(axis=1)


class Mahalanobis:
    """Mahalanobis distance to the clean mean, with the covariance of Ledoit and Wolf (2004), which shrinks towards a
    multiple of the identity, because there are fewer clean rows than dimensions."""

    def __init__(self, clean: np.ndarray) -> None:
        from scipy.linalg import cholesky  # these take a second to import
        from sklearn.covariance import LedoitWolf

        found = LedoitWolf(store_precision=False).fit(clean)
        covariance = found.covariance_
        least = max(1e-12 * float(np.trace(covariance)) / len(covariance), 1e-30)
        self._mean, self._root = found.location_, cholesky(covariance + least * np.eye(len(covariance)), lower=True)

    def __call__(self, rows: np.ndarray) -> np.ndarray:
        from scipy.linalg import solve_triangular

        return np.linalg.norm(solve_triangular(self._root, (rows - self._mean).T, lower=True), axis=0)


class Nearest:
    """Distance to the nearest clean row, all of them scaled to norm 1 (Sun et al. 2022)."""

    def __init__(self, clean: np.ndarray) -> None:
        self._clean = _unit(clean)

    def __call__(self, rows: np.ndarray) -> np.ndarray:
        nearest = np.clip((_unit(rows) @ self._clean.T).max(axis=1), -1, 1)
        return np.sqrt(2 - 2 * nearest)


def held_out_scores(detector: Detector, clean: np.ndarray, stop: Stop | None = None) -> np.ndarray:
    """Scores [m] of the clean rows, each by a detector that did not learn it: every tenth row is kept out at a time.
    Raises Stopped if ``stop()``, which is called before each of these parts, becomes true."""
    part = np.arange(len(clean)) % PARTS
    scores = np.empty(len(clean))
    for number in np.unique(part):
        raise_if(stop)
        kept_out = part == number
        scores[kept_out] = detector(clean[~kept_out])(clean[kept_out])
    return scores


def _unit(rows: np.ndarray) -> np.ndarray:
    return rows / np.maximum(np.linalg.norm(rows, axis=-1, keepdims=True), 1e-30)
