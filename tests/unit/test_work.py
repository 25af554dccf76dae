"""Work: what it returns, its progress in other words, and several at once."""

import threading
import time
import weakref
from types import SimpleNamespace

import pytest
from patience import PATIENCE

from melbo_app.errors import Stopped
from melbo_app.jobs import generators as work
from melbo_app.jobs.generators import map_progress, result_of, together, unless_stopped


def steps(count: int, log: list | None = None, name: str = ""):
    """Work of so many steps that returns its name; how it ended is in the log."""
    try:
        for done in range(count):
            yield SimpleNamespace(done=done + 1, total=count, name=name)
        return name
    finally:
        if log is not None:
            log.append(name)


def test_all_progress_is_heard_and_the_result_returned():
    heard = []
    assert result_of(steps(3, name="a"), heard.append) == "a"
    assert [now.done for now in heard] == [1, 2, 3]


def test_progress_is_told_in_other_words_and_work_that_is_left_is_closed():
    log = []
    told = map_progress(steps(3, log, "a"), lambda now: f"{now.done} of {now.total}")
    assert next(told) == "1 of 3"
    told.close()
    assert log == ["a"]
    heard = []
    assert result_of(map_progress(steps(2, name="b"), lambda now: now.done), heard.append) == "b"
    assert heard == [1, 2]


@pytest.mark.parametrize("counts", [(), (0,), (0, 0), (3,), (2, 2), (1, 4, 0), (5, 1)])
def test_works_go_on_side_by_side_and_their_results_come_in_order(counts):
    heard, log = [], []
    works = [steps(count, log, name) for name, count in zip("abc", counts, strict=False)]
    assert result_of(together(*works), heard.append) == list("abc"[: len(counts)])
    assert len(heard) == max(counts, default=0)  # a step of each at a time
    assert sorted(log) == list("abc"[: len(counts)])


def test_the_one_that_is_least_far_is_told_of():
    heard = []
    result_of(together(steps(2, name="short"), steps(8, name="long")), heard.append)
    assert {now.name for now in heard} == {"long"} and [now.done for now in heard] == list(range(1, 9))


def test_an_error_in_one_ends_all():
    def fails():
        yield SimpleNamespace(done=0, total=1)
        raise ValueError("no")

    log = []
    with pytest.raises(ValueError, match="no"):
        result_of(together(steps(9, log, "a"), fails(), steps(9, log, "c")))
    assert sorted(log) == ["a", "c"]


def test_a_call_elsewhere_is_waited_for_until_somebody_says_stop(monkeypatch):
    monkeypatch.setattr(work, "ASKED_EVERY", 0.001)
    asked, answered = [], threading.Event()
    with pytest.raises(Stopped):
        unless_stopped(lambda _: answered.wait(10.0), lambda: asked.append(1) or len(asked) == 2)
    assert len(asked) == 2
    answered.set()
    assert unless_stopped(lambda _: "answer", lambda: True) == "answer"
    with pytest.raises(ZeroDivisionError):
        unless_stopped(lambda _: 1 / 0, lambda: False)


def test_who_leaves_is_answered_at_once_and_the_work_is_told_and_its_result_dropped():
    begun, told = threading.Event(), threading.Event()

    class Large:
        pass

    made = []

    def work(left):
        large = Large()
        made.append(weakref.ref(large, lambda _: told.set()))
        begun.set()
        while not left():
            time.sleep(0.001)
        return large

    with pytest.raises(Stopped):
        unless_stopped(work, begun.is_set)
    assert told.wait(PATIENCE)
    assert made[0]() is None


def test_ctrl_c_tells_the_work_as_well():
    begun, ended = threading.Event(), threading.Event()

    def work(left):
        begun.set()
        while not left():
            time.sleep(0.001)
        ended.set()

    def interrupted():
        if begun.wait(PATIENCE):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        unless_stopped(work, interrupted)
    assert ended.wait(PATIENCE)
