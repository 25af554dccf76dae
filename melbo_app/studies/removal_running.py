"""Runs the tests of a removal: one model in memory at a time, and every finished test kept."""

import gc
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TypeVar

from melbo_app.engine.decoding import Decoding
from melbo_app.engine.prompt import Prompt
from melbo_app.engine.stopping import Stop, raise_if
from melbo_app.engine.suggestion import layers
from melbo_app.errors import InputError
from melbo_app.jobs.bench import Bench
from melbo_app.jobs.generators import map_progress
from melbo_app.jobs.loaded_model import LoadedModel
from melbo_app.jobs.progress import Progress
from melbo_app.library import weights
from melbo_app.library.bank import Bank
from melbo_app.library.json_files import key_of
from melbo_app.library.removal_behaviour import Behaviour
from melbo_app.library.removals import Facts, KeptTest, Outcome, Role, SideName, TestName, test_key
from melbo_app.studies.memory_note import memory_note
from melbo_app.studies.removal_answer import figure
from melbo_app.studies.removal_tests import SHOTS, SIDE_EFFECTS, TESTS
from melbo_app.studies.removal_trial import Trial, facts_of

if TYPE_CHECKING:  # torch takes seconds to import, and the page is up before it
    from melbo_app.engine.model import LanguageModel

Found = TypeVar("Found")
FACTS = "the answers of the model before"


@dataclass(frozen=True, kw_only=True)
class RemovalProgress(Progress):
    """The progress of a stress test; ``lines`` say what is finished."""

    lines: tuple[str, ...] = ()


class Running:
    """The tests of one request.

    Attributes:
        total: how many there are for all models together.
        done: how many are finished.
    """

    def __init__(
        self, bench: Bench, behaviour: Behaviour, bank: Bank | None, most: int, seed: int, total: int, stop: Stop
    ) -> None:
        self.total, self.done = total, 0
        self._bench, self._behaviour, self._bank, self._most, self._seed = bench, behaviour, bank, most, seed
        self._stop = stop
        self._lines: list[str] = []
        self._facts: Facts | None = None
        self._before = ""
        self._held: tuple[str, LanguageModel, float | None] | None = None

    def facts(self, before: weights.ModelFiles) -> Generator[Progress, None, None]:
        """Ask the model before, or look up what it said. Raises InputError if it never shows the behaviour."""
        self._before = before.weights_hash or ""
        asked = self._asked(FACTS)
        kept = self._bench.removal_tests.find(test_key(self._before, asked))
        if kept is None or kept.facts is None:
            made = yield from self._made(before, FACTS, facts_of)
            kept = self._keep(self._before, asked, facts=made)
        self._facts = kept.facts

    def outcome(
        self, role: Role, files: weights.ModelFiles, name: TestName | SideName
    ) -> Generator[Progress, None, Outcome]:
        """One test of one model, made now or before. Raises Stopped."""
        asked, own = self._asked(name, self._before), files.weights_hash or ""
        kept = self._bench.removal_tests.find(test_key(own, asked))
        if kept is None or kept.outcome is None:
            work: dict[Any, Callable[[Trial], Generator[int, None, Outcome]]] = {**TESTS, **SIDE_EFFECTS}
            made = yield from self._made(files, f"{role} model, {name}", work[name])
            kept = self._keep(own, asked, outcome=made)
        assert kept.outcome is not None
        self.done += 1
        self._lines.append(f"{name}, {role} model: {figure(kept.outcome)}")
        yield self._at(f"{role} model, {name}")
        return kept.outcome

    @property
    def layers(self) -> tuple[int, int, int]:
        """As in ``Trial``."""
        assert self._facts is not None, "the model before was asked"
        return (*layers(self._facts.blocks), self._facts.blocks // 2)

    def let_go(self) -> None:
        """Free the model's memory."""
        if self._held is not None:
            self._held = None
            gc.collect()

    def _made(
        self, files: weights.ModelFiles, stage: str, test: Callable[[Trial], Generator[int, None, Found]]
    ) -> Generator[Progress, None, Found]:
        raise_if(self._stop)
        lm, memory = yield from self._model(files)
        stop = self._bench.compute.giving_way(self._stop)
        trial = Trial(lm, self._behaviour, self._most, self._seed, stop, self._facts, self._bank, memory)
        work = map_progress(test(trial), lambda step: self._at(stage))
        yield self._at(stage)
        return (yield from self._bench.compute.steps(work, short=False))

    def _model(self, files: weights.ModelFiles) -> Generator[Progress, None, tuple["LanguageModel", float | None]]:
        own = files.weights_hash or ""
        if self._held is None or self._held[0] != own:
            self.let_go()
            yield self._at(f"loading {files.name}")
            # in float32, in which adapters are trained
            settings = self._bench.settings.model_copy(update={"dtype": "float32"})
            loaded = LoadedModel(settings, packed=True)
            lm = loaded.load(files.spec, self._stop)
            if self._facts is not None and (lm.hidden_size, len(lm.blocks)) != (
                self._facts.hidden_size, self._facts.blocks,
            ):  # fmt: skip
                problem = f"{lm.name} has another hidden size or number of blocks than the model before"
                raise InputError("model", problem, "Give models that were made from the same one")
            yield self._at(f"loading {files.name}", self._memory(lm, loaded.memory_gb))
            self._held = own, lm, loaded.memory_gb
        return self._held[1], self._held[2]

    def _memory(self, lm: "LanguageModel", memory_gb: float | None) -> str:
        """The memory that the longest prompts need, as a sentence. Raises InputError if one text does not fit."""
        texts = self._behaviour.recipe.measure.triggered.texts[: self._most]
        longest = max((text for text, _ in texts), key=len)
        prompt = Prompt("\n".join([longest] * (2 * SHOTS + 1)), template=lm.usual_template)
        return memory_note(lm, [prompt], len(texts), Decoding(self._behaviour.recipe.training.tokens), memory_gb)

    def _at(self, stage: str, note: str = "") -> RemovalProgress:
        return RemovalProgress(stage, self.done, self.total, note, lines=tuple(self._lines))

    def _asked(self, *what: str) -> str:
        bank = self._bank.hash if self._bank and what[0] in (FACTS, "old-vectors") else ""
        facts: Sequence[object] = [self._behaviour.hash, self._most, self._seed, bank, *what]
        return key_of(facts)

    def _keep(self, model_hash: str, asked: str, **made: Any) -> KeptTest:
        part = KeptTest(model_hash=model_hash, asked=asked, created=datetime.now(UTC), **made)
        self._bench.removal_tests.keep(part)
        return part
