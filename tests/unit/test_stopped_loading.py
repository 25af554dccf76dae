"""Stopping while a model is unpacked and loaded: the caller is answered, the work ends, and what was there stays."""

import os
import subprocess
import sys
import threading
import weakref
from pathlib import Path

import benches
import pytest
import torch
from patience import PATIENCE
from test_weights import write_gguf

from melbo_app.engine import model as engine_model
from melbo_app.engine.model import load
from melbo_app.engine.stopping import never
from melbo_app.errors import InputError, Stopped, StorageError
from melbo_app.library import file_hashes, model_program, weights
from melbo_app.library.file_hashes import file_hash
from melbo_app.library.model_program import download, unpack
from melbo_app.ui.verbs import library as verbs


@pytest.fixture
def other(tmp_path: Path) -> str:
    return str(benches.save_tiny(tmp_path / "other", seed=1))


def test_a_model_is_loaded_as_long_as_nobody_says_stop_and_no_longer(model_folder):
    asked: list[int] = []
    load(str(model_folder), "tiny", "", "cpu", stop=lambda: bool(asked.append(1)))
    whole = len(asked)
    for at in (1, whole // 3, whole // 2, whole):
        asked.clear()
        with pytest.raises(Stopped):
            load(str(model_folder), "tiny", "", "cpu", stop=lambda at=at: asked.append(1) or len(asked) >= at)
        assert len(asked) <= at + 3
    assert whole > 30
    assert torch.get_default_dtype() == torch.float32 and torch.is_grad_enabled()


def test_a_stop_ends_the_loading_and_the_present_model_stays(bench, other, monkeypatch):
    bench.load_model()
    begun, ended = threading.Event(), threading.Event()

    def forever(*_):
        begun.set()
        try:
            while True:
                torch.ones(1).add(1)
        finally:
            ended.set()

    with monkeypatch.context() as patched:
        patched.setattr(engine_model, "_model", forever)
        with pytest.raises(Stopped):
            bench.load_model(other, stop=begun.is_set)
        assert ended.wait(PATIENCE)
    state = bench.model_state()
    assert (state.name, state.loaded, state.error) == ("tiny", True, None)
    assert bench.load_model(other).name == "other"


def test_what_cannot_be_stopped_goes_on_for_nobody_and_the_next_load_waits_for_its_end(bench, other, monkeypatch):
    bench.load_model()
    begun, go_on, freed, read = threading.Event(), threading.Event(), threading.Event(), bench.bench.model._read

    class Large:
        pass

    def deaf(files, stop):
        monkeypatch.setattr(bench.bench.model, "_read", read)
        large = Large()
        weakref.finalize(large, freed.set)
        begun.set()
        assert go_on.wait(PATIENCE)
        return large

    monkeypatch.setattr(bench.bench.model, "_read", deaf)
    with pytest.raises(Stopped):
        bench.load_model(other, stop=begun.is_set)
    assert bench.tokens([benches.PROMPT], "all")  # the present one is usable
    asked = []
    with pytest.raises(Stopped):  # who waits for its end may leave, too
        bench.load_model(other, stop=lambda: asked.append(1) or len(asked) == 2)
    following: list[str] = []
    second = threading.Thread(target=lambda: following.append(bench.load_model(other).name))
    second.start()
    assert bench.model_state().name == "tiny" and not following
    go_on.set()
    assert freed.wait(PATIENCE)
    second.join(PATIENCE)
    assert following == ["other"]


def test_a_program_that_leaves_ends_the_loading_that_it_asked_for(bench, monkeypatch):
    begun = threading.Event()

    def forever(*_):
        begun.set()
        while True:
            torch.ones(1).add(1)

    monkeypatch.setattr(bench.bench.model, "_read", lambda files, stop: load(files.path, "x", "", "cpu", stop=stop))
    monkeypatch.setattr(engine_model, "_model", forever)
    monkeypatch.setattr(verbs, "leaving", lambda: begun.is_set)
    with pytest.raises(Stopped):
        verbs.LibraryVerbs(bench).load_model()
    assert not bench.model_state().loaded


def test_reading_a_large_file_is_stopped_and_its_hash_not_remembered(tmp_path, monkeypatch):
    monkeypatch.setattr(file_hashes, "BLOCK", 2)
    (tmp_path / "file").write_bytes(b"twelve bytes")
    asked = []
    with pytest.raises(Stopped):
        file_hash(tmp_path / "file", tmp_path, lambda: asked.append(1) or len(asked) == 3)
    assert len(asked) == 3
    assert not (tmp_path / "models").exists()


# ---- the program that unpacks


def stand_in(monkeypatch: pytest.MonkeyPatch, code: str) -> None:
    monkeypatch.setattr(model_program, "PROGRAM", (sys.executable, "-S", "-c", code))
    monkeypatch.setattr(weights, "unpack", unpack)
    monkeypatch.setattr(weights, "download", download)


def test_a_stop_ends_the_program_and_leaves_nothing_half_unpacked(tmp_path, monkeypatch):
    gguf, cache, begun = write_gguf(tmp_path / "tiny.gguf"), tmp_path / "cache", tmp_path / "begun"
    code = f"""
import os, sys, time
open(sys.argv[3] + "/model.safetensors", "w").write("half of it")
open({str(begun)!r} + ".part", "w").write(str(os.getpid()))
os.rename({str(begun)!r} + ".part", {str(begun)!r})
time.sleep({PATIENCE})
"""
    stand_in(monkeypatch, code)
    with pytest.raises(Stopped):
        weights.resolve(str(gguf), cache, stop=begun.exists)
    with pytest.raises(ProcessLookupError):
        os.kill(int(begun.read_text()), 0)
    assert weights.cached(cache) == []
    assert [path.name for path in (cache / "models").iterdir() if path.is_dir()] == []


def test_a_download_by_name_is_a_program_as_well(tmp_path, monkeypatch):
    folder = benches.save_tiny(tmp_path / "snapshot")
    stand_in(
        monkeypatch,
        f"import json, sys; print(json.dumps({{'folder': {str(folder)!r}}} if sys.argv[2] == 'o/n' else 0))",
    )
    files = weights.fetch(weights.resolve("o/n", tmp_path), tmp_path)
    assert (files.path, files.spec) == (str(folder), "o/n")
    begun = tmp_path / "begun"
    stand_in(monkeypatch, f"import time; open({str(begun)!r}, 'w').close(); time.sleep({PATIENCE})")
    with pytest.raises(Stopped):
        weights.fetch(weights.resolve("o/n", tmp_path), tmp_path, stop=begun.exists)


@pytest.mark.parametrize(
    ("code", "error", "said"),
    [
        ("print('a bar'); print('{\"input\": [\"model\", \"it lacks x\", \"Copy it\"]}')",
         InputError, "model: it lacks x. Copy it."),
        ("print('{\"storage\": \"The disk is full.\"}')", StorageError, "The disk is full."),
        ("import os; os.kill(os.getpid(), 9)", StorageError, "the system ended it, perhaps for lack of memory"),
        ("raise SystemError('no reason')", StorageError, "tiny.gguf could not be unpacked: SystemError: no reason."),
    ],
)  # fmt: skip
def test_what_goes_wrong_in_the_program_is_said_here(tmp_path, monkeypatch, code, error, said):
    stand_in(monkeypatch, code)
    with pytest.raises(error, match=said):
        unpack(tmp_path / "tiny.gguf", tmp_path, never)


def test_the_program_refuses_by_itself_what_is_no_model(tmp_path):
    (tmp_path / "no.gguf").write_bytes(b"GGUF")
    with pytest.raises(InputError, match="no.gguf is not a complete GGUF file: it ends too early"):
        unpack(tmp_path / "no.gguf", tmp_path, never)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="a file that never ends")
def test_the_program_does_not_outlive_the_one_that_began_it(tmp_path):
    os.mkfifo(tmp_path / "endless.gguf")
    program = subprocess.Popen(
        [*model_program.PROGRAM, "unpack", str(tmp_path / "endless.gguf"), str(tmp_path)],
        stdin=subprocess.PIPE, cwd=Path(model_program.__file__).parents[2],
    )  # fmt: skip
    program.stdin.close()
    assert program.wait(PATIENCE) == 1
