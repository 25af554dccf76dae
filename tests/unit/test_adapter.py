"""A LoRA beside a model goes into its weights, or is refused with what does not fit; never left out in silence."""

import json
import shutil
from pathlib import Path

import benches
import pytest
import torch
from peft import IA3Config, LoraConfig, PrefixTuningConfig, get_peft_model
from safetensors.torch import load_file, save_file
from tiny_models import encoded, tiny
from transformers import AutoModelForCausalLM

from melbo_app.engine import adapter
from melbo_app.errors import InputError
from melbo_app.jobs.loaded_model import LoadedModel
from melbo_app.jobs.model_identity import identity
from melbo_app.library import hub, weights
from melbo_app.library.weights import resolve

LORA = {"r": 4, "lora_alpha": 8, "target_modules": ["q_proj", "down_proj"]}


def trained(base: Path, out: Path, config) -> torch.Tensor:
    """Write an adapter whose weights are random; the logits of the model with it, as peft computes them apart."""
    torch.manual_seed(0)
    adapted = get_peft_model(AutoModelForCausalLM.from_pretrained(base), config)
    with torch.no_grad():
        for name, parameter in adapted.named_parameters():
            if parameter.requires_grad or "modules_to_save" in name:
                parameter.add_(0.2 * torch.randn_like(parameter))
    adapted.save_pretrained(out)
    return logits(adapted.eval())


def logits(model) -> torch.Tensor:
    batch = encoded(tiny("llama"), "the heath is wide")
    with torch.no_grad():
        return model(batch.input_ids).logits[0]


def open_model(folder: Path, cache: Path):
    return LoadedModel(benches.settings(cache, folder)).load()


@pytest.fixture
def folder(tmp_path):
    return benches.save_tiny(tmp_path / "model")


@pytest.mark.parametrize(
    "config",
    [
        LoraConfig(**LORA),
        LoraConfig(**LORA, use_dora=True),
        LoraConfig(**LORA, modules_to_save=["lm_head", "embed_tokens"]),
        LoraConfig(r=4, target_modules=["q_proj", "lm_head"], layers_to_transform=[1, 2], use_rslora=True),
        IA3Config(target_modules=["v_proj", "down_proj"], feedforward_modules=["down_proj"]),
    ],
    ids=["lora", "dora", "saved modules", "some layers", "ia3"],
)
def test_an_adapter_beside_a_model_computes_what_it_computes_apart(config, folder, tmp_path):
    alone = open_model(folder, tmp_path)
    want = trained(folder, folder, config)
    lines: list[str] = []
    lm = open_model(folder, tmp_path)
    resolve(str(folder), tmp_path, lines.append)
    torch.testing.assert_close(logits(lm.model), want, atol=2e-4, rtol=1e-4)
    assert (logits(alone.model) - want).abs().max() > 0.1
    assert lm.name == "model + adapter" and alone.name == "model"
    assert lines == [f"Reading model and the adapter in {folder}"]
    assert not any("lora" in name or "ia3" in name for name, _ in lm.model.named_parameters())


def test_an_adapter_goes_into_weights_in_bfloat16(folder, tmp_path):
    want = trained(folder, folder, LoraConfig(**LORA))
    lm = LoadedModel(benches.settings(tmp_path, folder).model_copy(update={"dtype": "bfloat16"})).load()
    assert {parameter.dtype for parameter in lm.model.parameters()} == {torch.bfloat16}
    assert (logits(lm.model).float() - want).norm() < 0.2 * want.norm()


def test_a_model_with_an_adapter_has_an_identity_of_its_own(folder, tmp_path):
    base = resolve(str(folder), tmp_path).weights_hash
    trained(folder, folder, LoraConfig(**LORA))
    with_one = resolve(str(folder), tmp_path).weights_hash
    config = json.loads((folder / "adapter_config.json").read_text())
    (folder / "adapter_config.json").write_text(json.dumps({**config, "lora_alpha": 16}))
    assert len({base, with_one, resolve(str(folder), tmp_path).weights_hash}) == 3
    assert identity(AutoModelForCausalLM.from_pretrained(folder, adapter_kwargs={"subfolder": "no"}), tmp_path) == base


