"""Results as JSON: what a text has, and what a sweep counts."""

from datetime import UTC, datetime

from melbo_app.library.bank import PromptRecord
from melbo_app.library.completion import Comparison, Completion, Scores
from melbo_app.studies.steer import SteeredText, steered
from melbo_app.studies.sweep import Sweep


def text(vector: int | str | None, radius: float, verdict: str | None) -> Completion:
    scores = Scores(
        logprob=None, loss=None, kl_prompt=None, kl_text=None, repetition=0.0, dictionary_words=None, language=None,
        readability=None, verdict=verdict, runaway=None,
    )  # fmt: skip
    return Completion(
        id=1, model="m", model_hash="h", bank_hash="b", vector=vector, radius=radius, source=1, text="x", tokens=1,
        prompt=PromptRecord(user="u"), max_new_tokens=1, temperature=0, top_p=1, seed=0, finished=True,
        scores=scores, created=datetime(2026, 1, 1, tzinfo=UTC),
    )  # fmt: skip


def test_a_sweep_counts_the_verdicts_at_each_radius_apart_from_the_control():
    texts = [
        text(None, 0, "readable"), text("random", 6, "readable"), text(0, 6, "readable"), text(1, 6, "broken"),
        text("random", -6, "strange"), text(0, -6, None), text(1, -6, "broken"),
    ]  # fmt: skip
    comparison = Comparison(id=5, created=datetime.now(UTC), settings={"finished": True}, completions=tuple(texts))
    told = Sweep(bank="a").answer(comparison, None)
    none = {"readable": 0, "strange": 0, "broken": 0, "unknown": 0}
    assert told["radii"] == [
        {"radius": 6, "vectors": {**none, "readable": 1, "broken": 1}, "random": {**none, "readable": 1}},
        {"radius": -6, "vectors": {**none, "broken": 1, "unknown": 1}, "random": {**none, "strange": 1}},
    ]
    assert (told["comparison"], len(told["completions"]), told["stopped"], told["flagged"]) == (5, 7, False, [])


def test_the_type_of_a_text_has_the_fields_that_a_text_has():
    one, finished = text(0, 6, None), {"finished": True}
    comparison = Comparison(id=5, created=datetime.now(UTC), settings=finished, completions=(one,))
    assert {*steered(comparison)["completions"][0]} == {*SteeredText.__annotations__}
