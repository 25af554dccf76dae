"""What lies beside a model's weights is neither counted, nor part of its identity, nor downloaded."""

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import benches
import pytest
import torch
from huggingface_hub.errors import LocalEntryNotFoundError
from safetensors.torch import load_file, save_file
from tiny_models import encoded, tiny
from transformers import AutoModelForCausalLM

from melbo_app.engine.memory import weights_bytes
from melbo_app.engine.weight_files import INDEX, WHOLE, weight_files
from melbo_app.errors import InputError
from melbo_app.jobs.loaded_model import LoadedModel
from melbo_app.jobs.model_identity import identity
from melbo_app.library import hub
from melbo_app.library.weights import resolve

PARTS = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"]


def whole(folder: Path) -> Path:
    return benches.save_tiny(folder)


def in_parts(folder: Path) -> Path:
    lm = tiny("llama")
    lm.model.save_pretrained(folder, max_shard_size="60KB")
    lm.tokenizer.save_pretrained(folder)
    index = json.loads((folder / INDEX).read_text())
    names = sorted(set(index["weight_map"].values()))
    assert len(names) > 1
    return folder


def other(folder: Path, name: str) -> None:
    """The same names with other numbers, as another file of weights."""
    tensors: dict[str, torch.Tensor] = {}
    for file in weight_files(folder):
        tensors |= load_file(folder / file)
    (folder / name).parent.mkdir(exist_ok=True)
    save_file({key: tensor + 1 for key, tensor in tensors.items()}, folder / name, metadata={"format": "pt"})


def numbers(family: str = "llama") -> int:
    return sum(parameter.numel() for parameter in tiny(family).model.parameters())


@pytest.mark.parametrize("make", [whole, in_parts])
@pytest.mark.parametrize(
    "beside",
    [
        "consolidated.safetensors",
        "consolidated.00.safetensors",
        "model.fp16.safetensors",
        "original/model.safetensors",
        "onnx/model.safetensors",
        "open_clip_model.safetensors",
        "model-00009-of-00009.safetensors",
    ],
)
def test_weights_beside_those_that_are_loaded_change_nothing(make: Callable[[Path], Path], beside: str, tmp_path: Path):
    folder = make(tmp_path / "model")
    before = resolve(str(folder), tmp_path).weights_hash
    other(folder, beside)
    assert resolve(str(folder), tmp_path).weights_hash == before
    assert weights_bytes(folder, torch.float32) == 4 * numbers()
    lm = LoadedModel(benches.settings(tmp_path, folder)).load()
    batch, want = encoded(lm, "the heath"), tiny("llama")
    ids = (batch.input_ids, batch.attention_mask, batch.position_ids)
    torch.testing.assert_close(lm.forward(*ids).logits, want.forward(*ids).logits)
    assert identity(AutoModelForCausalLM.from_pretrained(folder), tmp_path) == before


@pytest.mark.parametrize("make", [whole, in_parts])
def test_the_identity_of_an_ordinary_folder_is_what_it_was(make: Callable[[Path], Path], tmp_path: Path):
    folder = make(tmp_path / "model")
    lines = [
        f"{file.name} {hashlib.sha256(file.read_bytes()).hexdigest()}\n"
        for file in sorted(folder.glob("*.safetensors"))
    ]
    assert resolve(str(folder), tmp_path).weights_hash == hashlib.sha256("".join(lines).encode()).hexdigest()


def loads(folder: Path) -> float:
    """A number of the weights that transformers reads from the folder."""
    model = AutoModelForCausalLM.from_pretrained(folder, local_files_only=True, use_safetensors=True)
    return float(model.model.norm.weight[0])


def number_of(folder: Path) -> float:
    files = [load_file(folder / name) for name in weight_files(folder)]
    return float(next(tensors["model.norm.weight"][0] for tensors in files if "model.norm.weight" in tensors))


def test_of_a_whole_file_and_an_index_the_file_is_taken_as_transformers_does(tmp_path: Path):
    folder = in_parts(tmp_path / "both")
    parts = weight_files(folder)
    other(folder, WHOLE)
    assert weight_files(folder) == [WHOLE] != parts
    assert number_of(folder) == loads(folder)


def test_the_file_that_the_config_names_goes_before_both(tmp_path: Path):
    folder = whole(tmp_path / "named")
    other(folder, "mine.safetensors")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "transformers_weights": "mine.safetensors"}))
    assert weight_files(folder) == ["mine.safetensors"]
    assert number_of(folder) == loads(folder)


def refused(folder: Path, cache: Path) -> str:
    with pytest.raises(InputError) as caught:
        resolve(str(folder), cache)
    assert caught.value.field == "model"
    return str(caught.value)


@pytest.mark.parametrize("name", ["consolidated.safetensors", "model.fp16.safetensors", PARTS[0]])
def test_a_file_that_nothing_names_is_refused_by_name(name: str, tmp_path: Path):
    folder = whole(tmp_path / "model")
    (folder / WHOLE).rename(folder / name)
    said = refused(folder, tmp_path)
    assert f"has {name}, but neither {WHOLE} nor {INDEX}" in said
    assert f"a single file of weights is called {WHOLE}" in said


