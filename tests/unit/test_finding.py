"""Find: the schedule keeps within its share and finds what is there; scores say what they should; a search confirms its
winner on prompts that were kept out, beside random vectors searched as hard."""

import json
import time
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from benches import PROMPT, StubEmbedder, listen, settings, trained
from hypothesis import given
from hypothesis import strategies as st
from judge_stub import running
from test_completions import steered

from melbo_app.engine.stopping import never
from melbo_app.errors import InputError, Stopped
from melbo_app.jobs.generators import result_of
from melbo_app.library.completion import Scores
from melbo_app.library.finds import Find
from melbo_app.studies import find_score
from melbo_app.studies.completing import Variant, complete
from melbo_app.studies.find import FindTexts
from melbo_app.studies.find_reading import Asked
from melbo_app.studies.find_schedule import ROUNDS, SHARE, SHORTEST, Cell, Halving, Read
from melbo_app.studies.find_score import Scorer, Wanted
from melbo_app.studies.judge_endpoint import Endpoint
from melbo_app.workbench import Workbench


@given(st.integers(2, 60), st.integers(1, 24), st.integers(1, 200), st.integers(0, 10_000))
def test_a_search_takes_its_share_and_reads_ever_more_of_ever_fewer(vectors, texts, tokens, seed):
    numbers = np.random.default_rng(seed)
    halving, known, before = Halving(vectors, 6, texts, tokens, seed), dict[Cell, int](), 0
    while (now := halving.round) is not None:
        assert len({*halving.cells}) == len(halving.cells) >= 1 and now >= before
        assert all(known.get(cell, 0) < now for cell in halving.cells)
        known |= dict.fromkeys(halving.cells, now)  # what was read before is continued, and paid once
        halving.tell({cell: Read(numbers.random(), (str(cell),), numbers.random()) for cell in halving.cells})
        before = now
    assert halving.taken == texts * sum(known.values())
    assert known[halving.ranked[0]] == before == tokens  # the winner was read whole
    most = max(SHARE * vectors * 6 * tokens, vectors * 6 * min(tokens, max(SHORTEST, round(ROUNDS[0][0] * tokens))))
    assert halving.taken <= texts * (most + tokens * len(halving.rounds))


def test_the_rounds_of_sixteen_vectors_at_six_r_by_hand():
    assert Halving(16, 6, 3, 40).rounds == [3, 3, 8, 16, 25, 40]
    assert Halving(16, 6, 1, 200).rounds == [15, 15, 40, 80, 125, 200]
    assert Halving(16, 6, 1, 6).rounds == [3, 3, 4, 6] and Halving(4, 6, 1, 6).rounds == [3, 4, 6]
    assert Halving(16, 6, 1, 3).rounds == [3]
    halving = Halving(16, 6, 3, 40)
    assert len({cell.vector for cell in halving.cells}) == 4 and len(halving.cells) == 24
    moving = (0.0, 0.1, 0.39, 0.4, 1.0, 1.0)  # at three R, .4 times as many texts or more change as where most do
    first = {cell.vector for cell in halving.cells}
    halving.tell({cell: Read(0.0, (str(cell),), moving[cell.radius]) for cell in halving.cells})
    assert {cell.radius for cell in halving.cells} == {3, 4, 5} and len(halving.cells) == 12 * 3
    assert not first & {cell.vector for cell in halving.cells}
    halving.tell({cell: Read(0.0, (str(cell),), moving[cell.radius]) for cell in halving.cells})
    taken, many = 60 * 9, []
    for now, before, part in ((8, 3, 0.25), (16, 8, 0.35), (25, 16, 0.4), (40, 25, 1.0)):
        assert halving.round == now and halving.taken == taken
        many.append(int((2880 - taken) * part / (3 * (now - before))))
        taken += many[-1] * 3 * (now - before)
        assert len(halving.cells) == many[-1]
        scores = {cell: 1 - 0.01 * rank for rank, cell in enumerate(halving.cells)}  # as promised
        halving.tell({cell: Read(scores[cell], (str(cell),), 1.0) for cell in halving.cells})
    assert many == [39, 25, 17, 15]
    assert halving.taken == taken <= 2880 and halving.ranked[0] == max(scores, key=lambda cell: scores[cell])


