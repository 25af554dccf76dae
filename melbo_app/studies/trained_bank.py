"""A training from prompts to a bank on the shelf."""

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
    from melbo_app.engine.effect import Effect
    from melbo_app.engine.model import LanguageModel
    from melbo_app.engine.slice import ModelSlice

NOTHING = "Stopped before a vector was finished: nothing was saved."
A_MOMENT = 1.0
"""Seconds in which a training that was stopped may still measure what its vectors do: a stop must be quick."""

USUAL_NORM_NOTE = "These prompts have too few ordinary tokens for a median norm: it is that of a text of our own."


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
    """Train and make a bank of what was found; nothing is saved here. With a ``checkpoint``, the training goes on where
    that one stands, and offers it where it stands itself.

    Args:
        piece: the blocks between the layers of ``config`` on ``prompts``, where the model was run on them before.

    Raises:
        InputError: what was asked for cannot be trained.
        Stopped: nothing was finished before the stop.
    """
    from melbo_app.engine.chat_template import pinned
    from melbo_app.engine.effect import effects
    from melbo_app.engine.encoding import encode
    from melbo_app.engine.memory import give_back, refuse_prompts
    from melbo_app.engine.slice import ModelSlice
    from melbo_app.engine.training import batch_size, checked_bytes, memory_note, train, with_saturation

    # a training that goes on has vectors to keep: it is stopped where they are there again
    preparing = deaf(stop) if checkpoint is not None and checkpoint.is_there else stop
    # the day is kept with each prompt whose template writes it: the same command gives the same prompts tomorrow
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
        TokenScope.parse(config.scope).mask(piece.encoded, piece.sinks)
        against = None
        if config.against:
            try:
                against = ModelSlice(lm, encode(lm, config.against, preparing), config.source, config.target, preparing)
                TokenScope.parse(config.scope).mask(against.encoded, against.sinks)
            except InputError as error:  # which of the two sides it is must be said
                raise InputError("against", f"{error.field}: {error.problem}", error.remedy) from error
        others = _held_out(lm, config, preparing)
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
    with suppress(Stopped):  # then the bank says that it was not measured
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
        effect=_effect_record(effect),
        held_out_effect=_effect_record(held_out_effect),
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
    """All that determines what a training finds: it goes on from a checkpoint only where all of it is the same."""
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
    """Whether a bank is what this training makes, as far as its record says."""
    asked = (config.method, config.source, config.target, config.radius, config.scope, config.seed)
    made = (record.method, record.source, record.target, record.radius, record.scope, record.seed)
    given, had = ([_undated(one) for one in some] for some in (prompts, [one.asked for one in record.prompts]))
    return asked == made and given == had


def _undated(prompt: Prompt) -> Prompt:
    """The prompt as it was asked before the day was kept with it."""
    return replace(prompt, template=str(TemplateChoice.of(prompt.template).without(DATE)) or bool(prompt.template))


@contextmanager
def _nothing_yet() -> Iterator[None]:
    """A stop in here comes before the first vector."""
    try:
        yield
    except Stopped:
        raise Stopped(NOTHING) from None


def _held_out(lm: "LanguageModel", config: TrainingConfig, stop: Stop) -> "ModelSlice | None":
    """The same blocks on the prompts that are not trained on. Raises InputError where they cannot be read."""
    from melbo_app.engine.encoding import encode
    from melbo_app.engine.slice import ModelSlice

    if not config.held_out:
        return None
    try:
        others = ModelSlice(lm, encode(lm, config.held_out, stop), config.source, config.target, stop)
        others.mask(TokenScope.parse(config.scope))
    except InputError as error:
        raise InputError("held-out prompts", f"{error.field}: {error.problem}", error.remedy) from error
    return others


def _a_moment_after(stop: Stop) -> Stop:
    """The same stop, but for a moment in which what was begun may end; the moment begins when it is first asked for."""
    pressed: list[float] = []

    def late() -> bool:
        if stop() and not pressed:
            pressed.append(time.monotonic())
        return bool(pressed) and time.monotonic() - pressed[0] >= A_MOMENT

    return late


def _effect_record(effect: "Effect | None") -> EffectRecord | None:
    if effect is None:
        return None
    return EffectRecord(**asdict(effect))
