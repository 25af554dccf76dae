"""``app.py`` before it serves anything: what is asked for and cannot be is said in one line."""

import errno
import importlib.util
import os
import shutil
import subprocess
import sys
from datetime import UTC, datetime

import gradio as gr
import numpy as np
import pytest

import app
from melbo_app import cli
from melbo_app.library.bank import Bank, BankRecord
from melbo_app.library.server_lock import ServerLock
from melbo_app.settings import Settings
from melbo_app.ui.application import LOOKS

RECORD = BankRecord(
    name="b", model="tiny", model_hash="ab" * 32, hidden_size=2, source=1, radius=1.0, method="joint",
    created=datetime(2026, 11, 21, tzinfo=UTC),
)  # fmt: skip


def test_mcp_without_its_package_is_refused_with_the_remedy(monkeypatch, capsys):
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "mcp" else found(name))
    for door in (lambda: app.main(["--mcp"]), lambda: cli.main(["serve", "--mcp"])):
        with pytest.raises(SystemExit, match="2"):
            door()
        assert capsys.readouterr().err == "mcp: the package mcp is not installed. Run: pip install mcp\n"


@pytest.mark.parametrize(("value", "wanted"), [(None, False), ("true", True), ("0", False)])
def test_mcp_is_off_unless_the_environment_asks_for_it(monkeypatch, value, wanted):
    monkeypatch.delenv("MELBO_MCP", raising=False)
    if value is not None:
        monkeypatch.setenv("MELBO_MCP", value)
    assert Settings().mcp is wanted


def test_what_two_threads_would_deadlock_over_is_imported_before_there_are_two(tmp_path):
    """plotly imports one half of narwhals.stable and scikit-learn the other, and the halves import each other."""
    lock = ServerLock(tmp_path)
    lock.take("http://x:1")  # so app.py ends before it starts a thread, and before it imports either of them
    environment = {**os.environ, "MELBO_CACHE_DIR": str(tmp_path)}
    command = [sys.executable, "-X", "importtime", app.__file__]
    started = subprocess.run(command, env=environment, capture_output=True, text=True)
    lock.release()
    assert started.returncode == 2 and "http://x:1" in started.stderr
    imported = {line.rpartition("|")[2].strip() for line in started.stderr.splitlines()}
    assert {"narwhals.stable.v1", "narwhals.stable.v2"} <= imported
    assert not imported & {"plotly", "sklearn", "gradio"}


def refuse_to_write(monkeypatch):
    def refuse(*_, **__):
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    for name in ("unlink", "mkdir", "touch"):
        monkeypatch.setattr(f"pathlib.Path.{name}", refuse)


def test_a_cache_that_became_read_only_lets_the_server_end(tmp_path, monkeypatch):
    lock = ServerLock(tmp_path)
    lock.take("http://x:1")
    assert lock.is_held
    with monkeypatch.context() as patch:
        refuse_to_write(patch)
        lock.release()
    assert not lock.is_held
    ServerLock(tmp_path).take("http://x:2")


def test_a_cache_that_vanished_lets_the_server_end(tmp_path):
    lock = ServerLock(tmp_path / "cache")
    lock.take("http://x:1")
    shutil.rmtree(tmp_path / "cache")
    lock.release()


READ_ONLY = """
import sys, threading, time
from pathlib import Path
from melbo_app.errors import MelboError
from melbo_app.library.bank import Bank, BankRecord
from melbo_app.library.server_lock import ServerLock
from melbo_app.settings import Settings
from melbo_app.workbench import Workbench
bench = Workbench(Settings())
lock = ServerLock(bench.settings.cache_dir)
try:
    lock.take("http://x:1")
except MelboError as error:
    print("lock:", error)
print("labels:", [label.name for label in bench.labels()], len(bench.comparisons()), lock.is_held)
for act in (bench.put_in_samples, lambda: bench.save_label("b", 0, name="x"), bench.copy_database):
    try:
        act()
    except MelboError as error:
        print("told:", type(error).__name__)
bench.last_try()
lock.release()
"""


@pytest.mark.parametrize("log", ["written back", "left by a killed program"])
def test_a_read_only_cache_can_be_looked_at(bench, tmp_path, log):
    """The folder is mounted read-only over itself, in a mount namespace of its own."""
    if subprocess.run(["unshare", "-m", "true"], capture_output=True, check=False).returncode:
        pytest.skip("nothing can be mounted here")
    bench.bench.banks.save(Bank(RECORD, np.eye(2, dtype=np.float32)))
    bench.save_label("b", 0, name="said")
    cache = tmp_path / "shown"
    if log == "written back":
        bench.bench.database.close()
    shutil.copytree(bench.settings.cache_dir, cache)
    assert (cache / "melbo.sqlite-wal").exists() == (log != "written back")
    mounted = 'mount --bind "$1" "$1" && mount -o remount,ro,bind "$1" && exec "$2" -c "$3"'
    command = ["unshare", "-m", "sh", "-c", mounted, "sh", str(cache), sys.executable, READ_ONLY]
    done = subprocess.run(
        command, env={**os.environ, "MELBO_CACHE_DIR": str(cache)}, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "lock: “" in done.stdout and "cannot be locked for this server (Read-only file system)" in done.stdout
    assert "labels: ['said'] 0 False" in done.stdout and "told: StorageError" in done.stdout


def test_what_is_set_of_gradio_s_queue_is_there(monkeypatch):
    """A release that calls it otherwise would look for events a thousand times a second again, unnoticed."""
    monkeypatch.delenv("GRADIO_ANALYTICS_CACHE_FREQUENCY")
    with gr.Blocks() as page:
        queue = page._queue
    assert 0 < queue.sleep_when_free < LOOKS and 0 < queue.progress_update_sleep_when_free < 1
    assert queue.ANAYLTICS_CACHE_FREQUENCY == 1  # of GRADIO_ANALYTICS_CACHE_FREQUENCY
