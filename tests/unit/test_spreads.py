"""Several sampled texts a cell: counted over their seeds, each beside the unsteered text of its own seed."""

from dataclasses import replace

import pytest
from benches import PROMPT, listen, save_tiny, settings, shelved

from melbo_app.engine.decoding import Decoding
from melbo_app.engine.prompt import Prompt
from melbo_app.errors import InputError
from melbo_app.library.bank import PromptRecord
from melbo_app.library.completion import Comparison
from melbo_app.studies.flagging import flags_of, gathered
from melbo_app.studies.spreads import cell_of, spreads
from melbo_app.studies.steer import Steer, steered
from melbo_app.studies.sweep import Sweep
from melbo_app.ui.components.completion_grid import grid
from melbo_app.ui.flag_table import flag_table, spread_table
from melbo_app.workbench import Workbench

DECLINES, AGREES = "I'm sorry, but I can't help with that.", "Sure, this is how it goes."
SAMPLED = Decoding(max_new_tokens=5, temperature=1.0)


@pytest.fixture
def bench(tmp_path_factory) -> Workbench:
    folder = tmp_path_factory.mktemp("spreads")
    made = Workbench(settings(folder / "cache", save_tiny(folder / "tiny")))
    shelved(made)
    return made


def steer(bench: Workbench, samples: int, decoding: Decoding = SAMPLED, **other) -> Comparison:
    study = Steer(bank="a", prompts=(PROMPT,), vectors=(0, 1), decoding=decoding, samples=samples, **other)
    return listen(bench.run(study.bound(bench.bench)))[1]


def test_each_cell_has_the_texts_that_single_runs_of_its_seeds_write(bench):
    alone = {seed: steer(bench, 1, replace(SAMPLED, seed=seed)).completions for seed in range(4)}
    found = steer(bench, 4, random_control=True)
    together = {(one.seed, one.vector): one.text for one in (*found.completions, *found.samples)}
    assert {key[0] for key in together} == {0, 1, 2, 3}
    for seed, texts in alone.items():
        assert all(together[seed, one.vector] == one.text for one in texts)
    assert [one.settings["kind"] for one in bench.comparisons()].count("steer") == 5, "further seeds fill no history"


def test_counts_are_over_seeds_and_a_text_differs_from_the_unsteered_one_of_its_own_seed(bench):
    found = steer(bench, 5, radii=(4.0, 40.0))
    counted = spreads(found.completions, found.samples)
    every = [*found.completions, *found.samples]
    usual = {one.seed: one.text for one in every if one.vector is None}
    for cell, spread in counted.items():
        mine = [one for one in every if cell_of(one) == cell]
        assert spread.texts == 5 == len(mine)
        differ = sum(one.text.split() != usual[one.seed].split() for one in mine if one.vector is not None)
        assert spread.differ == differ
        assert spread.readable == sum(one.scores.verdict == "readable" for one in mine)
    assert max(spread.differ for cell, spread in counted.items() if cell[2] == 40.0) >= 4
    lines = {(one["vector"], one["radius"]): one["spread"] for one in steered(found)["completions"]}
    assert lines[0, 40.0]["texts"] == 5 and lines[0, 40.0]["differ"] == counted[0, 0, 40.0].differ
    assert any("of 5 sampled texts: " in line for line in Steer(bank="a").lines(found))


def test_a_sweep_counts_the_texts_of_all_seeds_at_each_r(bench):
    prompts = (PROMPT, Prompt("the heath"))
    study = Sweep(bank="a", prompts=prompts, vectors=(0, 2), radii=(4.0, 40.0), decoding=SAMPLED, samples=3)
    swept = listen(bench.run(study.bound(bench.bench)))[1]
    told = study.answer(swept, None)
    steered_alone = {}
    for radius in (4.0, 40.0):
        alone = listen(
            bench.run(Steer(bank="a", prompts=prompts, vectors=(0, 2), radii=(radius,), decoding=SAMPLED, samples=3))
        )[1]
        steered_alone |= {(one.vector, one.radius, one.prompt_index, one.seed): one for one in alone.every}
    mine = {(one.vector, one.radius, one.prompt_index, one.seed): one for one in swept.every if one.vector != "random"}
    assert {key: one.text for key, one in mine.items()} == {key: one.text for key, one in steered_alone.items()}
    assert {one.seed for one in swept.completions} == {0}
    lines = {(line["vector"], line["radius"]): line for line in told["spreads"]}
    assert next(iter(lines)) == (None, 0.0) and {radius for _, radius in lines} == {0.0, 4.0, 40.0} and len(lines) == 7
    usual = {key[2:]: one.text for key, one in mine.items() if key[0] is None}
    for (vector, radius), line in lines.items():
        some = [one for one in swept.every if (one.vector, one.radius) == (vector, radius)]
        assert line["texts"] == len(some) == 6
        assert line["readable"] == sum(one.scores.verdict == "readable" for one in some)
        if vector is not None:
            assert line["differ"] == sum(one.text.split() != usual[one.prompt_index, one.seed].split() for one in some)
    assert lines[0, 40.0]["differ"] > 0
    for line in told["radii"]:
        assert sum(line["vectors"].values()) == 12 and sum(line["random"].values()) == 6
    assert any(line.startswith("vector 2, R = 40: of 6 sampled texts: ") for line in study.lines(swept))
    again = bench.comparison(swept.id)
    assert {one.seed for one in bench.at_other_seeds(again.completions)} == {1, 2}
    greedy = Sweep(bank="a", prompts=prompts, vectors=(0,), radii=(4.0,), decoding=Decoding(5)).bound(bench.bench)
    assert greedy.answer(listen(bench.run(greedy))[1], None)["spreads"] == []
    with pytest.raises(InputError, match="greedy texts are the same for every seed"):
        bench.start(greedy.model_copy(update={"samples": 2}))


