"""Log-probabilities of a few given answers to a question, without generating."""

from collections.abc import Generator, Sequence

import numpy as np

from melbo_app.engine.encoding import encode
from melbo_app.engine.likelihood import Reading, likelihoods
from melbo_app.engine.model import LanguageModel
from melbo_app.engine.prompt import Prompt
from melbo_app.engine.stopping import Stop


def choose(
    lm: LanguageModel,
    prompts: Sequence[Prompt],
    answers: Sequence[str],
    memory_gb: float | None = None,
    stop: Stop | None = None,
) -> Generator[int, None, np.ndarray]:
    """The log-probability [P, A] in nats of each of ``answers`` as the first tokens after each of ``prompts``.

    Raises:
        InputError: the prompt cannot be encoded.
        Stopped: ``stop()`` became true.
    """
    encoded = encode(lm, prompts)
    ids = [lm.tokenizer(answer, add_special_tokens=False)["input_ids"] for answer in answers]
    readings = [Reading(at, one) for at in range(len(prompts)) for one in ids]
    found = yield from likelihoods(lm, encoded, readings, None, memory_gb, stop)
    sums = [(one.logprob or 0.0) * len(asked.ids) for one, asked in zip(found, readings, strict=True)]
    return np.array(sums).reshape(len(prompts), len(ids))
