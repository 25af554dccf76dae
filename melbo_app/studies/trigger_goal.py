"""What a search for triggers leads toward, and how an answer shows it."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from melbo_app.analysis.clustering import MOST_DISTANCE
from melbo_app.engine.prompt import Prompt
from melbo_app.engine.stopping import Stop
from melbo_app.errors import InputError
from melbo_app.jobs.bench import Bench
from melbo_app.studies.measure import Measure

FORMS = "Write text:What it should say, vector:BANK[3] or vector:BANK:3"
_VECTOR = re.compile(r"(?P<bank>.+?)\s*(?:\[(?P<first>\d{1,6})\]|:(?P<second>\d{1,6}))")


@dataclass(frozen=True)
class Goal:
    """A text, or the vector with this number of a bank."""

    text: str = ""
    bank: str = ""
    vector: int | None = None

    @classmethod
    def parse(cls, given: str) -> "Goal":
        """Read ``text:…``, ``vector:BANK[3]`` or ``vector:BANK:3``. Raises InputError."""
        form, _, rest = given.partition(":")
        form, rest = form.strip().casefold(), rest.strip()
        if form == "text":
            if not rest:
                raise InputError("toward", "the text is empty", "Write what the model should say, as text:Welcome back")
            return cls(text=rest)
        if form != "vector":
            raise InputError("toward", f"“{given}” is neither a text nor a vector", FORMS)
        match = _VECTOR.fullmatch(rest)
        if match is None:
            raise InputError("toward", f"“{given}” names no vector", FORMS)
        return cls(bank=match["bank"], vector=int(match["first"] or match["second"]))


@dataclass(frozen=True)
class Shown:
    """Decides whether answers to prompts show the behaviour.

    Attributes:
        measure: of texts; None: an answer shows it that says the goal.
        goals: what each prompt's answer should say.
        baselines: the answers without a trigger.
    """

    bench: Bench
    measure: Measure | None
    prompts: Sequence[Prompt]
    goals: Sequence[str]
    baselines: Sequence[str]

    def of(self, answers: Sequence[str], stop: Stop) -> list[bool]:
        """For the answer to each prompt. Without a measure it says the goal if its embedding is within
        ``MOST_DISTANCE`` of the goal's, and nearer than the unsteered answer. Raises Stopped."""
        if self.measure is not None:
            rows = zip(answers, self.prompts, self.baselines, strict=True)
            return [self.measure.shows(text, prompt.user, plain, prompt.system) for text, prompt, plain in rows]
        every = list(dict.fromkeys([*answers, *self.goals, *self.baselines]))
        at = dict(zip(every, self.bench.embed(every, stop), strict=True))

        def gap(one: str, other: str) -> float:
            return 1 - float(at[one] @ at[other])

        return [
            bool(text.strip())
            and gap(text, goal) <= MOST_DISTANCE
            and (gap(text, goal) < gap(plain, goal) or plain == goal)
            for text, goal, plain in zip(answers, self.goals, self.baselines, strict=True)
        ]


def measure_of(given: str | None) -> Measure | None:
    """The measure of texts that a person gave; None without one. Raises InputError for one of log-odds."""
    if not given:
        return None
    measure = Measure.parse(given)
    if not measure.is_of_texts:
        remedy = "Write words:ONE,TWO, regex:PATTERN, flag:NAME or language:CODE"
        raise InputError("measure", f"“{given}” compares two answers, and a trigger is tested on texts", remedy)
    return measure
