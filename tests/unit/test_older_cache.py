"""A cache that an earlier version filled: everything in it opens, and what was interrupted goes on.

``older/cache.tar.xz`` holds a tiny model and the cache that version 0.1.0 made of it on 29 November 2026: two
trainings, a label, a comparison, a sweep, a map, an atlas, a curve, an exploration, a generality, and a training that
was interrupted.
"""

import tarfile
from pathlib import Path

import pytest
from benches import PROMPT, listen, settings
from patience import PATIENCE

from melbo_app.engine.decoding import Decoding
from melbo_app.studies import read_study
from melbo_app.studies.steer import Steer
from melbo_app.workbench import Workbench

KINDS = ["training", "training", "sweep", "map", "atlas", "curve", "explore", "generality", "training"]


@pytest.fixture
def older(tmp_path: Path) -> Workbench:
    with tarfile.open(Path(__file__).parent / "older" / "cache.tar.xz") as archive:
        archive.extractall(tmp_path, filter="data")
    bench = Workbench(settings(tmp_path / "cache", tmp_path / "model"))
    bench.load_model()
    return bench


def test_banks_and_labels_are_there(older: Workbench):
    lines = {line.name: line for line in older.banks()}
    assert {"kept", "other"} < {*lines} and not any(line.damaged for line in lines.values())
    assert {name: older.bank(name).vectors.shape for name in ("kept", "other")} == {"kept": (3, 32), "other": (2, 32)}
    [label] = older.labels()
    assert (label.bank, label.vector, label.name, label.tags, label.rating) == ("kept", 0, "greets", ("warm",), 4)
    assert not [finding for finding in older.check_library() if finding.wrong]


def test_every_result_opens(older: Workbench):
    for kind in ("steer", "sweep", "map"):
        lines = older.comparisons(kind)
        assert lines and not lines.damaged
        comparison = older.comparison(lines[0].id)
        assert comparison.completions and not comparison.damaged
    for results in (older.explorations(), older.generalities()):
        assert len(results) == 1 and not results.damaged
    assert older.latest_atlas() is not None and older.latest_curve() is not None


def test_every_request_is_readable(older: Workbench):
    records = older.jobs()[::-1]
    assert [record.kind for record in records] == KINDS
    assert [read_study(record.request).kind for record in records] == KINDS
    assert [record.state for record in records] == ["done"] * 8 + ["interrupted"]


def test_texts_are_looked_up(older: Workbench):
    heard, comparison = listen(
        older.run(Steer(bank="kept", prompts=[PROMPT], vectors=[0, 1], radii=[3.0, 6.0], decoding=Decoding(6)))
    )
    assert not any("token" in step.stage for step in heard)
    assert len(comparison.completions) == 5


def test_what_was_interrupted_goes_on(older: Workbench):
    older.resume_jobs()
    [job] = older.active_jobs()
    while not any("Resumed from the checkpoint" in line.text for line in older.job(job.id).log):
        assert not job.wait(0.1)
    job.stop()
    assert job.wait(PATIENCE) and job.error is None
