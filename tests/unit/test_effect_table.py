"""What a bank's vectors do, as the page tells it: every figure of the record, and a dash for what it lacks."""

from datetime import UTC, datetime

from melbo_app.library.bank import BankRecord, EffectRecord, PromptRecord
from melbo_app.ui.effect_table import effect_lines, effect_table

KNOWN = EffectRecord(objective=[100, 300], change=[10, 20.5], agreement=None, runaway=[0, 0.25])
OTHERS = EffectRecord(objective=[80, 120], change=[8, 12], agreement=[0.9, 0.7], runaway=[0.001, 0])


def record(**facts):
    usual = {"name": "a", "model": "m", "model_hash": "", "hidden_size": 2, "source": 0, "radius": 1, "method": "joint"}
    prompts = [PromptRecord(user="one")]
    return BankRecord(**{**usual, "prompts": prompts, "created": datetime.now(UTC), **facts})


def cells(told):
    return [row["cells"] for row in told["rows"]]


def test_each_vector_has_a_row_for_the_prompts_of_its_training_and_one_for_those_kept_out():
    told = effect_table(record(effect=KNOWN, held_out_effect=OTHERS, objective=[1, 3]), 2)
    assert told["columns"] == ["vector", "prompts", "J per prompt", "mean ‖Δ‖", "agreement", "runaway"]
    assert cells(told) == [
        ["all", "training", "200.0", "15.2", "–", "1 of 2"],
        ["", "held-out", "100.0", "10.0", "0.80", "1 of 2"],
        ["0", "training", "100.0", "10.0", "–", "no"],
        ["", "held-out", "80.00", "8.00", "0.90", "1%"],
        ["1", "training", "300.0", "20.5", "–", "25%"],
        ["", "held-out", "120.0", "12.0", "0.70", "no"],
    ]


def test_without_prompts_kept_out_there_is_one_row_a_vector_and_no_mean_of_one():
    one = KNOWN.model_copy(update={"objective": [5.0], "change": [1.0], "runaway": None})
    assert cells(effect_table(record(effect=one), 1)) == [["0", "training", "5.000", "1.00", "–", "–"]]


def test_a_stopped_training_tells_the_j_it_knows_by_the_prompt_and_dashes_for_the_rest():
    two = [PromptRecord(user="one"), PromptRecord(user="two")]
    told = effect_table(record(objective=[6.0], prompts=two, held_out=[PromptRecord(user="three")]), 1)
    assert cells(told) == [["0", "training", "3.000", "–", "–", "–"], ["", "held-out", "–", "–", "–", "–"]]


def test_what_nobody_measured_is_said_in_a_sentence():
    told = effect_table(record(method="imported"), 3)
    assert "rows" not in told and told["message"] == "The effects of its vectors were not measured."


def test_the_card_of_a_vector_tells_the_same_in_words():
    told = effect_lines(record(effect=KNOWN, held_out_effect=OTHERS), 1)
    assert told == [
        "training prompts: J 300.0 per prompt, mean ‖Δ‖ 20.5, agreement –",
        "held-out prompts: J 120.0 per prompt, mean ‖Δ‖ 12.0, agreement 0.70",
    ]
    assert effect_lines(record(), 0)[0].endswith("agreement –, runaway not measured")
