"""Callers who share passes: each has the texts and the scores that it has alone, and nobody waits for ever."""

import pytest
import torch
from tiny_models import BLOCKS, WIDTH, encoded, lent, random_thetas, tiny

from melbo_app.engine import generation, likelihood, slice
from melbo_app.engine.batch import Batch
from melbo_app.engine.decoding import Decoding
from melbo_app.engine.generation import GenerationProgress, Rows
from melbo_app.engine.likelihood import Likelihood, likelihoods, readings_of
from melbo_app.engine.trace import Trace
from melbo_app.jobs import company
from melbo_app.jobs.company import Company, Seat
from melbo_app.jobs.generators import result_of

TEXTS = ("the heath is wide", "hello", "he", "the heath is wide, and nobody walks there", "over there")
DECODINGS = (Decoding(6), Decoding(9, 1.5, 0.8, 3), Decoding(6), Decoding(7, 0.7, 1.0, 1))
TURNS = 500
SAME = 0
"""The caller whom all are like where they are to be alike."""


@pytest.fixture(autouse=True)
def _every_pass_is_a_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(generation, "STREAM_SECONDS", 0.0)
    monkeypatch.setattr(company, "PATIENCE", 1e9)  # else it would matter how busy this machine is


@pytest.fixture
def passes(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int]]:
    """What each forward pass was for, and how many rows it had: ``join`` and ``prompts`` are of prompts, ``step`` and
    ``texts`` of texts."""
    seen: list[tuple[str, int]] = []
    join, step, compare, prompts = (
        Batch.join, Batch.step, likelihood._compare, likelihood.PromptsRead._prompts
    )  # fmt: skip

    def note_join(self, *newcomers):
        seen.append(("join", sum(len(rows.of) for rows in newcomers)))
        join(self, *newcomers)

    def note_step(self):
        seen.append(("step", sum(len(rows.of) for rows in self.members)))
        step(self)

    def note_prompts(self, stop):
        if self._output is None:
            seen.append(("prompts", len(self._encoded.prompts)))
        return prompts(self, stop)

    def note_compare(lm, encoded, readings, *rest):
        seen.append(("texts", len(readings)))
        return compare(lm, encoded, readings, *rest)

    monkeypatch.setattr(Batch, "join", note_join)
    monkeypatch.setattr(Batch, "step", note_step)
    monkeypatch.setattr(likelihood.PromptsRead, "_prompts", note_prompts)
    monkeypatch.setattr(likelihood, "_compare", note_compare)
    return seen


def rows_of(lm, at: int, decoding: Decoding | None = None, stop=None, text: str | None = None, vectors=0) -> Rows:
    """The rows of one caller, a baseline and some vectors; callers differ in prompt, layer, vectors and decoding."""
    source = at % (BLOCKS - 1)
    thetas = torch.cat([torch.zeros(1, WIDTH), random_thetas(vectors or 1 + at % 3, norm=10.0, seed=at)])
    prompt = encoded(lm, text or TEXTS[at % len(TEXTS)])
    how = decoding or DECODINGS[at % len(DECODINGS)]
    return Rows(lm, prompt, thetas, source, how, stop, trace=Trace(source + 1))


def alone(lm, *asked, **options) -> tuple[GenerationProgress, list[Likelihood]]:
    """The texts and scores of a caller who shares nothing."""
    rows, batch = rows_of(lm, *asked, **options), Batch(lm)
    batch.join(rows)
    while not rows.done:
        batch.step()
    return rows.progress(), result_of(likelihoods(lm, rows.encoded, readings_of(rows), rows.trace.target))


def sit(shared: Company, *asked, **options) -> Seat:
    rows = rows_of(shared.lm, *asked, **options)
    assert shared.has_room(rows)
    seat = Seat(rows, reads=True)
    shared.seats.append(seat)
    return seat


def until(shared: Company, *seats: Seat, stage: str = "over") -> None:
    for _ in range(TURNS):
        if all(seat.stage in (stage, "over") for seat in seats):
            return
        shared.turn()
    raise AssertionError("it goes on for ever")


def check(seat: Seat, expected: tuple[GenerationProgress, list[Likelihood]]) -> None:
    made, scores = expected
    assert (seat.error, seat.rows.progress()) == (None, made)
    assert len(seat.asked.found) == len(scores)
    for one, other in zip(seat.asked.found, scores, strict=True):
        for name in ("logprob", "kl_prompt", "kl_text", "peak_surprisal", "runaway"):
            assert getattr(one, name) == pytest.approx(getattr(other, name), rel=2e-3, abs=2e-4), name


def test_those_who_come_at_once_have_what_each_has_alone(family, passes):
    lm = lent(family)
    expected = [alone(lm, at) for at in range(7)]
    apart = len(passes)
    passes.clear()
    shared = Company(lm, None)
    seats = [sit(shared, at) for at in range(7)]
    until(shared, *seats)
    for seat, one in zip(seats, expected, strict=True):
        check(seat, one)
    assert len(passes) < apart / 2
    assert not any(block._forward_hooks or block._forward_pre_hooks for block in lm.blocks)


