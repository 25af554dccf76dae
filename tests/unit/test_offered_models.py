"""A server that loads only what its operator names: one sentence for all the rest, whether it is there or not."""

from pathlib import Path

import pytest
from benches import save_tiny, settings, trained

from melbo_app.errors import InputError
from melbo_app.library.model_catalogue import BUNDLED
from melbo_app.library.offered_models import OfferedModels
from melbo_app.settings import Settings
from melbo_app.workbench import Workbench

ONE_SENTENCE = "model: this server loads only the models that its operator names. Choose one of tiny, other."


@pytest.fixture
def bench(tmp_path: Path, model_folder: Path) -> Workbench:
    other = save_tiny(tmp_path / "deep" / "down" / "other", hidden_size=48, intermediate_size=96)
    offered = OfferedModels([str(model_folder), str(other)])
    return Workbench(settings(tmp_path / "cache", model_folder), offered=offered)


def asked(bench: Workbench, tmp_path: Path, model_folder: Path) -> list[str]:
    """What a stranger tries: folders and files, there or not, models in them, and the offered ones by their path."""
    unlisted = save_tiny(tmp_path / "unlisted")
    (tmp_path / "empty").mkdir()
    (tmp_path / "weights.gguf").write_bytes(b"GGUF")
    return [
        "/root/.ssh", "/nonexistent", str(tmp_path), str(tmp_path / "empty"), str(unlisted), str(model_folder),
        str(tmp_path / "deep" / "down" / "other"), f"{model_folder}/", f"{model_folder}/../tiny", "~", "~root", ".",
        "", "tiny/", "../tiny", str(tmp_path / "weights.gguf"), "owner/name", "qwen2.5-0.5b", "smollm2-135m", "\0",
        "x" * 5000,
    ]  # fmt: skip


def test_whatever_is_not_offered_is_refused_by_one_sentence(bench, tmp_path, model_folder):
    for spec in asked(bench, tmp_path, model_folder):
        with pytest.raises(InputError) as refused:
            bench.load_model(spec)
        assert str(refused.value) == ONE_SENTENCE, spec
        assert bench.model_state().error is None and not bench.is_absent("tiny")
    for key in ("qwen2.5-0.5b", "smollm2-135m"):
        for way in (
            bench.start_getting,
            lambda key: next(bench.get_model(key)),
            lambda key: next(bench.fetch_model(key)),
        ):
            with pytest.raises(InputError, match="only the models that its operator names"):
                way(key)
    file = tmp_path / "v.safetensors"
    file.write_bytes(trained(bench).to_bytes())
    assert bench.catalogue() == []


def test_folders_are_offered_under_their_names_which_banks_and_jobs_keep(bench, tmp_path, model_folder):
    assert bench.model_state().name == "tiny" and bench.offered_models == ["tiny", "other"]
    assert [(line.spec, line.loaded) for line in bench.models()] == [("tiny", False), ("other", False)]
    assert bench.load_model().name == "tiny"
    assert bench.load_model("other").name == "other"
    assert [(line.spec, line.loaded) for line in bench.models()] == [("tiny", False), ("other", True)]
    bench.load_model("tiny")
    record = trained(bench).record
    assert record.model == "tiny" and str(tmp_path) not in record.model_dump_json()
    assert str(model_folder.parent) not in record.model_dump_json()


def test_of_a_server_that_names_some_the_first_is_always_one(tmp_path):
    given = Settings(cache_dir=tmp_path, model="/a/b/one", models="/c/one, qwen2.5-0.5b,,owner/two , smollm2-135m")
    offered = OfferedModels.of(given)
    assert offered.names == ["one", "one-2", "qwen2.5-0.5b", "owner/two", BUNDLED.name]
    assert [offered.check(name) for name in offered.names[:2]] == ["/a/b/one", "/c/one"]
    assert offered.check("QWEN2.5-0.5B") == "qwen2.5-0.5b" and offered.check("smollm2-135m") == BUNDLED.name
    assert OfferedModels.of(Settings(cache_dir=tmp_path, model="m", public=True)).names == ["m"]
    assert not OfferedModels.of(Settings(cache_dir=tmp_path, model="m")).limited


def test_a_model_in_a_file_is_offered_without_its_ending(tmp_path):
    assert OfferedModels(["/srv/x.GGUF", "y.gguf"]).names == ["x", "y"]


def test_a_home_folder_is_read_as_for_the_first_model(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "m").mkdir()
    assert Settings(cache_dir=tmp_path, models="~/m, owner/two").models == (str(tmp_path / "m"), "owner/two")
    monkeypatch.setenv("MELBO_MODELS", "~/m,b")
    assert Settings(cache_dir=tmp_path).models == (str(tmp_path / "m"), "b")
