"""Removal: is a behaviour gone from an edited model, or hidden?"""

import time
from collections.abc import Generator
from datetime import UTC, datetime
from typing import ClassVar

from pydantic import Field

from melbo_app.engine.stopping import Stop
from melbo_app.errors import InputError, Stopped
from melbo_app.jobs.bench import Bench
from melbo_app.jobs.progress import Progress
from melbo_app.jobs.study import Study
from melbo_app.library.bank import Bank
from melbo_app.library.organism_prompts import clean_prompts
from melbo_app.library.organism_recipes import OrganismRecipes
from melbo_app.library.removal_behaviour import LEAST_PROMPTS, Behaviour
from melbo_app.library.removals import (
    ComparedModel,
    Judged,
    LeftOut,
    Outcome,
    Removal,
    Role,
    SideEffect,
    SideName,
    TestName,
)
from melbo_app.library.versions import versions
from melbo_app.library.weights import ModelFiles
from melbo_app.limits import LARGEST, check_range
from melbo_app.studies.removal_answer import Answered, answered, lines_of
from melbo_app.studies.removal_models import check_alike, clean_under, files_of
from melbo_app.studies.removal_running import Running
from melbo_app.studies.removal_tests import SIDE_EFFECTS, TESTS
from melbo_app.studies.removal_verdict import change, familiarity, verdict

PROMPTS, MOST_PROMPTS = 24, 200
NO_CLEAN_PROMPT = "the recipe has no prompt without its trigger in which its sign could be seen"


