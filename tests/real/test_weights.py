"""The bundled weights: what was published, dequantised once, and a model that answers."""

from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from melbo_app.engine import gguf
from melbo_app.library import weights
from melbo_app.library.bundled import bundled_file, embedder_folder
from melbo_app.library.weights import DEFAULT_MODEL, DEFAULT_SHA256, ModelFiles, cached, resolve
from melbo_app.settings import Settings


@pytest.fixture(scope="module")
def model(bundled_model_files: ModelFiles) -> torch.nn.Module:
    return AutoModelForCausalLM.from_pretrained(bundled_model_files.path, dtype=torch.float32, use_safetensors=True)


@pytest.fixture(scope="module")
def tokenizer(bundled_model_files: ModelFiles):
    return AutoTokenizer.from_pretrained(bundled_model_files.path)


def test_the_dequantised_model_is_plain_float32(model):
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}
    assert getattr(model.config, "quantization_config", None) is None
    assert (model.config.num_hidden_layers, model.config.hidden_size) == (30, 576)


def test_the_dequantised_model_knows_the_capital_of_france(model, tokenizer):
    text = tokenizer.apply_chat_template(
        [{"role": "user", "content": "What is the capital of France?"}], tokenize=False, add_generation_prompt=True
    )
    assert text.endswith("<|im_start|>assistant\n")
    tokens = tokenizer(text, return_tensors="pt", add_special_tokens=False)
    with torch.no_grad():
        assert torch.isfinite(model(**tokens).logits).all()
        answer = model.generate(**tokens, max_new_tokens=12, do_sample=False)
    assert "Paris" in tokenizer.decode(answer[0, tokens["input_ids"].shape[1] :])


def test_resolving_the_default_model_again_converts_nothing(
    bundled_model_files: ModelFiles, real_cache: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(gguf, "dequantise", lambda *_: pytest.fail("converted again"))
    assert resolve(DEFAULT_MODEL, real_cache) == bundled_model_files
    assert bundled_model_files.weights_hash == DEFAULT_SHA256
    assert bundled_model_files in cached(real_cache)


def test_the_bundled_file_given_by_its_path_is_the_default_model(bundled_model_files: ModelFiles, real_cache: Path):
    path = bundled_file(*weights.DEFAULT_GGUF, Settings().cache_dir)
    files = resolve(str(path), real_cache)
    assert (files.path, files.weights_hash) == (bundled_model_files.path, bundled_model_files.weights_hash)


def test_the_installation_step_checks_the_weights_and_says_where_the_model_is(
    bundled_model_files: ModelFiles, real_cache: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
):
    monkeypatch.setenv("MELBO_CACHE_DIR", str(real_cache))
    assert weights.main() == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.endswith("sha256 is correct") for line in lines] == [True, True, False]
    assert lines[-1] == f"{DEFAULT_MODEL} is ready in {bundled_model_files.path}"


def test_the_bundled_embedder_is_complete():
    names = {path.name for path in embedder_folder(Settings().cache_dir).iterdir()}
    assert {"config.json", "model.safetensors", "modules.json", "tokenizer.json", "1_Pooling"} <= names
