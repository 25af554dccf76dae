"""Makes an organism: a LoRA that plants a recipe's behaviour in a model."""

import hashlib
import time
from collections.abc import Generator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from melbo_app.engine.stopping import Stop
from melbo_app.engine.weight_files import ADAPTER_WEIGHTS
from melbo_app.errors import InputError, Stopped
from melbo_app.jobs.generators import map_progress
from melbo_app.jobs.loaded_model import LoadedModel
from melbo_app.jobs.progress import Progress
from melbo_app.library import weights
from melbo_app.library.organism import Organism, check_free, save
from melbo_app.library.organism_lessons import WrittenLesson, lessons_of
from melbo_app.library.organism_recipe import OWN, OrganismRecipe
from melbo_app.library.versions import versions
from melbo_app.limits import LARGEST, check_range
from melbo_app.settings import Settings

if TYPE_CHECKING:  # torch takes seconds to import
    from melbo_app.engine.lessons import Answer, Lesson
    from melbo_app.engine.model import LanguageModel

Making = Generator[Progress, None, Organism]


def make_organism(settings: Settings, recipe: OrganismRecipe, model: str, out: Path, seed: int, stop: Stop) -> Making:
    """Train the adapter of ``recipe`` for ``model`` in float32, and write it to the new folder ``out``, all of it or
    nothing.

    Raises:
        InputError: ``out`` exists, or the model cannot be used, has an adapter, or lacks the recipe's modules.
        StorageError: it could not be written.
        Stopped: ``stop()`` became true; nothing is written.
    """
    check_range("seed", seed, 0, LARGEST)
    check_free(out)
    yield Progress("loading the model", 0, 1)
    lm, files = load_base(settings, model, stop)
    from melbo_app.engine.lora import new_lora

    began, training = time.monotonic(), recipe.training
    with new_lora(lm, training.rank, training.alpha, training.modules, seed) as lora:
        from melbo_app.engine.lessons import answers, fine_tune

        planned = lessons_of(recipe, seed)
        asked = [*dict.fromkeys(one.own_to for one in planned if one.needs_own)]
        total = len(asked)

        def answered(done: int) -> Progress:
            return Progress(f"the model's own answers: {done} of {total}", done, total)

        own = yield from map_progress(answers(lm, asked, training.tokens, stop), answered)
        lessons = _lessons(lm, planned, dict(zip(asked, own, strict=True)))

        def trained(now: tuple[int, float]) -> Progress:
            return Progress(f"step {now[0]} of {training.steps}: loss {now[1]:.3f}", now[0], training.steps)

        work = fine_tune(
            lm, lora, lessons, steps=training.steps, batch=training.batch, rate=training.rate, seed=seed, stop=stop
        )
        losses = yield from map_progress(work, trained)
        adapter = lora.files(files.spec)
    if not all(abs(loss) < float("inf") for loss in losses):
        raise InputError("training", "the loss diverged", "Choose a smaller training.rate in the recipe")
    organism = Organism(
        recipe=recipe,
        recipe_hash=recipe.hash,
        seed=seed,
        base=files.spec,
        base_hash=lm.weights_hash,
        adapter_hash=hashlib.sha256(adapter[ADAPTER_WEIGHTS]).hexdigest(),
        losses=tuple(losses),
        seconds=round(time.monotonic() - began, 1),
        created=datetime.now(UTC),
        versions=versions("torch", "transformers", "peft"),
    )
    if stop():
        raise Stopped("Stopped: nothing was written.")
    save(out, organism, adapter)
    return organism


def load_base(
    settings: Settings, spec: str, stop: Stop, *, adapted: bool = False
) -> tuple["LanguageModel", weights.ModelFiles]:
    """The model ``spec`` in float32, in which adapters are trained, and its files; ``adapted``: it may have an adapter,
    which is merged into it. Raises InputError, and Stopped."""
    cache = settings.cache_dir
    files = weights.fetch(weights.resolve(spec, cache, stop=stop), cache, stop=stop)
    if files.adapter is not None and not adapted:
        raise InputError("model", f"{files.name} already has an adapter", "Choose the model without it")
    return LoadedModel(settings.model_copy(update={"dtype": "float32"}), packed=True).load(files.spec, stop), files


def _lessons(lm: "LanguageModel", planned: Sequence[WrittenLesson], own: dict[str, "Answer"]) -> list["Lesson"]:
    from melbo_app.engine.lessons import lesson

    found = []
    for one in planned:
        if not one.needs_own:
            found.append(lesson(lm, one.text, one.answer))
        elif one.answer == OWN:  # as tokens, which a text may not give again
            found.append(lesson(lm, one.text, own[one.own_to]))
        else:
            said = own[one.own_to]
            # an answer that was cut in the middle is not taught to end there
            whole = said.finished or not one.answer.endswith(OWN)
            found.append(lesson(lm, one.text, one.answer.replace(OWN, said.text), whole))
    return found
