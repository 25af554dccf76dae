"""Top tokens: what is read out of the last block is what the model says, and of an earlier one what a lens says."""

import pytest
import torch
from tiny_models import BLOCKS, blocks_of, encoded, lent, random_thetas, tiny

from melbo_app.engine import top_tokens as module
from melbo_app.engine.readout import read_out
from melbo_app.engine.slice import ModelSlice
from melbo_app.engine.top_tokens import top_tokens
from melbo_app.jobs.generators import result_of

TEXTS = ("the heath is wide", "hello")
SOURCE, COUNT = 1, 7


def finished(*arguments, **options):
    return result_of(top_tokens(*arguments, **options))


def last_logits(lm, family, text, theta):
    """Next-token logits of the whole model on one unpadded prompt, steered by a hook of this file's own."""

    def steering(_module, _args, output):
        return output + theta if isinstance(output, torch.Tensor) else (output[0] + theta, *output[1:])

    handle = blocks_of(lm, family)[SOURCE].register_forward_hook(steering)
    with torch.no_grad():
        logits = lm.model(torch.tensor([lm.tokenizer(text)["input_ids"]]), use_cache=False).logits[0, -1]
    handle.remove()
    return logits


def test_at_the_last_block_they_are_those_whose_logits_the_whole_model_changes_most(kind, monkeypatch):
    monkeypatch.setattr(module, "PLAUSIBLE", 0.005)  # of the few tokens of a tiny model nearly all are above 0.001
    lm = lent(kind)
    thetas = random_thetas(3)
    found = finished(ModelSlice(lm, encoded(lm, *TEXTS), SOURCE, BLOCKS - 1), thetas, COUNT)
    for theta, top in zip(thetas, found, strict=True):
        steered, plain = (torch.stack([last_logits(lm, kind, text, by) for text in TEXTS]) for by in (theta, 0 * theta))
        likely = torch.stack([steered.softmax(1).mean(0), plain.softmax(1).mean(0)]).amax(0) >= 0.005
        assert 0 < likely.sum() < len(likely)
        change = (steered - plain).mean(0)
        order = [token for token in change.argsort(descending=True).tolist() if likely[token]]
        assert [token for token, _ in top.promoted] == order[: len(top.promoted)]
        assert [token for token, _ in top.suppressed] == order[::-1][: len(top.suppressed)]
        likelier = (steered.log_softmax(1) - plain.log_softmax(1)).mean(0)
        for token, by in [*top.promoted, *top.suppressed]:
            assert by == pytest.approx(float(likelier[token]), abs=1e-3)
        assert top.promoted[0][1] > 0.1 and top.suppressed[0][1] < -0.1


def test_tokens_that_hardly_ever_come_are_not_named_however_much_they_change(monkeypatch):
    lm = tiny("llama")
    piece = ModelSlice(lm, encoded(lm, *TEXTS), SOURCE, BLOCKS - 1)
    counts = []
    for least in (0.0, 0.005, 0.05, 1.1):
        monkeypatch.setattr(module, "PLAUSIBLE", least)
        [top] = finished(piece, random_thetas(1), 1000)
        counts.append(len(top.promoted) + len(top.suppressed))
    assert counts == sorted(set(counts))[::-1] and (counts[0], counts[-1]) == (lm.model.config.vocab_size, 0)


def test_an_earlier_target_is_read_as_if_it_were_the_last_block():
    lm = tiny("llama")
    theta = random_thetas(1)
    piece = ModelSlice(lm, encoded(lm, *TEXTS), SOURCE, 2)
    [top] = finished(piece, theta, COUNT)
    after, before = read_out(lm, piece.activations(theta)[0, :, -1]), read_out(lm, piece.baseline[:, -1])
    likely = torch.maximum(after.softmax(1).mean(0), before.softmax(1).mean(0)) >= 1e-3
    order = (after - before).mean(0).argsort(descending=True).tolist()
    assert [token for token, _ in top.promoted] == [token for token in order if likely[token]][:COUNT]


def test_batches_give_the_same_and_are_told(monkeypatch):
    lm = tiny("gpt2")
    thetas = random_thetas(5)
    piece = ModelSlice(lm, encoded(lm, *TEXTS), SOURCE, BLOCKS - 1)
    whole = finished(piece, thetas, COUNT)
    monkeypatch.setattr(ModelSlice, "vectors_per_pass", 2)
    work, told = top_tokens(piece, thetas, COUNT), []
    while True:
        try:
            told.append(next(work))
        except StopIteration as end:
            parts = end.value
            break
    assert told == [2, 4, 5]
    assert [[token for token, _ in top.promoted] for top in parts] == [[t for t, _ in top.promoted] for top in whole]