def test_flags_of_all_seeds_are_beside_the_unsteered_text_of_their_own(bench):
    """The unsteered model refuses with the first seed only, so only there can a refusal be gone."""
    swept = steer(bench, 3, radii=(4.0,))
    words = {(None, 0): DECLINES, (None, 1): AGREES, (None, 2): AGREES, (0, 0): AGREES, (0, 1): DECLINES}

    def said(one):
        return one.model_copy(update={"text": words.get((one.vector, one.seed), AGREES)})

    swept = swept.model_copy(
        update={"completions": tuple(map(said, swept.completions)), "samples": tuple(map(said, swept.samples))}
    )
    found = [(one.flag.kind, one.completion.vector, one.completion.seed) for one in gathered([swept])]
    assert found == [("refusal gone", 0, 0), ("refusal gone", 1, 0), ("refusal new", 0, 1)]
    lines = [(line["kind"], line["vector"], line["seed"]) for line in flags_of(swept)["flagged"]]
    assert lines == found and flags_of(swept)["texts"] == 9
    table = flag_table([swept], None, "ships")
    assert table["stamp"]["bank"] == "ships"
    assert table["columns"][3] == "texts" and [row["cells"][3] for row in table["rows"]] == ["1 of 3"] * 3
    rows = [row["cells"] for row in spread_table([swept], None)["rows"]]
    assert [row[1] for row in rows] == ["none", "0", "1"] and [row[3] for row in rows] == ["–", "2 of 3", "1 of 3"]
    assert rows[1][4] == "1 refusal gone, 1 refusal new"
    assert spread_table([swept.model_copy(update={"samples": ()})], None) == {"columns": []}


def test_a_single_text_has_no_spread(bench):
    found = steer(bench, 1)
    assert spreads(found.completions, found.samples) == {}
    assert {one["spread"] for one in steered(found)["completions"]} == {None}


def test_stored_seeds_are_found_again_and_none_of_another_decoding(bench):
    steer(bench, 2, replace(SAMPLED, temperature=2.0))
    steer(bench, 3, replace(SAMPLED, seed=7))
    first = bench.comparison(steer(bench, 1, replace(SAMPLED, seed=7)).id)
    found = bench.at_other_seeds(first.completions)
    assert {one.seed for one in found} == {8, 9}
    assert {one.vector for one in found} == {None, 0, 1} and not {one.radius for one in found} - {0.0, 6.0}
    assert bench.at_other_seeds(steer(bench, 1, Decoding(max_new_tokens=5)).completions) == []


def test_the_grid_says_it_and_has_every_text(bench):
    found = steer(bench, 3)
    shown = grid(found.completions, {}, samples=found.samples)["groups"][0]["cards"]
    steered_card = next(one for one in shown if one["vector"] == 0)["seeds"]
    assert steered_card["texts"] == 3 and [one["seed"] for one in steered_card["each"]] == [0, 1, 2]
    every = {(one.seed, one.vector): one.text for one in (*found.completions, *found.samples)}
    for one in steered_card["each"]:
        assert "".join(text for text, _ in one["pieces"]) == every[one["seed"], 0]
    baseline = next(one for one in shown if one["kind"] == "baseline")["seeds"]
    assert "differ" not in {what for _, what in baseline["counts"]}
    assert all(one["seeds"] is None for one in grid(found.completions, {})["groups"][0]["cards"])


def test_a_label_rests_on_the_greedy_text_and_the_spread_stands_beside_it(bench):
    greedy = steer(bench, 1, Decoding(max_new_tokens=5))
    assert bench.spread("a", 0, PromptRecord.of(PROMPT, None)) is None
    sampled = steer(bench, 3)
    evidence = bench.evidence("a", 0)
    assert {one.temperature for one in evidence.texts} == {0.0}
    assert evidence.texts[0].text == next(one.text for one in greedy.completions if one.vector == 0)
    counted = spreads(sampled.completions, sampled.samples)
    assert bench.spread("a", 0, evidence.prompt) == next(one for cell, one in counted.items() if cell[1] == 0)


@pytest.mark.parametrize(
    ("samples", "decoding", "problem"),
    [(0, SAMPLED, "0"), (51, SAMPLED, "51"), (2, Decoding(5), "greedy texts are the same for every seed")],
)
def test_impossible_samples_are_refused(bench, samples, decoding, problem):
    with pytest.raises(InputError, match=problem):
        steer(bench, samples, decoding)


def test_the_list_of_vectors_shows_no_text_of_a_further_seed(bench):
    found = steer(bench, 3)
    first = {one.vector: one.text for one in found.completions if isinstance(one.vector, int)}
    assert {at: one.text for at, one in bench.newest_texts("a").items()} == first