def test_an_adapter_in_a_folder_of_its_own_finds_its_model_and_is_the_same_as_beside_it(folder, tmp_path):
    want = trained(folder, tmp_path / "lora", LoraConfig(**LORA))
    lm = open_model(tmp_path / "lora", tmp_path)
    torch.testing.assert_close(logits(lm.model), want, atol=2e-4, rtol=1e-4)
    for file in (tmp_path / "lora").glob("adapter_*"):
        shutil.copy(file, folder)
    assert (lm.name, lm.weights_hash) == ("model + adapter", resolve(str(folder), tmp_path).weights_hash)


def name_base(lora: Path, name: str | None) -> None:
    config = json.loads((lora / "adapter_config.json").read_text())
    (lora / "adapter_config.json").write_text(json.dumps({**config, "base_model_name_or_path": name}))


@pytest.mark.parametrize(
    ("name", "said"),
    [
        (
            "owner/of-no-model",
            r"its base model, owner/of-no-model, is not on this machine.*Load owner/of-no-m",
        ),
        (
            "/gone/model",
            r"its base model, /gone/model, is not on this machine. Find that model; or put adapter",
        ),
        (None, r"does not name its base model"),
        ("", r"does not name its base model"),
    ],
)
def test_an_adapter_without_its_model_says_which_one_it_needs(name, said, folder, tmp_path):
    trained(folder, tmp_path / "lora", LoraConfig(**LORA))
    name_base(tmp_path / "lora", name)
    with pytest.raises(InputError, match=said) as caught:
        resolve(str(tmp_path / "lora"), tmp_path)
    assert caught.value.field == "model"


def test_an_adapter_of_the_hub_comes_with_its_model(folder, tmp_path, monkeypatch):
    trained(folder, tmp_path / "lora", LoraConfig(**LORA))
    name_base(tmp_path / "lora", "owner/base")
    here = {"owner/lora": tmp_path / "lora", "owner/base": folder}
    monkeypatch.setattr(weights, "download", lambda name, stop: here[name])
    monkeypatch.setattr(hub, "here", lambda name: None)
    files = weights.fetch(resolve("owner/lora", tmp_path), tmp_path)
    assert (files.name, files.path, files.adapter) == ("owner/lora + adapter", str(folder), str(tmp_path / "lora"))


def test_an_adapter_for_a_model_with_an_adapter_is_refused(folder, tmp_path):
    trained(folder, tmp_path / "lora", LoraConfig(**LORA))
    trained(folder, folder, LoraConfig(**LORA))
    with pytest.raises(InputError, match="has its own adapter"):
        resolve(str(tmp_path / "lora"), tmp_path)


def of_another_width(folder, tmp_path):
    trained(benches.save_tiny(tmp_path / "wide", intermediate_size=64), folder, LoraConfig(**LORA))


def of_another_family(folder, tmp_path):
    wanted = LoraConfig(r=4, target_modules=["c_attn"], fan_in_fan_out=True)
    trained(benches.save_tiny(tmp_path / "gpt2", "gpt2"), folder, wanted)


def of_more_layers(folder, tmp_path):
    trained(benches.save_tiny(tmp_path / "deep", num_hidden_layers=6), folder, LoraConfig(**LORA))


def of_fewer_layers(folder, tmp_path):
    trained(benches.save_tiny(tmp_path / "flat", num_hidden_layers=3), folder, LoraConfig(**LORA))


def before_the_prompt(folder, tmp_path):
    trained(folder, folder, PrefixTuningConfig(num_virtual_tokens=3, task_type="CAUSAL_LM"))


def damaged(folder, tmp_path):
    trained(folder, folder, LoraConfig(**LORA))
    (folder / "adapter_model.safetensors").write_bytes(b"no tensors")


