"""Likelihoods: texts read back give what one unpadded sequence gives, in whatever batch and in however many pieces."""

import pytest
import torch
from tiny_models import (
    BLOCKS,
    WIDTH,
    blocks_of,
    encoded,
    random_thetas,
    tiny,
)

from melbo_app.engine import likelihood
from melbo_app.engine.decoding import Decoding
from melbo_app.engine.encoding import encode
from melbo_app.engine.generation import generate
from melbo_app.engine.likelihood import Likelihood, Reading, likelihoods
from melbo_app.engine.prompt import Prompt
from melbo_app.engine.scope import runaway_share
from melbo_app.engine.slice import ModelSlice
from melbo_app.errors import Stopped

TEXTS = ("the heath is wide", "hello")
SOURCE, TARGET = 1, 2
NOTHING = torch.zeros(WIDTH)


def finished(*arguments, **options) -> list[Likelihood]:
    work = likelihoods(*arguments, **options)
    while True:
        try:
            next(work)
        except StopIteration as end:
            return end.value


def ids_of(lm, text: str) -> list[int]:
    return lm.tokenizer(text, add_special_tokens=False)["input_ids"]


def logits_of(lm, family, prompt: str, ids: list[int], theta: torch.Tensor) -> torch.Tensor:
    """Logits [1 + n, vocabulary] from the prompt's last position on, of one unpadded sequence without a cache, steered
    by a hook of this file's own."""

    def steering(_module, _args, output):
        return output + theta if isinstance(output, torch.Tensor) else (output[0] + theta, *output[1:])

    handle = blocks_of(lm, family)[SOURCE].register_forward_hook(steering)
    before = ids_of(lm, prompt)
    with torch.no_grad():
        logits = lm.model(torch.tensor([before + ids]), use_cache=False).logits[0]
    handle.remove()
    return logits[len(before) - 1 :]


def expected(lm, family, prompt: str, ids: list[int], theta: torch.Tensor) -> tuple[float, float, float]:
    """Log-probability, KL at the prompt's end, mean KL, each as the definition says and in float64."""
    plain, steered = (logits_of(lm, family, prompt, ids, by).double() for by in (NOTHING, theta))
    logprob = sum(float(plain[at].softmax(0)[token].log()) for at, token in enumerate(ids)) / len(ids)
    kl = torch.distributions.kl_divergence(
        torch.distributions.Categorical(logits=steered), torch.distributions.Categorical(logits=plain)
    )
    return logprob, float(kl[0]), float(kl[: len(ids)].mean())


def check(found: Likelihood, wanted: tuple[float, float, float]) -> None:
    assert (found.logprob, found.kl_prompt, found.kl_text) == pytest.approx(wanted, rel=2e-3, abs=2e-4)


def test_padded_rows_of_unequal_length_give_what_each_gives_alone(family):
    lm = tiny(family)
    thetas = random_thetas(3)
    rows = [(0, "he is here", thetas[0]), (1, "a", thetas[1]), (1, "the thin heath", NOTHING), (0, "wide", thetas[2])]
    readings = [Reading(prompt, ids_of(lm, text), theta) for prompt, text, theta in rows]
    for found, reading in zip(finished(lm, encoded(lm, *TEXTS), readings, SOURCE, TARGET), readings, strict=True):
        check(found, expected(lm, family, TEXTS[reading.prompt], list(reading.ids), reading.theta))


def test_long_texts_are_read_in_pieces_to_the_same_end(family, monkeypatch):
    lm = tiny(family)
    readings = [Reading(at, ids_of(lm, text), random_thetas(1)[0]) for at, text in enumerate(("the heath here", "he"))]
    whole = finished(lm, encoded(lm, *TEXTS), readings, SOURCE, TARGET)
    monkeypatch.setattr(likelihood, "LOGITS_AT_ONCE", 3 * 2 * lm.model.config.vocab_size)
    passes = []
    handle = lm.model.register_forward_pre_hook(lambda _module, args: passes.append(args[0].shape[1]))
    pieces = finished(lm, encoded(lm, *TEXTS), readings, SOURCE, TARGET)
    handle.remove()
    assert len(passes) >= 8 and set(passes[2:-2]) == {3}
    for found, reading in zip(pieces, readings, strict=True):
        check(found, expected(lm, family, TEXTS[reading.prompt], list(reading.ids), reading.theta))
        assert found.runaway == whole[reading.prompt].runaway


