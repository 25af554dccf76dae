"""Scores of completions, from reading them back without steering and from their texts."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

from melbo_app.analysis.language import dictionary_words, language, repetition
from melbo_app.analysis.readability import USUAL, Verdict, verdict_on
from melbo_app.engine.suggestion import layers
from melbo_app.library.bank import Bank
from melbo_app.library.completion import Completion, Scores

if TYPE_CHECKING:
    from melbo_app.engine.likelihood import Likelihood


class Written(Protocol):
    """A text with its number of tokens."""

    @property
    def text(self) -> str: ...
    @property
    def tokens(self) -> int: ...


def score(
    completions: Sequence[Completion],
    found: "Sequence[Likelihood]",
    baselines: dict[int, float | None],
    target: int | None,
) -> list[Completion]:
    """The same completions with scores.

    Args:
        completions: of one ``generate`` call.
        found: the likelihood of each, from reading it back.
        baselines: the log-probability per token of the baseline, by prompt index, with which the others are compared;
            those of baselines among ``completions`` are added.
        target: the block at whose output runaways were measured.
    """
    for entry, likelihood in zip(completions, found, strict=True):
        if entry.vector is None:
            baselines[entry.prompt_index] = _finite(likelihood.logprob)
    return [
        entry.model_copy(
            update={
                "scores": scores_of(
                    entry,
                    likelihood,
                    baselines.get(entry.prompt_index),
                    None if entry.vector is None else target,
                )
            }
        )
        for entry, likelihood in zip(completions, found, strict=True)
    ]


def verdict_anew(completion: Completion) -> Scores | None:
    """The scores of a stored text with its verdict by the current rules.

    A text is stored with the verdict of its day, but the rules improve; the other scores stay.
    """
    scores = completion.scores
    if scores is None:
        return None
    readable, verdict = _verdict(completion, scores)
    return scores.model_copy(update={"readability": readable, "verdict": verdict})


def target_of(blocks: int | None, bank: Bank | None) -> int | None:
    """The layer at which runaways are measured in a model of ``blocks`` blocks; None for the last source layer."""
    if bank is None or blocks is None or bank.record.source >= blocks - 1:
        return None
    return layers(blocks, bank.record.source, bank.record.target)[1]


def scores_of(entry: Written, likelihood: "Likelihood", baseline: float | None, target: int | None) -> Scores:
    """The scores of one text. ``baseline`` is the log-probability per token of the unsteered one, ``target`` the block
    at whose output runaways were measured; None: not steered."""
    text = entry.text
    logprob = _finite(likelihood.logprob)
    loss = None if logprob is None or baseline is None else baseline - logprob
    spoken = language(text)
    scores = Scores(
        logprob=logprob,
        loss=loss,
        peak_surprisal=_finite(likelihood.peak_surprisal),
        kl_prompt=_finite(likelihood.kl_prompt),
        kl_text=_finite(likelihood.kl_text),
        repetition=repetition(text),
        dictionary_words=dictionary_words(text, spoken),
        language=spoken,
        readability=None,
        verdict=None,
        runaway=_finite(likelihood.runaway),
        runaway_target=target,
    )
    readable, verdict = _verdict(entry, scores)
    return scores.model_copy(update={"readability": readable, "verdict": verdict})


def _verdict(entry: Written, scores: Scores) -> tuple[float | None, Verdict | None]:
    if not entry.text.strip():
        return None, None
    loss = scores.loss
    if loss is None and scores.logprob is not None:  # the baseline is empty
        loss = USUAL - scores.logprob
    known, repeated = scores.dictionary_words, scores.repetition
    return verdict_on(entry.text, loss, scores.peak_surprisal, entry.tokens, repeated, known)


def _finite(value: float | None) -> float | None:
    """``value``, or None if it overflowed, because R may be absurdly large."""
    return value if value is not None and math.isfinite(value) else None
