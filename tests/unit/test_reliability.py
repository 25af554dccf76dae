"""Reliability: made-up propensities with known slopes, numpy, scipy, plain forward passes, and the study's work."""

import json

import numpy as np
import pytest
import torch
from benches import listen, shelved
from scipy.stats import f_oneway, spearmanr
from test_cli import Ask, ask, bank, cache, environment  # noqa: F401

from melbo_app import api
from melbo_app.analysis.proportion import interval
from melbo_app.analysis.reliability_figure import Line, reliability_figure
from melbo_app.analysis.steerability import (
    MULTIPLES,
    explained,
    fits,
    mean_interval,
    mean_of_few,
    ranks,
    slopes,
)
from melbo_app.engine.encoding import encode
from melbo_app.errors import InputError, Stopped
from melbo_app.library.bank import PromptRecord
from melbo_app.library.contrast_sets import CONTRAST, ContrastInput, ContrastSets, Setting, in_template, parse_contrast
from melbo_app.library.reliability import SteeredInputs
from melbo_app.settings import ROOT
from melbo_app.studies import read_study
from melbo_app.studies.reliability import MeasureReliability
from melbo_app.studies.reliability_answer import FLAT, card_lines, lines_of, reliable
from melbo_app.studies.reliability_card import card
from melbo_app.studies.reliability_command import reliability_command
from melbo_app.ui.reliability_view import input_table, plot, vector_lines, vector_table
from melbo_app.ui.verbs.reliability import ReliabilityVerbs

SHIPPED = ContrastSets(ROOT / "assets" / "contrast")
RANDOM = np.random.default_rng(7)


def made_up(known, noise=0.0):
    """Propensities [N, M] with these slopes, different offsets, and noise."""
    known = np.asarray(known, float)
    offsets = RANDOM.normal(size=len(known))
    values = offsets[:, None] + known[:, None] * np.array(MULTIPLES)
    return values + noise * RANDOM.normal(size=values.shape)


def setting(count, name="made-up", ids=None, **fields):
    """Inputs whose other fields are lists."""
    rows = [{key: values[at] for key, values in fields.items()} for at in range(count)]
    return Setting(
        name=name,
        inputs=tuple(
            ContrastInput(prompt=PromptRecord(user=f"p{at}"), first="Yes", second="No", id=ids and ids[at], **row)
            for at, row in enumerate(rows)
        ),
    )


def steered(values, vector=0):
    return SteeredInputs(vector=vector, random=None, radius=2.0, propensities=(tuple(map(tuple, values.tolist())),))


# --- mathematics ------------------------------------------------------------------------------------------------------


def test_slopes_and_fits_are_those_of_numpy_polyfit():
    values = made_up(RANDOM.normal(size=20), noise=0.5)
    lines = np.polyfit(MULTIPLES, values.T, 1)
    np.testing.assert_allclose(slopes(values), lines[0])
    left = values - (lines[0][:, None] * np.array(MULTIPLES) + lines[1][:, None])
    np.testing.assert_allclose(fits(values), 1 - left.var(axis=1) / values.var(axis=1))
    np.testing.assert_allclose(slopes(made_up([1.5, -0.25, 0])), [1.5, -0.25, 0], atol=1e-12)
    assert np.isnan(fits(np.zeros((1, 7))))


