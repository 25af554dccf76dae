"""Diversity curves through the workbench: their points, what is trained and what looked up, stops and figures."""

import json
from dataclasses import replace

import numpy as np
import pytest
from benches import PROMPT, StubEmbedder, listen, trained

from melbo_app.analysis.curve import CurvePoint, DiversityCurve
from melbo_app.analysis.curve_figure import QUANTITIES, bands, curve_figure
from melbo_app.analysis.cusp import Cusp, cusps
from melbo_app.analysis.diversity import Diversity
from melbo_app.engine import generation
from melbo_app.engine.batch import Batch
from melbo_app.engine.decoding import Decoding
from melbo_app.engine.prompt import Prompt
from melbo_app.engine.training_config import TrainingConfig
from melbo_app.errors import InputError, Stopped
from melbo_app.jobs.bench import Bench
from melbo_app.jobs.generators import result_of
from melbo_app.studies import curve_making
from melbo_app.studies.curve import MeasureCurve, default_radii

QUICK = TrainingConfig(source=1, target=3, radius=1.0, steps=2)
RADII = [0.3, 0.05]


@pytest.fixture(autouse=True)
def _stubbed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Bench, "embedder", StubEmbedder())


@pytest.fixture
def trainings(monkeypatch: pytest.MonkeyPatch) -> list[TrainingConfig]:
    """What was trained."""
    configs = []
    real = curve_making.train_bank

    def spy(lm, spec, prompts, config, *rest, **others):
        configs.append(config)
        return real(lm, spec, prompts, config, *rest, **others)

    monkeypatch.setattr(curve_making, "train_bank", spy)
    return configs


def work(bench, training=QUICK, stop=lambda: False, **options):
    options = {"relative_radii": RADII, "vectors": 3, "decoding": Decoding(3), **options}
    return bench.run(MeasureCurve(prompts=[PROMPT], training=training, **options), stop=stop)


def test_the_usual_grid_is_logarithmic_from_nothing_to_broken_texts():
    radii = default_radii()
    assert (len(radii), radii[0], radii[-1]) == (8, 0.02, 0.3)
    np.testing.assert_allclose(np.diff(np.log(radii)), np.log(15) / 7, rtol=0.02)


def test_a_curve_has_a_point_for_each_r_in_order_with_vectors_of_that_norm(bench, trainings):
    curve = result_of(work(bench))
    assert (curve.how, curve.bank, curve.source, curve.target, curve.finished) == ("trained", None, 1, 3, True)
    assert [point.relative_radius for point in curve.points] == [0.05, 0.3]
    assert curve.median_norm == pytest.approx(bench.median_norm([PROMPT], 1))
    learned = [config for config in trainings if config.method == "joint"]
    assert [config.radius for config in learned] == [point.radius for point in curve.points]
    assert all(config.vectors == 3 for config in trainings)
    for point in curve.points:
        assert point.radius == pytest.approx(point.relative_radius * curve.median_norm)
        vectors, control = (bench.comparison(id).completions for id in point.comparisons)
        assert [one.vector for one in vectors] == [one.vector for one in control] == [None, 0, 1, 2]
        assert all(one.radius == pytest.approx(point.radius) for one in [*vectors, *control][1:4])
        assert vectors[1].bank_hash != control[1].bank_hash


def test_the_figures_are_those_of_the_texts(bench):
    point = result_of(work(bench)).points[-1]
    _, *texts = bench.comparison(point.comparisons[0]).completions
    places = StubEmbedder().encode([one.text for one in texts])
    assert point.vectors.summed_variance == pytest.approx(np.var(places, axis=0).sum(), rel=1e-5)
    assert point.vectors.loss == pytest.approx(np.mean([one.scores.loss for one in texts]))
    assert point.vectors.kl == pytest.approx(np.mean([one.scores.kl_text for one in texts]))
    assert point.vectors.answers == 3 and point.seeds == (point.vectors,)


