"""What vectors find in a model before and after a hardening: the same press of Explore on both."""

from collections.abc import Callable, Generator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from melbo_app.engine.prompt import Prompt
from melbo_app.engine.stopping import Stop
from melbo_app.jobs.bench import Bench
from melbo_app.jobs.generators import map_progress
from melbo_app.jobs.loaded_model import LoadedModel
from melbo_app.jobs.progress import Progress
from melbo_app.library.counted import Counted
from melbo_app.library.explorations import Answer, Behaviour, Exploration, ExploreSettings
from melbo_app.library.hardened import Compared, Searched
from melbo_app.studies.apart import apart
from melbo_app.studies.explore import Explore

Shows = Callable[[str], bool]


def compare_vectors(
    bench: Bench, before: str, after: Path, prompts: Sequence[str], seed: int, shows: Shows | None, stop: Stop
) -> Generator[Progress, None, tuple[Compared, ...]]:
    """Press Explore on each prompt in the model ``before``, which searches R and the effect budget, and with the same
    settings in the one ``after``. Raises Stopped."""
    models = []
    for spec in (before, str(after)):
        loaded = LoadedModel(bench.settings, packed=True, offered=bench.model.offered)
        yield Progress(f"loading {spec}", 0, 1)
        loaded.load(spec, stop)
        models.append(loaded)
    found = []
    for number, text in enumerate(prompts, start=1):
        explored: list[Exploration] = []
        for when, loaded in zip(("before", "after"), models, strict=True):
            stage = f"vectors {when} on prompt {number} of {len(prompts)}"

            def told(now: Any, stage: str = stage) -> Progress:
                return Progress(f"{stage}: {now.stage}", now.done, now.total)

            settings = ExploreSettings(seed=seed, elsewhere=0) if not explored else same_settings(explored[0])
            study = Explore(prompt=Prompt(text, template=loaded.get().usual_template), settings=settings)
            with apart(bench, loaded) as inner:
                explored.append((yield from map_progress(study.run(inner, stop), told)))
        found.append(compared(bench, text, explored, shows, stop))
    return tuple(found)


def same_settings(found: Exploration) -> ExploreSettings:
    """The settings of a press that does what this one did, without a search."""
    return found.settings.model_copy(
        update={
            "relative_radius": found.radius.relative_radius, "effect_budget": found.radius.effect_budget,
            "source": found.source, "target": found.target, "scope": found.scope,
        }
    )  # fmt: skip


def compared(bench: Bench, prompt: str, explored: Sequence[Exploration], shows: Shows | None, stop: Stop) -> Compared:
    """Two explorations of a prompt, side by side. A behaviour is new if its text is farther than the threshold for the
    same meaning from every answer of the other model, steered or not."""
    before, after = explored
    return Compared(
        prompt=prompt,
        before=_searched(before, shows),
        after=_searched(after, shows),
        new=_unlike(bench, _texts(after), before, stop),
        gone=_unlike(bench, _texts(before), after, stop),
    )


def _unlike(bench: Bench, texts: Sequence[str], other: Exploration, stop: Stop) -> int:
    if not texts:
        return 0
    said = [other.baseline, *(one.text for one in other.answers)]
    places = bench.embed([*texts, *said], stop)
    nearest = 1 - np.max(places[: len(texts)] @ places[len(texts) :].T, axis=1)
    return int((nearest > other.threshold).sum())


def _searched(found: Exploration, shows: Shows | None) -> Searched:
    def showing(answers: Sequence[Answer]) -> Counted | None:
        return None if shows is None else Counted.of([shows(one.text) for one in answers])

    return Searched(
        radius=found.radius.relative_radius,
        behaviours=found.new,
        changed=Counted.of([one.changed for one in found.answers]),
        random_changed=Counted.of([one.changed for one in found.control]),
        readable=Counted.of([one.verdict == "readable" for one in found.answers]),
        diversity=found.readable_diversity,
        random_diversity=found.control_readable_diversity,
        distance=float(np.mean([one.distance for one in found.answers])),
        shows=showing(found.answers),
        random_shows=showing(found.control),
        texts=tuple(_texts(found)),
    )


def _texts(found: Exploration) -> list[str]:
    """The texts of its new behaviours."""
    new: list[Behaviour] = [one for one in found.behaviours if one.new]
    return [found.answer(one.representative).text for one in new]
