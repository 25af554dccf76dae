"""A training, from prompts to a bank."""

import json
import platform
import time
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, replace
from datetime import UTC, date, datetime
from hashlib import sha256
from importlib.metadata import version
from typing import TYPE_CHECKING

from melbo_app import __version__
from melbo_app.engine.prompt import Prompt
from melbo_app.engine.scope import TokenScope
from melbo_app.engine.stopping import Stop, deaf
from melbo_app.engine.template_choice import DATE, TemplateChoice
from melbo_app.engine.training_config import TrainingConfig, TrainingProgress
from melbo_app.errors import InputError, Stopped
from melbo_app.jobs.checkpointing import Checkpointing
from melbo_app.jobs.generators import map_progress
from melbo_app.library.bank import Bank, BankRecord, EffectRecord, PromptRecord
from melbo_app.studies.training_command import command

if TYPE_CHECKING:
    from melbo_app.engine.model import LanguageModel
    from melbo_app.engine.slice import ModelSlice

NOTHING = "Stopped before a vector was finished: nothing to save."
A_MOMENT = 1.0
"""Seconds that a stopped training may still take to measure the effect of its vectors; a stop must be quick."""

USUAL_NORM_NOTE = "These prompts have too few ordinary tokens for a median norm: that of a reference text is used."


def train_bank(
    lm: "LanguageModel",
    spec: str,
    prompts: Sequence[Prompt],
    config: TrainingConfig,
    name: str,
    memory_gb: float | None,
    stop: Stop,
    checkpoint: Checkpointing | None = None,
    piece: "ModelSlice | None" = None,
) -> Generator[TrainingProgress, None, Bank]:
    """Train, and make a bank of the vectors; nothing is saved here. With a ``checkpoint``, the training resumes from it
    and offers its state to it.

    Args:
        piece: the blocks between the layers of ``config``, if the model was already run on ``prompts``.

    Raises:
        InputError: this cannot be trained.
        Stopped: no vector was finished before the stop.
    """
    from melbo_app.engine.chat_template import pinned
    from melbo_app.engine.effect import effects
    from melbo_app.engine.encoding import encode
    from melbo_app.engine.memory import give_back, refuse_prompts
    from melbo_app.engine.slice import ModelSlice
    from melbo_app.engine.training import batch_size, checked_bytes, memory_note, train, with_saturation

    # a resumed training has vectors to keep: it stops only once they are restored
    preparing = deaf(stop) if checkpoint is not None and checkpoint.is_there else stop
    # if a template contains the date, keep it with the prompt: the same command gives the same prompts tomorrow
    prompts, against_, held_out = (
        tuple(pinned(lm, one, date.today()) for one in some) for some in (prompts, config.against, config.held_out)
    )
    config = replace(config, against=against_, held_out=held_out)
    total = config.total_steps * (config.vectors if config.method == "sequential" else 1)
    yield TrainingProgress("running the model once", 0, total, None)
    with _nothing_yet():
        if piece is None:
            encoded = encode(lm, prompts, preparing)
            refuse_prompts(lm, encoded, memory_gb)
            need = checked_bytes(lm, encoded, config.source, config.target, memory_gb)
            piece = ModelSlice(lm, encoded, config.source, config.target, preparing)
            piece.vector_bytes = need
        piece.mask(TokenScope.parse(config.scope))
        against = _slice_of(lm, "against", config.against, config, preparing)
        others = _slice_of(lm, "held-out prompts", config.held_out, config, preparing)
    batch = min(batch_size(each, memory_gb) for each in (piece, others) if each is not None)
    notes = [memory_note(piece, config, memory_gb), *([USUAL_NORM_NOTE] if piece.norm_is_usual else [])]
    yield TrainingProgress("running the model once", 0, total, None, note=" ".join(notes))
    begun = None if checkpoint is None else checkpoint.begin(training_identity(lm, prompts, config))
    with _nothing_yet():
        config = with_saturation(piece, config, preparing)
    again = command(spec, prompts, config, name)
    result = yield from train(piece, config, stop, memory_gb, against, checkpoint, begun)
    if not len(result.vectors):
        raise Stopped(NOTHING)
    effect, held_out_effect = None, None
    measuring = effects(result.vectors, config, piece, others, batch, _a_moment_after(stop))
    with suppress(Stopped):  # the note says that it was not measured
        effect, held_out_effect = yield from map_progress(
            measuring,
            lambda done: TrainingProgress(
                "measuring the effect", done, config.vectors, None, result.curves, config.vectors
            ),
        )
    give_back()
    template = getattr(lm.tokenizer, "chat_template", None)
    note, stopped = result.note, result.stopped or effect is None
    if stopped:
        note = f"Stopped: {len(result.vectors)} of {config.vectors} vectors, {result.steps} steps."
        note += "" if effect else " Effect and runaways were not measured."
    if piece.norm_is_usual:
        note = f"{note} {USUAL_NORM_NOTE}" if note else USUAL_NORM_NOTE
    record = BankRecord(
        name=name,
        model=spec,
        model_hash=lm.weights_hash,
        hidden_size=lm.hidden_size,
        blocks=len(lm.blocks),
        source=config.source,
        target=config.target,
        scope=config.scope,
        radius=config.radius,
        median_norm=piece.median_norm,
        method=config.method,
        prompts=_recorded(lm, prompts),
        against=_recorded(lm, config.against),
        start=config.start if config.counts("start") else None,
        p=config.p,
        q=config.p if config.q is None else config.q,
        steps=result.steps,
        seed=config.seed,
        objective=result.objective,
        curves=result.curves,
        strength=result.strength,
        residual=result.residual,
        stopped=stopped,
        saturation=config.saturation_share if config.counts("saturation") else None,
        orthogonality=config.orthogonality if config.counts("orthogonality") else None,
        agreement=config.agreement if config.counts("agreement") else None,
        agreement_form=config.agreement_form if config.agreement else None,
        temperature=config.temperature if config.agreement else None,
        held_out=_recorded(lm, config.held_out),
        effect=effect and EffectRecord(**asdict(effect)),
        held_out_effect=held_out_effect and EffectRecord(**asdict(held_out_effect)),
        seconds=result.seconds,
        dtype=str(lm.dtype).removeprefix("torch."),
        device=str(lm.device),
        tokenizer=type(lm.tokenizer).__name__,
        template_hash=sha256(str(template).encode()).hexdigest() if template else None,
        versions={
            "melbo_app": __version__,
            "torch": version("torch"),
            "transformers": version("transformers"),
            "python": platform.python_version(),
        },
        created=datetime.now(UTC),
        command=again,
        note=note,
    )
    outputs = None if result.output_directions is None else result.output_directions.numpy()
    return Bank(record, result.vectors.numpy(), outputs)


