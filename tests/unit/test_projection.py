import threading
import traceback
import warnings

import numpy as np
import pytest

from melbo_app.analysis.projection import ROWS, _compiled_umap, _distinct, _umap_lock, project, warm_up
from melbo_app.engine.stopping import never
from melbo_app.errors import Stopped


def groups(count: int, of: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """``count`` unit rows around ``of`` far directions, and the group of each."""
    generator = np.random.default_rng(seed)
    which = np.arange(count) % of
    rows = generator.normal(size=(of, 64))[which] + 0.2 * generator.normal(size=(count, 64))
    return rows / np.linalg.norm(rows, axis=1, keepdims=True), which


@pytest.fixture(autouse=True)
def warnings_are_errors():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        # Outside this project's reach: what numba and umap say about the Python they run on.
        warnings.simplefilter("default", DeprecationWarning)
        # Not of these tests: what another one left open is told where the collector happens to come by.
        warnings.simplefilter("default", ResourceWarning)
        yield


@pytest.mark.parametrize("count", [0, 1, 2, 3, 9, 14])
def test_few_points_are_laid_out_by_pca_and_the_note_says_so(count):
    points = groups(count, 2)[0] if count else np.zeros((0, 64))
    made = project(points)
    assert made.method == "PCA"
    assert made.xy.shape == (count, 2) and made.xy.dtype == np.float32
    assert np.isfinite(made.xy).all()
    if count == 9:
        assert made.note == "9 points: UMAP needs 15 or more, so this is PCA"


def test_pca_of_points_in_a_plane_keeps_their_distances():
    corners = np.zeros((4, 10))
    corners[:, [3, 7]] = [[0, 0], [3, 0], [0, 4], [3, 4]]
    xy = project(corners).xy
    distances = np.linalg.norm(xy[:, None] - xy[None], axis=2)
    assert distances[0] == pytest.approx([0, 3, 4, 5], abs=1e-5)


def test_identical_points_lie_apart_but_together_and_are_not_called_umap():
    made = project(np.ones((40, 8)))
    assert made.method == "PCA" and "1 of them distinct" in made.note
    assert len(np.unique(made.xy, axis=0)) == 40
    assert np.isfinite(made.xy).all() and np.abs(made.xy).max() < 0.1


def test_many_copies_of_few_points_are_laid_out_by_pca():
    made = project(np.repeat(groups(14, 3)[0], 5, axis=0))
    assert made.method == "PCA" and "14 of them distinct" in made.note


@pytest.mark.parametrize("count", [15, 16, 40])
def test_umap_keeps_groups_together(count):
    points, which = groups(count, 2)
    made = project(points)
    assert made.method == "UMAP" and np.isfinite(made.xy).all()
    centres = np.array([made.xy[which == group].mean(0) for group in (0, 1)])
    nearest = np.linalg.norm(made.xy[:, None] - centres[None], axis=2).argmin(1)
    assert (nearest == which).all()


def test_the_same_points_give_the_same_places():
    points, _ = groups(40, 3)
    assert np.array_equal(project(points).xy, project(points).xy)


def test_what_numba_compiles_is_kept_for_the_next_program_and_the_search_for_neighbours_is_not_compiled():
    project(groups(20, 2)[0])
    from pynndescent import pynndescent_
    from umap import umap_

    for function in (umap_.smooth_knn_dist, umap_.compute_membership_strengths):
        assert function.stats.cache_hits or function.stats.cache_misses  # a dispatcher without a cache counts neither
    assert not hasattr(pynndescent_.nn_descent, "signatures")


def test_copies_stay_near_their_point_and_do_not_move_the_others():
    points, _ = groups(20, 3)
    copies = points[[4] * 6] + 1e-6  # as far apart as two batches of one text
    alone, made = project(points), project(np.concatenate([points, copies]))
    assert "26 points, 20 of them distinct" in made.note
    assert np.array_equal(made.xy[:20], alone.xy)
    width = np.ptp(alone.xy, axis=0).max()
    distance = np.linalg.norm(made.xy[20:] - made.xy[4], axis=1)
    assert (distance > 0.005 * width).all() and (distance < 0.05 * width).all()


def test_a_point_opposite_to_all_others_has_a_place_too():
    towards = np.arange(1, 17)[:, None] * np.array([[1.0, 0, 0]])
    assert np.isfinite(project(np.concatenate([towards, [[-1.0, 0, 0]]])).xy).all()


@pytest.mark.parametrize("points", [np.zeros(5), np.zeros((5, 1)), np.full((3, 4), np.nan)])
def test_what_cannot_be_laid_out_is_refused(points):
    with pytest.raises(ValueError, match="points must be"):
        project(points)


def epochs(monkeypatch: pytest.MonkeyPatch, at: int) -> tuple[list[int], threading.Event]:
    """The epochs that UMAP begins, and an event that is set in the one with number ``at``."""
    _compiled_umap()  # to be imported first
    from umap import layouts

    begun, reached, real = [], threading.Event(), layouts._get_optimize_layout_euclidean_single_epoch_fn

    def epoch(*given):
        begun.append(len(begun))
        if len(begun) == at:
            reached.set()
        return real()(*given)

    monkeypatch.setattr(layouts, "_get_optimize_layout_euclidean_single_epoch_fn", lambda parallel=False: epoch)
    return begun, reached


def test_a_stop_ends_the_layout_with_the_present_epoch_and_another_map_can_be_made(monkeypatch):
    begun, reached = epochs(monkeypatch, 7)
    with pytest.raises(Stopped):
        project(groups(40, 3)[0], reached.is_set)
    assert len(begun) == 7
    monkeypatch.undo()
    assert np.isfinite(project(groups(40, 3)[0]).xy).all()


def test_a_stop_ends_the_search_for_equal_points(monkeypatch):
    asked = []
    with pytest.raises(Stopped):
        project(groups(3 * ROWS, 3)[0], lambda: asked.append(1) or len(asked) == 2)
    assert len(asked) == 2


def test_who_waits_for_another_map_may_stop_waiting():
    with _umap_lock, pytest.raises(Stopped):
        project(groups(40, 3)[0], lambda: _umap_lock.locked() and waiting())


def waiting() -> bool:
    return "held" in {frame.name for frame in traceback.extract_stack()}


def test_points_are_equal_in_whatever_rows_they_stand():
    points = groups(2 * ROWS + 30, 3)[0]
    points[ROWS + 5], points[2 * ROWS + 9] = points[3], points[3]
    firsts, group = _distinct(points, never)
    assert len(firsts) == len(points) - 2
    assert {at for at, own in enumerate(group) if own == group[3]} == {3, ROWS + 5, 2 * ROWS + 9}


def test_a_map_can_be_made_while_the_warm_up_runs():
    thread = threading.Thread(target=warm_up)
    thread.start()
    assert np.isfinite(project(groups(20, 2)[0]).xy).all()
    thread.join(timeout=120)
    assert not thread.is_alive()