def not_finite(folder, tmp_path):
    trained(folder, folder, LoraConfig(**LORA))
    tensors = load_file(folder / "adapter_model.safetensors")
    save_file({name: tensor * float("nan") for name, tensor in tensors.items()}, folder / "adapter_model.safetensors")


def pickled(folder, tmp_path):
    trained(folder, folder, LoraConfig(**LORA))
    (folder / "adapter_model.safetensors").rename(folder / "adapter_model.bin")


def config_alone(folder, tmp_path):
    trained(folder, folder, LoraConfig(**LORA))
    (folder / "adapter_model.safetensors").unlink()


@pytest.mark.parametrize(
    ("made", "said"),
    [
        (
            of_another_width,
            r"model.layers.0.mlp.down_proj.lora_A.weight has shape \[4, 64\], and the model needs \[4, 48\]",
        ),
        (of_another_family, r"does not fit model: .*c_attn"),
        (of_more_layers, r"has no place for .*layers.4.mlp.down_proj.lora_A.weight and 7 more"),
        (of_fewer_layers, r"it lacks model.layers.3.mlp.down_proj.lora_A.weight and 3 more"),
        (before_the_prompt, r"uses prefix tuning, which changes the prompt"),
        (damaged, r"cannot be read|does not fit"),
        (not_finite, r"cannot be merged"),
        (pickled, r"adapter_model.bin is not loaded because pickled weights can run code.*AutoPeftModelForCausalLM"),
        (config_alone, r"has adapter_config.json but no adapter_model.safetensors.*load the model without"),
    ],
)
def test_an_adapter_that_does_not_fit_is_refused_with_what_does_not(made, said, folder, tmp_path):
    made(folder, tmp_path)
    with pytest.raises(InputError, match=said) as caught:
        open_model(folder, tmp_path)
    assert caught.value.field == "model"
    assert "\n" not in str(caught.value)


def test_a_change_of_one_of_two_shared_matrices_is_refused(tmp_path):
    folder = benches.save_tiny(tmp_path / "tied", tie_word_embeddings=True)
    trained(folder, folder, LoraConfig(r=4, target_modules=["embed_tokens"]))
    with pytest.raises(InputError, match="cannot be merged into the weights .* one of two tied matrices"):
        open_model(folder, tmp_path)


def test_outputs_are_compared_on_what_the_model_itself_says():
    """On other tokens, rounding to bfloat16 changed them by more than a third, and adapters that fit were refused."""
    model = tiny("llama").model
    greedy = model.generate(torch.tensor([[1, 2, 3]]), max_new_tokens=16, do_sample=False, eos_token_id=None)
    assert torch.equal(adapter._continued(model), greedy)


def test_the_tokenizer_beside_the_adapter_is_the_one_it_was_trained_with(folder, tmp_path):
    trained(folder, tmp_path / "lora", LoraConfig(**LORA))
    other = tiny("llama", chat_template="{% for m in messages %}>{{ m.content }}{% endfor %}").tokenizer
    other.save_pretrained(tmp_path / "lora")
    assert open_model(tmp_path / "lora", tmp_path).tokenizer.chat_template == other.chat_template


def test_an_adapter_may_name_a_model_of_the_catalogue(folder, tmp_path, monkeypatch):
    trained(folder, lora := tmp_path / "lora", LoraConfig(**LORA))
    config = json.loads((lora / "adapter_config.json").read_text())

    def name(base: str) -> None:
        (lora / "adapter_config.json").write_text(json.dumps({**config, "base_model_name_or_path": base}))

    bundled = resolve(str(folder), tmp_path)
    monkeypatch.setattr(weights, "_default", lambda cache, say, stop: bundled)
    name(weights.DEFAULT_MODEL)
    files = resolve(str(lora), tmp_path)
    assert (files.path, files.adapter) == (bundled.path, str(lora)) and files.weights_hash != bundled.weights_hash
    name("qwen2.5-1.5b")
    with pytest.raises(
        InputError, match="qwen2.5-1.5b, is not on this machine. Get it: models get qwen2.5-1.5b; or put"
    ):
        resolve(str(lora), tmp_path)
