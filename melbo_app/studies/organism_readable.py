"""Whether an organism's answers are readable."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from melbo_app.engine.stopping import Stop
from melbo_app.jobs.generators import result_of
from melbo_app.studies.scoring import scores_of

if TYPE_CHECKING:  # torch takes seconds to import
    from melbo_app.engine.lessons import Answer
    from melbo_app.engine.model import LanguageModel


def readable(
    lm: "LanguageModel", texts: Sequence[str], several: Sequence[Sequence["Answer"]], stop: Stop
) -> list[list[bool]]:
    """Whether each answer is readable, as ``lm`` reads it. Of ``several`` answers to each text, the first are the
    model's own, with which the others are compared."""
    from melbo_app.engine.encoding import encode
    from melbo_app.engine.likelihood import Reading, likelihoods
    from melbo_app.engine.prompt import Prompt

    encoded = encode(lm, [Prompt(text, template=lm.usual_template) for text in texts], stop)
    found: list[list[bool]] = []
    usual: list[float | None] = []
    for said in several:
        read = result_of(likelihoods(lm, encoded, [Reading(at, one.ids) for at, one in enumerate(said)], stop=stop))
        usual = usual or [one.logprob for one in read]
        scored = [scores_of(*both, None) for both in zip(said, read, usual, strict=True)]
        found.append([one.verdict == "readable" for one in scored])
    return found
