"""Candidate triggers by sampling: words of prompts that the model writes as the user's turn under a vector."""

import re
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from melbo_app.engine.decoding import Decoding
from melbo_app.engine.prompt import Prompt
from melbo_app.engine.stopping import Stop
from melbo_app.jobs.bench import Bench
from melbo_app.jobs.generators import map_progress

if TYPE_CHECKING:  # torch takes seconds to import, and the page is up before it
    from melbo_app.engine.model import LanguageModel
    from melbo_app.engine.trigger_loss import TriggerLoss
    from melbo_app.engine.trigger_place import Place

SAMPLES, SAMPLE_TOKENS = 32, 20
"""User turns that are sampled, and their length."""
WORDS = 64
"""Words of the sampled turns that are tried."""
_WORD = re.compile(r"[^\W\d_][\w'’-]+")

Rated = list[tuple[str, float]]
"""Strings with their losses, the lowest first."""


@dataclass(frozen=True)
class Done:
    """How far the work on one trigger is, from 0 to 1, and what it says."""

    share: float
    said: str = ""


@dataclass(frozen=True)
class Tried:
    """How words are tried: their loss in these places, the text of each token, and what stands before a word."""

    loss: "TriggerLoss"
    places: "Sequence[Place]"
    texts: dict[int, str]
    space: str
    seed: int


def sampled_words(
    bench: Bench, lm: "LanguageModel", prompts: Sequence[Prompt], steered: tuple[int, Any], tried: Tried, stop: Stop
) -> Generator[Done, None, tuple[list[str], list[Rated]]]:
    """Sample user turns at temperature 1: without a vector, under c + θ, and under c + a random vector as long as θ.

    c is the clean-prompt vector: the mean output of the source layer over the clean prompts' own tokens, less that over
    the turns that the model writes without a vector, and at most as long as θ.

    Args:
        steered: the source layer, and θ [1, d].

    Returns:
        the turns under c + θ, and the rated words of these turns and of those under c + the random vector.

    Raises:
        Stopped: ``stop()`` became true.
    """
    from melbo_app.engine.encoding import encode
    from melbo_app.engine.steering import random_vector
    from melbo_app.engine.trigger_place import places
    from melbo_app.engine.user_turns import mean_output, opened, sample_turns

    compute, (source, rows) = bench.compute, steered
    waiting, theta = compute.giving_way(stop), rows[0]
    opening = opened(lm, places(lm, prompts[:1], "begin", stop)[0], prompts[0])
    head, decoding = opening.input_ids[0].tolist(), Decoding(SAMPLE_TOKENS, 1.0, 0.95, tried.seed)

    def turns(vector: np.ndarray) -> Generator[Done, None, list[list[int]]]:
        work = compute.steps(sample_turns(lm, opening, source, vector, SAMPLES, decoding, waiting))
        return map_progress(work, lambda tokens: Done(0.3, f": user turns, token {tokens}"))

    usual = yield from turns(0 * theta)
    clean = [encode(lm, [one]) for one in prompts]
    own = [(one.input_ids[0].tolist()[: one.input_ids.shape[1] - int(one.tail.sum())], len(head)) for one in clean]
    with compute.hold():
        moved = mean_output(lm, own, source, waiting)
        moved = moved - mean_output(lm, [([*head, *one], len(head)) for one in usual], source, waiting)
    length, ordinary = float(np.linalg.norm(theta)), moved.numpy()
    ordinary = ordinary * min(1.0, length / max(1e-9, float(np.linalg.norm(ordinary))))
    under = yield from turns(ordinary + theta)
    beside = yield from turns(ordinary + random_vector(len(theta), length, tried.seed).numpy())
    said = [[lm.tokenizer.decode(ids, skip_special_tokens=True) for ids in one] for one in (usual, under, beside)]
    yield Done(0.6, ": rating words")
    return said[1], [_rated(bench, lm, texts, said[0], tried, stop) for texts in said[1:]]


def _rated(
    bench: Bench, lm: "LanguageModel", texts: Sequence[str], usual: Sequence[str], tried: Tried, stop: Stop
) -> Rated:
    """The words of texts with their losses: up to WORDS, those first that more of them have than of the usual ones."""
    from melbo_app.engine.trigger_place import keep_their_tokens
    from melbo_app.engine.trigger_search import of_equal_length, token_ids

    mine, others = ([{*_WORD.findall(text)} for text in some] for some in (texts, usual))
    every = dict.fromkeys(word for text in texts for word in _WORD.findall(text))

    def rarity(word: str) -> float:
        return sum(word in one for one in others) / len(others) - sum(word in one for one in mine) / len(mine)

    strings = [f"{tried.space}{word}" for word in sorted(every, key=rarity)[:WORDS]]
    ids = [lm.tokenizer(one, add_special_tokens=False)["input_ids"] for one in strings]
    known = [at for at, one in enumerate(ids) if one and all(token in tried.texts for token in one)]
    found: Rated = []
    for numbers in of_equal_length([ids[at] for at in known]).values():
        some = [known[at] for at in numbers]
        keeps = keep_their_tokens(lm, tried.places, token_ids([ids[at] for at in some]), tried.texts).tolist()
        kept = [at for at, stays in zip(some, keeps, strict=True) if stays]
        if not kept:
            continue
        with bench.compute.hold():
            losses = tried.loss.exact(token_ids([ids[at] for at in kept]), bench.compute.giving_way(stop)).tolist()
        found += [(strings[at], loss) for at, loss in zip(kept, losses, strict=True)]
    return sorted(found, key=lambda one: one[1])