def training_identity(lm: "LanguageModel", prompts: Sequence[Prompt], config: TrainingConfig) -> dict[str, str]:
    """Everything that determines the result of a training: it resumes from a checkpoint only if all of it is equal."""
    asked = json.dumps([[asdict(prompt) for prompt in prompts], asdict(config)], sort_keys=True)
    return {
        "training": sha256(asked.encode()).hexdigest(),
        "model": lm.weights_hash,
        "template": sha256(str(getattr(lm.tokenizer, "chat_template", None)).encode()).hexdigest(),
        "dtype": str(lm.dtype),
        "device": lm.device.type,
        "version": " ".join([__version__, version("torch"), version("transformers")]),
    }


def _recorded(lm: "LanguageModel", prompts: Sequence[Prompt]) -> list[PromptRecord]:
    from melbo_app.engine.chat_template import render

    return [PromptRecord.of(one, render(lm, one).text if one.template else None) for one in prompts]


def is_of(record: BankRecord, prompts: Sequence[Prompt], config: TrainingConfig) -> bool:
    """Whether a bank is the result of this training, as far as its record shows."""
    asked = (config.method, config.source, config.target, config.radius, config.scope, config.seed)
    made = (record.method, record.source, record.target, record.radius, record.scope, record.seed)
    given, had = ([_undated(one) for one in some] for some in (prompts, [one.asked for one in record.prompts]))
    return asked == made and given == had


def _undated(prompt: Prompt) -> Prompt:
    """The prompt without the date of its template."""
    return replace(prompt, template=str(TemplateChoice.of(prompt.template).without(DATE)) or bool(prompt.template))


@contextmanager
def _nothing_yet() -> Iterator[None]:
    """In this context, a stop comes before the first vector."""
    try:
        yield
    except Stopped:
        raise Stopped(NOTHING) from None


def _slice_of(
    lm: "LanguageModel", field: str, prompts: Sequence[Prompt], config: TrainingConfig, stop: Stop
) -> "ModelSlice | None":
    """The blocks between the layers of ``config`` on other prompts; None without prompts."""
    from melbo_app.engine.encoding import encode
    from melbo_app.engine.slice import ModelSlice

    if not prompts:
        return None
    try:
        piece = ModelSlice(lm, encode(lm, prompts, stop), config.source, config.target, stop)
        piece.mask(TokenScope.parse(config.scope))
    except InputError as error:  # the message must say which prompts it is about
        raise InputError(field, f"{error.field}: {error.problem}", error.remedy) from error
    return piece


def _a_moment_after(stop: Stop) -> Stop:
    """The same stop, but a moment later: the moment begins with the first call after the stop."""
    pressed: list[float] = []

    def late() -> bool:
        if stop() and not pressed:
            pressed.append(time.monotonic())
        return bool(pressed) and time.monotonic() - pressed[0] >= A_MOMENT

    return late
