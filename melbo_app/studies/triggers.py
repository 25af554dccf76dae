"""Triggers: short strings which, added to clean prompts, make a model do something. Experimental."""

import time
from collections.abc import Callable, Generator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from melbo_app.engine.prompt import Prompt
from melbo_app.engine.stopping import Stop
from melbo_app.engine.template_choice import FIELD
from melbo_app.errors import InputError, Stopped
from melbo_app.jobs.bench import Bench
from melbo_app.jobs.generators import map_progress
from melbo_app.jobs.progress import Progress
from melbo_app.jobs.study import ModelStudy
from melbo_app.library.triggers import Trigger, TriggerMethod, TriggerPlace, TriggerSearch
from melbo_app.limits import check_prompts, check_range
from melbo_app.studies.completing import variants
from melbo_app.studies.trigger_answer import Triggered, lines_of, triggered
from melbo_app.studies.trigger_goal import Goal, measure_of
from melbo_app.studies.trigger_hunt import TRAINED_ON, Done, Hunt

if TYPE_CHECKING:  # torch takes seconds to import, and the page is up before it
    from melbo_app.engine.model import LanguageModel

LEAST_PROMPTS = 10
TOKENS, MOST_TOKENS = 5, 16
STEPS, MOST_SEARCH_STEPS = 20, 1_000
CANDIDATES, MOST_CANDIDATES = 32, 512
RESTARTS, MOST_RESTARTS = 4, 16
RANDOM, LEAST_RANDOM, MOST_RANDOM = 8, 4, 64
HELD_OUT, LEAST_HELD_OUT, MOST_HELD_OUT = 12, 4, 200
UNITS = 100
"""Of the progress of each restart, of what is read before the first, and of the random strings."""


@dataclass(frozen=True, kw_only=True)
class TriggerProgress(Progress):
    """The progress of a search; ``found`` is its finished part, None before the first trigger."""

    found: TriggerSearch | None = None


