"""Reading out: what a model makes of the output of its last block, without its blocks."""

import pytest
import torch
from tiny_models import BLOCKS, encoded, lent, reference_hidden, tiny

from melbo_app.engine.readout import read_out


def test_the_last_blocks_output_is_read_as_the_model_reads_it(family):
    lm = lent(family)
    text = "the heath is wide"
    hidden = reference_hidden(lm, family, text, 0, None)[BLOCKS - 1]
    with torch.no_grad():
        logits = lm.model(torch.tensor([lm.tokenizer(text)["input_ids"]]), use_cache=False).logits[0]
    torch.testing.assert_close(read_out(lm, hidden), logits, atol=1e-4, rtol=1e-4)


def test_what_is_read_out_is_the_final_norm_and_the_unembedding():
    lm = tiny("llama")
    hidden = 5 * torch.randn(4, 32, generator=torch.Generator().manual_seed(0))
    rms = hidden / (hidden.pow(2).mean(1, keepdim=True) + lm.model.config.rms_norm_eps).sqrt()
    by_hand = (rms * lm.model.model.norm.weight) @ lm.model.lm_head.weight.T
    torch.testing.assert_close(read_out(lm, hidden), by_hand, atol=1e-4, rtol=1e-4)


def test_the_model_is_left_as_it_was():
    lm = tiny("gpt2")
    batch = encoded(lm, "hello")

    def logits():
        return lm.forward(batch.input_ids, batch.attention_mask).logits

    before = logits()
    lm.blocks[2].forward = own = lm.blocks[2].forward  # as libraries do that move blocks between devices
    read_out(lm, torch.randn(3, 32))
    with pytest.raises(RuntimeError):
        read_out(lm, torch.randn(3))
    assert torch.equal(logits(), before)
    assert [block.__dict__.get("forward") for block in lm.blocks] == [None, None, own, None]
    assert not any(block._forward_hooks for block in lm.blocks)
