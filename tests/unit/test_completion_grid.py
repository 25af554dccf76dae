"""What the grid shows: cards that say what made them, the stamp of a comparison, and the lines of the history."""

from dataclasses import replace
from datetime import UTC, datetime

import libraries
import pytest
from benches import PROMPT, trained

from melbo_app.engine.decoding import Decoding
from melbo_app.jobs.generators import result_of
from melbo_app.studies.steer import Steer
from melbo_app.ui.components.completion_grid import drafts, grid
from melbo_app.ui.present import comparison_name
from melbo_app.ui.stamp import stamp
from melbo_app.workbench.banks import Home

SHIPS = libraries.bank("ships", 1)
CURVE = Home("curve", "curve-ab")


def cards(home, names=None, radius=6.0):
    texts = libraries.texts(SHIPS, (radius,))
    value = grid(texts, names or {2: "greets"}, homes={SHIPS.hash: home} if home else None)
    [group] = value["groups"]
    return group["cards"]


def test_vectors_on_the_shelf_have_their_labels_and_name_their_bank():
    baseline, random, vector = cards(Home("shelf", "boats"))
    assert [vector[key] for key in ("title", "name", "origin", "bank")] == ["Vector 2", "greets", "boats", "boats"]
    assert (vector["label"], vector["save"]) == (True, False)
    assert [(card["origin"], card["label"], card["save"]) for card in (baseline, random)] == [("", False, False)] * 2
    assert cards(None)[-1]["origin"] == "ships"  # the bank that the text names


@pytest.mark.parametrize(
    ("home", "title", "origin", "can_be_saved"),
    [
        (CURVE, "Vector 2 of the curve at R 12", "vectors that a curve trained", True),
        (replace(CURVE, random=True), "Random vector 2 of the curve at R 12", "random vectors that a curve drew", True),
        (Home("gone", "ships"), "Vector 2 of “ships”", "“ships”, which is not on the shelf", False),
    ],
)
def test_vectors_of_no_bank_have_names_of_their_own_and_no_label(home, title, origin, can_be_saved):
    vector = cards(home, radius=12.0)[-1]
    assert [vector[key] for key in ("title", "name", "origin", "label", "save")] == [
        title, "", origin, False, can_be_saved,
    ]  # fmt: skip


def test_texts_at_other_r_are_marked_against_the_baseline_that_is_shown():
    texts, others = libraries.texts(SHIPS, (6.0,)), libraries.texts(SHIPS, (9.0,))[1:]
    made = stamp(texts, {SHIPS.hash: Home("shelf", "ships")}, 7)
    value = grid(texts, {}, others=others, stamp=made)
    assert [(card["kind"], card["column"]) for card in value["others"]] == [("random", "9"), ("vector", "9")]
    assert any(differs for _, differs in value["others"][1]["pieces"])
    assert "others" not in grid(texts, {}, stamp=made)  # the page keeps those that it has


def test_vectors_of_their_own_norms_are_one_column():
    texts = libraries.texts(SHIPS, (6.0, 6.5))
    made = stamp(texts, {}, own_norms=True)
    assert {card["column"] for card in grid(texts, {}, stamp=made)["groups"][0]["cards"]} == {"", "own"}


def test_a_stamp_says_what_made_the_texts():
    texts, homes = libraries.texts(SHIPS, (6.0, -6.0), 2), {SHIPS.hash: Home("shelf", "boats")}
    assert stamp(texts, homes, 7) == {
        "prompts": ["How do I pick a lock? 0", "How do I pick a lock? 1"], "system": "Be kind.", "template": "on",
        "bank": "boats", "bank_hash": SHIPS.hash, "made_by": "boats", "radii": [6.0, -6.0], "own_norms": False,
        "vectors": [2], "decoding": {"max_new_tokens": 8, "temperature": 0.7, "top_p": 0.9, "seed": 3},
        "model": "tiny", "model_hash": libraries.MODEL, "dtype": "float32", "run": 7,
    }  # fmt: skip
    of_a_curve = stamp(texts, {SHIPS.hash: CURVE})
    assert (of_a_curve["bank"], of_a_curve["run"]) == (None, None)
    assert of_a_curve["made_by"] == "vectors that a curve trained"
    alone = stamp(texts[:1], {})
    assert (alone["bank"], alone["made_by"], alone["vectors"], alone["radii"]) == (None, "", [], [])


