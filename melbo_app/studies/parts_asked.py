"""What a circuit is measured by."""

from collections.abc import Generator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from melbo_app.engine.decoding import Decoding
from melbo_app.engine.prompt import Prompt
from melbo_app.engine.stopping import Stop, raise_if
from melbo_app.errors import InputError
from melbo_app.studies.measure import Measure

if TYPE_CHECKING:  # torch takes seconds to import, and the page is up before it
    from melbo_app.engine.answer_odds import Question
    from melbo_app.engine.model import LanguageModel


@dataclass(frozen=True)
class Asked:
    """What is measured: the question, its two answers, and which of the random vectors' texts show the behaviour."""

    question: "Question"
    answers: tuple[str, str]
    random_shows: tuple[bool, ...] | None


def asked(
    lm: "LanguageModel", prompt: Prompt, source: int, thetas: np.ndarray, measure: Measure, tokens: int, stop: Stop
) -> Generator[int, None, Asked]:
    """The question whose log-odds are measured; for a measure of texts, the greedy answers under the first
    of ``thetas`` [V, d] and without steering. Yields how many tokens are written.

    Raises:
        InputError: the steered answer does not show the behaviour, or the unsteered one does.
        Stopped: ``stop()`` became true.
    """
    from melbo_app.engine.answer_odds import Question, question
    from melbo_app.engine.encoding import encode
    from melbo_app.engine.generation import Rows, generate

    if measure.answers is not None:
        return Asked(question(lm, prompt, *measure.answers), measure.answers, None)
    encoded = encode(lm, [prompt], stop)
    rows = Rows(lm, encoded, np.concatenate([np.zeros_like(thetas[:1]), thetas]), source, Decoding(tokens), stop)
    whole = None
    for whole in generate(rows):
        yield whole.step
    raise_if(stop)
    assert whole is not None, "a stop before the first token was raised"
    plain, steered = whole.texts[0], whole.texts[1]
    shows = [measure.shows(text, prompt.user, plain, prompt.system) for text in whole.texts]
    if shows[0]:
        raise InputError("measure", f"the unsteered answer shows {measure} too: “{plain}”", "Choose another prompt")
    if not shows[1]:
        problem = f"the answer under the vector does not show {measure}: “{steered}”"
        raise InputError("measure", problem, "Choose another vector, R, prompt or measure")
    ids = [tuple(one) for one in whole.ids[:2]]
    if not all(ids):
        raise InputError("measure", "one of the two answers is empty", "Choose another prompt")
    return Asked(Question(tuple(encoded.input_ids[0].tolist()), ids[1], ids[0]), (steered, plain), tuple(shows[2:]))
