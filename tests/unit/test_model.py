"""Models: prepared for steering, loaded from a folder, device and dtype chosen, bad choices refused."""

import json

import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny_models import BLOCKS, CONTEXT, WIDTH, encoded, lent, tiny

from melbo_app.engine import attention
from melbo_app.engine.model import load, prepare
from melbo_app.errors import InputError

TEXTS = ("the heath is wide", "hello")


def logits_of(lm, batch):
    with torch.no_grad():
        return lm.forward(batch.input_ids, batch.attention_mask, batch.position_ids).logits


def test_a_prepared_model_is_in_evaluation_mode_and_needs_no_gradients(family):
    lm = lent(family)
    assert not any(module.training for module in lm.model.modules())
    assert not any(parameter.requires_grad for parameter in lm.model.parameters())
    assert lm.tokenizer.padding_side == "left"
    assert (lm.hidden_size, len(lm.blocks)) == (WIDTH, BLOCKS)
    assert lm.dtype == torch.float32
    assert lm.device == torch.device("cpu")
    assert lm.context == (None if family == "bloom" else CONTEXT)


def test_a_tokenizer_without_padding_takes_its_end_mark():
    lm = tiny("llama")
    lm.tokenizer.pad_token = None
    assert prepare("again", "", lm.model, lm.tokenizer).tokenizer.pad_token == "<eos>"
    lm.tokenizer.pad_token = lm.tokenizer.eos_token = None
    assert prepare("again", "", lm.model, lm.tokenizer).tokenizer.pad_token == "<|im_start|>"
    lm.tokenizer.pad_token = None
    lm.tokenizer.extra_special_tokens = []
    assert prepare("again", "", lm.model, lm.tokenizer).tokenizer.pad_token_id == 0


def test_forward_gives_the_logits_of_the_last_token_of_each_unpadded_prompt(family):
    lm = lent(family)
    logits = logits_of(lm, encoded(lm, *TEXTS))
    for row, text in enumerate(TEXTS):
        with torch.no_grad():
            want = lm.model(torch.tensor([lm.tokenizer(text)["input_ids"]])).logits[0, -1]
        torch.testing.assert_close(logits[row, -1], want, atol=1e-4, rtol=0)
    assert (logits[0, -1] - logits[1, -1]).abs().max() > 1


def test_blocks_are_counted_from_zero_and_others_are_refused():
    lm = tiny("llama")
    assert lm.block("source layer", 0) is lm.model.model.layers[0]
    assert lm.block("source layer", 3) is lm.model.model.layers[3]
    for index in (-1, 4):
        with pytest.raises(InputError, match=f"has no block {index}.*from 0 to 3") as caught:
            lm.block("some layer", index)
        assert caught.value.field == "some layer"


def test_bfloat16_on_a_cpu_computes_attention_our_way(family):
    before, after = lent(family), lent(family, torch.bfloat16)
    kind = before.model.config._attn_implementation
    switched = kind == "sdpa" and before.model._supports_attention_backend
    assert after.model.config._attn_implementation == (attention.NAME if switched else kind)
    assert before.model.config._attn_implementation != attention.NAME


def test_our_attention_is_used_by_the_common_families():
    kinds = {name: tiny(name, dtype=torch.bfloat16).model.config._attn_implementation for name in ("llama", "qwen2")}
    assert set(kinds.values()) == {attention.NAME}


@pytest.mark.parametrize("name", ["llama", "qwen3", "gemma3", "mistral", "gpt2", "opt"])
def test_bfloat16_logits_with_our_attention_are_as_near_to_the_exact_ones_as_without(name):
    exact, ours, plain = tiny(name), tiny(name, dtype=torch.bfloat16), tiny(name, dtype=torch.bfloat16)
    plain.model.set_attn_implementation("sdpa")
    batch = encoded(exact, *TEXTS)
    want = logits_of(exact, batch)
    errors = [float((logits_of(lm, batch).float() - want).norm() / want.norm()) for lm in (ours, plain)]
    assert 0 < errors[0] < 1.5 * errors[1] + 0.02
    assert errors[0] < 0.2
    assert (logits_of(ours, batch) - logits_of(plain, batch)).float().norm() < 0.2 * want.norm()


def test_our_attention_is_exact_in_a_float32_model(family):
    lm = tiny(family)
    batch = encoded(lm, *TEXTS)
    before = logits_of(lm, batch)
    if lm.model._supports_attention_backend and lm.model.config._attn_implementation == "sdpa":
        lm.model.set_attn_implementation(attention.NAME)
    torch.testing.assert_close(logits_of(lm, batch), before, atol=3e-5, rtol=0)


@pytest.fixture
def folder(tmp_path):
    lm = tiny("llama")
    lm.model.save_pretrained(tmp_path)
    lm.tokenizer.save_pretrained(tmp_path)
    return tmp_path


def test_a_saved_model_is_loaded_as_it_was(folder):
    lm, again = tiny("llama"), load(str(folder), "mine", "hash", "cpu", "float32")
    assert (again.name, again.weights_hash, again.dtype) == ("mine", "hash", torch.float32)
    assert again.has_template
    torch.testing.assert_close(logits_of(again, encoded(again, *TEXTS)), logits_of(lm, encoded(lm, *TEXTS)))


def test_the_dtype_of_a_loaded_model_is_the_one_asked_for(folder):
    lm = load(str(folder), "mine", "hash", "cpu", "bfloat16")
    assert lm.dtype == torch.bfloat16
    assert lm.model.config._attn_implementation == attention.NAME


def remove_weights(folder):
    (folder / "model.safetensors").unlink()


def cut_weights(folder):
    data = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(data[: len(data) // 2])


def claim_a_huge_header(folder):
    (folder / "model.safetensors").write_bytes((10 * 2**30).to_bytes(8, "little") + b"{}")


def remove_config(folder):
    (folder / "config.json").unlink()


def break_config(folder):
    (folder / "config.json").write_text("{")


def name_an_unknown_kind(folder):
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "model_type": "no_such_kind"}))


def name_another_width(folder):
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "hidden_size": 64}))


def lose_a_tensor(folder):
    weights = load_file(folder / "model.safetensors")
    del weights["model.layers.2.mlp.up_proj.weight"]
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})


def offer_a_pickle_instead(folder):
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")


def remove_tokenizer(folder):
    for path in folder.glob("*token*"):
        path.unlink()


def empty_tokenizer(folder):
    (folder / "tokenizer.json").write_text("{}")


@pytest.mark.parametrize(
    "spoil",
    [
        remove_weights,
        cut_weights,
        claim_a_huge_header,
        remove_config,
        break_config,
        name_an_unknown_kind,
        name_another_width,
        lose_a_tensor,
        offer_a_pickle_instead,
    ],
)
def test_a_folder_that_is_no_model_is_refused_in_one_sentence(folder, spoil):
    spoil(folder)
    with pytest.raises(InputError, match="mine cannot be loaded: .*Choose a causal language model") as caught:
        load(str(folder), "mine", "hash", "cpu", "float32")
    assert caught.value.field == "model"
    assert "\n" not in str(caught.value)


def test_a_folder_with_code_is_never_run(folder):
    config = json.loads((folder / "config.json").read_text())
    config |= {"model_type": "evil", "auto_map": {"AutoConfig": "evil.Config", "AutoModelForCausalLM": "evil.Model"}}
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "evil.py").write_text(f"open({str(folder / 'ran')!r}, 'w').close()\n")
    with pytest.raises(InputError) as caught:
        load(str(folder), "mine", "hash", "cpu", "float32")
    assert caught.value.field == "model"
    assert not (folder / "ran").exists()
