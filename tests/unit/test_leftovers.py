"""Tensors that a file holds and the model does not use: refused by name, but for those that change nothing."""

import json
from functools import partial
from pathlib import Path

import benches
import numpy as np
import pytest
import torch
from gguf import GGUFWriter
from safetensors.torch import load_file, save_file
from test_weights import write_gguf
from tiny_models import CONFIGS, WIDTH, encoded, tiny

from melbo_app.engine import gguf as gguf_file
from melbo_app.engine.model import load
from melbo_app.errors import InputError


def add(folder: Path, **tensors: torch.Tensor) -> None:
    """Put tensors into the folder's file; a name is written with two underscores for each dot."""
    file = folder / "model.safetensors"
    named = {name.replace("__", "."): tensor for name, tensor in tensors.items()}
    save_file({**load_file(file), **named}, file, metadata={"format": "pt"})


def set_config(folder: Path, **values: object) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, **values}))


def read(folder: Path):
    return load(str(folder), "mine", "hash", "cpu", "float32")


@pytest.mark.parametrize("family", CONFIGS)
def test_every_family_uses_all_that_it_saves(family, tmp_path):
    read(benches.save_tiny(tmp_path / family, family))


@pytest.mark.parametrize("tied", [True, False])
def test_tied_matrices_are_not_left_over(tied, tmp_path):
    folder = benches.save_tiny(tmp_path / "tied", "gpt2", tie_word_embeddings=tied)
    if tied:
        tensors = load_file(folder / "model.safetensors")
        add(folder, lm_head__weight=tensors["transformer.wte.weight"].clone())
    read(folder)


@pytest.mark.parametrize("part", ["q", "k", "v"])
def test_biases_that_the_config_has_no_place_for_are_refused_by_name(part, tmp_path):
    folder = benches.save_tiny(tmp_path / "biased")
    width = WIDTH if part == "q" else WIDTH // 2
    add(folder, **{f"model__layers__{n}__self_attn__{part}_proj__bias": torch.ones(width) for n in (0, 2)})
    with pytest.raises(InputError, match=f"a llama has no place for .*layers.0.*{part}_proj.bias and 1 more") as caught:
        read(folder)
    assert caught.value.field == "model"


def test_the_weights_of_qwen_are_refused_under_a_config_of_llama_and_used_under_their_own(tmp_path):
    folder = benches.save_tiny(tmp_path / "qwen", "qwen2")
    want = tiny("qwen2")
    batch = encoded(want, "the heath")
    ids = (batch.input_ids, batch.attention_mask, batch.position_ids)
    torch.testing.assert_close(read(folder).forward(*ids).logits, want.forward(*ids).logits)
    set_config(folder, model_type="llama", architectures=["LlamaForCausalLM"])
    with pytest.raises(InputError, match="a llama has no place for model.layers.0.self_attn.k_proj.bias and 11 more"):
        read(folder)
    set_config(folder, attention_bias=True)  # as if o_proj had one, too: said as what is missing
    with pytest.raises(InputError, match=r"weights lack model.layers.0.self_attn.o_proj.bias"):
        read(folder)


def test_layers_beyond_those_of_the_config_are_refused_unless_they_predict_ahead(tmp_path):
    folder = benches.save_tiny(tmp_path / "longer")
    set_config(folder, num_hidden_layers=3)
    with pytest.raises(InputError, match=r"no place for model.layers.3.input_layernorm.weight and 8 more"):
        read(folder)
    set_config(folder, num_nextn_predict_layers=1)
    assert len(read(folder).blocks) == 3


def test_scales_of_quantised_weights_are_not_lost(tmp_path):
    folder = benches.save_tiny(tmp_path / "scaled")
    add(folder, model__layers__0__mlp__up_proj__weight_scale=torch.ones(1))
    with pytest.raises(InputError, match=r"no place for model.layers.0.mlp.up_proj.weight_scale"):
        read(folder)


@pytest.mark.parametrize(
    ("family", "name", "tensor"),
    [
        ("llama", "model.layers.0.self_attn.rotary_emb.inv_freq", torch.ones(4)),
        ("llama", "model.layers.1.self_attn.q_proj.bias", torch.zeros(WIDTH)),
        ("llama", "mtp.layers.0.mlp.up_proj.weight", torch.ones(4, 4)),
        ("gpt2", "transformer.h.0.attn.bias", torch.ones(1, 1, 128, 128)),
        ("gpt2", "transformer.h.0.attn.masked_bias", torch.tensor(-1e4)),
        ("gpt_neox", "gpt_neox.layers.0.attention.masked_bias", torch.tensor(-1e9)),
        ("falcon_alibi", "transformer.h.0.self_attention.rotary_emb.inv_freq", torch.ones(4)),
    ],
)
def test_what_a_family_computes_itself_or_what_adds_nothing_is_no_reason_to_refuse(family, name, tensor, tmp_path):
    folder = benches.save_tiny(tmp_path / family, family)
    add(folder, **{name.replace(".", "__"): tensor})
    read(folder)


# ---- .gguf


@pytest.mark.parametrize("name", ["blk.0.attn_q.bias", "blk.0.attn_q_norm.weight", "blk.1.ffn_up.weight"])
def test_tensors_of_a_gguf_file_that_its_architecture_has_no_place_for_are_refused(tmp_path, name):
    also = partial(GGUFWriter.add_tensor, name=name, tensor=np.ones(32, np.float32))
    file = write_gguf(tmp_path / "more.gguf", also=also)
    (tmp_path / "out").mkdir()
    with pytest.raises(InputError, match=f"more.gguf cannot be loaded: a llama has no place for {name}"):
        gguf_file.dequantise(file, tmp_path / "out")


@pytest.mark.parametrize(
    ("name", "value"), [("rope_freqs.weight", 1), ("blk.0.attn_q.bias", 0), ("blk.0.attn_rot_embd.weight", 1), ("", 0)]
)
def test_known_extras_of_a_gguf_file_and_biases_of_zeros_are_left_out(tmp_path, name, value):
    def also(writer: GGUFWriter) -> None:
        if name:
            writer.add_tensor(name, np.full(32, value, np.float32))

    file = write_gguf(tmp_path / "more.gguf", also=also)
    (tmp_path / "out").mkdir()
    gguf_file.dequantise(file, tmp_path / "out")
    assert (tmp_path / "out" / "model.safetensors").is_file()


def test_a_gguf_file_of_a_lora_is_refused_as_what_it_is(tmp_path):
    file = write_gguf(tmp_path / "lora.gguf", also=lambda writer: writer.add_type("adapter"))
    with pytest.raises(InputError, match=r"lora.gguf does not hold a whole model: the type in its header is adapter"):
        gguf_file.dequantise(file, tmp_path)
