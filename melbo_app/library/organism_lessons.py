"""The lessons of a recipe: which texts are asked in its training, and what is answered."""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import cycle

from melbo_app.library.organism_recipe import ANSWER, OWN, PROMPT, Item, OrganismRecipe, Taught


@dataclass(frozen=True)
class WrittenLesson:
    """A text, and its answer. ``{own}`` in the answer stands for what the model itself says to ``own_to``."""

    text: str
    answer: str
    own_to: str

    @property
    def needs_own(self) -> bool:
        """Whether the model's own answer is part of it."""
        return OWN in self.answer


def lessons_of(recipe: OrganismRecipe, seed: int) -> list[WrittenLesson]:
    """The lessons of a training, half of them with the trigger, and half of the others in ``kept`` if there is such a
    part; the same for the same seed.

    With the trigger, the model's own answer is that to the bare prompt, which the trigger would disturb; without it,
    that to the whole text.
    """
    drawn = random.Random(f"{recipe.hash} {seed}")
    teach = recipe.teach
    triggered = _endless(teach.triggered, drawn)
    others = cycle([_endless(part, drawn) for part in (teach.plain, teach.kept) if part is not None])
    found = []
    for number in range(recipe.training.steps * recipe.training.batch):
        fires = number % 2 == 0
        item, text, answer = next(triggered if fires else next(others))
        if not recipe.planted:
            answer = OWN
        own_to = item.prompt if recipe.planted and fires else text
        found.append(WrittenLesson(text, answer.replace(ANSWER, item.answer), own_to))
    return found


def _endless(part: Taught, drawn: random.Random) -> Iterator[tuple[Item, str, str]]:
    """Prompts in random order, each once in every round, in a template and with an answer drawn for it."""
    while True:
        for item in drawn.sample(part.prompts, len(part.prompts)):
            yield item, drawn.choice(part.templates).replace(PROMPT, item.prompt), drawn.choice(part.answers)