def test_a_made_up_vector_has_the_known_slope_and_the_known_share_that_goes_the_other_way():
    known = [1.0] * 30 + [-0.5] * 10
    groups = ["a"] * 20 + ["b"] * 20
    found = card(setting(40, group=groups), 0, steered(made_up(known, 0.01)), MULTIPLES, 0)
    assert found["mean"] == pytest.approx(np.mean(known), abs=0.02) and found["direction"] == "up"
    assert found["interval"][0] < np.mean(known) < found["interval"][1]
    against = found["against"]
    assert (against["count"], against["n"], against["share"]) == (10, 40, 0.25)
    assert against["interval"] == pytest.approx(interval(10, 40))
    assert found["sd"] == pytest.approx(np.std(known, ddof=1), abs=0.02) and found["fit"] > 0.99
    assert found["quantiles"]["0.5"] == pytest.approx(1, abs=0.02)
    assert found["worst_group"]["name"] == "b" and found["worst_group"]["mean"] == pytest.approx(0.25, abs=0.02)
    assert found["not_varied"] == ["position", "wording", "system"]
    turned = card(setting(40, group=groups), 0, steered(made_up([-one for one in known])), MULTIPLES, 0)
    assert turned["direction"] == "down" and turned["against"]["count"] == 10 and turned["worst_group"]["name"] == "b"


def test_a_vector_without_an_effect_has_no_direction_and_a_flat_one_is_said_to_be():
    none = card(setting(40, group=["a"] * 40), 0, steered(made_up(RANDOM.normal(size=40))), MULTIPLES, 0)
    assert none["direction"] == "none" and none["worst_group"] is None
    flat = card(setting(12, group=["a"] * 12), 0, steered(np.ones((12, 7))), MULTIPLES, 0)
    assert flat["flat"] and flat["fit"] is None and flat["against"]["count"] == 0 and not flat["factors"]


