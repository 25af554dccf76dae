"""Likelihoods: texts read back give what one unpadded sequence gives, in whatever batch and in however many pieces."""

from dataclasses import replace

import pytest
import torch
from tiny_models import BLOCKS, WIDTH, blocks_of, encoded, lent, random_thetas, tiny

from melbo_app.engine import likelihood
from melbo_app.engine.decoding import Decoding
from melbo_app.engine.generation import Rows, generate
from melbo_app.engine.likelihood import Likelihood, Reading, likelihoods
from melbo_app.engine.scope import runaway_share
from melbo_app.engine.slice import ModelSlice
from melbo_app.engine.trace import Trace
from melbo_app.errors import Stopped
from melbo_app.jobs.generators import result_of

TEXTS = ("the heath is wide", "hello")
SOURCE, TARGET, NEW = 1, 2, 12


def finished(*arguments, **options) -> list[Likelihood]:
    return result_of(likelihoods(*arguments, **options))


def generated(lm, batch, thetas, decoding=None, target=TARGET, lengths=None) -> list[Reading]:
    """What steered generation gives to read, vectors outermost; ``lengths`` cuts the texts off."""
    trace = Trace(target)
    *_, made = generate(Rows(lm, batch, thetas, SOURCE, decoding or Decoding(NEW), trace=trace))
    states = torch.stack(trace.states, dim=1)
    norms = [None] * len(made.ids) if trace.norms is None else trace.norms
    return [
        Reading(row % len(batch.prompts), ids[: lengths[row]] if lengths else ids, states[row], norms[row])
        for row, ids in enumerate(made.ids)
    ]


def logits_of(lm, family, prompt: str, ids: list[int], theta: torch.Tensor) -> torch.Tensor:
    """Logits [1 + n, vocabulary] from the prompt's last position on, of one unpadded sequence without a cache, steered
    by a hook of this file's own."""

    def steering(_module, _args, output):
        return output + theta if isinstance(output, torch.Tensor) else (output[0] + theta, *output[1:])

    handle = blocks_of(lm, family)[SOURCE].register_forward_hook(steering)
    before = lm.tokenizer(prompt)["input_ids"]
    with torch.no_grad():
        logits = lm.model(torch.tensor([before + ids]), use_cache=False).logits[0]
    handle.remove()
    return logits[len(before) - 1 :]


def check(lm, family, found: Likelihood, reading: Reading, theta: torch.Tensor) -> None:
    """Log-probability, KL at the prompt's end and mean KL, each as the definition says and in float64."""
    ids = list(reading.ids)
    plain, steered = (logits_of(lm, family, TEXTS[reading.prompt], ids, by).double() for by in (0 * theta, theta))
    surprisal = [-float(plain[at].softmax(0)[token].log()) for at, token in enumerate(ids)]
    logprob = -sum(surprisal) / len(ids)
    peak = max(sum(surprisal[at : at + 8]) / 8 for at in range(max(1, len(ids) - 7)))
    kl = torch.distributions.kl_divergence(
        torch.distributions.Categorical(logits=steered), torch.distributions.Categorical(logits=plain)
    )
    wanted = (logprob, float(kl[0]), float(kl[: len(ids)].mean()), peak)
    assert (found.logprob, found.kl_prompt, found.kl_text, found.peak_surprisal) == pytest.approx(
        wanted, rel=2e-3, abs=2e-4
    )
    assert float(theta.norm()) == 0 or wanted[2] > 1e-3


