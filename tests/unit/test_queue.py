"""The server's jobs: queued, kept in the database, and gone on with after whatever ended the server."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from benches import PROMPT, QUICK, StubEmbedder, settings, trained
from patience import PATIENCE
from safetensors.numpy import load_file

from melbo_app.commands import serve
from melbo_app.engine import climb
from melbo_app.engine.batch import Batch
from melbo_app.engine.decoding import Decoding
from melbo_app.engine.prompt import Prompt
from melbo_app.errors import BusyError, InputError, Stopped, StorageError
from melbo_app.jobs import checkpointing, queue
from melbo_app.jobs.bench import Bench
from melbo_app.library import checkpoints
from melbo_app.library.database import Database
from melbo_app.library.job_records import JobRecords
from melbo_app.library.server_lock import ServerLock
from melbo_app.studies.map import DrawMap
from melbo_app.studies.steer import Steer
from melbo_app.studies.sweep import Sweep
from melbo_app.studies.train import Train
from melbo_app.workbench import Workbench

LONG = replace(QUICK, steps=1_000_000)
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def _often(monkeypatch: pytest.MonkeyPatch) -> None:
    """Trainings go on to the most steps, and checkpoints are written after every one."""
    monkeypatch.setattr(climb, "arrived", lambda heights: False)
    monkeypatch.setattr(checkpointing, "EVERY", 0.0)
    monkeypatch.setattr(checkpointing, "COST", 0.0)
    monkeypatch.setattr(queue, "SAVED_EVERY", 0.0)


@pytest.fixture
def first(bench: Workbench) -> Iterator[Workbench]:
    """A server with a training under way."""
    job = bench.start(Train(prompts=[PROMPT], config=LONG, name="first"))
    wait_until(lambda: job.progress is not None and job.progress.done > 1)
    yield bench
    job.stop()
    assert job.wait(PATIENCE)


def wait_until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.002)


def over(job):
    assert job.wait(PATIENCE)
    return job


def next_server(bench: Workbench) -> Workbench:
    return Workbench(bench.settings)


def equal(one, two) -> bool:
    """Whether two banks are the same but for their names and times."""
    changed = {"name": "", "created": one.record.created, "seconds": 0.0, "command": ""}
    records = [bank.record.model_copy(update=changed) for bank in (one, two)]
    return np.array_equal(one.vectors, two.vectors) and records[0] == records[1]


# --- the end of a server ---------------------------------------------------------------------------------------------

SERVERS = """
import sys, time
from dataclasses import replace
sys.path[:0] = {paths!r}
from benches import PROMPT, QUICK, settings
from pathlib import Path
from melbo_app.engine import climb
from melbo_app.jobs import checkpointing
from melbo_app.studies.train import Train
from melbo_app.workbench import Workbench
import torch
torch.set_num_threads(1)
climb.arrived = lambda heights: False
checkpointing.EVERY = 0.0
jobs = []
for method in ("joint", "sequential"):
    bench = Workbench(settings(Path({folder!r}) / method, Path({model!r})))
    config = replace(QUICK, method=method, steps={steps})
    jobs.append(bench.start(Train(prompts=[PROMPT], config=config, name=method), who="Ann"))
while not all(job.progress is not None and job.progress.done > {done} for job in jobs):
    time.sleep(0.001)