def test_each_point_is_told_as_soon_as_it_is_there(bench):
    heard, curve = listen(work(bench))
    assert [len(progress.curve.points) for progress in heard] == sorted(len(one.curve.points) for one in heard)
    assert heard[-1].curve == curve and {len(one.curve.points) for one in heard} == {0, 1, 2}
    assert [one.done for one in heard] == sorted(one.done for one in heard)
    assert heard[-1].done == heard[-1].total


def test_nothing_comes_on_the_shelf_or_into_the_history_and_the_library_is_sound(bench):
    result_of(work(bench))
    assert bench.banks() == [] and bench.comparisons() == []
    assert bench.check_library() == []
    removed = bench.prune_library(0, dry_run=True).removals
    assert ("vectors of diversity curves", 3) in [(one.what, one.count) for one in removed]


def test_a_second_time_nothing_is_trained_and_nothing_generated(bench, trainings, monkeypatch):
    first = result_of(work(bench))
    trainings.clear()
    monkeypatch.setattr(bench.bench.batching, "generate", None)
    again = result_of(work(bench, relative_radii=[0.05, 0.3]))
    assert trainings == []
    assert [point.vectors for point in again.points] == [point.vectors for point in first.points]


def test_vectors_and_random_vectors_are_completed_in_the_same_passes(bench, monkeypatch):
    shared = []
    step = Batch.step

    def spy(batch):
        shared.append(len(batch.members))
        step(batch)

    monkeypatch.setattr(Batch, "step", spy)
    monkeypatch.setattr(generation, "STREAM_SECONDS", 0)  # else a model this small is done within its first turn
    result_of(work(bench, decoding=Decoding(12)))
    assert shared.count(2) > 2 * shared.count(1)


def test_rescaled_is_one_training_for_all_r_and_says_so(bench, trainings):
    curve = result_of(work(bench, rescaled=True))
    assert curve.how == "rescaled"
    assert [config.method for config in trainings].count("joint") == 1
    directions = {bench.comparison(point.comparisons[0]).completions[1].bank_hash for point in curve.points}
    assert len(directions) == 1


def test_a_bank_that_is_there_is_rescaled_as_far_as_vectors_are_asked_for(bench, trainings):
    bank = trained(bench, "mine")
    curve = result_of(work(bench, None, bank="mine", vectors=2))
    assert (curve.how, curve.bank, curve.source) == ("rescaled", "mine", bank.record.source)
    assert [config.method for config in trainings] == ["random"]
    texts = bench.comparison(curve.points[0].comparisons[0]).completions
    assert [one.vector for one in texts] == [None, 0, 1] and texts[1].bank_hash == bank.hash


def test_several_seeds_are_put_together_and_stay_apart(bench):
    curve = result_of(work(bench, seeds=2, rescaled=True))
    assert curve.seeds == (0, 1)
    for point in curve.points:
        assert len(point.seeds) == len(point.control_seeds) == 2 and len(point.comparisons) == 4
        mean = np.mean([one.summed_variance for one in point.seeds])
        assert point.vectors.summed_variance == pytest.approx(mean)


def test_each_prompt_is_compared_with_itself(bench):
    both = [PROMPT, Prompt("a heath")]
    curve = result_of(
        bench.run(MeasureCurve(prompts=both, training=QUICK, relative_radii=RADII, vectors=3, decoding=Decoding(3)))
    )
    texts = bench.comparison(curve.points[0].comparisons[0]).completions
    embedder = StubEmbedder()
    apart = [
        np.var(embedder.encode([one.text for one in texts[2:] if one.prompt_index == index]), axis=0).sum()
        for index in (0, 1)
    ]
    assert curve.points[0].vectors.summed_variance == pytest.approx(np.mean(apart), rel=1e-5)


def test_a_stop_keeps_the_points_that_are_there(bench):
    pressed: list[bool] = []
    going = work(bench, stop=lambda: bool(pressed))
    for progress in going:
        if len(progress.curve.points) == 1:
            break
    pressed.append(True)
    curve = result_of(going)
    assert len(curve.points) == 1 and not curve.finished


