"""``app.py`` before it serves anything: what is asked for and cannot be is said in one line."""

import importlib.util
import os
import subprocess
import sys

import gradio as gr
import pytest

import app
from melbo_app.library.server_lock import ServerLock
from melbo_app.settings import Settings
from melbo_app.ui.application import LOOKS


def test_mcp_without_its_package_is_refused_with_the_remedy(monkeypatch, capsys):
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "mcp" else found(name))
    monkeypatch.setattr("sys.argv", ["app.py", "--mcp"])
    assert app.main() == 2
    assert capsys.readouterr().err == "mcp: the package mcp is not installed. Run: make install\n"


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


def test_what_is_set_of_gradio_s_queue_is_there():
    """A release that calls it otherwise would look for events a thousand times a second again, unnoticed."""
    with gr.Blocks() as page:
        queue = page._queue
    assert 0 < queue.sleep_when_free < LOOKS and 0 < queue.progress_update_sleep_when_free < 1
    assert queue.ANAYLTICS_CACHE_FREQUENCY == 1  # of GRADIO_ANALYTICS_CACHE_FREQUENCY