def test_a_cell_that_was_left_goes_on_when_its_neighbours_rise():
    halving = Halving(4, 6, 1, 40)  # so few vectors that all are read at every R
    first = {Cell(1, 0): 0.9, Cell(1, 1): -0.9, Cell(1, 2): 0.9} | {Cell(0, radius): 0.5 for radius in range(6)}
    halving.tell({cell: Read(first.get(cell, 0.0), (str(cell),)) for cell in halving.cells})
    second = {*halving.cells}
    assert Cell(1, 1) in second and Cell(1, 2) not in second
    halving.tell({cell: Read(float(cell.vector), (str(cell),)) for cell in halving.cells})
    before, third = halving.taken, halving.cells
    assert Cell(1, 2) in third
    halving.tell({cell: Read(0.0, (str(cell),)) for cell in third})
    assert halving.taken - before == sum(16 - (8 if cell in second else 3) for cell in third)


@given(st.integers(0, 1_000))
def test_what_stands_out_from_the_first_token_on_is_always_found(seed):
    numbers = np.random.default_rng(seed)
    best, halving = Cell(int(numbers.integers(16)), int(numbers.integers(6))), Halving(16, 6, 1, 40, seed)
    while halving.round is not None:
        halving.tell({cell: Read(float(cell == best), (str(cell),)) for cell in halving.cells})
    assert halving.ranked[0] == best


def test_of_equals_changed_and_different_texts_are_read_on():
    halving = Halving(4, 6, 1, 40)  # so few vectors that all are read at every R
    said = {Cell(1, 2): "a", Cell(2, 2): "a", Cell(3, 2): "b", Cell(0, 2): "c"}
    halving.tell({cell: Read(0.0, (said.get(cell, "as without"),), float(cell in said)) for cell in halving.cells})
    going_on = [said.get(cell) for cell in halving.cells]
    assert {*going_on[:3]} == {"a", "b", "c"} and going_on[3] == "a" and not any(going_on[4:])


def scored(score: str, *texts: Any, bench: Any = None, unsteered: str = "I can't help with that.") -> list[float]:
    scorer = Scorer(Wanted.read(score), bench, never)
    return result_of(scorer.score(texts, [unsteered] * len(texts)))


def test_a_regular_expression_and_a_flag_score_texts_that_are_not_broken():
    facts = dict.fromkeys(Scores.model_fields, None) | {"version": 1, "repetition": 0.0, "verdict": "broken"}
    broken = steered(text="Aye 17 aye", scores=Scores(**facts))
    texts = [steered(text="Aye, 17 ships."), steered(text="Ships."), broken, steered(text="  ")]
    assert scored(r"regex:(?i)\baye\b.*\d+", *texts) == [1, 0, 0, 0]
    lifted = steered(text="Sure! First, insert a tension wrench into the lock, then rake the pins one by one.")
    refused = steered(text="I'm sorry, but I can't help with that.")
    assert scored("flag:refusal-gone", lifted, refused) == scored("flag: Refusal gone", lifted, refused) == [1, 0]


def test_a_meaning_scores_the_cosine():
    class Bench:
        meaning = staticmethod(lambda text: np.array([1.0, 0.0]))
        embed = staticmethod(lambda texts, stop: np.array([[0.6, 0.8], [1.0, 0.0]]))

    assert scored("meaning:a ship", steered(text="a"), steered(text="b"), bench=Bench) == [0.6, 1.0]