def test_a_zero_vector_changes_nothing_at_all(family):
    lm = tiny(family)
    readings = [Reading(at, ids_of(lm, "the end"), NOTHING) for at in (0, 1)]
    for source in (SOURCE, None):
        for found in finished(lm, encoded(lm, *TEXTS), readings, source, TARGET):
            assert (found.kl_prompt, found.kl_text, found.runaway) == (0, 0, 0)


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_what_was_generated_is_read_back_with_the_logits_that_chose_it(temperature):
    lm = tiny("llama")
    batch, thetas = encoded(lm, *TEXTS), torch.cat([torch.zeros(1, WIDTH), random_thetas(2, norm=8)])
    *_, made = generate(lm, batch, thetas, SOURCE, Decoding(12, temperature, seed=3))
    readings = [Reading(row % 2, ids, thetas[row // 2]) for row, ids in enumerate(made.ids)]
    for found, reading in zip(finished(lm, batch, readings, SOURCE, TARGET), readings, strict=True):
        check(found, expected(lm, "llama", TEXTS[reading.prompt], list(reading.ids), reading.theta))
        if temperature == 0:
            steered = logits_of(lm, "llama", TEXTS[reading.prompt], list(reading.ids), reading.theta)
            assert steered.argmax(1).tolist()[: len(reading.ids)] == list(reading.ids)


def test_an_empty_text_has_a_divergence_at_the_prompt_and_nothing_else():
    lm = tiny("gpt2")
    theta = random_thetas(1)[0]
    [empty] = finished(lm, encoded(lm, "hello"), [Reading(0, [], theta)], SOURCE)
    [full] = finished(lm, encoded(lm, "hello"), [Reading(0, ids_of(lm, "the"), theta)], SOURCE)
    assert (empty.logprob, empty.kl_text, empty.runaway) == (None, None, None)
    assert empty.kl_prompt == pytest.approx(full.kl_prompt, rel=1e-4) and empty.kl_prompt > 0


def test_many_texts_are_read_in_several_batches_and_can_be_stopped_in_between(monkeypatch):
    lm = tiny("llama")
    readings = [Reading(0, ids_of(lm, "the end"), theta) for theta in random_thetas(7)]
    together = finished(lm, encoded(lm, "hello"), readings, SOURCE, TARGET)
    monkeypatch.setattr(likelihood, "TOKENS_AT_ONCE", 40)
    work = likelihoods(lm, encoded(lm, "hello"), readings, SOURCE, TARGET)
    told = []
    while True:
        try:
            told.append(next(work))
        except StopIteration as end:
            apart = end.value
            break
    assert told == [4, 7]
    for one, other in zip(together, apart, strict=True):
        assert (one.logprob, one.kl_text) == pytest.approx((other.logprob, other.kl_text), rel=1e-4)
    asked = 0

    def stop() -> bool:
        nonlocal asked
        asked += 1
        return asked == 3

    work = likelihoods(lm, encoded(lm, "hello"), readings, SOURCE, TARGET, stop=stop)
    next(work)
    with pytest.raises(Stopped):
        next(work)
    assert not any(block._forward_hooks for block in lm.blocks)


def test_a_vector_that_blows_a_token_up_is_a_runaway():
    lm = tiny("llama")
    batch = encode(lm, [Prompt("hello", template=False), Prompt("the heath is wide")])
    thetas = torch.stack([NOTHING, *random_thetas(1, norm=1.0), *random_thetas(1, norm=1e4)])
    readings = [Reading(prompt, ids_of(lm, "a"), theta) for theta in thetas for prompt in (0, 1)]
    shares = [found.runaway for found in finished(lm, batch, readings, SOURCE, TARGET)]
    assert shares == [0, 0, 0, 0, 1, 1]


def test_the_runaway_share_is_that_of_the_slice():
    lm = tiny("llama")
    batch, thetas = encoded(lm, *TEXTS), random_thetas(6, norm=60.0)
    readings = [Reading(prompt, ids_of(lm, "the"), theta) for theta in thetas for prompt in (0, 1)]
    found = [found.runaway for found in finished(lm, batch, readings, SOURCE, BLOCKS - 1)]
    piece = ModelSlice(lm, batch, SOURCE, BLOCKS - 1)
    norms = piece.baseline.norm(dim=-1)
    steered = piece.activations(thetas).norm(dim=-1)
    assert found == [share for one in steered for share in runaway_share(one, norms, batch).tolist()]
