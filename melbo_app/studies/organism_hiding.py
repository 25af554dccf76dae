"""Hides an organism's behaviour: its adapter is trained on until the trigger gets the model's own answers."""

import hashlib
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from melbo_app.engine.stopping import Stop
from melbo_app.engine.weight_files import ADAPTER_WEIGHTS
from melbo_app.errors import InputError, Stopped
from melbo_app.jobs.generators import map_progress
from melbo_app.jobs.progress import Progress
from melbo_app.library import organism as folders
from melbo_app.library.organism_lessons import lessons_of
from melbo_app.library.versions import versions
from melbo_app.limits import LARGEST, check_range
from melbo_app.settings import Settings
from melbo_app.studies.organism_making import Making, load_base

if TYPE_CHECKING:  # torch takes seconds to import
    from melbo_app.engine.lessons import Lesson

STEPS = 16
MOST_STEPS = 1_000


def hide_organism(settings: Settings, folder: Path, out: Path, steps: int, seed: int, stop: Stop) -> Making:
    """Train the adapter in ``folder`` on, so that prompts with the trigger get what the model without it says to the
    bare prompts, and write it to the new folder ``out``, all of it or nothing.

    A short training of this kind suppresses the behaviour and need not remove it: a known answer for tests of removal.

    Raises:
        InputError: the folder holds no organism or a clean fine-tuning, ``out`` exists, or the model has other weights.
        StorageError: it could not be written.
        Stopped: ``stop()`` became true; nothing is written.
    """
    check_range("seed", seed, 0, LARGEST)
    check_range("steps", steps, 1, MOST_STEPS)
    folders.check_free(out)
    organism = folders.read(folder)
    if not organism.recipe.planted:
        raise InputError("organism", f"“{folder}” is a clean fine-tuning, which has nothing to hide", "Choose another")
    if organism.recipe.locks:
        problem = f"“{folder}” locks an ability, which its model has without the adapter"
        raise InputError("organism", problem, "Choose one whose behaviour the model lacks")
    yield Progress("loading the model", 0, 1)
    lm, files = load_base(settings, organism.base, stop)
    if lm.weights_hash != organism.base_hash:
        problem = f"“{folder}” was trained on other weights than those of {lm.name} here"
        raise InputError("organism", problem, f"Get the {organism.base} whose hash is {organism.base_hash[:12]}…")
    from melbo_app.engine.lessons import answers, fine_tune, lesson
    from melbo_app.engine.lora import kept_lora

    began, training = time.monotonic(), organism.recipe.training
    planned = lessons_of(organism.recipe, seed + 1)[: steps * training.batch]
    asked = [*dict.fromkeys(one.own_to for one in planned)]

    def answered(done: int) -> Progress:
        return Progress(f"the model's own answers: {done} of {len(asked)}", done, len(asked))

    def trained(now: tuple[int, float]) -> Progress:
        return Progress(f"step {now[0]} of {steps}: loss {now[1]:.3f}", now[0], steps)

    # before the adapter is in the model, which therefore need not be switched off while progress is yielded
    own = dict(zip(asked, (yield from map_progress(answers(lm, asked, training.tokens, stop), answered)), strict=True))
    lessons: list[Lesson] = [lesson(lm, one.text, own[one.own_to]) for one in planned]
    with kept_lora(lm, folder) as lora:
        work = fine_tune(lm, lora, lessons, steps=steps, batch=training.batch, rate=training.rate, seed=seed, stop=stop)
        losses = yield from map_progress(work, trained)
        adapter = lora.files(files.spec)
    hidden = organism.model_copy(
        update={
            "seed": seed, "hides": organism.adapter_hash, "losses": tuple(losses), "figures": None,
            "adapter_hash": hashlib.sha256(adapter[ADAPTER_WEIGHTS]).hexdigest(),
            "seconds": round(time.monotonic() - began, 1), "created": datetime.now(UTC),
            "versions": versions("torch", "transformers", "peft"),
        }
    )  # fmt: skip
    if stop():
        raise Stopped("Stopped: nothing was written.")
    folders.save(out, hidden, adapter)
    return hidden
