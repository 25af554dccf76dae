"""Steering for several people at once: one forward pass for all of them, and otherwise nobody notices the others.

A caller computes for all who wait, so most of this can be seen from one thread, in which callers take turns.
"""

import threading
import time
from collections.abc import Callable

import pytest
from benches import PROMPT, QUICK, shelved
from patience import PATIENCE
from tiny_models import BLOCKS, CONTEXT, random_thetas

from melbo_app.engine import generation, likelihood
from melbo_app.engine.batch import Batch
from melbo_app.engine.decoding import Decoding
from melbo_app.engine.encoding import encode
from melbo_app.engine.memory import rows_at_once
from melbo_app.engine.prompt import Prompt
from melbo_app.engine.stopping import never
from melbo_app.errors import InputError
from melbo_app.jobs import company
from melbo_app.jobs.generators import result_of
from melbo_app.library.bank import Bank
from melbo_app.studies.steer import Steer
from melbo_app.workbench import Workbench

OTHER = Prompt("the heath is wide", "be brief")
TEN, SAMPLED = Decoding(10), Decoding(13, 1.5, 0.9, 3)


@pytest.fixture
def bank(bench: Workbench) -> Bank:
    return shelved(bench)


@pytest.fixture(autouse=True)
def _every_token_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(generation, "STREAM_SECONDS", 0.0)