def test_what_is_being_written_has_the_stamp_that_the_finished_texts_will_have(bench):
    bank = trained(bench)
    study = Steer(bank="a", prompts=[PROMPT], vectors=[0, 2], radii=[6.0], decoding=Decoding(max_new_tokens=3))
    made = result_of(bench.run(study))
    state, homes = bench.model_state(), {bank.hash: Home("shelf", "a")}
    begun = drafts(
        study.prompts, bench.variants(study), bank="a", bank_hash=bank.hash, model=state.name,
        model_hash=state.weights_hash, dtype=state.dtype, max_new_tokens=3, temperature=0.0, top_p=1.0, seed=0,
    )  # fmt: skip
    assert stamp(begun, homes) == {**stamp(made.completions, homes, made.id), "run": None}
    keys = [[card["key"] for card in grid(texts, {}, live=True)["groups"][0]["cards"]]
            for texts in (begun, made.completions)]  # fmt: skip
    assert keys[0] == keys[1]


def test_a_bank_is_found_under_its_present_name_and_never_another_one(bench):
    bench.bench.banks.save(SHIPS)
    assert bench.home(SHIPS.hash, "ships") == Home("shelf", "ships")
    bench.rename_bank("ships", "boats")
    assert bench.home(SHIPS.hash, "ships") == Home("shelf", "boats")
    bench.delete_bank("boats")
    bench.bench.banks.save(libraries.bank("ships", 2))  # another one under its name
    assert bench.home(SHIPS.hash, "ships") == Home("gone", "ships")
    for method, is_random in (("joint", False), ("random", True)):
        own = libraries.bank(f"curve-{method}", 3 + is_random, method)
        bench.bench.parts.save(own)
        assert bench.home(own.hash, own.record.name) == Home("curve", own.record.name, is_random)
    assert bench.home(SHIPS.hash, "") == Home("gone", "")


def test_a_press_that_only_looks_up_is_the_comparison_that_it_found(bench):
    trained(bench)
    study = Steer(bank="a", prompts=[PROMPT], vectors=[0, 1], radii=[6.0], decoding=Decoding(max_new_tokens=3))
    first = result_of(bench.run(study))
    assert result_of(bench.run(study)) == first
    fewer = result_of(bench.run(study.model_copy(update={"vectors": (0,)})))
    assert fewer.id != first.id
    assert result_of(bench.run(study)) == first
    assert [line.id for line in bench.comparisons()] == [fewer.id, first.id]


def test_lines_of_the_history_tell_comparisons_apart():
    moment = datetime(2026, 11, 29, 12, tzinfo=UTC).astimezone()
    when = moment.strftime("%Y-%m-%d %H:%M")

    def name(bank="weekend", **settings):
        return comparison_name(moment, settings, bank, "What do you do?")

    assert name(radii=[6.6], vectors=[0, 3]) == f"{when} · weekend · R 6.6 · 2 vectors · “What do you do?”"
    assert name(radii=[4, 16, 8], vectors=[0]) == f"{when} · weekend · R 4 to 16 · 1 vector · “What do you do?”"
    assert name(radii=None, vectors=[1]) == f"{when} · weekend · R as in the bank · 1 vector · “What do you do?”"
    assert name(None, radii=[6.6]) == f"{when} · baseline · “What do you do?”"
    assert name(None, radii=[6.6], random_control=True) == f"{when} · baseline · R 6.6 · “What do you do?”"
    assert name() == f"{when} · weekend · “What do you do?”"