def test_those_who_come_and_go_have_what_each_has_alone(family):
    lm = lent(family)
    shared, seats = Company(lm, None), []
    for at in range(5):
        seats.append(sit(shared, at))
        shared.turn()
        shared.turn()
    shared.seats.remove(seats[3])
    until(shared, *(seat for seat in seats if seat in shared.seats))
    for at in (0, 1, 2, 4):
        check(seats[at], alone(lm, at))


@pytest.mark.parametrize("alike", [True, False])
def test_the_texts_of_twenty_are_read_in_a_few_passes_and_equal_prompts_once(passes, alike):
    lm = tiny("llama")
    shared = Company(lm, None)
    seats = [sit(shared, at, Decoding(6), text="hello" if alike else f"hello {at:02}") for at in range(20)]
    until(shared, *seats)
    rows = sum(len(seat.rows.of) for seat in seats)
    steered = rows - len(seats)  # how likely the baseline's texts are is known from writing them
    assert passes == [
        ("join", rows), *[("step", rows)] * 5, ("prompts", 1 if alike else 20), ("texts", steered)
    ]  # fmt: skip
    check(seats[7], alone(lm, 7, Decoding(6), text="hello" if alike else "hello 07"))


def test_equal_prompts_go_through_the_blocks_below_the_vectors_once():
    lm, seen = tiny("llama"), []
    assert lm.takes_rows_midway  # it finds out by a pass of its own
    handle = lm.blocks[0].register_forward_hook(lambda _module, _args, output: seen.append(len(output)))
    shared = Company(lm, None)
    seats = [sit(shared, 4, text="hello"), sit(shared, 1, text="hello"), sit(shared, 7, text="he")]
    shared.turn()
    handle.remove()
    assert seen == [2] and [seat.stage for seat in seats] == ["writes"] * 3


def test_prompts_of_many_tokens_are_read_in_several_passes_in_the_order_in_which_they_came(passes, monkeypatch):
    lm = tiny("llama")
    monkeypatch.setattr(slice, "TOKENS_AT_ONCE", 100)
    shared = Company(lm, None)
    seats = [sit(shared, SAME, text="hello " * 4) for _ in range(5)]  # 22 tokens in two rows
    shared.turn()
    assert [seat.stage for seat in seats] == ["writes"] * 2 + ["waits"] * 3
    until(shared, *seats)
    assert [rows for what, rows in passes if what == "join"] == [4, 4, 2]
    assert max(rows for what, rows in passes if what == "prompts") == 1
    for seat in seats:
        check(seat, alone(lm, SAME, text="hello " * 4))


def test_a_short_prompt_is_not_read_with_one_that_would_cost_it_much_padding(passes, monkeypatch):
    lm = tiny("llama")
    monkeypatch.setattr(company, "A_PASS", 10)
    shared = Company(lm, None)
    seats = [sit(shared, SAME, text="he"), sit(shared, SAME, text="hello " * 12), sit(shared, SAME, text="he is")]
    until(shared, *seats)
    assert [rows for what, rows in passes if what == "join"] == [4, 2]


@pytest.mark.parametrize("how", ["stops", "leaves"])
def test_whoever_goes_away_while_texts_are_read_leaves_the_others_theirs(monkeypatch, how):
    lm = tiny("llama")
    monkeypatch.setattr(likelihood, "TOKENS_AT_ONCE", 12)
    shared, stopped = Company(lm, None), False
    seats = [
        sit(shared, 2, Decoding(6)),
        sit(shared, 5, Decoding(6), stop=lambda: stopped),
        sit(shared, 8, Decoding(6)),
    ]
    until(shared, *seats, stage="reads")
    while len(seats[1].asked.found) == 0:
        shared.turn()
    assert not seats[1].asked.over
    had = len(seats[1].asked.found)
    if how == "stops":
        stopped = True
    else:
        shared.seats.remove(seats[1])
        seats[1].asked.stopped = True
    until(shared, seats[0], seats[2])
    check(seats[0], alone(lm, 2, Decoding(6)))
    check(seats[2], alone(lm, 8, Decoding(6)))
    assert len(seats[1].asked.found) == had and seats[1].asked.stopped
    assert shared._readings == [] or all(reading.over for reading in shared._readings)


def test_what_goes_wrong_while_the_texts_of_one_are_read_is_told_to_that_one(monkeypatch):
    lm = tiny("llama")
    shared = Company(lm, None)
    seats = [sit(shared, at, Decoding(6)) for at in (2, 5, 8)]
    until(shared, *seats, stage="reads")
    marked = seats[1].asked.readings[1].ids
    real = likelihood._compare

    def broken(lm, encoded, readings, *rest):
        if any(reading.ids == marked for reading in readings):
            raise RuntimeError("out of memory")
        return real(lm, encoded, readings, *rest)

    monkeypatch.setattr(likelihood, "_compare", broken)
    until(shared, *seats)
    assert str(seats[1].error) == "out of memory"
    for at, seat in ((2, seats[0]), (8, seats[2])):
        check(seat, alone(lm, at, Decoding(6)))