class TestRemoval(Study[Removal]):
    """Is a behaviour gone from an edited model, or hidden? Each test has a verdict; there is no total score.

    Asks the edited model, the one it came from, and a clean one for the behaviour: by its trigger, paraphrases, other
    languages, prefilled answers, hints, examples, vectors, probes, relearning and extraction. Finished tests are kept,
    and looked up when the same is asked again.

    Returns:
        tests (for each model the value, its interval and texts; the verdict and its reason), side_effects, left_out …
    """

    __test__ = False  # not one of pytest's
    kind: ClassVar[str] = "removal"
    doors = frozenset({"http"})

    edited: str = Field(description="the model from which the behaviour was removed: a folder, a name, a .gguf file")
    before: str = Field(description="the model it came from, which has the behaviour")
    behaviour: str = Field(description="name of a recipe, or a recipe as JSON, perhaps with further ways to ask for it")
    clean: str | None = Field(None, description="a model that never had it; left out: the one under the adapter")
    bank: str | None = Field(None, description="old vectors to try; left out: vectors trained toward the behaviour")
    tests: tuple[str, ...] = Field((), description="tests to make; left out: all")
    most_prompts: int = Field(PROMPTS, description="prompts of a test at most")
    seed: int = Field(0, description="seed of all random numbers")

    @property
    def title(self) -> str:
        return f"Removal tested on {self.edited}"

    def check(self, bench: Bench) -> None:
        check_range("seed", self.seed, 0, LARGEST)
        check_range("prompts of a test", self.most_prompts, LEAST_PROMPTS, MOST_PROMPTS)
        for field in ("edited", "before"):
            if not getattr(self, field).strip():
                raise InputError(field, "no model is given", "Give a folder or a name")
        if unknown := [one for one in self.tests if one not in TESTS]:
            raise InputError("tests", f"“{unknown[0]}” is none", f"Choose some of {', '.join(TESTS)}")
        self._behaviour(bench)
        self._bank(bench)

    def _behaviour(self, bench: Bench) -> Behaviour:
        found = OrganismRecipes(bench.settings.assets_dir / "organisms").behaviour(self.behaviour)
        measure = found.recipe.measure
        for name, part in (("triggered", measure.triggered), ("plain", measure.plain), ("decoy", measure.decoy)):
            if len(part.texts) < LEAST_PROMPTS:
                problem = f"measure.{name} has {len(part.texts)} prompts, which tell little"
                raise InputError("behaviour", problem, f"Give {LEAST_PROMPTS} or more")
        return found

    def _bank(self, bench: Bench) -> Bank | None:
        return bench.banks.load(self.bank) if self.bank else None

    def _planned(self, behaviour: Behaviour) -> tuple[list[TestName], list[LeftOut]]:
        """The tests to make, and those that cannot be made."""
        wanted: list[TestName] = [one for one in TESTS if not self.tests or one in self.tests or one == "trigger"]
        why: dict[TestName, str] = {}
        for way in ("paraphrases", "languages"):
            if isinstance(reason := behaviour.texts(way, self.most_prompts), str):
                why[way] = reason
        if not clean_prompts(behaviour.recipe):
            why["vectors"] = why["old-vectors"] = NO_CLEAN_PROMPT
        left_out = [LeftOut(test=one, reason=why[one]) for one in wanted if one in why]
        left_out += [LeftOut(test=one, reason="it was not asked for") for one in TESTS if one not in wanted]
        return [one for one in wanted if one not in why], left_out

    def _models(self, bench: Bench, stop: Stop) -> dict[Role, ModelFiles]:
        """The files of the models. Raises InputError if they cannot be compared."""
        settings = bench.settings
        before = files_of(settings, "before", self.before, stop)
        edited = files_of(settings, "edited", self.edited, stop)
        if before.weights_hash == edited.weights_hash:
            raise InputError("edited", "it is the model before", "Give the one from which the behaviour was removed")
        clean = clean_under(settings, before, edited, stop=stop)
        if self.clean:
            clean = files_of(settings, "clean", self.clean, stop)
        check_alike("edited", edited, before)
        found: dict[Role, ModelFiles] = {"before": before, "edited": edited}
        if clean is not None:
            check_alike("clean", clean, before)
            if clean.weights_hash == before.weights_hash:
                raise InputError("clean", "it is the model before", "Give one that never had the behaviour")
            found["clean"] = clean
        return found

    def run(self, bench: Bench, stop: Stop) -> Generator[Progress, None, Removal]:
        """Raises Stopped for a stop before the end; finished tests are kept."""
        began = time.monotonic()
        behaviour, bank = self._behaviour(bench), self._bank(bench)
        yield Progress("looking for the models", 0, 1)
        models = self._models(bench, stop)
        tests, left_out = self._planned(behaviour)
        names: list[TestName | SideName] = [*tests, *SIDE_EFFECTS]
        total = len(models) * len(names)
        running = Running(bench, behaviour, bank, self.most_prompts, self.seed, total, stop)
        outcomes: dict[TestName | SideName, dict[Role, Outcome]] = {name: {} for name in names}
        try:
            yield from running.facts(models["before"])
            for role, files in models.items():
                for name in names:
                    outcomes[name][role] = yield from running.outcome(role, files, name)
        except Stopped:
            said = f"Stopped: {running.done} of {total} tests are done and kept; the same request goes on from there."
            raise Stopped(said) from None
        finally:
            running.let_go()
        judged = {name: verdict(outcomes[name]) for name in tests}
        found = Removal(
            model_hash=models["edited"].weights_hash or "",
            models={
                role: ComparedModel(name=one.name, spec=one.spec, weights_hash=one.weights_hash or "")
                for role, one in models.items()
            },
            behaviour=behaviour.recipe.name,
            about=behaviour.recipe.about,
            behaviour_hash=behaviour.hash,
            most_prompts=self.most_prompts,
            bank=bank.record.name if bank else "",
            bank_hash=bank.hash if bank else "",
            seed=self.seed,
            layers=running.layers,
            tests=tuple(
                Judged(test=name, outcomes=outcomes[name], verdict=judged[name][0], reason=judged[name][1])
                for name in tests
            ),
            side_effects=tuple(
                SideEffect(measure=name, outcomes=outcomes[name], change=change(outcomes[name]))
                for name in SIDE_EFFECTS
            ),
            left_out=tuple(left_out),
            familiarity=familiarity(outcomes["trigger"]),
            seconds=round(time.monotonic() - began, 1),
            created=datetime.now(UTC),
            versions=versions("torch", "transformers", "peft", "scikit-learn"),
        )
        bench.removals.keep(found)
        return found

    def answer(self, result: Removal, not_kept: str | None) -> Answered:
        return answered(result, not_kept)

    def lines(self, result: Removal) -> list[str]:
        return lines_of(result)