@pytest.fixture
def passes(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """For each forward pass of a batch how many rows got a token; 0 where a newcomer's prompts were read."""
    seen: list[int] = []
    join, step = Batch.join, Batch.step

    def note_join(self, *newcomers) -> None:
        seen.append(0)
        join(self, *newcomers)

    def note_step(self) -> None:
        seen.append(sum(len(rows.of) for rows in self.members))
        step(self)

    monkeypatch.setattr(Batch, "join", note_join)
    monkeypatch.setattr(Batch, "step", note_step)
    return seen


def steer(
    bench: Workbench, vectors=(0,), prompt: Prompt = PROMPT, decoding: Decoding = TEN, bank="a", stop=never, **options
):
    radii = [6.0] if vectors else []
    study = Steer(bank=bank, prompts=[prompt], vectors=vectors, radii=radii, decoding=decoding, **options)
    return bench.run(study, stop=stop)


def texts(comparison) -> list[tuple[str, int, bool]]:
    return [(entry.text, entry.tokens, entry.finished) for entry in comparison.completions]


def scores(comparison) -> list[float]:
    return [value for entry in comparison.completions for value in (entry.scores.logprob, entry.scores.kl_text)]


@pytest.fixture
def alone(bench: Workbench, bank: Bank) -> Callable:
    """The same request by somebody who is alone, on a cache that knows none of its texts."""
    count = 0

    def ask(*arguments, **options):
        nonlocal count
        count += 1
        fresh = Workbench(bench.settings.model_copy(update={"cache_dir": bench.settings.cache_dir / f"{count}"}))
        fresh.bench.model = bench.bench.model
        for name in {"a", options.get("bank") or "a"}:
            fresh.bench.banks.save(bench.bank(name))
        return result_of(steer(fresh, *arguments, **options))

    return ask


def until_text(work) -> None:
    while not next(work).completions:
        pass


def test_who_waits_at_the_same_time_shares_the_passes_and_says_what_it_says_alone(bench, bank, alone, passes):
    one = alone((0, 1))
    two = alone((2,), OTHER, SAMPLED)
    passes.clear()
    first, second = steer(bench, (0, 1)), steer(bench, (2,), OTHER, SAMPLED)
    until_text(first)
    until_text(second)  # joins the other one between two tokens
    found = result_of(second)
    rest = result_of(first)
    assert 5 in passes  # three rows of the one, two of the other
    assert texts(found) == texts(two) and texts(rest) == texts(one)
    assert scores(found) == pytest.approx(scores(two), rel=1e-3, abs=1e-4)
    assert scores(rest) == pytest.approx(scores(one), rel=1e-3, abs=1e-4)
    assert [entry.prompt.user for entry in found.completions] == [OTHER.user] * 2


def test_a_caller_that_does_not_come_back_holds_nobody_up_and_finds_all_done_when_it_does(bench, bank, alone, passes):
    expected = [alone((0,)), alone((1,), OTHER, Decoding(25))]
    slow, quick = steer(bench), steer(bench, (1,), OTHER, Decoding(25))
    until_text(slow)
    assert texts(result_of(quick)) == texts(expected[1])
    passes.clear()
    news = next(slow)
    assert [entry.tokens for entry in news.completions] == [entry.tokens for entry in expected[0].completions]
    assert passes == []
    assert texts(result_of(slow)) == texts(expected[0])
    assert bench.bench.batching._companies == []


@pytest.mark.parametrize("leaver", [0, 1])
def test_whoever_goes_away_takes_nobody_along(bench, bank, alone, passes, leaver):
    asked = [((0, 1), PROMPT, Decoding(20)), ((2,), OTHER, Decoding(20))]
    expected = alone(*asked[1 - leaver])
    work = [steer(bench, *one) for one in asked]
    for one in work:
        until_text(one)
    while 5 not in passes:
        next(work[1 - leaver])
    work[leaver].close()
    assert texts(result_of(work[1 - leaver])) == texts(expected)
    rows = len(expected.completions)
    assert passes[-1] == rows and len(bench.comparisons()) == 1
    assert not any(block._forward_pre_hooks for block in bench.bench.model.get().blocks)


@pytest.mark.parametrize("stopper", [0, 1])
def test_each_has_a_stop_of_its_own(bench, bank, alone, stopper):
    asked = [((0, 1), PROMPT, Decoding(20)), ((2,), OTHER, Decoding(20))]
    expected = [alone(*one) for one in asked]
    stopped = False
    work = [steer(bench, *one, stop=lambda at=at: stopped and at == stopper) for at, one in enumerate(asked)]
    for one in work:
        until_text(one)
    stopped = True
    found = [result_of(work[stopper]), result_of(work[1 - stopper])]
    assert texts(found[1]) == texts(expected[1 - stopper])
    assert found[0].settings["finished"] is False and found[1].settings["finished"] is True
    for part, whole in zip(found[0].completions, expected[stopper].completions, strict=True):
        assert whole.text.startswith(part.text) and 0 < part.tokens < whole.tokens


def test_what_one_cannot_have_fails_that_one_only(bench, bank, alone):
    expected = alone((0,), PROMPT, Decoding(20))
    work = steer(bench, (0,), PROMPT, Decoding(20))
    until_text(work)
    for prompt, decoding in ((Prompt("long " * CONTEXT), TEN), (Prompt(" "), TEN), (OTHER, Decoding(CONTEXT))):
        with pytest.raises(InputError):
            result_of(steer(bench, (1,), prompt, decoding))
    assert texts(result_of(work)) == texts(expected)


def test_an_error_while_a_prompt_is_read_is_of_the_one_who_asked(bench, bank, alone, monkeypatch):
    expected = alone((0,), PROMPT, Decoding(20))
    work = steer(bench, (0,), PROMPT, Decoding(20))
    until_text(work)
    lm = bench.bench.model.get()
    real = type(lm).forward

    def broken(self, input_ids, *rest, **options):
        if input_ids.shape[1] > 1:
            raise RuntimeError("out of memory")
        return real(self, input_ids, *rest, **options)

    with monkeypatch.context() as patched:
        patched.setattr(type(lm), "forward", broken)
        with pytest.raises(RuntimeError, match="out of memory"):
            result_of(steer(bench, (1,), OTHER))
    assert texts(result_of(work)) == texts(expected)


def test_an_error_in_a_shared_pass_is_told_to_all_who_shared_it_and_to_nobody_after_that(
    bench, bank, alone, monkeypatch
):
    expected = alone((1,), OTHER)
    work = [steer(bench), steer(bench, (1,), OTHER)]
    for one in work:
        until_text(one)
    lm = bench.bench.model.get()
    with monkeypatch.context() as patched:
        patched.setattr(type(lm), "forward", lambda *_args, **_options: (_ for _ in ()).throw(RuntimeError("broken")))
        with pytest.raises(RuntimeError, match="broken"):
            result_of(work[1])
    again = steer(bench, (1,), OTHER)
    until_text(again)
    with pytest.raises(RuntimeError, match="broken"):
        result_of(work[0])
    assert texts(result_of(again)) == texts(expected)
    assert bench.bench.batching._companies == []


def test_vectors_of_other_source_layers_share_the_passes_too(bench, bank, alone, passes):
    changes = dict.fromkeys(("objective", "curves", "effect", "target"))
    for source in (0, BLOCKS - 1):
        record = bank.record.model_copy(update={"name": f"at {source}", "source": source} | changes)
        bench.bench.banks.save(Bank(record, random_thetas(2, record.radius, seed=source).numpy()))
    asked = [{"vectors": (1,)}, {"vectors": (1,), "bank": "at 0"}, {"vectors": (0, 1), "bank": f"at {BLOCKS - 1}"}]
    asked.append({"vectors": (), "bank": None})
    assert bank.record.source == QUICK.source
    expected = [alone(**one) for one in asked]
    passes.clear()
    work = [steer(bench, **one) for one in asked]
    for one in work:
        until_text(one)
    found = [result_of(one) for one in work]
    assert 2 + 2 + 3 + 1 in passes
    assert [texts(one) for one in found] == [texts(one) for one in expected]


def test_texts_that_are_known_are_there_at_once_whoever_computes(bench, bank):
    known = result_of(steer(bench))
    with bench.bench.compute.hold():
        assert texts(result_of(steer(bench))) == texts(known)


@pytest.mark.parametrize(("limit", "value"), [("MOST_SHARED", 4), ("MOST_PADDING", 3), ("memory for rows", 4.5)])
def test_who_does_not_fit_in_runs_beside_the_others_without_waiting(
    bench, bank, alone, passes, monkeypatch, limit, value
):
    expected = [alone((0, 1)), alone((2,), OTHER)]
    if limit == "memory for rows":
        lm = bench.bench.model.get()
        tokens = encode(lm, [OTHER]).input_ids.shape[1] + TEN.max_new_tokens
        bench.bench.batching.memory_gb = value / rows_at_once(lm, tokens, 1.0)
    else:
        monkeypatch.setattr(company, limit, value)
    passes.clear()
    work = [steer(bench, (0, 1)), steer(bench, (2,), OTHER)]
    until_text(work[0])
    until_text(work[1])
    assert [len(one.seats) for one in bench.bench.batching._companies] == [1, 1]
    found = [result_of(one) for one in work[::-1]][::-1]
    assert max(passes) == 3
    assert [texts(one) for one in found] == [texts(one) for one in expected]


def test_who_leaves_makes_room(bench, bank, passes, monkeypatch):
    monkeypatch.setattr(company, "MOST_SHARED", 4)
    first, second = steer(bench, (0,), PROMPT, Decoding(40)), steer(bench, (1,), PROMPT, Decoding(40))
    until_text(first)
    until_text(second)
    second.close()
    third = steer(bench, (2,), PROMPT, Decoding(40))
    until_text(third)
    assert [len(one.seats) for one in bench.bench.batching._companies] == [2]


def together(bench: Workbench, asked: list[tuple], heard: dict[int, list]) -> list:
    """What each of these requests gives, all of them made while somebody else computes; each in a thread."""
    ended: dict[int, object] = {}

    def run(at: int) -> None:
        work = steer(bench, *asked[at])
        try:
            while True:
                heard.setdefault(at, []).append(next(work))
        except StopIteration as end:
            ended[at] = end.value
        except Exception as error:
            ended[at] = error

    threads = [threading.Thread(target=run, args=(at,), daemon=True) for at in range(len(asked))]
    with bench.bench.compute.hold():
        for thread in threads:
            thread.start()
        end = time.monotonic() + PATIENCE
        while sum(len(one.seats) for one in bench.bench.batching._companies) < len(asked):
            assert time.monotonic() < end, "somebody did not come to wait"
            time.sleep(0.005)
    for thread in threads:
        thread.join(PATIENCE)
    return [ended[at] for at in range(len(asked))]


def test_eight_threads_at_once_share_one_batch_and_each_hears_of_its_own_rows(bench, bank, alone, passes):
    decodings = [TEN, SAMPLED, Decoding(25), Decoding(6, 1.2, 1.0, 3)]
    asked = [((at % 3,), Prompt("hello " + "over there " * (at % 4) + str(at)), decodings[at % 4]) for at in range(8)]
    expected = [alone(*one) for one in asked]
    single = len(passes) - 8
    passes.clear()
    heard: dict[int, list] = {}
    found = together(bench, asked, heard)
    assert [texts(one) for one in found] == [texts(one) for one in expected]
    assert len(passes) - 8 < single / 2 and max(passes) > 8
    for at, one in enumerate(found):
        streamed = [entry for progress in heard[at] for entry in progress.completions]
        assert {entry.prompt.user for entry in streamed} == {asked[at][1].user}
        grown = [progress.completions[1].text for progress in heard[at] if progress.completions]
        assert all(one.completions[1].text.startswith(text) for text in grown)
        assert grown == sorted(grown, key=len)
    assert bench.bench.batching._companies == []


def test_the_texts_of_twenty_threads_are_read_back_in_a_few_passes(bench, bank, alone, monkeypatch):
    asked = [((at % 3,), Prompt(f"hello number {at:02}"), TEN) for at in range(20)]
    expected = {at: alone(*asked[at]) for at in (0, 13, 19)}
    read: list[int] = []
    compare = likelihood._compare
    monkeypatch.setattr(
        likelihood,
        "_compare",
        lambda lm, prompts, texts, *rest: read.append(len(texts)) or compare(lm, prompts, texts, *rest),
    )
    found = together(bench, asked, {})
    assert sum(read) == 20 and len(read) <= 3
    for at, one in expected.items():
        assert texts(found[at]) == texts(one)
        assert scores(found[at]) == pytest.approx(scores(one), rel=1e-3, abs=1e-4)


def test_callers_in_threads_may_vanish_at_any_moment(bench, bank, alone, monkeypatch):
    """Some close after a few tokens, some are stopped by an error of their own; the last one is whole."""
    expected = alone((0,), OTHER, Decoding(40))
    found: list[object] = []

    def vanish(at: int) -> None:
        work = steer(bench, (at % 3,), Prompt(f"hello {at}"), Decoding(30 + at))
        for _ in range(1 + 2 * at):
            next(work)
        work.close()

    def stay() -> None:
        found.append(result_of(steer(bench, (0,), OTHER, Decoding(40))))

    threads = [threading.Thread(target=vanish, args=(at,), daemon=True) for at in range(5)]
    threads.append(threading.Thread(target=stay, daemon=True))
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
    assert [texts(one) for one in found] == [texts(expected)]
    assert bench.bench.batching._companies == []
