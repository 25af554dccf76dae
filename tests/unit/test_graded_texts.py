"""The verdict against a reader, for each model whose texts were graded, on those that the limits were not fitted to."""

import json
from collections import Counter

import pytest

from melbo_app.jobs.bench import Bench
from melbo_app.library.judges import GradedText
from melbo_app.studies.judging import built_in

ROWS = [json.loads(line) for line in Bench.graded.read_text("utf-8").splitlines()]
PARTS = ("fitted", "held out")
BUNDLED = "SmolLM2-135M-Instruct"
FLOORS = {  # texts held out at least, share on which reader and verdict agree that they are readable or not
    BUNDLED: (200, 0.9),
    "Qwen2.5-Coder-0.5B-Instruct": (175, 0.93),
    "Qwen2.5-Coder-1.5B-Instruct": (20, 0.9),
    "gemma-3-270m": (200, 0.88),
}


def graded(model: str, part: str) -> list[GradedText]:
    return [
        GradedText.model_validate(row) for row in ROWS if row.get("model", BUNDLED) == model and row["part"] == part
    ]


@pytest.mark.parametrize("model", FLOORS)
def test_the_verdict_agrees_with_a_reader_on_each_models_held_out_texts(model):
    texts, (least, share) = graded(model, "held out"), FLOORS[model]
    found = built_in(texts)
    assert found.texts >= least and found.same_readable >= share * found.texts


def test_the_verdict_on_texts_of_a_few_tokens_is_the_readers():
    brief = [GradedText.model_validate(row) for row in ROWS if row["grade"] and row["tokens"] < 8]
    found = built_in(brief)
    assert found.texts == 26 and found.same_readable == 25, "only “A key” passes, which breaks off"
    assert built_in([one for one in brief if one.text in ("**", "user\n")]).same_readable == 2


def test_gemmas_texts_of_new_prompts_are_those_of_the_goal():
    found = built_in([one for one in graded("gemma-3-270m", "held out") if one.draw == 4])
    assert found.texts == 60 and found.same_readable >= 0.9 * found.texts


def test_a_prompt_is_not_both_fitted_to_and_held_out_in_the_newest_draw():
    parts = {part: {row["prompt"] for row in ROWS if row["draw"] == 4 and row["part"] == part} for part in PARTS}
    earlier = {row["prompt"] for row in ROWS if row["draw"] < 4}
    assert all(parts.values()) and not parts["fitted"] & parts["held out"] and not earlier & set.union(*parts.values())


def test_what_the_reader_found_broken_is_hardly_ever_called_readable():
    texts = [one for model in FLOORS for one in graded(model, "held out") if one.grade == "broken"]
    assert len(texts) >= 60
    called_readable = sum(built_in([one]).same_readable == 0 for one in texts)
    assert called_readable <= 0.1 * len(texts)


def test_no_text_is_in_two_parts_and_all_are_of_a_known_model():
    assert {row.get("model", BUNDLED) for row in ROWS} == set(FLOORS)
    parts = Counter((row.get("model"), row["prompt"], row["text"], row["part"]) for row in ROWS if "model" in row)
    assert max(parts.values()) == 1
    assert len({key[:3] for key in parts}) == len(parts)
