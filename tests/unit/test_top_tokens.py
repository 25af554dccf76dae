"""Top tokens: what is read out of the last block is what the model says, and of an earlier one what a lens says."""

import pytest
import torch
from tiny_models import BLOCKS, blocks_of, encoded, random_thetas, tiny

from melbo_app.engine.slice import ModelSlice
from melbo_app.engine.top_tokens import read_out, top_tokens

TEXTS = ("the heath is wide", "hello")
SOURCE, COUNT = 1, 7


def finished(*arguments, **options):
    work = top_tokens(*arguments, **options)
    while True:
        try:
            next(work)
        except StopIteration as end:
            return end.value


def last_logits(lm, family, text, theta):
    """Next-token logits of the whole model on one unpadded prompt, steered by a hook of this file's own."""

    def steering(_module, _args, output):
        return output + theta if isinstance(output, torch.Tensor) else (output[0] + theta, *output[1:])

    handle = blocks_of(lm, family)[SOURCE].register_forward_hook(steering)
    with torch.no_grad():
        logits = lm.model(torch.tensor([lm.tokenizer(text)["input_ids"]]), use_cache=False).logits[0, -1]
    handle.remove()
    return logits


def test_at_the_last_block_they_are_those_whose_logits_the_whole_model_changes_most(family):
    lm = tiny(family)
    thetas = random_thetas(3)
    found = finished(ModelSlice(lm, encoded(lm, *TEXTS), SOURCE, BLOCKS - 1), thetas, COUNT)
    for theta, top in zip(thetas, found, strict=True):
        changes = [last_logits(lm, family, text, theta) - last_logits(lm, family, text, 0 * theta) for text in TEXTS]
        change = torch.stack(changes).mean(0)
        order = change.argsort(descending=True).tolist()
        assert [token for token, _ in top.promoted] == order[:COUNT]
        assert [token for token, _ in top.suppressed] == order[::-1][:COUNT]
        for token, by in [*top.promoted, *top.suppressed]:
            assert by == pytest.approx(float(change[token]), abs=1e-3)
        assert top.promoted[0][1] > 0.1 and top.suppressed[0][1] < -0.1


def test_what_is_read_out_is_the_final_norm_and_the_unembedding():
    lm = tiny("llama")
    hidden = 5 * torch.randn(4, 32, generator=torch.Generator().manual_seed(0))
    rms = hidden / (hidden.pow(2).mean(1, keepdim=True) + lm.model.config.rms_norm_eps).sqrt()
    by_hand = (rms * lm.model.model.norm.weight) @ lm.model.lm_head.weight.T
    torch.testing.assert_close(read_out(lm, hidden), by_hand, atol=1e-4, rtol=1e-4)
    assert not any(block._forward_hooks for block in lm.blocks)


def test_an_earlier_target_is_read_as_if_it_were_the_last_block():
    lm = tiny("llama")
    theta = random_thetas(1)
    piece = ModelSlice(lm, encoded(lm, *TEXTS), SOURCE, 2)
    [top] = finished(piece, theta, COUNT)
    change = (read_out(lm, piece.activations(theta)[0, :, -1]) - read_out(lm, piece.baseline[:, -1])).mean(0)
    assert [token for token, _ in top.promoted] == change.topk(COUNT).indices.tolist()


def test_batches_give_the_same_and_are_told():
    lm = tiny("gpt2")
    thetas = random_thetas(5)
    piece = ModelSlice(lm, encoded(lm, *TEXTS), SOURCE, BLOCKS - 1)
    whole = finished(piece, thetas, COUNT)
    work, told = top_tokens(piece, thetas, COUNT, batch=2), []
    while True:
        try:
            told.append(next(work))
        except StopIteration as end:
            parts = end.value
            break
    assert told == [2, 4, 5]
    assert [[token for token, _ in top.promoted] for top in parts] == [[t for t, _ in top.promoted] for top in whole]
