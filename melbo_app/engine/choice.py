"""Log-probabilities of a few given answers to a question, without generating."""

from collections.abc import Generator, Sequence

import numpy as np

from melbo_app.engine.encoding import encode
from melbo_app.engine.likelihood import Reading, likelihoods
from melbo_app.engine.model import LanguageModel
from melbo_app.engine.prompt import Prompt
from melbo_app.engine.stopping import Stop


def choose(
    lm: LanguageModel, prompt: Prompt, answers: Sequence[str], memory_gb: float | None = None, stop: Stop | None = None
) -> Generator[int, None, np.ndarray]:
    """The log-probability [A] in nats of each of ``answers`` as the first tokens after ``prompt``.

    Raises:
        InputError: the prompt cannot be encoded.
        Stopped: ``stop()`` became true.
    """
    encoded = encode(lm, [prompt])
    ids = [lm.tokenizer(answer, add_special_tokens=False)["input_ids"] for answer in answers]
    found = yield from likelihoods(lm, encoded, [Reading(0, one) for one in ids], None, memory_gb, stop)
    return np.array([(one.logprob or 0.0) * len(tokens) for one, tokens in zip(found, ids, strict=True)])
