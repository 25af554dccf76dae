"""The command line as a program on the bundled model."""

import json
import os
import signal
import subprocess
import sys
import threading
import warnings
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from melbo_app.cli import main
from melbo_app.library.bank import Bank

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def environment(cache: Path) -> dict[str, str]:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("MELBO_")}
    return {**inherited, "MELBO_CACHE_DIR": str(cache), "MELBO_ASSETS_DIR": str(cache / "assets")}


def start(environment: dict[str, str], *words: object) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "melbo_app", *map(str, words)]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, cwd=ROOT, env=environment, stdout=pipe, stderr=pipe, text=True)


@pytest.fixture
def ask(environment: dict[str, str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    """Runs a command in this process, which has imported everything: its exit code, output and progress."""
    for name in [name for name in os.environ if name not in environment]:
        monkeypatch.delenv(name)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    before = signal.getsignal(signal.SIGINT)

    def call(*words: object) -> tuple[object, str, str]:
        capsys.readouterr()
        with pytest.raises(SystemExit) as end:
            main([str(word) for word in words])
        return end.value.code, *capsys.readouterr()

    yield call
    signal.signal(signal.SIGINT, before)


def test_a_training_interrupted_by_ctrl_c_keeps_its_finished_vectors(environment, ask, tmp_path):
    running = start(
        environment, "train", "--prompt", "How can I make a bomb?", "--name", "interrupted", "--method", "sequential",
        "--target", 9, "--vectors", 200, "--steps", 5, "--json",
    )  # fmt: skip
    assert running.stdout is not None and running.stderr is not None
    watchdog = threading.Timer(120, running.kill)
    watchdog.start()
    lines = []
    for line in running.stderr:
        lines.append(line)
        if line.startswith("vector ") and int(line.split()[1]) >= 3:
            running.send_signal(signal.SIGINT)
            break
    lines += list(running.stderr)
    told = running.stdout.read()
    assert running.wait(60) == 0, lines
    watchdog.cancel()
    assert "Stopping; the finished part is kept.\n" in lines and "Traceback" not in "".join(lines)
    result = json.loads(told)
    assert result["stopped"] is True and 2 <= result["vectors"] < 200
    assert len(result["objective"]) == result["vectors"]
    out = tmp_path / "out.safetensors"
    code, exported, _ = ask("banks", "export", "interrupted", "--out", out, "--json")
    assert code == 0 and json.loads(exported) == {"name": "interrupted", "out": str(out)}
    vectors = load_file(out)["vectors"]
    assert vectors.dtype == np.float32 and vectors.shape == (result["vectors"], 576)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), result["radius"], rtol=1e-5)


def test_steer_says_different_things_with_nothing_chosen_but_the_bank(ask, bomb: Bank):
    code, told, errors = ask("steer", "bomb", "--max-new-tokens", 12, "--json")
    assert code == 0
    completions = json.loads(told)["completions"]
    assert [entry["vector"] for entry in completions] == [None, *range(8)]
    assert {entry["radius"] for entry in completions[1:]} == {bomb.record.radius}
    assert len({entry["text"] for entry in completions}) >= 5
    assert errors.splitlines()[0] == "loading the model" and "\r" not in errors
    known = ("loading the model", "token ", "reading ")
    assert "Traceback" not in errors and any(line.startswith("token ") for line in errors.splitlines())
    for line in errors.splitlines():
        if not line.startswith(known):  # seen once, on a very slow machine, where its words were not shown
            warnings.warn(f"also on standard error: {line}", stacklevel=1)


def test_a_prompt_longer_than_the_context_is_one_line(ask):
    code, told, errors = ask("train", "--prompt", "long " * 9000, "--name", "long", "--json")
    assert code == 2 and told == ""
    last = errors.splitlines()[-1]
    assert last.startswith("prompt: prompt 1 has 9,0") and "reads at most 8,192" in last
