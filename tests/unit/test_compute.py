"""Who may compute: one at a time, short work ahead of long work, and nobody keeps the lock for good."""

import threading
import time
from collections.abc import Callable

import pytest
from patience import PATIENCE

from melbo_app.engine.stopping import GivingWay, deaf, plain
from melbo_app.jobs.compute import ComputeLock


def wait_until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.001)


def is_free(lock: ComputeLock, seconds: float = PATIENCE) -> bool:
    """Whether the lock can be taken for long work, which waits for everybody."""
    taken = threading.Event()

    def take() -> None:
        with lock.hold(short=False):
            taken.set()

    threading.Thread(target=take, daemon=True).start()
    return taken.wait(seconds)


def test_never_two_compute_at_once():
    lock, inside, most, done = ComputeLock(), 0, 0, []

    def compute(number: int) -> None:
        nonlocal inside, most
        for _ in range(25):
            with lock.hold(short=number % 2 == 0):
                inside += 1
                most = max(most, inside)
                time.sleep(0.0002)
                inside -= 1
        done.append(number)

    threads = [threading.Thread(target=compute, args=(number,), daemon=True) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
    assert sorted(done) == list(range(6))
    assert most == 1


def test_short_work_goes_ahead_of_long_work_that_waited_longer():
    lock, order = ComputeLock(), []
    release, held = threading.Event(), threading.Event()

    def first() -> None:
        with lock.hold():
            held.set()
            release.wait(PATIENCE)

    def work(name: str, short: bool) -> None:
        with lock.hold(short=short):
            order.append(name)

    threads = [threading.Thread(target=first, daemon=True)]
    threads[0].start()
    assert held.wait(PATIENCE)
    for name, short in (("long", False), ("short 1", True), ("short 2", True)):
        threads.append(threading.Thread(target=work, args=(name, short), daemon=True))
        threads[-1].start()
        wait_until(lambda: len(lock._changed._waiters) == len(threads) - 1)  # type: ignore[attr-defined]
    release.set()
    for thread in threads:
        thread.join(PATIENCE)
    assert order[-1] == "long" and len(order) == 3


def test_a_long_job_lets_short_work_in_between_its_steps():
    lock, log, waiting = ComputeLock(), [], threading.Event()

    def training():
        for step in range(60):
            log.append("step")
            if step == 5:
                waiting.set()
            time.sleep(0.005)
            yield step
        return "trained"

    results = []

    def run_training() -> None:
        work = lock.steps(training(), short=False)
        while True:
            try:
                next(work)
            except StopIteration as end:
                results.append(end.value)
                return

    thread = threading.Thread(target=run_training, daemon=True)
    thread.start()
    assert waiting.wait(PATIENCE)
    with lock.hold():
        log.append("short")
    thread.join(PATIENCE)
    assert results == ["trained"] and log.count("step") == 60
    assert log.index("short") <= 8  # asked for during step 5: it waits for that one, not for the end


def test_who_wants_another_step_waits_behind_those_who_came_meanwhile():
    lock, order, threads = ComputeLock(), [], []

    def work(name: str) -> None:
        with lock.hold():
            order.append(name)

    with lock.hold():
        for name in ("one", "two"):
            threads.append(threading.Thread(target=work, args=(name,), daemon=True))
            threads[-1].start()
            wait_until(lambda: len(lock._changed._waiters) == len(threads))  # type: ignore[attr-defined]
    with lock.hold():
        order.append("again")
    for thread in threads:
        thread.join(PATIENCE)
    assert order == ["one", "two", "again"]


@pytest.mark.parametrize("short", [True, False])
def test_work_abandoned_in_the_middle_releases_the_lock_and_is_closed(short):
    lock, closed = ComputeLock(), []

    def work():
        try:
            yield 1
            yield 2
        finally:
            closed.append(True)

    kept = work()  # so that nobody but the lock's owner closes it
    steps = lock.steps(kept, short=short)
    assert next(steps) == 1
    assert is_free(lock)  # also while it is paused
    steps.close()
    assert closed == [True]
    assert is_free(lock)


def test_an_exception_releases_the_lock():
    lock = ComputeLock()

    def work():
        yield 1
        raise ZeroDivisionError

    steps = lock.steps(work())
    next(steps)
    with pytest.raises(ZeroDivisionError):
        next(steps)
    assert is_free(lock)
    with pytest.raises(KeyError), lock.hold():
        raise KeyError
    assert is_free(lock)


def test_while_it_computes_nobody_else_gets_in():
    lock = ComputeLock()
    with lock.hold():
        assert not is_free(lock, 0.1)
    assert is_free(lock)


def test_long_work_lets_short_work_in_where_it_asks_whether_to_stop_and_goes_on_afterwards():
    lock, order = ComputeLock(), []
    ask = lock.giving_way(lambda: False)

    def short(name: str) -> None:
        with lock.hold():
            order.append(name)

    with lock.hold(short=False):
        assert ask() is False and order == []  # nobody waits
        threads = [threading.Thread(target=short, args=(f"short {number}",), daemon=True) for number in range(2)]
        for thread in threads:
            thread.start()
        wait_until(lambda: len(lock._short_waiting) == 2)
        assert order == []
        ask()
        order.append("long")
        for thread in threads:
            thread.join(PATIENCE)
    assert sorted(order[:2]) == ["short 0", "short 1"] and order[2:] == ["long"]
    assert is_free(lock)


def test_who_does_not_hold_the_lock_gives_nothing_away():
    lock, held, go_on, inside = ComputeLock(), threading.Event(), threading.Event(), []

    def compute() -> None:
        with lock.hold():
            held.set()
            go_on.wait(PATIENCE)
            inside.append("first")

    def short() -> None:
        with lock.hold():
            inside.append("second")

    threads = [threading.Thread(target=work, daemon=True) for work in (compute, short)]
    threads[0].start()
    assert held.wait(PATIENCE)
    threads[1].start()
    wait_until(lambda: bool(lock._short_waiting))
    lock.giving_way(lambda: False)()  # as work does between its steps
    go_on.set()
    for thread in threads:
        thread.join(PATIENCE)
    assert inside == ["first", "second"]


def test_only_the_question_is_asked_where_something_is_hooked_to_the_model():
    lock = ComputeLock()
    gave_way = []
    stop = GivingWay(lambda: False, lambda: gave_way.append(1))
    assert plain(stop)() is False and not gave_way
    assert deaf(GivingWay(lambda: True, lambda: gave_way.append(1)))() is False and gave_way == [1]
    assert deaf(lambda: True)() is False and lock.giving_way(lambda: True)() is True
