"""Measures an organism on prompts that it was not trained on: with its trigger, without it, and with a decoy."""

import time
from collections.abc import Generator
from contextlib import nullcontext
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from melbo_app.engine.stopping import Stop
from melbo_app.errors import InputError
from melbo_app.jobs.generators import map_progress, result_of
from melbo_app.jobs.progress import Progress
from melbo_app.library import organism as folders
from melbo_app.library.counted import Counted
from melbo_app.library.organism import Figures, MeasuredText, Organism, Reach
from melbo_app.library.organism_recipe import Asked
from melbo_app.settings import Settings
from melbo_app.studies.organism_making import Making, load_base
from melbo_app.studies.organism_reach import RADII, reach_of
from melbo_app.studies.organism_readable import readable

if TYPE_CHECKING:  # torch takes seconds to import
    from melbo_app.engine.lessons import Answer
    from melbo_app.engine.lora import Lora
    from melbo_app.engine.model import LanguageModel

Part = Literal["triggered", "plain", "decoy", "kept"]
REACH = 100
"""Of the progress: training vectors takes about as long as so many answers."""


def measure_organism(settings: Settings, folder: Path, stop: Stop) -> Making:
    """Measure the organism in ``folder`` and keep the figures in its record.

    Raises:
        InputError: the folder holds no organism, or the model here has other weights than in training.
        StorageError: the figures could not be written.
        Stopped: ``stop()`` became true; the record stays as it was.
    """
    organism = folders.read(folder)
    yield Progress("loading the model", 0, 1)
    lm, _ = load_base(settings, organism.base, stop)
    if lm.weights_hash != organism.base_hash:
        problem = f"“{folder}” was trained on other weights than those of {lm.name} here"
        raise InputError("organism", problem, f"Get the {organism.base} whose hash is {organism.base_hash[:12]}…")
    from melbo_app.engine.lora import kept_lora

    began = time.monotonic()
    with kept_lora(lm, folder) as lora:
        figures = yield from _measure(lm, lora, organism, stop)
    figures = figures.model_copy(update={"seconds": round(time.monotonic() - began, 1)})
    organism = organism.model_copy(update={"figures": figures})
    folders.keep_figures(folder, organism)
    return organism


def _measure(lm: "LanguageModel", lora: "Lora", organism: Organism, stop: Stop) -> Generator[Progress, None, Figures]:
    from melbo_app.engine.lessons import AT_ONCE, answers, lesson, loss_on

    recipe = organism.recipe
    parts: dict[Part, Asked] = {"triggered": recipe.measure.triggered, "plain": recipe.measure.plain}
    parts["decoy"] = recipe.measure.decoy
    if recipe.measure.kept is not None:
        parts["kept"] = recipe.measure.kept
    quality: Part = "kept" if "kept" in parts else "plain"
    rounds: list[tuple[Part, bool]] = [("triggered", True), (quality, True), *((part, False) for part in parts)]
    asked = sum(len(parts[part].texts) for part, _ in rounds)
    total = asked + REACH
    said: dict[tuple[Part, bool], list[Answer]] = {}
    done = 0
    for part, before in rounds:
        texts = [text for text, _ in parts[part].texts]
        found: list[Answer] = []
        # a part at a time, because the adapter may be off only while nothing is yielded
        for start in range(0, len(texts), AT_ONCE):
            with lora.off() if before else nullcontext():
                found += result_of(answers(lm, texts[start : start + AT_ONCE], recipe.training.tokens, stop))
            yield Progress(f"answers: {done + len(found)} of {asked}", done + len(found), total)
        said[part, before] = found
        done += len(found)

    kept = [text for text, _ in parts[quality].texts]
    yield Progress("reading the answers", asked, total)
    own = [lesson(lm, text, one) for text, one in zip(kept, said[quality, True], strict=True) if one.ids]
    loss_after = loss_on(lm, own, stop)
    with lora.off():
        loss_before = loss_on(lm, own, stop)
        verdicts = readable(lm, kept, [said[quality, before] for before in (True, False)], stop)
    measured = [
        MeasuredText(part=part, before=before, prompt=text, text=one.text, shows=recipe.sign.shows(one.text, item))
        for (part, before), found in said.items()
        for (text, item), one in zip(parts[part].texts, found, strict=True)
    ]

    reach: tuple[Reach, ...] = ()
    if recipe.planted:

        def tried(count: int) -> Progress:
            return Progress(f"vectors toward it: R {count} of {len(RADII)}", asked + REACH * count // len(RADII), total)

        reach = yield from map_progress(reach_of(lm, recipe, measured, stop), tried)

    def counted(part: Part, before: bool) -> Counted:
        return Counted.of([one.shows for one in measured if (one.part, one.before) == (part, before)])

    return Figures(
        triggered=counted("triggered", False),
        plain=counted("plain", False),
        decoy=counted("decoy", False),
        before=counted("triggered", True),
        loss_before=loss_before,
        loss_after=loss_after,
        readable_before=Counted.of(verdicts[0]),
        readable_after=Counted.of(verdicts[1]),
        seconds=0,
        measured=datetime.now(UTC),
        texts=tuple(measured),
        reach=reach,
    )
