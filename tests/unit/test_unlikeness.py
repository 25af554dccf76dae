"""How unlike anything else a vector's texts are: known distances, and the orders made of them."""

from datetime import UTC, datetime

import numpy as np
import pytest

from melbo_app.analysis.unlikeness import unlikeness
from melbo_app.library.bank import PromptRecord
from melbo_app.library.completion import Completion
from melbo_app.library.database import Database
from melbo_app.library.embeddings import Embeddings
from melbo_app.studies.flagging import flagged, flagged_first, most_unlike_first


def unit(*degrees: float) -> np.ndarray:
    angles = np.deg2rad(degrees)
    return np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)


class Angles:
    """Stands for the sentence embedder: a text lies at the angle that its last word says."""

    identity = "angles"

    def encode(self, texts: list[str]) -> np.ndarray:
        return unit(*(float(text.split()[-1]) for text in texts))


def completion(vector: int | str | None, text: str, prompt: int = 0) -> Completion:
    return Completion(
        model_hash="h", model="m", bank_hash="b", vector=vector, radius=0 if vector is None else 6, source=1,
        prompt=PromptRecord(user="Tell me."), prompt_index=prompt, text=text, tokens=3, finished=True,
        max_new_tokens=3, temperature=0, top_p=1, seed=0, created=datetime(2026, 1, 1, tzinfo=UTC),
    )  # fmt: skip


TEXTS = [
    completion(None, "degrees 0"), completion("random", "degrees 10"), completion(0, "degrees 20"),
    completion(1, "I'm sorry, I can't tell you. degrees 25"), completion(2, "degrees 120"),
]  # fmt: skip


def makers(completions: list[Completion]) -> list[int | str | None]:
    return [one.vector for one in completions]


def test_the_distance_is_that_to_the_nearest_text_of_anybody_else():
    found = unlikeness(unit(0, 60, 90), [None, 0, 1], [0, 0, 0])
    assert found == pytest.approx({None: 0.5, 0: 1 - np.sqrt(3) / 2, 1: 1 - np.sqrt(3) / 2})


def test_texts_of_the_same_vector_and_of_other_prompts_do_not_count():
    # vector 0 says the same at both R; at prompt 1 somebody else says it too
    found = unlikeness(unit(0, 90, 90, 90, 90), [None, 0, 0, None, 0], [0, 0, 0, 1, 1])
    assert found[0] == pytest.approx((1 + 1 + 0) / 3)


def test_who_is_alone_has_no_distance():
    assert unlikeness(unit(0), [None], [0]) == {None: 0.0}
    assert unlikeness(np.zeros((0, 2)), [], []) == {}


def test_what_is_most_unlike_the_rest_comes_after_the_baseline(tmp_path):
    embeddings = Embeddings(Database(tmp_path / "melbo.sqlite"))
    assert makers(most_unlike_first(TEXTS, Angles(), embeddings)) == [None, 2, "random", 0, 1]


def test_what_is_flagged_comes_after_the_baseline_and_the_rest_stays_as_it_was():
    assert [[flag.kind for flag in flags] for flags in flagged(TEXTS)] == [[], [], [], ["refusal new"], []]
    assert makers(flagged_first(TEXTS)) == [None, 1, "random", 0, 2]