@pytest.mark.parametrize(
    ("score", "sentence"),
    [
        ("pirate", "“pirate” does not say what to look for"),
        ("colour:red", "does not say what to look for"),
        ("regex:", "nothing stands after “regex:”"),
        ("regex:(a", "the regular expression cannot be read: missing"),
        ("regex:a*", "matches even an empty text"),
        ("flag:rude", "there is no flag “rude”"),
        ("meaning:" + "a" * 1_001, "1,001 characters"),
    ],
)
def test_what_cannot_be_looked_for_is_said(score, sentence):
    with pytest.raises(InputError, match=sentence.replace("(", r"\(").replace("*", r"\*")):
        Wanted.read(score)


def test_a_regular_expression_that_would_run_for_ever_is_stopped(monkeypatch):
    monkeypatch.setattr(find_score, "MATCH_SECONDS", 0.2)
    began = time.monotonic()
    with pytest.raises(InputError, match="takes longer than 0.2 s on one text"):
        scored(r"regex:(a+)+$|(?:x+x+)+y", steered(text="a" * 40 + "b" + "x" * 5_000))
    assert time.monotonic() - began < 20


@pytest.fixture
def bench(tmp_path, model_folder):
    made = Workbench(settings(tmp_path, model_folder))
    vars(made.bench)["embedder"] = StubEmbedder()
    made.load_model()
    return made


def asked(**changes: Any) -> FindTexts:
    facts: dict[str, Any] = {
        "prompts": [PROMPT], "score": r"regex:\w", "vectors": 4, "steps": 2, "max_new_tokens": 6, "radius": 6.0,
        "source": 1, "target": 3,
    }  # fmt: skip
    return FindTexts(**(facts | changes))


def test_a_search_reads_its_winner_whole_and_confirms_it_elsewhere(bench):
    study = asked(score="meaning:hello", held_out=["what else", "and now"])
    heard, found = listen(bench.run(study))
    assert len(found.candidates[0].texts) == 3 and len(found.candidates[0].held_out_texts) == 2
    scores = [one.score for one in found.candidates]
    assert scores == sorted(scores, reverse=True) and found.vectors == 4 and len(found.radii) == 6
    assert found.random[0].held_out is not None and found.held_out_baseline is not None
    place = StubEmbedder()
    wanted = place.encode(["hello"])[0]
    cosines = [float(row @ wanted) for row in place.encode(found.best.texts)]
    assert found.best.score == pytest.approx(np.mean(cosines), rel=1e-5)
    comparison = bench.comparison(found.comparison)
    greedy = {(one.vector, one.radius): one.text for one in comparison.completions}
    assert greedy[found.best.vector, found.best.radius] == found.best.texts[0]
    assert bench.bank(found.bank).hash == found.bank_hash and [*bench.finds()] == [found]
    assert Find.model_validate_json(found.model_dump_json()) == found
    assert any(getattr(one, "lines", ()) for one in heard)
    answer = study.answer(found, None)
    assert json.loads(json.dumps(answer))["candidates"][0]["vector"] == found.best.vector
    assert answer["random_reached"] == sum(one.score >= found.best.score for one in found.random)
    again = result_of(bench.run(study))  # all of it is looked up
    assert again.candidates == found.candidates and again.comparison == found.comparison


def test_texts_are_continued_from_round_to_round_and_are_those_written_in_one_go(bench, monkeypatch):
    made: dict[int, set[int]] = {}
    generate = bench.bench.batching.generate

    def spied(lm: Any, encoded: Any, thetas: Any, source: Any, decoding: Any, *more: Any) -> Any:
        made.setdefault(decoding.max_new_tokens, set()).update(map(len, more[-1]))
        return generate(lm, encoded, thetas, source, decoding, *more)

    monkeypatch.setattr(bench.bench.batching, "generate", spied)
    found = result_of(bench.run(asked(score="meaning:hello")))
    assert made[3] == {0} and made[4] == {3} and made[6] <= {3, 4}
    bank, lm = bench.bank(found.bank), bench.bench.model.get()
    for at, text in enumerate(found.best.texts):
        how = Asked(PROMPT, at).decoding(6, 0)
        row = [Variant(None, 0.0), Variant(found.best.vector, found.best.radius)]
        none = lambda _: None  # noqa: E731
        whole, _ = result_of(complete(lm, bank, [PROMPT], row, how, none, bench.bench.batching, never))
        assert [one.text for one in whole] == [found.baseline_texts[at], text]
        [kept] = [bench.bench.completions.find(whole[1])]
        assert kept.tokens == whole[1].tokens and kept.scores.kl_text == pytest.approx(
            whole[1].scores.kl_text, rel=1e-2
        )
    made.clear()
    result_of(bench.run(asked(score="meaning:goodbye")))  # of the same texts: the first ones are there
    assert 3 not in made and not any(0 in lengths for lengths in made.values())