print("now", flush=True)
time.sleep(600)
"""


def test_a_training_killed_in_the_middle_goes_on_and_makes_the_same_bank(tmp_path, model_folder):
    paths, steps, done = [str(ROOT), str(ROOT / "tests" / "unit")], 40, 5
    script = SERVERS.format(paths=paths, folder=str(tmp_path), model=str(model_folder), steps=steps, done=done)
    both = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    assert both.stdout is not None and both.stdout.readline() == "now\n"
    os.kill(both.pid, signal.SIGKILL)
    both.wait()
    for method in ("joint", "sequential"):
        bench = Workbench(settings(tmp_path / method, model_folder))
        (record,) = bench.jobs()
        assert record.state == "running" and bench.banks() == []
        bench.resume_jobs()
        wait_until(lambda bench=bench: not bench.active_jobs())
        (record,) = bench.jobs()
        assert (record.state, record.who, record.bank) == ("done", "Ann", method)
        assert any("Resumed from the checkpoint" in line.text for line in record.log)
        assert equal(bench.bank(method), trained(bench, "whole", replace(QUICK, method=method, steps=steps)))
        # what was being written when the power went stays for a day, and is never read
        left = (tmp_path / method / "checkpoints").iterdir()
        assert all(file.name.startswith(".") and file.suffix == ".part" for file in left)


@pytest.mark.parametrize("method", ["joint", "sequential"])
def test_a_server_that_is_ended_leaves_its_training_to_the_next_one(bench, method, monkeypatch):
    for name in ("warm_up", "warm_up_map"):
        monkeypatch.setattr(Workbench, name, lambda self: None)
    monkeypatch.setattr(serve, "QUIET", 0.0)
    config = replace(QUICK, method=method, steps=30, start="jacobian" if method == "joint" else "random")
    whole = trained(bench, "whole", config)
    job = bench.start(Train(prompts=[PROMPT], config=config, name="a"))
    wait_until(lambda: job.progress is not None and job.progress.done >= 1)
    waits = bench.start(Train(prompts=[Prompt("hello you")], config=QUICK, name="b"))
    unfinished = bench.pause_jobs(PATIENCE)
    assert unfinished == [job.title, waits.title]
    assert [record.state for record in bench.jobs()] == ["waiting", "interrupted"]
    server = next_server(bench)
    serve.warm_up(server)
    wait_until(lambda: not server.active_jobs())
    assert [record.state for record in server.jobs()] == ["done", "done"]
    assert equal(server.bank("a"), whole) and server.bank("b").record.prompts[0].user == "hello you"


def test_a_damaged_checkpoint_is_not_used_and_the_log_says_so(first, tmp_path):
    first.pause_jobs(PATIENCE)
    (file,) = (tmp_path / "cache" / "checkpoints").iterdir()
    data = bytearray(file.read_bytes())
    data[-1] ^= 1
    file.write_bytes(data)
    server = next_server(first)
    server.resume_jobs()
    (job,) = server.active_jobs()
    wait_until(lambda: job.progress is not None and job.progress.done > 1)
    assert "The checkpoint is damaged: starting again." in [line.text for line in server.job(job.id).log]
    job.stop()
    assert job.wait(PATIENCE)


def test_a_checkpoint_of_other_weights_or_another_version_is_not_used(first, monkeypatch):
    first.pause_jobs(PATIENCE)
    monkeypatch.setattr("melbo_app.studies.trained_bank.__version__", "99")
    server = next_server(first)
    server.resume_jobs()
    (job,) = server.active_jobs()
    wait_until(lambda: job.progress is not None and job.progress.done > 1)
    assert "The checkpoint belongs to another version: starting again." in [
        line.text for line in server.job(job.id).log
    ]
    job.stop()
    assert job.wait(PATIENCE)


def test_a_training_for_another_model_stays_interrupted_until_that_one_is_loaded(first, tmp_path, model_folder):
    from benches import save_tiny

    first.pause_jobs(PATIENCE)
    other = Workbench(settings(tmp_path / "cache", save_tiny(tmp_path / "other", "gpt2")))
    other.resume_jobs()
    assert other.active_jobs() == [] and other.job(1).state == "interrupted"
    with pytest.raises(InputError, match="model: “Training “first”” is for .* Load that model first."):
        other.run_again(1)
    other.load_model(str(model_folder))
    job = other.run_again(1)
    wait_until(lambda: job.progress is not None and job.progress.done > 1)
    assert job.id == 1 and any("Resumed from the checkpoint" in line.text for line in other.job(1).log)
    job.stop()
    assert job.wait(PATIENCE)


def test_a_bank_that_was_saved_before_the_end_of_its_job_was_noted_is_that_jobs_bank(bench, monkeypatch):
    with monkeypatch.context() as cut:  # the power goes between the file's rename and the database's commit
        job = bench.start(Train(prompts=[PROMPT], config=replace(QUICK, steps=3), name="a"))
        cut.setattr(JobRecords, "save", lambda self, record: (_ for _ in ()).throw(StorageError("no power")))
        over(job)
    assert bench.bank("a")
    server = next_server(bench)
    server.resume_jobs()
    wait_until(lambda: not server.active_jobs())
    record = server.job(job.id)
    assert (record.state, record.bank) == ("done", "a") and [line.name for line in server.banks()] == ["a"]


def test_a_job_under_which_the_server_dies_again_and_again_is_given_up(first, tmp_path):
    first.pause_jobs(PATIENCE)
    records = JobRecords(Database(tmp_path / "cache" / "melbo.sqlite"))
    progress = first.job(1).progress
    for attempt in range(3):  # each time at the same place
        records.save(records.get(1).model_copy(update={"state": "running", "progress": progress}))
        server = next_server(first)
        server.resume_jobs()
        assert [record.state for record in server.jobs()] == ["failed" if attempt == 2 else "running"]
        server.pause_jobs(PATIENCE)
    assert "ended 3 times at this place" in server.job(1).error


def test_what_was_asked_to_stop_is_not_begun_anew_by_the_next_server_and_keeps_what_is_finished(first, tmp_path):
    trained(first, "bank")
    first.pause_jobs(PATIENCE)
    records = JobRecords(Database(tmp_path / "cache" / "melbo.sqlite"))
    asked = DrawMap(bank="bank", prompts=(PROMPT,), vectors=(0, 1), radii=(3.0, 6.0), decoding=Decoding(4))
    drawing = records.add("map", "Map", asked.kept(), "Bob")
    for record in (records.get(1), drawing):
        records.save(record.model_copy(update={"state": "stopping"}))
    server = next_server(first)
    server.resume_jobs()
    wait_until(lambda: not server.active_jobs())
    assert (server.job(1).state, server.job(1).bank) == ("stopped", "first")
    assert any("Resumed from the checkpoint" in line.text for line in server.job(1).log)
    assert (server.job(drawing.id).state, server.job(drawing.id).log) == ("stopped", ())
    wait_until(lambda: records.get(1).state == "stopped")


def test_a_wish_to_stop_is_kept_although_the_job_does_not_hear_it_yet(first, tmp_path, monkeypatch):
    trained(first, "bank")
    gate = threading.Event()

    def deaf(self, *asked):
        gate.wait(PATIENCE)
        raise Stopped
        yield

    monkeypatch.setattr(DrawMap, "completed", deaf)
    asked = DrawMap(bank="bank", prompts=(PROMPT,), vectors=(0, 1), radii=(3.0, 6.0), decoding=Decoding(4))
    drawing = first.start(asked)
    wait_until(lambda: drawing.progress is not None and drawing.progress.stage == "starting")
    first.stop_job(drawing.id)
    kept = JobRecords(Database(tmp_path / "cache" / "melbo.sqlite")).get(drawing.id)
    gate.set()
    assert kept.state == "stopping" and over(drawing).state == "stopped"


# --- faults ----------------------------------------------------------------------------------------------------------


def test_a_worker_that_dies_fails_alone_and_the_queue_goes_on(bench, monkeypatch):
    bench.load_model()
    with monkeypatch.context() as broken:
        broken.setattr("melbo_app.studies.train.train_bank", lambda *_: 1 / 0)
        job = over(bench.start(Train(prompts=[PROMPT], config=QUICK, name="a")))
    assert bench.job(job.id).error == "Training “a” failed: division by zero"
    assert over(bench.start(Train(prompts=[PROMPT], config=QUICK, name="b"))).state == "done"


def test_a_disk_without_room_for_checkpoints_does_not_end_a_training(bench, monkeypatch):
    def full(*_: object, **__: object) -> None:
        raise StorageError("The disk is full.")

    monkeypatch.setattr(checkpoints, "write_file", full)
    job = over(bench.start(Train(prompts=[PROMPT], config=QUICK, name="a")))
    told = [line.text for line in bench.job(job.id).log]
    assert job.state == "done" and told.count("The checkpoint could not be written: The disk is full.") == 1


def test_a_database_that_refuses_does_not_end_a_training_nor_hide_its_end(bench, monkeypatch):
    job = bench.start(Train(prompts=[PROMPT], config=LONG, name="a"))
    wait_until(lambda: job.progress is not None and job.progress.done > 1)
    with monkeypatch.context() as locked:
        locked.setattr(JobRecords, "save", lambda self, record: (_ for _ in ()).throw(StorageError("locked")))
        job.stop()
        over(job)
        assert (bench.job(job.id).state, bench.jobs()[0].bank) == ("stopped", "a")
    with monkeypatch.context() as locked:
        locked.setattr(JobRecords, "add", lambda *_: (_ for _ in ()).throw(StorageError("locked")))
        with pytest.raises(StorageError):
            bench.start(Train(prompts=[PROMPT], config=QUICK, name="b"))
    assert bench.active_jobs() == []


def test_a_second_server_on_the_same_cache_is_refused_by_name_until_the_first_is_killed(tmp_path):
    code = (
        f"import sys; sys.path.insert(0, {str(ROOT)!r})\nfrom pathlib import Path; import time\n"
        "from melbo_app.library.server_lock import ServerLock\n"
        f"lock = ServerLock(Path({str(tmp_path)!r})); lock.take('http://x:1')\n"
        "print('held', flush=True); time.sleep(600)"
    )
    first = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert first.stdout is not None and first.stdout.readline() == "held\n"
    with pytest.raises(BusyError) as refused:
        ServerLock(tmp_path).take("http://x:2")
    assert f"Another server already uses “{tmp_path}”: http://x:1 (process {first.pid})." in str(refused.value)
    environment = {**os.environ, "MELBO_CACHE_DIR": str(tmp_path)}
    started = subprocess.run([sys.executable, ROOT / "app.py"], env=environment, capture_output=True, text=True)
    assert started.returncode == 2 and started.stderr == f"{refused.value}\n"
    first.kill()
    first.wait()
    second = ServerLock(tmp_path)
    second.take("http://x:2")
    assert json.loads((tmp_path / "server.json").read_text())["pid"] == os.getpid()
    second.release()
    ServerLock(tmp_path).take("http://x:3")


# --- what goes ahead of what -----------------------------------------------------------------------------------------


def test_a_steered_completion_goes_between_the_next_steps_of_a_training(bench):
    trained(bench, "bank")
    job = bench.start(Train(prompts=[PROMPT], config=LONG, name="long"))
    wait_until(lambda: job.progress is not None and job.progress.done > 1)
    work = bench.run(Steer(bank="bank", prompts=[PROMPT], vectors=[0], radii=[6.0], decoding=Decoding(4)))
    before = job.progress.done
    next(work)
    assert job.progress.done <= before + 3  # the one under way, and those that end while this test looks
    while True:
        try:
            next(work)
        except StopIteration:
            break
    assert job.state == "running"
    job.stop()
    assert job.wait(PATIENCE)


def test_maps_and_sweeps_are_jobs_that_need_not_wait_for_a_training(first, monkeypatch):
    monkeypatch.setattr(Bench, "embedder", StubEmbedder())
    trained(first, "bank")
    asked = {"bank": "bank", "prompts": (PROMPT,), "vectors": (0, 1), "radii": (3.0, 6.0), "decoding": Decoding(4)}
    drawn = over(first.start(DrawMap(**asked), who="Bob"))
    swept = over(first.start(Sweep(random_control=False, **asked, both_signs=True), who="Bob"))
    assert first.job(1).state == "running"
    map_of, sweep_of = first.job(drawn.id), first.job(swept.id)
    assert (map_of.state, map_of.who, map_of.comparison) == ("done", "Bob", drawn.result.comparison)
    assert any(line.text.startswith("Needs up to ") for line in map_of.log)
    kept = first.comparison(sweep_of.comparison)
    assert kept.settings["kind"] == "sweep" and len(kept.completions) == 1 + 2 * 2 * 2
    assert [line.id for line in first.comparisons("sweep")] == [kept.id] and first.comparisons() == []
    with pytest.raises(InputError, match="vector"):
        first.start(DrawMap(**{**asked, "vectors": (99,)}))


def test_a_sweep_that_is_stopped_keeps_the_radii_that_are_done(bench, monkeypatch):
    trained(bench, "bank")
    radii = tuple(float(radius) for radius in range(1, 13))
    asked = Sweep(
        random_control=False, bank="bank", prompts=(PROMPT,), vectors=(0, 1), radii=radii, decoding=Decoding(24)
    )
    job = bench.start(asked)
    wait_until(lambda: job.progress is not None and "2 of 12" in job.progress.stage)
    job.stop()
    assert over(job).state == "stopped"
    kept = bench.comparison(bench.job(job.id).comparison)
    assert 1 + 2 <= len(kept.completions) < 1 + 2 * 12
    again = over(bench.run_again(job.id))
    assert again.state == "done" and len(again.result.completions) == 1 + 2 * 12


def test_a_sweep_that_is_stopped_computes_no_further_r_and_leaves_no_comparisons_of_nothing(bench, monkeypatch):
    trained(bench, "bank")
    radii = tuple(float(radius) for radius in range(1, 151))
    asked = Sweep(
        random_control=False, bank="bank", prompts=(PROMPT,), vectors=(0, 1), radii=radii, decoding=Decoding(24)
    )
    steps: list[int] = []
    real = Batch.step
    monkeypatch.setattr(Batch, "step", lambda self: steps.append(1) or time.sleep(0.01) or real(self))
    job = bench.start(asked)
    wait_until(lambda: job.progress is not None and "2 of 150: token" in job.progress.stage)
    job.stop()
    begun = len(steps)
    assert over(job).state == "stopped" and len(steps) - begun <= 2
    kept = [entry for line in bench.comparisons("part", 1000) for entry in bench.comparison(line.id).completions]
    assert kept and all(any(one.vector is not None for one in bench.comparison(line.id).completions)
                        for line in bench.comparisons("part", 1000))  # fmt: skip
    assert all(entry.finished or entry.tokens == 24 for entry in kept)
    whole = bench.comparison(bench.job(job.id).comparison)
    assert not whole.settings["finished"] and {one.radius for one in whole.completions} < {0.0, *radii[:3]}


def test_a_sweep_that_is_stopped_before_its_first_r_keeps_nothing(bench):
    trained(bench, "bank")
    asked = Sweep(
        random_control=False, bank="bank", prompts=(PROMPT,), vectors=(0,), radii=(1.0, 2.0), decoding=Decoding(24)
    )
    work = bench.run(asked, stop=lambda: True)
    with pytest.raises(Stopped):
        list(work)
    assert bench.comparisons("part") == bench.comparisons("sweep") == []


def test_a_job_is_run_again_under_a_free_name(bench):
    job = over(bench.start(Train(prompts=[PROMPT], config=QUICK, name="a")))
    again = over(bench.run_again(job.id, who="Bob"))
    assert again.id != job.id and bench.job(again.id).bank == "a-2" and bench.job(again.id).who == "Bob"
    assert np.array_equal(bench.bank("a").vectors, bench.bank("a-2").vectors)
    with pytest.raises(InputError, match="there is no job 99"):
        bench.run_again(99)
    with pytest.raises(InputError, match="has ended"):
        bench.stop_job(job.id)


def test_a_job_says_beforehand_what_memory_it_needs_and_one_that_needs_too_much_is_refused(bench):
    job = over(bench.start(Train(prompts=[PROMPT], config=QUICK, name="a")))
    (line,) = (line.text for line in bench.job(job.id).log if line.text.startswith("Needs "))
    assert line.endswith(" for 3 of 3 vectors at a time; 4 GB may be used.")
    small = Workbench(bench.settings.model_copy(update={"memory_gb": 1e-6}))
    asked = DrawMap(bank="a", prompts=(PROMPT,), vectors=(0,), radii=(6.0,), decoding=Decoding(4))
    failed = over(small.start(asked))
    assert (failed.error or "").startswith("memory: one text of ") and "1 kB may be used" in failed.error


def test_without_a_word_from_a_person_the_budget_is_a_share_of_what_the_machine_had(bench, monkeypatch):
    free = 10_000_000_000
    monkeypatch.setattr("melbo_app.engine.memory.free", lambda device: free)
    own = Workbench(bench.settings.model_copy(update={"memory_gb": None}))
    own.load_model()
    assert own.bench.model.memory_gb == pytest.approx(7.0)
    free = 50_000_000_000  # more came free later: the budget was set at the start
    assert own.bench.model.memory_gb == pytest.approx(7.0)
    free = 1_000_000_000  # others took it
    assert own.bench.model.memory_gb == pytest.approx(0.7)


def test_a_checkpoint_is_a_safetensors_file_that_goes_away_with_its_job(first, tmp_path):
    folder = tmp_path / "cache" / "checkpoints"
    wait_until(lambda: any(folder.glob("*.safetensors")))
    assert load_file(folder / "1.safetensors")["standing.thetas"].shape == (3, 32)
    first.stop_job(1)
    wait_until(lambda: not first.active_jobs())
    assert list(folder.iterdir()) == []
