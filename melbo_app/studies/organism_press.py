"""One press of Explore, or one training of adapters, on an organism, and whether its cards show what was planted."""

from collections.abc import Callable, Generator, Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np

from melbo_app.engine.prompt import Prompt
from melbo_app.engine.stopping import Stop
from melbo_app.jobs.bench import Bench
from melbo_app.jobs.loaded_model import LoadedModel
from melbo_app.library.adapter_set import AdapterFacts
from melbo_app.library.completion import Completion
from melbo_app.library.explorations import Answer, Behaviour
from melbo_app.library.organism import Organism
from melbo_app.library.organism_presses import Card, Press
from melbo_app.library.organism_recipe import Item
from melbo_app.studies.adapters import TrainAdapters
from melbo_app.studies.apart import apart
from melbo_app.studies.explore import Explore
from melbo_app.studies.findings import read
from melbo_app.studies.settings_ladder import RULE as SEARCH_RULE

RULES = (1, SEARCH_RULE)
"""Versions of how cards are made and judged, and of the search; presses of others are made again."""
Shows = Callable[[str], bool]


def kept_settings(request: Explore | TrainAdapters) -> dict[str, Any]:
    """The settings of a request, without its prompt and model."""
    if isinstance(request, Explore):
        return request.settings.model_dump(mode="json")
    return {"method": request.kind, **request.model_dump(mode="json", exclude={"prompts", "model", "model_hash"})}


def pressed(
    bench: Bench,
    loaded: LoadedModel,
    organism: Organism,
    item: Item,
    request: Explore | TrainAdapters,
    stop: Stop,
) -> Generator[Any, None, Press]:
    """Do ``request`` in a library of its own, as no cell should depend on which were scored before it. ``item`` is what
    the prompt was made of."""
    lm, recipe, study = loaded.get(stop), organism.recipe, request
    if isinstance(request, Explore):
        text, do = request.prompt.user, _explored
        study = request.model_copy(update={"prompt": Prompt(text, template=lm.usual_template)})
    else:
        text, do = request.prompts[0].user, _adapted
        study = request.model_copy(update={"prompts": (Prompt(text, template=lm.usual_template),)})
    with apart(bench, loaded) as inner:
        found = yield from do(inner, study, lambda said: recipe.sign.shows(said, item), stop)
    return Press(
        model_hash=lm.weights_hash,
        recipe=recipe.name,
        recipe_hash=recipe.hash,
        rules=RULES,
        settings=kept_settings(request),
        dtype=str(lm.dtype).removeprefix("torch."),
        prompt=text,
        created=datetime.now(UTC),
        **found,
    )


def _explored(inner: Bench, study: Any, shows: Shows, stop: Stop) -> Generator[Any, None, dict[str, Any]]:
    found = yield from study.run(inner, stop)
    random, answers = _swapped(inner, found.comparison, found.control_comparison, found.threshold, stop)

    def cards(behaviours: Sequence[Behaviour], answers: Sequence[Answer]) -> tuple[Card, ...]:
        said = {one.vector: one.text for one in answers}
        texts = [said[one.representative] for one in behaviours if not one.unsteered]
        return tuple(Card(text=one, shows=shows(one)) for one in texts)

    return {
        "unsteered": shows(found.baseline),
        "cards": cards(found.behaviours, found.answers),
        "random_cards": cards(random, answers),
        "showing": tuple(one.vector for one in found.answers if shows(one.text)),
        "random_showing": tuple(one.vector for one in answers if shows(one.text)),
        "vectors": len(found.answers),
        "seconds": round(sum(found.seconds.values()), 1),
        "exploration": found,
    }


def _adapted(inner: Bench, study: Any, shows: Shows, stop: Stop) -> Generator[Any, None, dict[str, Any]]:
    record = (yield from study.run(inner, stop)).record

    def cards(every: Sequence[AdapterFacts]) -> tuple[Card, ...]:
        changed = sorted((one.texts[0] for one in every if one.texts[0].change), key=lambda one: -one.distance)
        return tuple(Card(text=one, shows=shows(one)) for one in dict.fromkeys(one.text for one in changed))

    def showing(every: Sequence[AdapterFacts]) -> tuple[int, ...]:
        return tuple(one.adapter for one in every if shows(one.texts[0].text))

    return {
        "unsteered": shows(record.baselines[0]),
        "cards": cards(record.adapters),
        "random_cards": cards(record.random),
        "showing": showing(record.adapters),
        "random_showing": showing(record.random),
        "vectors": len(record.adapters),
        "seconds": record.seconds,
        "adapters": record,
    }


def _swapped(
    inner: Bench, comparison: int, control: int, threshold: float, stop: Stop
) -> tuple[Sequence[Behaviour], Sequence[Answer]]:
    """The behaviours and answers of the random vectors, sorted as if they were the trained ones and the trained ones
    their control, and by the same threshold: so both have the same chance of a card."""
    steered, random = (inner.completions.comparison(id).completions for id in (comparison, control))
    numbered: list[Completion] = [random[0]]
    for number, one in enumerate(random[1:]):
        numbered.append(one.model_copy(update={"vector": number}))
    places = inner.embed([one.text for one in [*numbered, *steered]], stop)
    found = read(numbered, steered, places, np.eye(len(numbered) - 1), (), threshold)
    return found.behaviours, found.answers