@pytest.mark.parametrize("where", ["prompt", "token", "stop while reading"])
def test_what_goes_wrong_for_one_otherwise_is_told_to_that_one_as_well(monkeypatch, where):
    lm = tiny("llama")
    shared = Company(lm, None)
    broken = False

    def stop() -> bool:
        if broken:
            raise RuntimeError("broken")
        return False

    seats = [sit(shared, at, Decoding(6), stop=stop if at == 5 else None) for at in (2, 5, 8)]
    if where != "prompt":
        until(shared, *seats, stage="writes")
    if where == "stop while reading":
        until(shared, *seats, stage="reads")
    broken = True
    until(shared, *seats)
    assert str(seats[1].error) == "broken"
    for at, seat in ((2, seats[0]), (8, seats[2])):
        check(seat, alone(lm, at, Decoding(6)))


def test_a_short_reading_is_done_before_a_long_one_that_began_before_it(monkeypatch, passes):
    lm = tiny("llama")
    monkeypatch.setattr(likelihood, "TOKENS_AT_ONCE", 12)
    shared = Company(lm, None)
    long = sit(shared, 2, Decoding(12), vectors=9)
    until(shared, long, stage="reads")
    shared.turn()
    assert len(long.asked.found) == 1
    short = sit(shared, 0, Decoding(2))
    until(shared, short)
    assert long.stage == "reads" and len(long.asked.found) < len(long.asked.readings)
    until(shared, long)
    check(short, alone(lm, 0, Decoding(2)))
    check(long, alone(lm, 2, Decoding(12), vectors=9))


def test_who_is_writing_has_tokens_between_passes_that_read(monkeypatch, passes):
    """As much time goes to those who write as they stood still: at least a token after each pass."""
    lm = tiny("llama")
    monkeypatch.setattr(likelihood, "TOKENS_AT_ONCE", 12)
    shared = Company(lm, None)
    writer = sit(shared, 0, Decoding(60))
    until(shared, writer, stage="writes")
    monkeypatch.setattr(company, "ENOUGH", 0)
    reader = sit(shared, 2, Decoding(4), vectors=6)
    until(shared, reader)
    assert writer.stage == "writes"
    kinds = [what for what, _ in passes]
    reading = [at for at, what in enumerate(kinds) if what in ("join", "texts")]
    assert len(reading) > 4  # the two who joined, and the texts of the one
    assert all(kinds[at + 1] == "step" for at in reading[1:-1])


def test_newcomers_without_end_do_not_keep_texts_from_being_read(monkeypatch):
    lm = tiny("llama")
    monkeypatch.setattr(company, "PATIENCE", 0.0)
    shared = Company(lm, None)
    first = sit(shared, 2, Decoding(3))
    for _ in range(30):
        sit(shared, 0, Decoding(30))
        shared.turn()
        if first.stage == "over":
            break
    check(first, alone(lm, 2, Decoding(3)))


@pytest.mark.parametrize(("patience", "together"), [(1e9, True), (0.0, False)])
def test_a_text_waits_for_one_that_will_be_done_soon_and_not_longer(monkeypatch, passes, patience, together):
    lm = tiny("llama")
    monkeypatch.setattr(company, "PATIENCE", patience)
    shared = Company(lm, None)
    seats = [sit(shared, 0, Decoding(6)), sit(shared, 3, Decoding(9))]
    until(shared, *seats)
    assert [rows for what, rows in passes if what == "texts"] == ([2] if together else [1, 1])


def test_texts_that_fill_a_pass_wait_for_nobody(monkeypatch, passes):
    lm = tiny("llama")
    monkeypatch.setattr(company, "ENOUGH", 12)
    shared = Company(lm, None)
    seats = [sit(shared, 0, Decoding(6)), sit(shared, 3, Decoding(9))]
    until(shared, seats[0])
    assert seats[1].stage == "writes"


def test_as_many_texts_as_fit_in_memory_are_read_at_once(monkeypatch, passes):
    from melbo_app.engine.memory import bytes_per_row

    lm = tiny("llama")
    shared = Company(lm, None)
    seats = [sit(shared, at, Decoding(6)) for at in (2, 5)]
    until(shared, *seats, stage="reads")
    columns = max(seat.rows.encoded.input_ids.shape[1] for seat in seats)
    shared._memory_gb = 3.5 * bytes_per_row(lm, columns + 6) / 1e9
    until(shared, *seats)
    assert [rows for what, rows in passes if what == "texts"][-3:] == [2, 2, 2]  # with a baseline among the three
    for at, seat in zip((2, 5), seats, strict=True):
        check(seat, alone(lm, at, Decoding(6)))
