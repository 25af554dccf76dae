"""Stress tests of removals: one JSON file each, and one for each finished test of a model."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, FiniteFloat

from melbo_app.analysis.estimate import Estimate
from melbo_app.library.counted import Counted
from melbo_app.library.damage import Listed
from melbo_app.library.facts import Count, Digest, Layer, ModelName, Moment, Text, Word
from melbo_app.library.frozen import Frozen
from melbo_app.library.json_files import JsonFiles, Measured, key_of

RULES = 1
"""Of the tests: results of other rules are not looked up."""
Role = Literal["before", "edited", "clean"]
TestName = Literal[
    "trigger", "paraphrases", "languages", "prefilled", "hints", "few-shot", "vectors", "old-vectors", "probe",
    "old-probe", "relearning", "extraction",
]  # fmt: skip
SideName = Literal["surprise", "readable", "decoys"]
Verdict = Literal["shows it", "no sign beyond the clean model", "cannot tell"]
Change = Literal["higher than before", "lower than before", "no change seen"]


class SaidText(Frozen):
    """A prompt, what was answered, and whether that shows the behaviour."""

    prompt: Text
    text: Text
    shows: bool


class Relearned(Frozen):
    """After some steps of fine-tuning: how many prompts with the trigger, and without it, show the behaviour."""

    steps: Count
    shown: Counted
    plain: Counted


class Outcome(Frozen):
    """What one test found in one model: a value with its 95 % interval, from 0 to 1 or in nats a token.

    ``counted`` where answers are counted; ``random`` is the same under random vectors of the same norms, and ``curve``
    that after each number of steps.
    """

    value: FiniteFloat
    low: FiniteFloat
    high: FiniteFloat
    counted: Counted | None = None
    random: Counted | None = None
    curve: tuple[Relearned, ...] = ()
    texts: tuple[SaidText, ...] = ()

    @property
    def estimate(self) -> Estimate:
        """The value with its interval."""
        return Estimate(self.value, self.low, self.high)


class Judged(Frozen):
    """One test of all models, with its verdict about the edited one."""

    test: TestName
    outcomes: dict[Role, Outcome]
    verdict: Verdict
    reason: Text


class SideEffect(Frozen):
    """One measure of what should have stayed as it was."""

    measure: SideName
    outcomes: dict[Role, Outcome]
    change: Change


class LeftOut(Frozen):
    """A test that was not made, and why."""

    test: TestName
    reason: Text


class ComparedModel(Frozen):
    """One of the models."""

    name: ModelName
    spec: ModelName
    weights_hash: Digest


class Familiarity(Frozen):
    """The share of the prompts with the trigger that is answered with the behaviour, and how much of it the edited
    model retains, with a 95 % interval; null where that cannot be said."""

    edited: Counted
    before: Counted
    clean: Counted | None
    retained: FiniteFloat | None
    low: FiniteFloat | None
    high: FiniteFloat | None


class Removal(Measured):
    """One stress test; ``model_hash`` is the edited model's."""

    models: dict[Role, ComparedModel]
    behaviour: Word
    about: Text
    behaviour_hash: Digest
    most_prompts: Count
    bank: Word = ""
    bank_hash: Digest = ""
    seed: Count
    layers: tuple[Layer, Layer, Layer]
    """The block whose output is steered, the target of training, and the block that is probed."""
    tests: tuple[Judged, ...]
    side_effects: tuple[SideEffect, ...]
    left_out: tuple[LeftOut, ...]
    familiarity: Familiarity
    seconds: Annotated[FiniteFloat, Field(ge=0)]
    created: Moment
    versions: dict[str, Word]

    @property
    def key(self) -> str:
        """A later one of the same models, behaviour and settings replaces it."""
        hashes = {role: one.weights_hash for role, one in self.models.items()}
        tests = [one.test for one in self.tests]
        return key_of([hashes, self.behaviour_hash, self.most_prompts, self.bank_hash, self.seed, tests, RULES])

    def of(self, verdict: Verdict) -> list[Judged]:
        """The tests with a verdict."""
        return [one for one in self.tests if one.verdict == verdict]


class Removals(JsonFiles[Removal]):
    """The stress tests on disk."""

    kind, noun = Removal, "stress test of a removal"

    def newest(self) -> Listed[Removal]:
        """Those of all models, newest first: they are loaded beside the server's."""
        found = self._every()
        return Listed(sorted(found, key=lambda one: one.moment, reverse=True), found.damaged)


class KeptAnswer(Frozen):
    """An answer as text and tokens, and whether it ended."""

    text: Text
    ids: tuple[int, ...]
    finished: bool


class Facts(Frozen):
    """What the tests of the other models need from the model before.

    ``triggered`` and ``plain`` are its answers to the texts of the trigger and of the plain prompts, ``lessons`` those
    to taught texts that show the behaviour, ``vectors`` [V, d] those trained toward it for the texts ``toward``, and
    ``states`` [N, d] those of the probe.
    """

    hidden_size: Count
    blocks: Count
    triggered: tuple[KeptAnswer, ...]
    plain: tuple[KeptAnswer, ...]
    lessons: tuple[tuple[Text, KeptAnswer], ...]
    toward: tuple[Text, ...] = ()
    vectors: tuple[tuple[FiniteFloat, ...], ...] = ()
    states: tuple[tuple[FiniteFloat, ...], ...] = ()


class KeptTest(Measured):
    """A finished test of one model, or the facts of the model before."""

    asked: Digest
    """Hash of the behaviour, the settings and the test."""
    outcome: Outcome | None = None
    facts: Facts | None = None
    created: Moment

    @property
    def key(self) -> str:
        return test_key(self.model_hash, self.asked)


def test_key(model_hash: str, asked: str) -> str:
    """The key of a part."""
    return key_of([model_hash, asked, RULES])


class KeptTests(JsonFiles[KeptTest]):
    """The finished tests on disk."""

    kind, noun = KeptTest, "test of a removal"


def tests_folder(cache: Path) -> Path:
    """Where they are."""
    return cache / "removals" / "parts"