class FindTriggers(ModelStudy[TriggerSearch]):
    """Search for short strings which, added to clean prompts, make the model do something (experimental).

    Greedy coordinate gradient (GCG, Zou et al. 2023), toward a text, toward what a vector does, or both; or words of
    prompts that the model writes under the vector. Each trigger is tested on held-out clean prompts, beside random
    strings. Finished restarts are kept: a stopped search goes on where it was.

    Returns:
        sentence, triggers (text, loss before and after, shows, works, planted, answers), works, planted, random,
        without …
    """

    kind: ClassVar[str] = "triggers"
    doors = frozenset({"command", "http"})

    toward: str = Field(description="what the model should do: text:WORDS, vector:BANK[3] or vector:BANK:3")
    together: bool = Field(False, description="toward the vector and a text at once")
    says: str | None = Field(
        None, description="the text for together; left out: the vector's own answer to the first prompt"
    )
    prompts: tuple[str, ...] | None = Field(
        None, description="clean user texts, ten or more: the search uses four, the others test; left out: everyday"
    )
    method: TriggerMethod = Field(
        "gradient", description="gradient, or sampling: words of prompts that the model writes under the vector"
    )
    place: TriggerPlace = Field("end", description="where the trigger stands in the user's text: end or begin")
    tokens: int = Field(TOKENS, description="length of a trigger, in tokens")
    steps: int = Field(STEPS, description="steps of each restart")
    candidates: int = Field(CANDIDATES, description="strings that each step evaluates")
    restarts: int = Field(RESTARTS, description="searches from different random strings: a trigger each")
    random: int = Field(RANDOM, description="random strings to compare with")
    held_out: int = Field(HELD_OUT, description="held-out prompts that test each trigger, at most")
    measure: str | None = Field(
        None, description="what answers should show: words:, regex:, flag: or language:; left out: what the text says"
    )
    planted: str | None = Field(None, description="the planted trigger, where it is known")
    max_new_tokens: int = Field(24, description="longest answer, in tokens")
    system: str | None = Field(None, description="system text for all prompts")
    template: bool | str | None = Field(
        None, description="the model's chat template: true, false or as for --template; left out: if it has one"
    )
    seed: int = Field(0, description="of all random numbers")

    @property
    def title(self) -> str:
        return f"Triggers toward {self.toward[:60]}"

    def texts(self, bench: Bench) -> list[str]:
        """The clean prompts, each once. Raises InputError."""
        given = self.prompts
        if given is None:
            given = tuple(one.text for one in bench.prompt_sets.read("everyday"))
        return list(dict.fromkeys(given))

    def asked(self, bench: Bench, template: bool | str) -> tuple[list[Prompt], list[Prompt]]:
        """The prompts to search on, and those to test on."""
        every = [Prompt(one, self.system or None, template) for one in self.texts(bench)]
        return every[:TRAINED_ON], every[TRAINED_ON : TRAINED_ON + self.held_out]

    def check(self, bench: Bench) -> None:
        goal = Goal.parse(self.toward)
        texts = self.texts(bench)
        for number, text in enumerate(texts, start=1):
            if not text.strip():
                raise InputError("prompts", f"prompt {number} is empty", "Write a text for the model to answer")
        if len(texts) < LEAST_PROMPTS:
            problem = f"{len(texts)} different prompts are too few: {TRAINED_ON} are searched on, and the others test"
            raise InputError("prompts", problem, f"Give {LEAST_PROMPTS} or more")
        check_prompts([Prompt(one, template=False) for one in texts])
        for name, value, least, most in (
            ("tokens", self.tokens, 1, MOST_TOKENS), ("steps", self.steps, 1, MOST_SEARCH_STEPS),
            ("candidates", self.candidates, 1, MOST_CANDIDATES), ("restarts", self.restarts, 1, MOST_RESTARTS),
            ("random", self.random, LEAST_RANDOM, MOST_RANDOM),
            ("held out", self.held_out, LEAST_HELD_OUT, MOST_HELD_OUT), ("max new tokens", self.max_new_tokens, 1, 512),
        ):  # fmt: skip
            check_range(name, value, least, most)
        measure_of(self.measure)
        for name, given in (("says", self.says), ("planted", self.planted)):
            if given is not None and not given.strip():
                raise InputError(name, "it is empty", "Write a text, or leave it out")
        if goal.bank:
            variants(bench.banks.load(goal.bank), [goal.vector or 0], None)
        elif self.together:
            raise InputError("together", "there is no vector", "Give --toward vector:BANK[3]")
        elif self.method == "sampling":
            raise InputError("method", "sampling needs a vector", "Give --toward vector:BANK[3]")
        if self.says is not None and not self.together:
            raise InputError("says", "it is the text for --together", "Add --together, or give --toward text:…")

    def check_model(self, bench: Bench) -> None:
        from melbo_app.engine.quantisation import UNQUANTISED, quantised

        lm = bench.model.get()
        if self.template and not lm.has_template:
            raise InputError(FIELD, f"{lm.name} has none", "Switch the template off")
        if method := quantised(lm.model.config):
            problem = f"{lm.name} is quantised ({method}) and gives no gradient at its tokens"
            raise InputError("model", problem, UNQUANTISED)

    def run(self, bench: Bench, stop: Stop) -> Generator[Progress, None, TriggerSearch]:
        """Raises Stopped for a stop before the first trigger was found, and InputError where nothing can be searched
        for."""
        self.check(bench)
        self.check_model(bench)
        lm, began = bench.model.get(stop), time.monotonic()
        total = UNITS * (2 + self.restarts)
        template: bool | str = lm.usual_template if self.template is None else self.template
        yield TriggerProgress("reading the prompts", 0, total)
        hunt = Hunt(bench, lm, self, *self.asked(bench, template), stop)
        before = bench.trigger_searches.find(hunt.key)
        if before is not None and before.finished:
            known = before.model_copy(update={"created": datetime.now(UTC)})
            bench.trigger_searches.keep(known)
            return known
        note = yield from map_progress(hunt.prepared(), lambda stage: TriggerProgress(stage, 0, total))
        found, random = (list(before.found), list(before.random)) if before else ([], [])
        spent = before.seconds if before else 0.0
        part = self._result(bench, lm, hunt, found, random, False, spent) if found else None
        yield TriggerProgress("searching", UNITS, total, note, found=part)
        try:
            for number in range(len(found), self.restarts):
                at = UNITS * (1 + number)
                new = yield from map_progress(hunt.trigger(number), self._step(number, part))
                if new is None:  # sampling wrote fewer words than were asked for
                    break
                found.append(new)
                part = self._result(bench, lm, hunt, found, random, False, spent + time.monotonic() - began)
                bench.trigger_searches.keep(part)
                yield TriggerProgress(f"trigger {number + 1}: “{new.text}”", at + UNITS, total, found=part)
            if not found:
                raise InputError("method", "no word that was sampled can stand in the prompts", "Choose another vector")
            if len(random) < self.random:
                stage = TriggerProgress("random strings", UNITS * (1 + self.restarts), total, found=part)
                random = yield from map_progress(hunt.random(), lambda _done: stage)
        except Stopped:
            if part is None:
                raise Stopped("Stopped before the first trigger was found: nothing to keep.") from None
            return part
        result = self._result(bench, lm, hunt, found, random, True, spent + time.monotonic() - began)
        bench.trigger_searches.keep(result)
        return result

    def _step(self, number: int, part: TriggerSearch | None) -> Callable[[Done], TriggerProgress]:
        """The progress within a restart."""
        begin, total = UNITS * (1 + number), UNITS * (2 + self.restarts)

        def at(done: Done) -> TriggerProgress:
            stage = f"trigger {number + 1} of {self.restarts}{done.said}"
            return TriggerProgress(stage, begin + int((UNITS - 1) * done.share), total, found=part)

        return at

    def _result(
        self, bench: Bench, lm: "LanguageModel", hunt: Hunt, found: list[Trigger], random: list[Trigger],
        finished: bool, seconds: float,
    ) -> TriggerSearch:  # fmt: skip
        return TriggerSearch(
            model=lm.name, model_hash=lm.weights_hash, spec=bench.model.spec,
            dtype=str(lm.dtype).removeprefix("torch."), request=hunt.request, goal=hunt.goal, source=hunt.source,
            target=hunt.target, clean=hunt.clean, baselines=hunt.baselines, known=hunt.known, found=tuple(found),
            random=tuple(random), sampled=tuple(hunt.sampled[:64]), finished=finished, seconds=round(seconds, 1),
            created=datetime.now(UTC),
        )  # fmt: skip

    def answer(self, result: TriggerSearch, not_kept: str | None) -> Triggered:
        return triggered(result, not_kept)

    def lines(self, result: TriggerSearch) -> list[str]:
        return lines_of(result)