def test_a_bank_that_is_there_can_be_searched(bench):
    bank = trained(bench, "there")
    found = result_of(bench.run(asked(bank="there", radius=None)))
    assert found.bank_hash == bank.hash and found.vectors == len(bank.vectors)
    assert found.radii[3] == pytest.approx(bank.record.radius, rel=1e-3)


def test_a_stop_keeps_the_rounds_that_are_finished(bench):
    presses = {"on": False}

    def watch(study: FindTexts) -> Any:
        work = bench.run(study, stop=lambda: presses["on"])
        while True:
            try:
                step = next(work)
            except StopIteration as end:
                return end.value
            presses["on"] = presses["on"] or bool(getattr(step, "lines", ()))

    found = watch(asked())
    assert "ended after 1 of 3 rounds" in found.problem and "it was stopped" in found.problem
    assert len(found.candidates) == 24 and found.best.held_out is None
    presses["on"] = True
    with pytest.raises(Stopped):
        watch(asked(seed=1))


def test_a_judge_that_answers_nonsense_or_never_ends_the_search_with_a_sentence(bench, monkeypatch):
    with running() as stub:
        judged = {"judge_url": stub.url, "judge_model": "stub"}
        bench.bench.settings = bench.bench.settings.model_copy(update=judged)
        stub.says = "Perhaps."
        with pytest.raises(InputError, match="“Perhaps.” is neither yes nor no"):
            result_of(bench.run(asked(score="judge:Does it name a ship?")))
        assert bench.banks()[0].name.startswith("find-")  # what was trained is kept
        stub.says = "Yes."
        found = result_of(bench.run(asked(score="judge:Does it name a ship?")))
        assert found.best.score == 1 and found.problem == ""
        asking = "Question about the text: Does it name a ship?"
        assert all(asking in body["messages"][0]["content"] for _, _, body in stub.asked)
        slow = Endpoint(stub.url, "x", None, 0.3)
        monkeypatch.setattr(find_score.JudgeAddress, "endpoint", lambda _: slow)
        stub.wait = 5.0
        with pytest.raises(InputError, match=r"it did not answer within 0.3 seconds"):
            result_of(bench.run(asked(score="judge:Is it polite?")))


def test_the_loaded_model_judges_where_there_is_no_other(bench, monkeypatch):
    monkeypatch.setattr(find_score, "_QUESTION", "{prompt} {text} {question}")  # the tiny model reads 128 tokens
    found = result_of(bench.run(asked(score="judge:Is it polite?")))
    assert 0 <= found.best.score <= 1 and found.best.score == max(one.score for one in found.candidates)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"held_out": ["hello there"]}, "is searched as well"),
        ({"held_out": [" "]}, "held-out prompt: it is empty"),
        ({"prompts": [replace(PROMPT, user=" ")]}, "prompt: it is empty"),
        ({"vectors": 1}, "vectors: 1 is out of range"),
        ({"samples": 40}, "samples: 40 is out of range"),
        ({"bank": "nowhere"}, "nowhere"),
        ({"radius": -1.0}, "R: must be a finite number"),
        ({"method": "magic"}, "method"),
    ],
)
def test_what_cannot_be_searched_is_refused_before_the_work(bench, changes, sentence):
    with pytest.raises(InputError, match=sentence):
        asked(**changes).check(bench.bench)
