"""Layer atlas: each pair measured as its parts measure it, kept as soon as it is there, and drawn."""

import numpy as np
import pytest
import torch
from benches import PROMPT, StubEmbedder, listen, settings
from patience import PATIENCE

from melbo_app.analysis.atlas_figure import DESCRIBED, atlas_figure
from melbo_app.analysis.diversity import readable_diversity
from melbo_app.engine.prompt import Prompt
from melbo_app.engine.scope import TokenScope
from melbo_app.engine.training_config import TrainingConfig
from melbo_app.errors import InputError
from melbo_app.jobs.generators import result_of
from melbo_app.studies.atlas import DECODING, DIRECTIONS, MeasureAtlas, atlas_layers, parse_pairs
from melbo_app.studies.calibrate import Calibrate
from melbo_app.studies.sensitivity import MeasureSensitivity
from melbo_app.studies.steer import Steer
from melbo_app.studies.train import Train
from melbo_app.workbench import Workbench

PROMPTS = [PROMPT, Prompt("the heath")]


@pytest.fixture
def bench(bench):
    bench.load_model()
    bench.bench.embedder = StubEmbedder()
    return bench


def test_each_pair_has_what_its_parts_measure(bench):
    heard, atlas = listen(
        bench.run(MeasureAtlas(prompts=PROMPTS, sources=[0, 1], targets=[1, 2], read=[], scope="assistant"))
    )
    assert [cell.pair for cell in atlas.cells] == [(0, 1), (0, 2), (1, 2)]
    pairs = result_of(
        bench.run(
            MeasureSensitivity(prompts=PROMPTS, sources=[0, 1], targets=[1, 2], scope="assistant", count=DIRECTIONS)
        )
    )
    for cell, pair in zip(atlas.cells, pairs, strict=True):
        assert cell.values == pytest.approx(pair.values, rel=1e-5)
        assert cell.residual == pair.residual
        found = result_of(
            bench.run(Calibrate(prompts=PROMPTS, source=cell.source, target=cell.target, scope="assistant"))
        )
        assert (cell.radius, cell.median_norm) == (found.radius, found.median_norm)
    seen = [len(step.atlas.cells) for step in heard]
    assert seen == sorted(seen) and {0, 1, 2, 3} == set(seen)  # each is there before the next one begins
    done = [step.done for step in heard]
    assert done == sorted(done) and done[-1] == heard[-1].total


def test_what_vectors_do_is_what_the_same_bank_does_when_it_is_steered_with(bench):
    [cell] = result_of(
        bench.run(MeasureAtlas(prompts=PROMPTS, sources=[1], targets=[3], read=None, scope="assistant"))
    ).cells
    config = TrainingConfig(1, 3, cell.radius, 2 * DIRECTIONS, "jacobian")
    bank = result_of(bench.run(Train(prompts=PROMPTS, config=config, name="same")))
    texts = result_of(
        bench.run(Steer(bank="same", prompts=PROMPTS, vectors=range(4), radii=[cell.radius], decoding=DECODING))
    ).completions
    steered = [one for one in texts if one.vector is not None]
    assert cell.texts == tuple(one.text for one in steered if one.prompt_index == 0)
    assert cell.kl == pytest.approx(np.mean([one.scores.kl_text for one in steered]), rel=1e-3)
    assert cell.readable == np.mean([one.scores.verdict == "readable" for one in steered])
    diversities = []
    for index in range(2):
        own = [one for one in steered if one.prompt_index == index]
        [plain] = [one for one in texts if one.vector is None and one.prompt_index == index]
        places = StubEmbedder().encode([one.text for one in [plain, *own]])
        diversities.append(readable_diversity(places[1:], [one.scores.verdict == "readable" for one in own], places[0]))
    assert cell.diversity == pytest.approx(np.mean(diversities), rel=1e-4)
    piece = bench.bench.slices.slice(bench.bench.model.get(), PROMPTS, 1, 3)
    mask = piece.mask(TokenScope.parse("assistant"))
    with torch.no_grad():
        moved = piece.deltas(torch.from_numpy(bank.vectors.copy()))[:, mask].norm(dim=-1)
    assert cell.strength == pytest.approx(float((moved / piece.baseline[mask].norm(dim=-1)).mean()), rel=1e-3)


def test_only_the_chosen_pairs_are_completed_and_others_can_be_chosen_later(bench):
    atlas = result_of(bench.run(MeasureAtlas(prompts=[PROMPT], sources=[0], targets=[1, 2], read=[(0, 2)])))
    assert [bool(cell.texts) for cell in atlas.cells] == [False, True]
    assert atlas.cells[0].values and atlas.cells[0].radius and atlas.cells[0].kl is None
    heard, later = listen(bench.run(MeasureAtlas(prompts=[PROMPT], sources=[0], targets=[1, 2, 3], read=[(0, 1)])))
    assert [bool(cell.texts) for cell in later.cells] == [True, True, False]
    assert later.cells[1] == atlas.cells[1]
    assert not any(step.stage.startswith("block 0 → 2:") for step in heard)  # it was known