def test_padded_rows_of_unequal_length_give_what_each_gives_alone(family):
    lm = lent(family)
    batch, thetas = encoded(lm, *TEXTS), torch.cat([torch.zeros(1, WIDTH), random_thetas(2, norm=8)])
    readings = generated(lm, batch, thetas, lengths=[9, 2, 1, 12, 5, 3])
    for row, (found, reading) in enumerate(zip(finished(lm, batch, readings, TARGET), readings, strict=True)):
        check(lm, family, found, reading, thetas[row // 2])


def test_long_texts_are_read_in_pieces_to_the_same_end(kind, monkeypatch):
    lm = lent(kind)
    batch, thetas = encoded(lm, *TEXTS), random_thetas(1, norm=8)
    readings = generated(lm, batch, thetas)
    steps = max(len(reading.ids) for reading in readings)
    monkeypatch.setattr(likelihood, "LOGITS_AT_ONCE", 3 * 2 * lm.model.config.vocab_size)
    passes = []
    handle = lm.model.register_forward_pre_hook(lambda _module, args: passes.append(tuple(args[0].shape)))
    found = finished(lm, batch, readings, TARGET)
    handle.remove()
    pieces = [shape[1] for shape in passes if shape[0] == 2 and shape != (2, 1)]
    assert pieces[0] == batch.input_ids.shape[1] and sum(pieces[1:]) in (steps - 1, steps - 2)
    assert len(pieces) > 2 and max(pieces[1:]) == 3
    for one, reading in zip(found, readings, strict=True):
        check(lm, kind, one, reading, thetas[0])


@pytest.mark.parametrize("decoding", [Decoding(NEW), Decoding(NEW, 1.0, 0.9, seed=3)])
def test_whatever_the_decoding_the_models_own_predictions_are_compared(decoding):
    lm = tiny("llama")
    batch, thetas = encoded(lm, *TEXTS), random_thetas(2, norm=8)
    readings = generated(lm, batch, thetas, decoding)
    for row, (found, reading) in enumerate(zip(finished(lm, batch, readings, TARGET), readings, strict=True)):
        check(lm, "llama", found, reading, thetas[row // 2])


def test_what_was_not_steered_does_not_diverge_at_all_and_a_zero_vector_by_rounding_only(kind):
    lm = lent(kind)
    batch = encoded(lm, *TEXTS)
    zero = generated(lm, batch, torch.zeros(1, WIDTH))
    plain = [replace(reading, states=None, norms=None) for reading in zero]
    for found in finished(lm, batch, plain, TARGET):
        assert (found.kl_prompt, found.kl_text, found.runaway) == (0, 0, 0)
    for found in finished(lm, batch, zero, TARGET):
        assert 0 <= found.kl_prompt < 1e-6 and 0 <= found.kl_text < 1e-6 and found.runaway == 0


def test_what_predicted_an_unsteered_text_when_it_was_written_is_what_reading_it_again_would_say(kind, monkeypatch):
    lm = lent(kind)
    batch = encoded(lm, *TEXTS)
    written = [replace(one, steered=False, norms=None) for one in generated(lm, batch, torch.zeros(1, WIDTH))]
    written[1] = replace(written[1], ids=[])
    again = finished(lm, batch, [replace(one, states=None) for one in written], TARGET)
    monkeypatch.setattr(type(lm), "forward", forbidden_but_for_reading_out(lm))
    for one, other in zip(finished(lm, batch, written, TARGET), again, strict=True):
        if other.logprob is None:
            assert one.logprob is one.peak_surprisal is None
        else:
            assert (one.logprob, one.peak_surprisal) == pytest.approx((other.logprob, other.peak_surprisal), rel=1e-3)
        assert (one.kl_prompt, one.kl_text, one.runaway) == (other.kl_prompt, other.kl_text, other.runaway)


def forbidden_but_for_reading_out(lm):
    real = type(lm).forward

    def forward(self, input_ids, *rest, **options):
        assert input_ids.shape[1] == 1 and not options and len(rest) == 2, "a text was read"
        return real(self, input_ids, *rest)

    return forward


def test_an_empty_text_has_a_divergence_at_the_prompt_and_nothing_else():
    lm = tiny("gpt2")
    batch, thetas = encoded(lm, "hello"), random_thetas(2)
    [empty, _] = finished(lm, batch, generated(lm, batch, thetas, target=None, lengths=[0, 4]))
    [alone] = finished(lm, batch, generated(lm, batch, thetas[:1], target=None, lengths=[0]))
    [full] = finished(lm, batch, generated(lm, batch, thetas[:1], target=None))
    assert (empty.logprob, empty.kl_text, empty.runaway) == (None, None, None)
    assert empty.kl_prompt == pytest.approx(full.kl_prompt, rel=1e-4) and empty.kl_prompt > 0
    assert alone.kl_prompt == pytest.approx(empty.kl_prompt, rel=1e-4)


def test_many_texts_are_read_in_several_batches_and_can_be_stopped_in_between(monkeypatch):
    lm = tiny("llama")
    batch = encoded(lm, "hello")
    readings = generated(lm, batch, random_thetas(7), Decoding(10))
    together = finished(lm, batch, readings, TARGET)
    monkeypatch.setattr(likelihood, "TOKENS_AT_ONCE", 40)
    work = likelihoods(lm, batch, readings, TARGET)
    told: list[int] = []
    apart = result_of(work, told.append)
    assert told == [4, 7]
    for one, other in zip(together, apart, strict=True):
        assert (one.logprob, one.kl_text) == pytest.approx((other.logprob, other.kl_text), rel=1e-4)
    for when in (1, 2, 3):
        asked = 0

        def stop(when: int = when) -> bool:
            nonlocal asked
            asked += 1
            return asked == when

        with pytest.raises(Stopped):
            finished(lm, batch, readings, TARGET, stop=stop)
        assert not any(block._forward_hooks for block in lm.blocks)


def test_the_runaway_share_is_that_of_the_slice():
    lm = tiny("llama")
    batch = encoded(lm, *TEXTS)
    thetas = torch.cat([random_thetas(1, norm=1.0), random_thetas(4, norm=850.0), random_thetas(1, norm=1e4)])
    found = finished(lm, batch, generated(lm, batch, thetas, Decoding(1), BLOCKS - 1), BLOCKS - 1)
    piece = ModelSlice(lm, batch, SOURCE, BLOCKS - 1)
    norms, steered = piece.baseline.norm(dim=-1), piece.activations(thetas).norm(dim=-1)
    shares = [share for one in steered for share in runaway_share(one, norms, batch).tolist()]
    assert [one.runaway for one in found] == shares
    assert shares[:2] == [0, 0] and shares[-2:] == [1, 1] and 0 < sum(shares[2:-2]) < 8