def test_the_interval_of_a_mean_holds_it_in_19_of_20_samples_and_is_wider_for_inputs_that_ask_the_same():
    held = 0
    for seed in range(100):
        values = np.random.default_rng(seed).normal(size=40)
        low, high = mean_interval(values, range(40), seed)
        held += bool(low <= 0 <= high)
    assert 88 <= held <= 99
    values = RANDOM.normal(size=20).repeat(2)
    alone, pairs = (mean_interval(values, units, 0) for units in (range(40), [at // 2 for at in range(40)]))
    assert (pairs[1] - pairs[0]) / (alone[1] - alone[0]) == pytest.approx(2**0.5, abs=0.15)


def test_variance_explained_is_that_of_an_analysis_of_variance():
    values, levels = RANDOM.normal(size=30), np.array(["x", "y", "z"] * 10)
    values[levels == "y"] += 2
    found = explained(values, levels.tolist(), range(30), 0)
    each = [values[levels == one] for one in "xyz"]
    between = sum(len(one) * (one.mean() - values.mean()) ** 2 for one in each)
    whole = ((values - values.mean()) ** 2).sum()
    within = (whole - between) / 27
    assert found.eta2 == pytest.approx(between / whole)
    assert found.omega2 == pytest.approx((between - 2 * within) / (whole + within))
    ratio, p = f_oneway(*each)
    assert ratio == pytest.approx(found.eta2 / 2 / ((1 - found.eta2) / 27))
    assert p < 0.01 and found.p < 0.01
    nothing = [explained(RANDOM.normal(size=30), levels.tolist(), range(30), seed) for seed in range(40)]
    assert np.mean([one.eta2 for one in nothing]) == pytest.approx(2 / 29, abs=0.03)  # what chance explains
    assert np.mean([one.omega2 for one in nothing]) == pytest.approx(0, abs=0.03)
    assert sum(one.p <= 0.05 for one in nothing) <= 6


def test_a_factor_is_shuffled_within_questions_where_it_differs_there():
    """Questions differ far more than the position does: shuffled over all inputs it would be lost."""
    offsets, position = RANDOM.normal(size=24).repeat(2) * 5, ["first", "second"] * 24
    values = offsets + np.array([0.5, -0.5] * 24) + 0.1 * RANDOM.normal(size=48)
    units = [at // 2 for at in range(48)]
    assert explained(values, position, units, 0).p == pytest.approx(0.001)
    assert explained(values, position, range(48), 0).p > 0.05
    groups = ["a"] * 24 + ["b"] * 24
    assert explained(values, groups, units, 0).p > 0.001
    assert (
        explained(values, ["one"] * 48, units, 0) is None and explained(np.ones(4), list("aabb"), range(4), 0) is None
    )


def test_rank_correlations_are_those_of_scipy():
    one = RANDOM.normal(size=12)
    other = one + RANDOM.normal(size=12)
    found, wanted = ranks(one, other, 0), spearmanr(one, other)
    assert found.rho == pytest.approx(wanted.statistic) and found.p == pytest.approx(wanted.pvalue, abs=0.03)
    assert found.low < found.rho < found.high and found.n == 12
    assert ranks([1, 2, 3], [2, 1, 3], 0) is None and ranks([1, 1, 1, 1], [1, 2, 3, 4], 0) is None
    assert ranks([1, 2, 3, 4], [1, 2, 3, 4], 0).rho == pytest.approx(1)
    assert ranks([1, 2, 3, 4], [1, 2, 3, 4], 0).low is None  # no formula for a perfect one
    mean, low, high = mean_of_few([1.0, 2.0, 3.0])
    assert mean == 2 and high - mean == pytest.approx(mean - low) == pytest.approx(4.302653 / 3**0.5)


# --- contrast sets ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", CONTRAST)
def test_shipped_sets_have_balanced_factors_and_the_ids_of_their_twin(name):
    found = SHIPPED.read(name)
    assert len(found.inputs) >= 40 and len({one.prompt.user for one in found.inputs}) == len(found.inputs)
    for factor in ("position", "wording"):
        levels = [getattr(one, factor) for one in found.inputs]
        assert {levels.count(level) for level in levels} == {len(levels) // 2}
    crossed = [(one.position, one.wording) for one in found.inputs]
    assert {crossed.count(cell) for cell in crossed} == {len(crossed) // 4}
    twin = SHIPPED.read(name.rsplit("-", 1)[0] if name not in ("yes-no", "caution") else name)
    assert [one.id for one in twin.inputs] == [one.id for one in found.inputs]
    for one in found.inputs:
        named = one.prompt.user.index(one.first), one.prompt.user.index(one.second)
        assert (named[0] < named[1]) == (one.position == "first"), one
        assert min(map(len, (one.first, one.second))) > 1  # no letters such as A and B


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ('{"first": "Yes"}', "line 1 of “f” has no “prompt”"),
        ('{"prompt": " "}', "has a “prompt” that is empty"),
        ('{"prompt": "x", "first": "Yes"}', "has only one of “first” and “second”"),
        ('{"prompt": "x", "first": "Yes", "second": "Yes"}', "has the same answer “Yes” twice"),
        ('{"prompt": "x", "group": 3}', "has a “group” that is not a string"),
        ('{"prompt": "x"', "is not JSON"),
        ("", "“f” is empty"),
    ],
)
def test_invalid_lines_are_named(line, problem):
    with pytest.raises(InputError, match=problem):
        parse_contrast(line.encode(), "f", jsonl=True)


def test_a_line_may_be_a_text_and_numbers_may_name_levels():
    assert parse_contrast(b"Who are you?\n\nAnd you?", "f").inputs[1].prompt.user == "And you?"
    one = parse_contrast(b'{"text": "x", "position": 1, "system": "Be brief."}', "f")
    assert one.inputs[0].position == "1" and one.inputs[0].group == "f"
    wrapped = in_template(one, "Be long.", False).inputs[0].prompt
    assert (wrapped.system, wrapped.template) == ("Be brief.", False)
    assert in_template(parse_contrast(b"x", "f"), "Be long.", True).inputs[0].prompt.system == "Be long."


# --- the study --------------------------------------------------------------------------------------------------------


def inputs(count=12, name="mine", first="see", second="sea", **changes):
    words = ["the heath", "a house", "see the tree", "the hat", "the wind", "tea"]
    return Setting(
        name=name,
        inputs=tuple(
            ContrastInput(
                prompt=PromptRecord(user=f"{words[at % 6]} {at}", template=False), first=first, second=second,
                group="ab"[at % 2], id=str(at),
            ).model_copy(update=changes)
            for at in range(count)
        ),
    )  # fmt: skip


@pytest.fixture
def bench(bench):
    shelved(bench)
    return bench


def study(*more, **changes):
    return MeasureReliability(**{"bank": "a", "settings": (inputs(), *more), "random": 4, **changes})


def test_propensities_are_those_of_plain_forward_passes(bench):
    _, found = listen(bench.run(study(vectors=(1,))))
    lm, held = bench.bench.model.get(), bench.bank("a")
    first, second = (lm.tokenizer(f" {word}", add_special_tokens=False)["input_ids"] for word in ("see", "sea"))
    theta = torch.tensor(held.vectors[1])
    assert len(found.tried) == found.wanted == 5 and found.finished

    def likelihood(prompt, answer, multiple):
        def add(_module, _args, output):
            changed = (output[0] if isinstance(output, tuple) else output) + multiple * theta
            return (changed, *output[1:]) if isinstance(output, tuple) else changed

        hook = lm.blocks[held.record.source].register_forward_hook(add)
        with torch.no_grad():
            logs = lm.model(torch.tensor([[*prompt, *answer]])).logits[0].log_softmax(-1)
        hook.remove()
        return sum(float(logs[len(prompt) - 1 + at, token]) for at, token in enumerate(answer))

    for at in (0, 7):
        prompt = encode(lm, [found.settings[0].inputs[at].prompt.asked]).input_ids[0].tolist()
        for place, multiple in enumerate(MULTIPLES):
            wanted = likelihood(prompt, first, multiple) - likelihood(prompt, second, multiple)
            assert found.own[0].propensities[0][at][place] == pytest.approx(wanted, abs=1e-3)


def test_settings_random_vectors_and_ids_are_in_the_answer(bench):
    _, found = listen(bench.run(study(inputs(name="other", group="c"))))
    answer = reliable(found)
    assert [one["vector"] for one in answer["vectors"]] == [0, 1, 2] and len(answer["inputs"][1]) == 12
    for one in answer["vectors"]:
        assert [made["setting"] for made in one["cards"]] == ["mine", "other"]
        assert len(one["random"]["means"]) == 4 and len(one["random"]["curve"]) == len(MULTIPLES)
        assert one["matched"][0]["rho"] == pytest.approx(1) and one["matched"][0]["n"] == 12  # the same prompts
        assert one["beyond"] == sum(abs(m) < abs(one["cards"][0]["mean"]) for m in one["random"]["means"])
    assert answer["settings"][1]["ranks"] is None  # three vectors
    assert answer["settings"][1]["random_ranks"]["n"] == 4 and answer["settings"][0]["ranks"] is None
    lines = lines_of(found)
    assert lines[0].startswith(("0 of 3", "1 of 3", "2 of 3", "3 of 3")) and lines[-1].startswith("Causal:")
    curve = answer["vectors"][0]["cards"][0]["curve"]
    drawn = reliability_figure(
        MULTIPLES, [Line("<b>", *zip(*((one["mean"], *one["interval"]) for one in curve), strict=True))],
        answer["vectors"][0]["random"]["curve"], "nats",
    )  # fmt: skip
    assert drawn.data[2].name == "&lt;b&gt;" and list(drawn.data[2].y) == [one["mean"] for one in curve]
    assert bench.reliabilities()[0] == found and read_study(study().kept()) == study()
    json.dumps(found.model_dump(mode="json"), allow_nan=False)


def test_the_page_shows_a_row_for_each_vector_and_those_that_go_the_other_way_first(bench):
    _, found = listen(bench.run(study(inputs(name="other"))))
    answer = reliable(found)
    table = vector_table(answer, {1: "a name"}, 2)
    assert [row["cells"][0] for row in table["rows"]] == ["0", "1 a name", "2"] and table["selected"] == "2"
    assert table["columns"][-1] == "other" and all(len(row["cells"]) == len(table["columns"]) for row in table["rows"])
    one = answer["vectors"][2]
    rows = input_table(answer, one)["rows"]
    turned = [row["cells"][-1].startswith("−") != (one["cards"][0]["mean"] < 0) for row in rows]
    assert turned == sorted(turned, reverse=True) and sum("tone" in row for row in rows) == sum(turned)
    assert [trace["name"] for trace in plot(answer, one)["figure"]["data"]][-2:] == ["mine", "other"]
    assert len(vector_lines(one)) == 1 + len(card_lines(one)) and vector_table(None, {}) == {"columns": []}


def test_a_stop_keeps_the_finished_vectors_and_the_same_request_goes_on_from_there(bench, monkeypatch):
    whole = listen(bench.run(study(seed=3)))[1]
    seen, work = [], bench.run(study(seed=4), stop=lambda: len(seen) == 2)
    while True:
        try:
            now = next(work)
        except StopIteration as end:
            part = end.value
            break
        if getattr(now, "found", None) is not None and now.found not in seen:
            seen.append(now.found)
    assert len(part.tried) == 2 and not part.finished and bench.reliabilities()[0].tried == part.tried
    assert "stopped after 2 of 7" in reliable(part)["sentence"]
    heard, rest = listen(bench.run(study(seed=4)))
    stages = {one.stage for one in heard}
    assert "vector 0" not in stages and "random vector 0" not in stages and "vector 1" in stages
    assert rest.finished and rest.tried[:2] == part.tried and rest.key == part.key
    assert [one.propensities for one in rest.own] == [one.propensities for one in whole.own]
    again = {one.stage for one in listen(bench.run(study(seed=4)))[0]}
    assert again == {"reading the prompts", "starting"}  # all is looked up
    with pytest.raises(Stopped, match="before the first vector"):
        listen(bench.run(study(seed=5), stop=lambda: True))


def test_a_stop_between_two_blocks_ends_the_pass(bench):
    work, calls = bench.run(study(seed=6), stop=lambda: bool(calls) and calls.append(1) is None and len(calls) > 3), []
    while True:
        try:
            now = next(work)
        except StopIteration as end:
            part = end.value
            break
        if getattr(now, "found", None) is not None and not calls:
            calls.append(1)  # from now on each question counts
    assert len(part.tried) == 1 and len(calls) == 4  # nobody asked again


def test_texts_with_a_sign_are_counted_at_each_multiple_and_looked_up(bench):
    wanted = study(measure="regex:[aeiou]", vectors=(0,), max_new_tokens=2, settings=(inputs(10),))
    _, found = listen(bench.run(wanted))
    values = np.array(found.own[0].propensities[0])
    assert {*np.unique(values)} <= {0.0, 1.0} and found.measure == "regex:[aeiou]"
    assert np.array(found.own[0].readable[0]).shape == (10, 7)
    assert reliable(found)["unit"] == "share of texts per R"
    plain = bench.bench.completions.recent(100, "part")
    assert plain
    before = len(plain)
    bench.bench.reliabilities.find(found.key)
    (bench.settings.cache_dir / "reliability" / f"{found.key}.json").unlink()
    _, again = listen(bench.run(wanted))
    assert again.tried == found.tried and len(bench.bench.completions.recent(100, "part")) >= before


def test_a_sign_that_never_shows_is_said_to(bench):
    _, found = listen(bench.run(study(measure="words:qqqq", vectors=(0,), max_new_tokens=1, settings=(inputs(10),))))
    answer = reliable(found)
    assert answer["sentence"] == FLAT and "there is no slope" in answer["vectors"][0]["sentence"]


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        (
            {"settings": (inputs(9),)},
            "prompts: “mine” has 9, too few for a share of inputs. Give 10 or more, better 40.",
        ),
        ({"settings": (inputs(), inputs(3, "o"))}, "out of distribution: “o” has 3, too few"),
        ({"settings": (inputs(first=None, second=None),)}, "prompt 1 of “mine” has no answers “first” and “second”"),
        ({"settings": (inputs(second="see"),)}, "prompt 1 of “mine” has the answer"),
        ({"settings": ()}, "prompts: none are given"),
        ({"settings": (inputs(), inputs())}, "“mine” is there twice"),
        ({"answers": "Yes|Yes"}, "answers: “Yes|Yes” is not two answers"),
        ({"answers": "Yes"}, "answers: “Yes” is not two answers"),
        ({"answers": "Yes|No", "measure": "flag:refusal"}, "answers: there is a measure, too"),
        ({"measure": "flag:nonsense"}, "measure: “nonsense” is the name of no flag"),
        ({"vectors": (9,)}, "vector: the bank has no vector 9"),
        ({"vectors": ()}, "vectors: none is chosen"),
        ({"radius": 0.0}, "R: 0 leaves every answer as it is"),
        ({"radius": -2.0}, "R: -2 is negative"),
        ({"random": 3}, "random vectors: 3 cannot be used"),
        ({"bank": "none"}, "“none”"),
    ],
)
def test_what_cannot_be_measured_is_refused_with_a_sentence(bench, changes, sentence):
    with pytest.raises(InputError) as refused:
        study(**changes).check(bench.bench)
    assert sentence in str(refused.value)


def test_an_empty_answer_and_too_little_memory_are_refused(bench, monkeypatch):
    with pytest.raises(InputError, match="prompt 1 of “mine”: “ ” is empty"):
        listen(bench.run(study(settings=(inputs(first=" "),))))
    monkeypatch.setattr("melbo_app.engine.memory.budget", lambda *_: 10)
    with pytest.raises(InputError, match="memory: one prompt of .* tokens needs"):
        listen(bench.run(study()))


# --- the doors --------------------------------------------------------------------------------------------------------


def test_the_command_measures_files_and_repeats_itself(ask: Ask, bank, tmp_path):  # noqa: F811
    lines = [json.dumps({"prompt": f"the {at}", "first": "see", "second": "sea"}) for at in range(10)]
    file = tmp_path / "mine.jsonl"
    file.write_text("\n".join(lines), "utf-8")
    words = ("reliability", "a", "--prompts", str(file), "--vector", "1", "--random", "4", "--no-template")
    made = ask(*words, "--json").json
    assert made["vectors"][0]["vector"] == 1 and made["finished"] and len(made["inputs"][0]) == 10
    assert ask(*words).out.startswith(("0 of 1 vectors move", "1 of 1 vectors move"))
    assert "neither a file nor a contrast set" in ask("reliability", "a", "--prompts", "none").err[-1]


def test_the_verb_takes_texts_or_a_shipped_set(bench):
    verb = ReliabilityVerbs(bench).reliability
    lines = [json.dumps({"prompt": f"the {at}", "first": "see", "second": "sea"}) for at in range(9)]
    made = verb("a", prompts=[*lines, "tea"], answers="see|sea", vectors=[0], random=4, template=False)
    assert made["measure"] == "logits:see,sea" and made["inputs"][0][9]["prompt"].user == "tea"
    found = bench.reliabilities()[0]
    command = reliability_command(found, 3, None)
    assert "--answers 'see|sea' --random 4 --no-template --json" in command and "--vector 0" in command
    for given in ({}, {"contrast": "x", "prompts": ["y"]}, {"contrast": "/etc/passwd"}):
        with pytest.raises(InputError):
            verb("a", **given)


def test_a_program_measures_with_a_model_of_its_own(bench):
    lm, held = bench.bench.model.get(), bench.bank("a")
    made = api.run(lm, study(vectors=(0,)), [held])
    assert made.finished and made.own[0].vector == 0
