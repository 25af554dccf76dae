"""A job: what can be seen of it while it runs, and how it ends."""

import logging
import threading
import time

import pytest

from melbo_app.errors import InputError, Stopped
from melbo_app.jobs.job import Job

PATIENCE = 10.0


def gated(progress, gate: threading.Event, result="result"):
    """Work that shows ``progress`` and then waits for ``gate``, or for Stop."""

    def work(stop):
        yield progress
        while not (gate.wait(0.001) or stop()):
            pass
        return result

    return work


def test_a_running_job_shows_its_progress_and_ends_with_its_result():
    gate = threading.Event()
    job = Job("Training “a”", gated("half way", gate))
    while job.progress is None:
        assert not job.wait(0.001)
    assert (job.state, job.is_active, job.progress, job.result) == ("running", True, "half way", None)
    assert job.ended is None
    gate.set()
    assert job.wait(PATIENCE)
    assert (job.state, job.is_active, job.result, job.error) == ("done", False, "result", None)
    assert job.ended is not None and job.ended >= job.started


def test_a_stopped_job_keeps_its_result():
    job = Job("Training", gated("step 1", threading.Event(), "two vectors"))
    job.stop()
    assert job.state in ("stopping", "stopped")
    assert job.wait(PATIENCE)
    assert (job.state, job.result) == ("stopped", "two vectors")


def test_a_job_stopped_before_there_was_anything_to_keep_has_not_failed():
    def work(stop):
        yield 1
        while not stop():
            time.sleep(0.001)
        raise Stopped("nothing was saved")

    job = Job("Training", work)
    job.stop()
    assert job.wait(PATIENCE)
    assert (job.state, job.result, job.error) == ("stopped", None, None)


def test_between_stop_and_the_end_a_job_says_that_it_is_stopping():
    gate = threading.Event()

    def deaf(stop):
        yield 1
        gate.wait(PATIENCE)

    job = Job("Training", deaf)
    job.stop()
    assert job.state == "stopping" and job.is_active
    gate.set()
    assert job.wait(PATIENCE)
    assert job.state == "stopped"


def test_stop_after_the_end_changes_nothing():
    gate = threading.Event()
    gate.set()
    job = Job("Training", gated(1, gate))
    assert job.wait(PATIENCE)
    job.stop()
    assert job.state == "done"


def test_an_error_for_people_is_shown_as_its_sentence():
    def work(stop):
        yield 1
        raise InputError("target layer", "7 is not above the source layer 7", "Choose 8 or more")

    job = Job("Training", work)
    assert job.wait(PATIENCE)
    assert job.state == "failed" and job.result is None
    assert job.error == "target layer: 7 is not above the source layer 7. Choose 8 or more."


@pytest.mark.parametrize("error", [RuntimeError("the device is on fire"), ZeroDivisionError(), MemoryError()])
def test_an_error_that_nobody_foresaw_ends_the_job_and_is_logged_but_the_server_goes_on(error, caplog):
    def work(stop):
        yield 1
        raise error

    with caplog.at_level(logging.ERROR):
        job = Job("Training “a”", work)
        assert job.wait(PATIENCE)
    assert job.state == "failed"
    assert job.error is not None and job.error.startswith("Training “a” failed: ")
    assert (str(error) or type(error).__name__) in job.error
    assert caplog.records[0].exc_info  # the whole story is in the log
    later = Job("Training “b”", gated(1, threading.Event()))
    later.stop()
    assert later.wait(PATIENCE) and later.state == "stopped"


def test_waiting_for_a_job_that_goes_on_gives_up():
    job = Job("Training", gated(1, threading.Event()))
    assert not job.wait(0.01)
    job.stop()
    assert job.wait(PATIENCE)