def test_a_stop_before_the_first_point_leaves_nothing(bench):
    with pytest.raises(Stopped):
        result_of(work(bench, stop=lambda: True))


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"relative_radii": [0.1]}, "relative R: a curve needs two or more"),
        ({"relative_radii": [0.1, -1]}, "relative R: every value must be greater than 0"),
        ({"relative_radii": [0.1, float("nan")]}, "relative R: every value must be greater than 0"),
        ({"seeds": 0}, "seeds: 0 cannot be used"),
        ({"seeds": 2, "bank": "mine"}, "seeds: a bank has only one"),
        ({"bank": "nowhere"}, "bank: there is no bank called “nowhere”"),
    ],
)
def test_what_makes_no_curve_is_refused(bench, options, sentence):
    with pytest.raises(InputError) as raised:
        result_of(work(bench, **options))
    assert str(raised.value).startswith(sentence)


# --- the figure -------------------------------------------------------------------------------------------------------


def measured(variance: float) -> Diversity:
    return Diversity(variance, 0.05, variance, 3, 4, variance / 2, 0.75, 0.4, 1.5)


def point(radius: float, *variances: float) -> CurvePoint:
    seeds = tuple(measured(variance) for variance in variances)
    control = tuple(measured(variance / 2) for variance in variances)
    return CurvePoint(radius, 80 * radius, seeds[0], control[0], seeds, control, ())


CURVE = DiversityCurve("trained", None, 1, 3, "assistant", 80, (0,), (point(0.05, 0.1), point(0.3, 0.6)), True)


def test_the_figure_shows_vectors_control_and_cusps_over_a_logarithmic_r():
    found = [Cusp("break", 0.1, "", 0.08, 0.12), Cusp("half", None, "flat")]
    for quantity in QUANTITIES:
        drawn = json.loads(curve_figure(CURVE, found, quantity, "Bombs <b>").to_json())
        names = {trace.get("name"): trace for trace in drawn["data"]}
        band = {"95 % over vectors"} if quantity == "summed variance" else set()
        assert set(names) == {"trained at each R", "random vectors"} | band
        assert names["random vectors"]["x"] == [0.05, 0.3]
        assert drawn["layout"]["xaxis"]["type"] == "log" and "bdata" not in json.dumps(drawn)
        assert [shape["type"] for shape in drawn["layout"]["shapes"]] == ["rect", "line"]
        assert [shape.get("name") for shape in drawn["layout"]["shapes"]] == [None, "break point: 0.1"]
    lines = [trace for trace in curve_figure(CURVE).data if trace.fill is None]
    assert [list(trace.y) for trace in lines] == [[0.05, 0.3], [0.1, 0.6]]
    apart = curve_figure(CURVE, alternative=0.3).layout.shapes
    assert [shape.name for shape in apart] == ["most readable change: 0.3"]


def test_the_band_of_the_diversity_is_the_error_that_the_rules_use():
    (_, mine), (_, random) = bands(CURVE, "summed variance")
    for span, middle in ((mine[1], 0.6), (random[1], 0.3)):
        assert (span.low, span.high) == pytest.approx((middle - 1.96 * 0.05, middle + 1.96 * 0.05))
    assert mine[0].low == pytest.approx(0.002) and random[0].low == 0  # a variance is never negative


def test_a_band_spans_the_seeds_of_vectors_and_control():
    seeds = replace(CURVE, points=(point(0.05, 0.1, 0.2), point(0.3, 0.6, 0.5)), seeds=(0, 1))
    drawn = [trace for trace in curve_figure(seeds, quantity="cosine distance").data if trace.fill == "toself"]
    assert [list(band.y) for band in drawn] == [[0.1, 0.5, 0.6, 0.2], [0.05, 0.25, 0.3, 0.1]]


def test_a_curve_without_points_says_that_it_waits_and_has_no_cusp():
    curve = replace(CURVE, points=())
    assert "Waiting" in curve_figure(curve).layout.annotations[0].text
    assert all(found.radius is None for found in cusps(curve.arrays()))