def test_an_atlas_outlives_the_program_and_belongs_to_its_prompts_and_scope(bench, tmp_path, model_folder):
    first = result_of(bench.run(MeasureAtlas(prompts=[PROMPT], sources=[0], targets=[1], read=[])))
    assert result_of(bench.run(MeasureAtlas(prompts=[Prompt("the heath")], sources=[0], targets=[2], read=[]))).cells[
        0
    ].pair == (0, 2)
    result_of(bench.run(MeasureAtlas(prompts=[PROMPT], sources=[0], targets=[3], read=[], scope="all")))
    other = Workbench(settings(tmp_path / "cache", model_folder))
    assert other.latest_atlas() is None  # of which model?
    other.load_model()
    assert other.latest_atlas().scope == "all"
    assert other.bench.atlases.find(first.key) == first
    for path in (tmp_path / "cache" / "atlases").iterdir():
        path.write_text("{")
    assert other.latest_atlas() is None


def test_a_stop_keeps_the_pairs_that_are_done(bench):
    pressed: list[bool] = []
    work = bench.run(
        MeasureAtlas(prompts=[PROMPT], sources=[0], targets=[1, 2, 3], read=None), stop=lambda: bool(pressed)
    )
    while not next(work).stage.startswith("block 0 → 2: token"):
        pass
    pressed.append(True)
    assert [cell.pair for cell in result_of(work).cells] == [(0, 1)]
    assert [cell.pair for cell in bench.latest_atlas().cells] == [(0, 1)]


def test_it_runs_as_a_job_and_again(bench):
    job = bench.start(
        MeasureAtlas(prompts=[PROMPT], sources=[0], targets=[1], read=[(0, 1)], scope="assistant"), who="me"
    )
    assert job.wait(PATIENCE) and job.state == "done", job.error
    assert job.result == bench.latest_atlas() and job.result.cells[0].texts
    record = bench.job(job.id)
    assert (record.kind, record.title, record.state) == ("atlas", "Layers on “hello there”", "done")
    again = bench.run_again(job.id)
    assert again.wait(PATIENCE) and again.result.cells == job.result.cells


@pytest.mark.parametrize(
    ("sources", "targets", "read", "part"),
    [
        ([2], [1, 2], None, "target layers: none is above a source layer"),
        ([0], [9], None, "target layers: the model has no block 9. Choose from 0 to 3"),
        ([-1], [2], None, "source layers: the model has no block -1"),
        ([0], [1], [(0, 2)], "completions: 0 → 2 is not on the grid"),
    ],
)
def test_what_gives_no_atlas_is_refused_before_a_job_begins(bench, sources, targets, read, part):
    with pytest.raises(InputError, match=part):
        bench.start(MeasureAtlas(prompts=[PROMPT], sources=sources, targets=targets, read=read, scope="assistant"))
    assert bench.jobs() == []


def test_pairs_are_read_as_people_write_them():
    assert parse_pairs("7-21, 7→26,0 -> 3") == [(7, 21), (7, 26), (0, 3)]
    assert parse_pairs(" all ") is None
    assert parse_pairs("none") == []
    for wrong in ("7", "7-21;", "", "a-b", "7-21,"):
        with pytest.raises(InputError, match="is not a list of layer pairs"):
            parse_pairs(wrong)


@pytest.mark.parametrize("blocks", [2, 3, 4, 12, 30, 80])
def test_layers_to_begin_with_give_pairs_in_models_of_any_depth(blocks):
    sources, targets = atlas_layers(blocks)
    assert all(0 <= layer < blocks for layer in [*sources, *targets])
    assert min(sources) < max(targets)


# --- drawn -----------------------------------------------------------------------------------------------------------

VALUES = {(2, 7): 1.0, (2, 21): 100.0, (7, 21): None, (12, 21): float("nan")}


def test_a_cell_knows_its_pair_and_what_is_not_known_stays_empty():
    [trace] = atlas_figure(VALUES, "value").data
    assert (trace.x, trace.y) == (("7", "21"), ("2", "7", "12"))
    assert trace.customdata[0][1] == [2, 21]
    assert np.array(trace.z, dtype=float).tolist()[0] == [0, 2]  # logarithms
    assert [list(row) for row in trace.z][1:] == [[None, None]] * 2
    assert [list(row) for row in trace.text] == [["1", "100"], ["", ""], ["", ""]]
    assert not trace.hoverongaps


def test_shares_have_one_scale_whatever_occurs():
    [trace] = atlas_figure({(0, 1): 0.5}, "readable").data
    assert (trace.zmin, trace.zmax) == (0, 1) and trace.text[0][0] == "50%"
    assert list(trace.colorbar.ticktext) == ["0%", "25%", "50%", "75%", "100%"]


@pytest.mark.parametrize("measure", DESCRIBED)
def test_one_pair_or_none_can_be_drawn(measure):
    assert len(atlas_figure({(0, 1): 0.0}, measure).data) == 1
    empty = atlas_figure({(0, 1): None}, measure)
    assert not empty.data and empty.layout.annotations[0].text == "No pair of layers has a value yet"
