"""Whether a behaviour shows on other prompts of the same kind: a short generality of its most typical vector."""

import re
from collections.abc import Sequence
from itertools import chain, zip_longest

from melbo_app.analysis.flags.code import code
from melbo_app.analysis.flags.refusal import refusal
from melbo_app.library.explorations import Behaviour, Elsewhere
from melbo_app.library.generality import Baseline, Generality, TriedAnswer
from melbo_app.library.prompt_sets import SetPrompt

MOST_BEHAVIOURS = 3
"""The most behaviours to try on other prompts, from the top of the list."""
RANDOM = 4
"""Number of random vectors to compare with."""
_SUM = re.compile(r"\d\s*(?:[-+*/×÷]|plus|minus|times|divided by)\s*\d", re.IGNORECASE)


def kind_of(prompt: str, baseline: str) -> str:
    """The shipped set of prompts to which a prompt and its unsteered answer belong."""
    if refusal(baseline) is not None:
        return "refused"
    if _SUM.search(prompt):
        return "arithmetic"
    return "code" if code(baseline) is not None else "everyday"


def other_prompts(prompts: Sequence[SetPrompt], text: str, count: int) -> list[SetPrompt]:
    """``count`` of the prompts, from each group in turn, without ``text`` itself."""
    flat = _flat(text)
    groups: dict[str, list[SetPrompt]] = {}
    for one in prompts:
        if _flat(one.text) != flat:
            groups.setdefault(one.group, []).append(one)
    return [one for one in chain.from_iterable(zip_longest(*groups.values())) if one is not None][:count]


def tried_elsewhere(behaviours: Sequence[Behaviour], found: Generality) -> tuple[Behaviour, ...]:
    """The same behaviours with their results on other prompts."""
    tried = []
    for one in behaviours:
        mine = next((row for row in found.vectors if row.vector == one.representative), None)
        if mine is not None:
            beside = [row for row in found.random if row.radius == abs(mine.radius)]
            worked = _worked(found, [mine.answers])
            random = _worked(found, [row.answers for row in beside])
            share = Elsewhere(
                worked=worked,
                prompts=len(found.prompts),
                random=random,
                random_answers=len(found.prompts) * len(beside),
            )
            one = one.model_copy(update={"elsewhere": share})
        tried.append(one)
    return tuple(tried)


def works(baseline: Baseline, answer: TriedAnswer) -> bool:
    """Whether a vector works on a prompt: it changes the answer or, if the unsteered one refuses, lifts the refusal."""
    return answer.change == "lifted" if baseline.refuses else answer.change is not None


def _worked(found: Generality, answers: Sequence[Sequence[TriedAnswer]]) -> int:
    return sum(works(*pair) for row in answers for pair in zip(found.baselines, row, strict=True))


def _flat(text: str) -> str:
    return " ".join(text.casefold().split())
