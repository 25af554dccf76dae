"""The verdict against a reader, for each model whose texts were graded, on those that the limits were not fitted to."""

import json
from collections import Counter

import pytest

from melbo_app.jobs.bench import Bench
from melbo_app.library.judges import GradedText
from melbo_app.studies.judging import built_in

ROWS = [json.loads(line) for line in Bench.graded.read_text("utf-8").splitlines()]
BUNDLED = "SmolLM2-135M-Instruct"
FLOORS = {  # texts held out at least, share on which reader and verdict agree that they are readable or not
    BUNDLED: (110, 0.89),
    "Qwen2.5-Coder-0.5B-Instruct": (110, 0.9),
    "Qwen2.5-Coder-1.5B-Instruct": (20, 0.9),
    "gemma-3-270m": (95, 0.83),
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