def test_a_part_that_is_not_there_is_named_whatever_lies_beside(tmp_path: Path):
    folder = in_parts(tmp_path / "model")
    other(folder, "consolidated.safetensors")
    gone = weight_files(folder)[1]
    (folder / gone).unlink()
    assert f"lacks {gone}" in refused(folder, tmp_path)


@pytest.mark.parametrize("path", ["../elsewhere.safetensors", "/etc/hostname", "a/../../b.safetensors"])
def test_an_index_that_leads_out_of_the_folder_is_refused(path: str, tmp_path: Path):
    folder = whole(tmp_path / "model")
    (folder / WHOLE).unlink()
    (folder / INDEX).write_text(json.dumps({"metadata": {}, "weight_map": {"a": path}}))
    assert "refers to weights outside it" in refused(folder, tmp_path)


# ---- the hub


class Repository:
    """A repository of the hub in a folder; ``fetched`` is what was downloaded of it, into another."""

    def __init__(self, files: Path, local: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.files, self.local, self.reached = files, local, True
        monkeypatch.setattr("huggingface_hub.HfApi.model_info", self._info)
        monkeypatch.setattr("huggingface_hub.snapshot_download", self._snapshot)

    @property
    def fetched(self) -> set[str]:
        return {str(path.relative_to(self.local)) for path in self.local.rglob("*") if path.is_file()}

    def _names(self) -> list[str]:
        return [str(path.relative_to(self.files)) for path in self.files.rglob("*") if path.is_file()]

    def _info(self, _name: str, timeout: float) -> SimpleNamespace:
        if not self.reached:
            raise ConnectionError("no network")
        return SimpleNamespace(siblings=[SimpleNamespace(rfilename=name) for name in self._names()])

    def _snapshot(self, _name: str, allow_patterns: list[str] | None = None, local_files_only: bool = False) -> str:
        from huggingface_hub.utils import filter_repo_objects

        if local_files_only and not self.local.exists():
            raise LocalEntryNotFoundError("nothing here")
        for name in filter_repo_objects(self._names(), allow_patterns=allow_patterns) if not local_files_only else ():
            (self.local / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(self.files / name, self.local / name)
        return str(self.local)


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Repository:
    return Repository(whole(tmp_path / "there"), tmp_path / "here", monkeypatch)


UNWANTED = (
    "pytorch_model.bin",
    "modeling_evil.py",
    "original/params.json",
    "original/tokenizer.model",
    "onnx/config.json",
)


def test_of_the_hub_only_what_is_loaded_comes_here(repository: Repository):
    for name in ("consolidated.safetensors", "model.fp16.safetensors", "original/model.safetensors"):
        other(repository.files, name)
    for name in UNWANTED:
        (repository.files / name).parent.mkdir(exist_ok=True)
        (repository.files / name).write_text("{}")
    templates = repository.files / "additional_chat_templates"
    templates.mkdir()
    (templates / "tools.jinja").write_text("{{ messages }}")
    assert hub.download("owner/name") == repository.local
    wanted = {"config.json", WHOLE, "tokenizer.json", "tokenizer_config.json", "chat_template.jinja"}
    assert wanted | {"additional_chat_templates/tools.jinja"} <= repository.fetched
    assert not repository.fetched & {*UNWANTED, "consolidated.safetensors", "original/model.safetensors"}
    assert not [name for name in repository.fetched if name.endswith(".safetensors") and name != WHOLE]


def test_of_the_hub_the_parts_that_the_index_names_come_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    repository = Repository(in_parts(tmp_path / "there"), tmp_path / "here", monkeypatch)
    other(repository.files, "consolidated.safetensors")
    hub.download("owner/name")
    parts = {name for name in repository.fetched if name.endswith(".safetensors")}
    assert parts == set(weight_files(repository.files)) and len(parts) > 1


def test_of_the_hub_an_adapter_comes_with_its_model_and_alone(repository: Repository):
    for name in ("adapter_config.json", "adapter_model.safetensors"):
        (repository.files / name).write_text("{}")
    hub.download("owner/name")
    assert {"adapter_config.json", "adapter_model.safetensors", WHOLE} <= repository.fetched
    for name in ("config.json", WHOLE):
        (repository.files / name).unlink()
        (repository.local / name).unlink()
    hub.download("owner/name")
    assert {"adapter_config.json", "adapter_model.safetensors"} <= repository.fetched


def test_without_a_network_what_was_downloaded_before_serves(repository: Repository):
    hub.download("owner/name")
    repository.reached = False
    assert hub.download("owner/name") == repository.local
    shutil.rmtree(repository.local)
    with pytest.raises(InputError, match="is not on this machine and the hub cannot be reached"):
        hub.download("owner/name")
