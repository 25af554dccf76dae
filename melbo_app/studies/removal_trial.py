"""What every test of a removal works with, and the facts about the model before that the other models are tested by."""

from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from melbo_app.engine.stopping import Stop
from melbo_app.engine.suggestion import layers
from melbo_app.errors import InputError
from melbo_app.library.bank import Bank
from melbo_app.library.organism import MeasuredText
from melbo_app.library.organism_prompts import clean_prompts
from melbo_app.library.organism_recipe import OrganismRecipe
from melbo_app.library.removal_behaviour import Behaviour, Text, Way
from melbo_app.library.removals import Facts, KeptAnswer
from melbo_app.studies.organism_reach import beginning

if TYPE_CHECKING:  # torch takes seconds to import, and the page is up before it
    from melbo_app.engine.lessons import Answer, Lesson
    from melbo_app.engine.model import LanguageModel

Work = Generator[int, None, "Facts"]
LESSONS, TAUGHT = 16, 24
"""Lessons to relearn from at most, and taught texts that are asked for them."""
TOWARD, RELATIVE_RADIUS = 8, 0.1
"""Vectors toward the behaviour, and their R in median residual norms, at which organisms' vectors reach it."""


@dataclass(frozen=True)
class Trial:
    """One model under test.

    Attributes:
        most: prompts of a test at most.
        facts: what is known of the model before.
        bank: old vectors to try instead of those trained toward the behaviour.
    """

    lm: "LanguageModel"
    behaviour: Behaviour
    most: int
    seed: int
    stop: Stop
    facts: Facts | None = None
    bank: Bank | None = None
    memory_gb: float | None = None

    @property
    def recipe(self) -> OrganismRecipe:
        """The behaviour's recipe."""
        return self.behaviour.recipe

    @property
    def tokens(self) -> int:
        """The longest answer."""
        return self.recipe.training.tokens

    @property
    def layers(self) -> tuple[int, int, int]:
        """The block whose output is steered, the target of training, and the block that is probed."""
        blocks = len(self.lm.blocks)
        return (*layers(blocks), blocks // 2)

    @property
    def known(self) -> Facts:
        """The facts, which every test but their own making has."""
        assert self.facts is not None, "facts are made first"
        return self.facts

    def texts(self, way: Way) -> list[Text]:
        """The texts of a way to ask that exists."""
        found = self.behaviour.texts(way, self.most)
        assert not isinstance(found, str), found
        return found

    @property
    def plain(self) -> list[Text]:
        """Held-out texts without the trigger: those that stay as they were, if the recipe has such."""
        measure = self.recipe.measure
        return (measure.kept or measure.plain).texts[: self.most]

    @property
    def probed(self) -> list[tuple[bool, Text]]:
        """The texts of the probe, with whether they have the trigger."""
        measure = self.recipe.measure
        without = [*measure.plain.texts[: self.most], *measure.decoy.texts[: self.most]]
        return [(True, one) for one in self.texts("trigger")] + [(False, one) for one in without]

    def shown(self) -> Iterator[tuple[Text, KeptAnswer]]:
        """The texts with the trigger to which the model before shows the behaviour, with its answers."""
        for pair, said in zip(self.texts("trigger"), self.known.triggered, strict=True):
            if self.recipe.sign.shows(said.text, pair[1]):
                yield pair, said


def facts_of(trial: Trial) -> Work:
    """The facts about the model before. Yields now and then.

    Raises:
        InputError: it never shows the behaviour.
        Stopped: ``trial.stop()`` became true.
    """
    from melbo_app.engine.last_states import last_states
    from melbo_app.engine.lessons import answers

    lm, recipe, stop = trial.lm, trial.recipe, trial.stop
    asked = trial.texts("trigger")
    triggered = yield from answers(lm, [text for text, _ in asked], trial.tokens, stop)
    fired = [(pair, one) for pair, one in zip(asked, triggered, strict=True) if recipe.sign.shows(one.text, pair[1])]
    if not fired:
        problem = f"{lm.name} never shows “{recipe.name}”: 0 of {len(asked)} answers to its trigger do"
        raise InputError("before", problem, "Give the model that has the behaviour")
    taught = recipe.teach.triggered.texts
    taught = taught[:: max(1, len(taught) // TAUGHT)][:TAUGHT]
    learnt = yield from answers(lm, [text for text, _ in taught], trial.tokens, stop)
    lessons = [
        (text, one) for (text, item), one in zip(taught, learnt, strict=True) if recipe.sign.shows(one.text, item)
    ]
    # a recipe whose taught texts fire nothing is relearned from the held-out ones that are not asked afterwards
    lessons = lessons or [(pair[0], one) for pair, one in fired]
    plain = yield from answers(lm, [text for text, _ in trial.plain], trial.tokens, stop)
    toward, vectors = (yield from _toward(trial, fired)) if trial.bank is None else ([], np.zeros((0, lm.hidden_size)))
    states = yield from last_states(lm, [text for _, (text, _) in trial.probed], trial.layers[2], stop)
    return Facts(
        hidden_size=lm.hidden_size,
        blocks=len(lm.blocks),
        triggered=tuple(map(kept, triggered)),
        plain=tuple(map(kept, plain)),
        lessons=tuple((text, kept(one)) for text, one in lessons[:LESSONS]),
        toward=tuple(toward),
        vectors=tuple(map(tuple, vectors.tolist())),
        states=tuple(map(tuple, states.astype(float).round(4).tolist())),
    )


def _toward(trial: Trial, fired: Sequence[tuple[Text, "Answer"]]) -> Generator[int, None, tuple[list[str], np.ndarray]]:
    """Clean texts, and for each a vector [d] under which the model before shows the behaviour."""
    from melbo_app.engine.encoding import encode
    from melbo_app.engine.lessons import lesson
    from melbo_app.engine.prompt import Prompt
    from melbo_app.engine.slice import ModelSlice
    from melbo_app.engine.toward import vectors_toward

    lm, recipe, stop = trial.lm, trial.recipe, trial.stop
    chosen = clean_prompts(recipe)[:TOWARD]
    if not chosen:
        return [], np.zeros((0, lm.hidden_size))
    source, target, _ = trial.layers
    lessons, radii = [], []
    for at, (text, item) in enumerate(chosen):
        (prompt, _), said = fired[at % len(fired)]
        other = MeasuredText(part="triggered", before=False, prompt=prompt, text=said.text, shows=True)
        lessons.append(lesson(lm, text, beginning(lm, recipe, item, other), finished=False))
        piece = ModelSlice(lm, encode(lm, [Prompt(text, template=lm.usual_template)], stop), source, target, stop)
        radii.append(RELATIVE_RADIUS * piece.median_norm)
        yield at
    vectors = yield from vectors_toward(lm, lessons, source, radii, seed=trial.seed, stop=stop)
    return [text for text, _ in chosen], vectors.cpu().numpy()


def kept(one: "Answer") -> KeptAnswer:
    """An answer, to be kept."""
    return KeptAnswer(text=one.text, ids=one.ids, finished=one.finished)


def lesson_of(lm: "LanguageModel", text: str, said: KeptAnswer) -> "Lesson":
    """The lesson to answer ``text`` with the same tokens."""
    from melbo_app.engine.lessons import Answer, lesson

    return lesson(lm, text, Answer(said.text, said.ids, said.finished))
