"""A job: what can be seen of it while it runs, and how it ends."""

import logging
import re
import threading
import time
from datetime import UTC, datetime

import pytest
import torch
from patience import PATIENCE

from melbo_app.errors import InputError, Stopped
from melbo_app.jobs.job import Job
from melbo_app.jobs.progress import Progress
from melbo_app.jobs.study import Study
from melbo_app.library.job_records import JobRecord

HALF = Progress("half way", 1, 2)


class Something(Study):
    kind = "training"


def begun(title: str, work, changed=lambda job: None) -> Job:
    """A job at work; ``work`` takes the question whether it should stop."""
    now = datetime.now(UTC)
    record = JobRecord(id=1, kind="training", title=title, request={}, state="waiting", who="me", created=now)
    job = Job(record, Something(), lambda job: work(job.is_stopping), changed)
    job.start()
    return job


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
    job = begun("Training “a”", gated(HALF, gate))
    while job.progress is None:
        assert not job.wait(0.001)
    assert (job.state, job.is_active, job.progress, job.result) == ("running", True, HALF, None)
    assert job.ended is None
    gate.set()
    assert job.wait(PATIENCE)
    assert (job.state, job.is_active, job.result, job.error) == ("done", False, "result", None)
    assert job.ended is not None and job.ended >= job.started


def test_what_changes_is_told_by_one_thread_at_a_time_and_the_end_comes_last():
    told = []

    def changed(job):
        state = job.record().state
        if state == "stopping":
            over.wait(0.2)  # the work ends meanwhile
        told.append(state)

    def work(stop):
        while not stop():
            yield HALF
        over.set()

    over = threading.Event()
    job = begun("Training", work, changed)
    job.stop()
    assert job.wait(PATIENCE) and told[-1] == "stopped"


def test_a_stopped_job_keeps_its_result():
    job = begun("Training", gated(HALF, threading.Event(), "two vectors"))
    job.stop()
    assert job.state in ("stopping", "stopped")
    assert job.wait(PATIENCE)
    assert (job.state, job.result) == ("stopped", "two vectors")


def test_a_job_stopped_before_there_was_anything_to_keep_has_not_failed():
    def work(stop):
        yield HALF
        while not stop():
            time.sleep(0.001)
        raise Stopped("nothing was saved")

    job = begun("Training", work)
    job.stop()
    assert job.wait(PATIENCE)
    assert (job.state, job.result, job.error) == ("stopped", None, None)


def test_between_stop_and_the_end_a_job_says_that_it_is_stopping():
    gate = threading.Event()

    def deaf(stop):
        yield HALF
        gate.wait(PATIENCE)

    job = begun("Training", deaf)
    job.stop()
    assert job.state == "stopping" and job.is_active
    gate.set()
    assert job.wait(PATIENCE)
    assert job.state == "stopped"


def test_stop_after_the_end_changes_nothing():
    gate = threading.Event()
    gate.set()
    job = begun("Training", gated(HALF, gate))
    assert job.wait(PATIENCE)
    job.stop()
    assert job.state == "done"


def test_an_error_for_people_is_shown_as_its_sentence():
    def work(stop):
        yield HALF
        raise InputError("target layer", "7 is not above the source layer 7", "Choose 8 or more")

    job = begun("Training", work)
    assert job.wait(PATIENCE)
    assert job.state == "failed" and job.result is None
    assert job.error == "target layer: 7 is not above the source layer 7. Choose 8 or more."


@pytest.mark.parametrize("error", [RuntimeError("the device is on fire"), ZeroDivisionError(), SystemExit("worker")])
def test_an_error_that_nobody_foresaw_ends_the_job_and_is_logged_but_the_server_goes_on(error, caplog):
    def work(stop):
        yield HALF
        raise error

    with caplog.at_level(logging.ERROR):
        job = begun("Training “a”", work)
        assert job.wait(PATIENCE)
    assert job.state == "failed"
    assert job.error is not None and job.error.startswith("Training “a” failed: ")
    assert (str(error) or type(error).__name__) in job.error
    assert caplog.records[0].exc_info  # the whole story is in the log
    later = begun("Training “b”", gated(HALF, threading.Event()))
    later.stop()
    assert later.wait(PATIENCE) and later.state == "stopped"


def test_waiting_for_a_job_that_goes_on_gives_up():
    job = begun("Training", gated(HALF, threading.Event()))
    assert not job.wait(0.01)
    job.stop()
    assert job.wait(PATIENCE)


OUT_OF_MEMORY = [
    (MemoryError(), ""),
    (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 8000000000 bytes."), "8 GB"),
    (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB. GPU 0 has"), "21 MB"),
]


@pytest.mark.parametrize(("error", "asked"), OUT_OF_MEMORY)
def test_out_of_memory_is_a_sentence_with_numbers_and_what_to_do(error, asked, monkeypatch):
    monkeypatch.setattr("melbo_app.engine.memory.free", lambda device: 5_000_000_000)

    def work(stop):
        yield HALF
        raise error

    job = begun("Training “a”", work)
    assert job.wait(PATIENCE) and job.state == "failed"
    asked = f" ({asked} more were needed)" if asked else ""
    assert job.error == (
        f"Training “a” failed: the memory was not enough{asked}; 5 GB are free now. Choose fewer vectors, or fewer or "
        "shorter prompts, or let each batch use less memory with MELBO_MEMORY_GB."
    )


def test_a_job_that_waits_can_be_removed_and_never_begins():
    now = datetime.now(UTC)
    record = JobRecord(id=1, kind="map", title="Map", request={}, state="waiting", who="me", created=now)
    job = Job(record, Something(), lambda job: pytest.fail("it began"))
    assert (job.state, job.is_active) == ("waiting", True)
    job.stop()
    job.start()
    assert (job.state, job.is_active, job.started) == ("stopped", False, None) and job.wait(PATIENCE)


def test_the_record_of_a_job_says_how_far_it_is_and_how_long_it_takes():
    gate = threading.Event()
    job = begun("Map", gated(Progress("completing", 2, 8, "Needs 3 MB."), gate))
    while job.progress is None:
        assert not job.wait(0.001)
    now = job.record()
    assert (now.state, now.progress.stage, now.progress.done, now.progress.total) == ("running", "completing", 2, 8)
    assert now.progress.seconds_left >= 0
    gate.set()
    assert job.wait(PATIENCE)
    lines = [line.text for line in job.record().log]
    assert lines[:2] == ["Started.", "Needs 3 MB."] and re.fullmatch(r"Done after \d+ s\.", lines[2])
