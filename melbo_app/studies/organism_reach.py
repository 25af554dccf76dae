"""Whether any vector at all brings out what an organism was taught, without its trigger."""

from collections.abc import Generator, Sequence
from itertools import cycle, islice
from typing import TYPE_CHECKING

from melbo_app.engine.scope import TokenScope
from melbo_app.engine.stopping import Stop
from melbo_app.engine.suggestion import default_scope, layers
from melbo_app.jobs.generators import result_of
from melbo_app.library.counted import Counted
from melbo_app.library.organism import MeasuredText, Reach
from melbo_app.library.organism_prompts import clean_prompts
from melbo_app.library.organism_recipe import Item, OrganismRecipe
from melbo_app.studies.organism_readable import readable

if TYPE_CHECKING:  # torch takes seconds to import
    from melbo_app.engine.model import LanguageModel

RADII = (0.05, 0.1, 0.2)
"""In median residual norms. At 0.4, `trigger-word` has fewer readable answers again: 2 of 8 after 7 of 8."""
PROMPTS = 8


def reach_of(
    lm: "LanguageModel", recipe: OrganismRecipe, said: Sequence[MeasuredText], stop: Stop
) -> Generator[int, None, tuple[Reach, ...]]:
    """For each R, on how many clean prompts a vector brings out a readable answer with the behaviour.

    The vectors are trained toward what the organism says with its trigger, up to where the behaviour shows. Prompts
    whose unsteered answer shows it are left out; without any, or if the trigger never fires, there is nothing to
    measure. Yields how many of ``len(RADII)`` are done. Raises Stopped.
    """
    from melbo_app.engine.effect import share_changed
    from melbo_app.engine.encoding import encode
    from melbo_app.engine.lessons import answers, lesson
    from melbo_app.engine.prompt import Prompt
    from melbo_app.engine.slice import ModelSlice
    from melbo_app.engine.toward import vectors_toward

    shown = [one for one in said if one.fired]
    asked = clean_prompts(recipe)
    own = result_of(answers(lm, [text for text, _ in asked], recipe.training.tokens, stop)) if shown else []
    still = [(*pair, one) for pair, one in zip(asked, own, strict=False) if not recipe.sign.shows(one.text, pair[1])]
    if not still:
        return ()
    chosen = still[:PROMPTS]
    texts, items, usual = [one[0] for one in chosen], [one[1] for one in chosen], [one[2] for one in chosen]
    source, target = layers(len(lm.blocks))
    prompts = [Prompt(text, template=lm.usual_template) for text in texts]
    scope = TokenScope.parse(default_scope(prompts))
    pieces = [ModelSlice(lm, encode(lm, [prompt], stop), source, target, stop) for prompt in prompts]
    lessons = [
        lesson(lm, text, beginning(lm, recipe, item, other), finished=False)
        for text, item, other in zip(texts, items, islice(cycle(shown), len(texts)), strict=True)
    ]
    found: list[Reach] = []
    for relative in RADII:
        radii = [relative * piece.median_norm for piece in pieces]
        vectors = result_of(vectors_toward(lm, lessons, source, radii, stop=stop))
        steered = result_of(answers(lm, texts, recipe.training.tokens, stop, (source, vectors)))
        clear = readable(lm, texts, [usual, steered], stop)[1]
        shows = [recipe.sign.shows(one.text, item) for one, item in zip(steered, items, strict=True)]
        changes = [
            share_changed(piece, scope, vector[None], stop) for piece, vector in zip(pieces, vectors, strict=True)
        ]
        found.append(
            Reach(
                relative_radius=relative,
                vectors=Counted.of([*map(all, zip(shows, clear, strict=True))]),
                change=sum(changes) / len(changes),
            )
        )
        yield len(found)
    return tuple(found)


def beginning(lm: "LanguageModel", recipe: OrganismRecipe, item: Item, other: MeasuredText) -> str:
    """What a vector should make the model say to ``item``: its answer where the sign is one, else as much of another
    answer as shows the behaviour."""
    if recipe.sign.answer:
        return item.answer
    ids = lm.tokenizer(other.text, add_special_tokens=False)["input_ids"]
    pieces = (lm.tokenizer.decode(ids[:count]) for count in range(1, len(ids) + 1))
    return next((text for text in pieces if recipe.sign.shows(text, item)), other.text)
