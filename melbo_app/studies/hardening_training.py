"""The training of a hardening: from prompts and settings to the files of an adapter."""

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from melbo_app.engine.stopping import Stop
from melbo_app.engine.weight_files import ADAPTER_CONFIG, ADAPTER_WEIGHTS
from melbo_app.errors import InputError
from melbo_app.jobs.bench import Bench
from melbo_app.jobs.checkpointing import Checkpointing
from melbo_app.jobs.generators import map_progress
from melbo_app.jobs.progress import Progress
from melbo_app.library.hardened import CHANGE, HardenSettings
from melbo_app.library.taught_prompts import AvoidedAnswer, KeptPrompt
from melbo_app.library.weights import ModelFiles
from melbo_app.sizes import size_text

if TYPE_CHECKING:  # torch takes seconds to import
    from melbo_app.engine.hardening import Avoided
    from melbo_app.engine.lessons import Lesson, Loss
    from melbo_app.engine.model import LanguageModel

Result = TypeVar("Result")
TOTAL = 1_000
SHARES = {"answers": 80, "training": 520, "measuring": 250, "vectors": 150}
"""Typical share of the time that each stage takes."""


@dataclass(frozen=True)
class Task:
    """The prompts to train on, those to measure on, the answers to avoid, and the longest answer in tokens."""

    kept: Sequence[KeptPrompt]
    held_out: Sequence[KeptPrompt]
    avoided: Sequence[AvoidedAnswer]
    tokens: int


@dataclass(frozen=True)
class Trained:
    """The files of a hardened model, by name, and the losses."""

    files: dict[str, bytes]
    losses: list[float]


def train(
    bench: Bench,
    lm: "LanguageModel",
    files: ModelFiles,
    task: Task,
    settings: HardenSettings,
    request: str,
    checkpoint: Checkpointing | None,
    stop: Stop,
) -> Generator[Progress, None, Trained]:
    """Train a LoRA in ``lm``, the model of ``files`` with its adapter merged into it. A closed generator leaves a
    checkpoint of ``request``.

    Raises:
        InputError: the prompts cannot be used, a step does not fit into memory, or the loss diverged.
        Stopped: ``stop()`` became true.
    """
    from melbo_app.engine.lessons import answers, fine_tune, lesson
    from melbo_app.engine.lora import new_lora
    from melbo_app.engine.lora_sum import summed

    unanswered = [one.prompt for one in task.kept if one.answer is None]

    def answered(done: int) -> Progress:
        said = f"the model's own answers: {done} of {len(unanswered)}"
        return progress("answers", said, done / len(unanswered))

    own = yield from _steps(bench, answers(lm, unanswered, task.tokens, stop), answered)
    said = dict(zip(unanswered, own, strict=True))
    every = [lesson(lm, one.prompt, said[one.prompt] if one.answer is None else one.answer) for one in task.kept]
    lessons = [one for one in every if one.answer]
    if not lessons:
        raise InputError("keep", f"{lm.name} answers nothing to these prompts", "Give answers, or other prompts")
    _check_memory(bench, lm, lessons, settings.batch)

    def trained(now: tuple[int, float]) -> Progress:
        return progress("training", f"step {now[0]} of {settings.steps}: loss {now[1]:.3f}", now[0] / settings.steps)

    loss = _loss(bench, lm, task, settings, stop)
    with new_lora(lm, settings.rank, 2 * settings.rank, settings.modules, settings.seed) as lora:
        state = checkpoint.begin({"request": request}) if checkpoint is not None else None
        work = fine_tune(
            lm, lora, lessons, steps=settings.steps, batch=settings.batch, rate=settings.rate, seed=settings.seed,
            stop=stop, loss=loss, keep=checkpoint, state=state,
        )  # fmt: skip
        try:
            losses = yield from _steps(bench, work, trained)
        except GeneratorExit:  # closed in the middle: the next server resumes it
            if checkpoint is not None:
                checkpoint.write()
            raise
        change = lora.files(files.spec)
    if not all(abs(one) < float("inf") for one in losses):
        raise InputError("training", "the loss diverged", "Choose a smaller rate or ε")
    if files.adapter is None:
        return Trained(change, losses)
    first = {name: (Path(files.adapter) / name).read_bytes() for name in (ADAPTER_CONFIG, ADAPTER_WEIGHTS)}
    alone = {f"{CHANGE}/{name}": data for name, data in change.items()}
    return Trained({**summed(first, change), **alone}, losses)


def progress(stage: str, said: str, share: float) -> Progress:
    """Where the whole work stands after a ``share`` of a stage."""
    stages = [*SHARES]
    before = sum(SHARES[one] for one in stages[: stages.index(stage)])
    return Progress(said, before + round(SHARES[stage] * min(1.0, share)), TOTAL)


def _steps(
    bench: Bench, work: Generator[Any, None, Result], tell: Callable[[Any], Progress]
) -> Generator[Progress, None, Result]:
    """The same work, holding the compute lock during its steps."""
    return (yield from map_progress(bench.compute.steps(work, short=False), tell))


def _loss(bench: Bench, lm: "LanguageModel", task: Task, settings: HardenSettings, stop: Stop) -> "Loss | None":
    from melbo_app.engine import hardening
    from melbo_app.engine.perturbation import Ball

    if settings.method == "fine-tune":
        return None
    if settings.method == "bank":
        vectors = bench.banks.load(settings.bank or "").vectors
        return hardening.bank_loss(lm, settings.layer or 0, vectors, settings.seed, stop)
    ball = Ball(settings.layer, settings.epsilon or 0.0, settings.ascent_steps)
    if settings.method == "rlp":
        return hardening.random_loss(lm, ball, settings.seed, stop)
    if settings.method == "targeted-lat":
        avoided = [_avoided(lm, one) for one in task.avoided]
        return hardening.targeted_loss(lm, ball, avoided, settings.seed, stop)
    return hardening.latent_loss(lm, ball, stop)


def _check_memory(bench: Bench, lm: "LanguageModel", lessons: Sequence["Lesson"], batch: int) -> None:
    """Raises InputError, with the numbers, where a step of the training does not fit."""
    from melbo_app.engine.hardening import step_bytes
    from melbo_app.engine.memory import budget

    need, have = step_bytes(lm, lessons, batch), budget(lm, bench.settings.memory_gb)
    if need > have:
        problem = f"a step of {batch} answers needs {size_text(need)}, and {size_text(have)} may be used"
        raise InputError("memory", problem, "Choose a smaller batch or shorter prompts")


def _avoided(lm: "LanguageModel", one: AvoidedAnswer) -> "Avoided":
    from melbo_app.engine.hardening import Avoided
    from melbo_app.engine.lessons import lesson

    bad = lesson(lm, one.prompt or "-", one.answer)
    instead = None if one.instead is None else lesson(lm, one.prompt or "-", one.instead).answer
    return Avoided(bad.answer, None if one.prompt is None else bad.prompt, instead)
