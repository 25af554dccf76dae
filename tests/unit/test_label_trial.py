"""A person as the reader of a label: mixed texts, an AUROC with its interval, kept beside the model's."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from benches import listen, save_tiny, settings, shelved

from melbo_app.analysis.auroc import interval
from melbo_app.errors import InputError, Stopped
from melbo_app.library.bank import PromptRecord
from melbo_app.library.suggested_labels import SuggestedLabel
from melbo_app.studies.label_trial import Trial
from melbo_app.studies.suggest_labels import SuggestLabels
from melbo_app.workbench import Workbench


def trial(*steered: bool) -> Trial:
    texts = tuple((f"text {at}", one) for at, one in enumerate(steered))
    return Trial("a", "h", 1, "cats", "Ada", texts, 3.0, PromptRecord(user="Who?", template=False), 4)


def test_the_area_is_the_share_of_pairs_that_a_person_puts_in_order():
    read = trial(True, False, True, False).read([5, 5, 3, 1])  # of four pairs: a tie, won, lost, won
    assert read.auroc == pytest.approx((0.5 + 1 + 0 + 1) / 4) and not read.holds
    assert (read.low, read.high) == interval(read.auroc, 2, 2) and read.unseen == 2
    assert [(one.text, one.steered, one.fits) for one in read.texts][:2] == [("text 0", True, 5), ("text 1", False, 5)]
    assert trial(True, False).read([4, 2]).holds and trial(True, False).read([2, 4]).auroc == 0


@pytest.mark.parametrize("fits", [[5], [5, 0], [5, 6], [5, 2.0], [True, 1], [5, "1"], []])
def test_every_text_needs_an_answer(fits):
    with pytest.raises(InputError, match="^answers: they are not one for each text"):
        trial(True, False).read(fits)


@pytest.fixture(scope="module")
def bench(tmp_path_factory) -> Workbench:
    folder = tmp_path_factory.mktemp("trial")
    made = Workbench(settings(folder / "cache", save_tiny(folder / "tiny", max_position_embeddings=2048)))
    shelved(made)
    return made


def prepared(bench: Workbench, vector: int = 1, name: str = "cats", who: str = "Ada") -> Trial:
    return listen(bench.run(bench.label_trial("a", vector, name, who)))[1]


def texts(found: Trial, steered: bool) -> set[str]:
    return {text for text, is_steered in found.texts if is_steered is steered}


def suggest(bench: Workbench, name: str, **other) -> None:
    held = bench.bank("a")
    facts = {
        "vector": 1, "name": name, "writer": "w", "reader": "r", "auroc": 0.4, "low": 0.2, "high": 0.6, "others": (),
        "unseen": 5, "radius": held.norms[1], "prompt": PromptRecord(user="another one", template=False),
        "temperature": 0.8, "max_new_tokens": 40, "first_seed": 30, "created": datetime.now(UTC),
    }  # fmt: skip
    bench.bench.suggested_labels.add(held.record.model_hash, held.hash, SuggestedLabel(**facts | other))


def test_a_person_reads_the_texts_on_which_a_suggestion_was_tested(bench, monkeypatch):
    read: list[Sequence[str]] = []

    class Listening:
        name, most = "listening", 9

        def __init__(self, *_) -> None: ...

        def fits(self, names, some):
            import numpy as np

            read.append(some)
            return np.zeros((len(names), len(some)))

    monkeypatch.setattr("melbo_app.studies.suggest_labels.EmbedderReader", Listening)
    [said] = listen(bench.run(SuggestLabels(bank="a", vectors=(1,), unseen=12)))[1].said
    found = prepared(bench, name=said.name)
    assert texts(found, True) == {*read[0][:12]} and texts(found, False) == {*read[0][12:]}
    assert len(found.texts) == 24 and found.first_seed == 4
    assert found.texts == prepared(bench, name=said.name).texts, "a test that was left begins anew with the same texts"
    order = [steered for _, steered in found.texts]
    assert order != sorted(order, reverse=True) and order != [one for _, one in prepared(bench, who="Bea").texts]
    suggest(bench, "of another prompt")
    other = prepared(bench, name="of another prompt")
    assert (other.prompt.user, other.first_seed, len(other.texts)) == ("another one", 34, 10)


def test_a_reading_is_kept_and_the_next_one_has_other_texts(bench):
    first = prepared(bench, 2)
    kept = bench.keep_reading(first, [5 if steered else 1 for _, steered in first.texts])
    assert kept.holds and kept.auroc == 1 and bench.label_readings("a") == (kept,)
    again = prepared(bench, 2, "another label")
    assert again.first_seed == first.first_seed + 12 and texts(again, True) != texts(first, True)
    assert prepared(bench, 2, who="Bea").first_seed == first.first_seed
    bench.keep_reading(again, [1] * 24)
    assert [(one.name, one.auroc) for one in bench.label_readings("a")] == [("cats", 1.0), ("another label", 0.5)]
    with pytest.raises(InputError, match="^bank: another one has replaced “a”"):
        bench.keep_reading(replace(first, bank_hash="0" * 64), [1] * 24)


def test_a_stop_before_the_end_keeps_nothing(bench):
    asked = iter(range(10**6))
    with pytest.raises(Stopped):
        listen(bench.run(bench.label_trial("a", 0, "x", "Ada"), stop=lambda: next(asked) > 5))


@pytest.mark.parametrize(
    ("asked", "sentence"),
    [
        (("a", 9, "x", "Ada"), "vector: the bank has no vector 9"),
        (("a", 0, " ", "Ada"), "label: vector 0 has none. Save one, or let a model suggest one."),
        (("none", 0, "x", "Ada"), "bank: there is no bank called “none”"),
        (("a", 0, "x", "A\u202e"), "your name: “A"),
    ],
)
def test_what_cannot_be_tested_is_refused_in_a_sentence(bench, asked, sentence):
    with pytest.raises(InputError, match=f"^{sentence}"):
        listen(bench.run(bench.label_trial(*asked)))
