"""Scores of completions: read back with and without steering, and looked at as texts."""

import math
from collections.abc import Callable, Generator, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from melbo_app.analysis.readability import readability
from melbo_app.analysis.wording import dictionary_words, language, repetition
from melbo_app.errors import Stopped
from melbo_app.jobs.training import layers
from melbo_app.library.bank import Bank
from melbo_app.library.completions import Completion, Scores

if TYPE_CHECKING:
    from melbo_app.engine.encoding import EncodedPrompts
    from melbo_app.engine.likelihood import Likelihood
    from melbo_app.engine.model import LanguageModel


def score(
    lm: "LanguageModel",
    bank: Bank | None,
    encoded: "EncodedPrompts",
    completions: Sequence[Completion],
    thetas: Sequence[np.ndarray],
    ids: Mapping[int, Sequence[int]],
    memory_gb: float | None,
    stop: Callable[[], bool],
) -> Generator[int, None, list[Completion]]:
    """The same completions, with scores where they had none; without, when stopped. Yields how many are done.

    Args:
        encoded: the prompts, in the order of the completions' ``prompt_index``.
        completions: whole ones, and for each prompt among them the baseline, against which its texts are compared.
        thetas: what steered each of them, [d].
        ids: the tokens of some of the texts, by their place among the completions; the tokens of the others are what
            the tokenizer makes of their text, which may be cut up otherwise than when it was generated.
    """
    import torch

    from melbo_app.engine.likelihood import Reading, likelihoods

    todo = [at for at, entry in enumerate(completions) if entry.scores is None]
    readings = [
        Reading(
            completions[at].prompt_index,
            ids[at] if at in ids else lm.tokenizer(completions[at].text, add_special_tokens=False)["input_ids"],
            torch.from_numpy(thetas[at]),
        )
        for at in todo
    ]
    source = bank.record.source if bank else None
    try:
        found = yield from likelihoods(lm, encoded, readings, source, _target(lm, bank), memory_gb, stop)
    except Stopped:
        return list(completions)
    logprobs = {at: _finite(likelihood.logprob) for at, likelihood in zip(todo, found, strict=True)}
    baselines = {
        entry.prompt_index: entry.scores.logprob if entry.scores else logprobs[at]
        for at, entry in enumerate(completions)
        if entry.vector is None
    }
    scored = list(completions)
    for at, likelihood in zip(todo, found, strict=True):
        entry = completions[at]
        scores = _scores(entry.text, entry.tokens, likelihood, baselines.get(entry.prompt_index))
        scored[at] = entry.model_copy(update={"scores": scores})
    return scored


def _target(lm: "LanguageModel", bank: Bank | None) -> int | None:
    """Where runaways are looked for; nowhere above the last block."""
    if bank is None or bank.record.source >= len(lm.blocks) - 1:
        return None
    return layers(len(lm.blocks), bank.record.source, bank.record.target)[1]


def _scores(text: str, tokens: int, likelihood: "Likelihood", baseline: float | None) -> Scores:
    logprob = _finite(likelihood.logprob)
    loss = None if logprob is None or baseline is None else baseline - logprob
    spoken = language(text)
    repeated, known = repetition(text), dictionary_words(text, spoken)
    readable, verdict = readability(loss, tokens, repeated, known) if text.strip() else (None, None)
    return Scores(
        logprob=logprob,
        loss=loss,
        kl_prompt=_finite(likelihood.kl_prompt),
        kl_text=_finite(likelihood.kl_text),
        repetition=repeated,
        dictionary_words=known,
        language=spoken,
        readability=readable,
        verdict=verdict,
        runaway=_finite(likelihood.runaway),
    )


def _finite(value: float | None) -> float | None:
    """``value``, or None where numbers overflowed: R may be absurdly large."""
    return value if value is not None and math.isfinite(value) else None
