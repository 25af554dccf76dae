"""A model in memory is told by its weights: those of the folder it came from, or others."""

import shutil

import pytest
import torch
from benches import save_tiny
from safetensors.torch import load_file, save_file
from tiny_models import tiny
from transformers import AutoModelForCausalLM

from melbo_app.errors import InputError
from melbo_app.jobs.model_identity import identity
from melbo_app.library.weights import resolve


def from_folder(folder, **options):
    return AutoModelForCausalLM.from_pretrained(folder, local_files_only=True, **options)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_model_of_a_folder_has_the_folders_hash_in_any_precision(model_folder, tmp_path, dtype):
    known = resolve(str(model_folder), tmp_path).weights_hash
    assert identity(from_folder(model_folder, dtype=dtype), tmp_path) == known


def test_one_number_changed_in_memory_makes_other_weights(model_folder, tmp_path):
    known = resolve(str(model_folder), tmp_path).weights_hash
    model = from_folder(model_folder)
    with torch.no_grad():
        model.get_output_embeddings().weight[-1, -1] += 0.5
    first = identity(model, tmp_path)
    assert first != known and len(first) == 64
    with torch.no_grad():
        model.get_output_embeddings().weight[-1, -1] += 0.5
    assert identity(model, tmp_path) != first


def test_a_model_of_the_hub_has_the_hash_of_its_files(model_folder, tmp_path, monkeypatch):
    model_of = tmp_path / "models--owner--tiny"
    shutil.copytree(model_folder, model_of / "snapshots" / "abc")
    (model_of / "refs").mkdir()
    (model_of / "refs" / "main").write_text("abc")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)  # else transformers tries the hub five times
    model = from_folder("owner/tiny", cache_dir=tmp_path)
    assert model.config._name_or_path == "owner/tiny"
    assert identity(model, tmp_path) == resolve(str(model_folder), tmp_path).weights_hash


def test_tied_weights_and_files_without_the_prefix_are_recognised(tmp_path):
    folder = save_tiny(tmp_path / "gpt2", "gpt2", tie_word_embeddings=True)
    file = folder / "model.safetensors"
    kept = {name.removeprefix("transformer."): tensor.clone() for name, tensor in load_file(file).items()}
    assert "lm_head.weight" not in kept
    save_file({**kept, "h.0.attn.masked_bias": torch.zeros(1)}, file, {"format": "pt"})
    assert identity(from_folder(folder), tmp_path) == resolve(str(folder), tmp_path).weights_hash


def test_a_folder_that_lacks_some_of_the_weights_is_not_taken_for_them(model_folder, tmp_path):
    folder = save_tiny(tmp_path / "part")
    model = from_folder(folder)
    kept = load_file(folder / "model.safetensors")
    kept.pop("lm_head.weight")
    save_file(kept, folder / "model.safetensors", {"format": "pt"})
    assert identity(model, tmp_path) != resolve(str(folder), tmp_path).weights_hash


def test_weights_that_are_not_in_memory_cannot_be_told():
    model = tiny("llama").model.to("meta")
    with pytest.raises(InputError, match="some of its weights are not in memory"):
        identity(model, None)
