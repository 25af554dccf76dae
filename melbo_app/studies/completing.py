"""Steered completions: one row per vector, R and prompt, in batches; earlier texts are looked up."""

import time
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Literal

import numpy as np

from melbo_app.engine.decoding import Decoding
from melbo_app.engine.prompt import Prompt
from melbo_app.engine.training_config import MOST_RADIUS, MOST_VECTORS
from melbo_app.errors import InputError, Stopped
from melbo_app.jobs.batching import Batching
from melbo_app.library.bank import Bank, PromptRecord
from melbo_app.library.completion import Completion
from melbo_app.limits import MOST_RADII, check_count, check_texts
from melbo_app.studies.scoring import score, target_of, verdict_anew

if TYPE_CHECKING:
    from melbo_app.engine.encoding import EncodedPrompts
    from melbo_app.engine.model import LanguageModel

MOST_ROWS = 128
"""The most rows in one call of generate, memory allowing, so that the first texts come soon."""
TOKENS_A_CALL = 16_384
"""The most tokens in one call on a CPU: a block of the model reads them in half a second, and the work can be stopped
between two blocks."""
LOOKED_UP_SECONDS = 0.5
"""Time between two reports while texts are looked up."""
NOTHING = "Stopped before the first token: nothing to keep."


@dataclass(frozen=True)
class Variant:
    """One way to steer: by a vector, by the random control, or not at all; and R."""

    vector: int | Literal["random"] | None
    radius: float


@dataclass(frozen=True)
class SteeringProgress:
    """The completions so far, ordered by variant and prompt."""

    completions: tuple[Completion, ...]
    done: int
    total: int
    stage: str


Completing = Generator[SteeringProgress, None, tuple[list[Completion], bool]]


def variants(
    bank: Bank | None,
    vectors: Sequence[int],
    radii: Sequence[float] | None,
    *,
    random_control: bool = False,
    both_signs: bool = False,
) -> list[Variant]:
    """First the baseline, then at each R the random control (if requested) and the vectors.

    Without ``radii``, each vector has its own norm, with a random control for each of these norms. With ``both_signs``,
    each is followed by the same at -R.

    Raises:
        InputError: an R that is not finite or absurdly large, a vector that the bank does not have, or too many.
    """
    check_count("R", len(radii or ()), MOST_RADII)
    check_count("vectors", len(vectors), MOST_VECTORS)
    for radius in radii or ():
        _check_radius(radius)
    if bank is None and (vectors or random_control):
        raise InputError("bank", "none is chosen", "Choose one to steer with")
    count = len(bank.vectors) if bank else 0
    for vector in vectors:
        if not 0 <= vector < count:
            raise InputError("vector", f"the bank has no vector {vector}", f"Choose from 0 to {count - 1}")
    steered: list[Variant] = []
    if radii is not None:
        for radius in dict.fromkeys(float(radius) for radius in radii if radius != 0):
            steered += [Variant("random", radius)] * random_control
            steered += [Variant(vector, radius) for vector in vectors]
    elif bank is not None:
        own = [Variant(vector, bank.norms[vector]) for vector in vectors]
        for one in own:
            _check_radius(one.radius)
        if random_control:
            norms = dict.fromkeys(one.radius for one in own) or {bank.record.radius: None}
            steered += [Variant("random", norm) for norm in norms]
        steered += own
    if both_signs:
        steered = [one for forward in steered for one in (forward, replace(forward, radius=-forward.radius))]
    return list(dict.fromkeys([Variant(None, 0.0), *steered]))


def _check_radius(radius: float) -> None:
    if not abs(radius) <= MOST_RADIUS:  # also true for NaN
        remedy = f"Choose {-MOST_RADIUS:g} to {MOST_RADIUS:g}; 0 is the baseline"
        raise InputError("R", f"{radius:g} cannot be used", remedy)


def complete(
    lm: "LanguageModel",
    bank: Bank | None,
    prompts: Sequence[Prompt],
    rows: Sequence[Variant],
    decoding: Decoding,
    find: Callable[[Completion], Completion | None],
    batching: Batching,
    stop: Callable[[], bool],
    begun: Callable[[Completion], Completion | None] | None = None,
) -> Completing:
    """Complete each prompt under each variant; returns the completions and whether all were finished.

    Earlier texts are looked up without waiting. New ones are generated and read back through ``batching``. With
    ``begun``, which finds a shorter text of the same kind, texts are continued from there, and can be continued later.

    Raises:
        InputError: prompts that cannot be used, too many texts, or completions too long for the model.
        Stopped: there was a stop before the first token (of a steered text, if any was requested).
    """
    from melbo_app.engine.encoding import encode
    from melbo_app.engine.memory import rows_at_once
    from melbo_app.engine.trace import Trace

    source, target = bank.record.source if bank else None, target_of(len(lm.blocks), bank)
    check_texts(len(prompts), len(rows))
    total = decoding.max_new_tokens
    try:
        whole = encode(lm, prompts, stop)
    except Stopped:
        raise Stopped(NOTHING) from None
    longest = whole.input_ids.shape[1] + decoding.max_new_tokens
    drafts = [[_draft(lm, bank, variant, whole, index, decoding) for index in range(len(prompts))] for variant in rows]
    told_at = time.monotonic()
    written: dict[tuple[int, int], tuple[int, ...]] = {}
    for number, row in enumerate(drafts):
        for index, draft in enumerate(row):
            if time.monotonic() - told_at > LOOKED_UP_SECONDS:
                told_at = time.monotonic()
                if stop():
                    raise Stopped(NOTHING)
                looked_up = f"looked up {number * len(prompts) + index:,} of {len(drafts) * len(prompts):,} texts"
                yield SteeringProgress(_flat(drafts), 0, total, looked_up)
            found = find(draft)
            if found is None and begun is not None and (found := begun(draft)) and not found.finished:
                if found.ids and _usable(found, target):
                    written[number, index] = found.ids
                continue
            if found is not None and _usable(found, target):
                row[index] = found.model_copy(
                    update={
                        "id": None,
                        "bank": draft.bank,
                        "prompt_index": index,
                        "prompt_hash": draft.prompt_hash,
                        "max_new_tokens": draft.max_new_tokens,
                        "scores": verdict_anew(found),
                    }
                )
    missing = [
        (row, index) for row, entries in enumerate(drafts) for index, one in enumerate(entries) if not one.tokens
    ]
    baselines = {
        entry.prompt_index: entry.scores.logprob
        for entry in _flat(drafts)
        if entry.vector is None and entry.scores is not None
    }
    size = min(MOST_ROWS, rows_at_once(lm, longest, batching.memory_gb))
    if lm.device.type == "cpu":
        size = min(size, max(1, TOKENS_A_CALL // longest))
    parts = [group[start : start + size] for group in _groups(missing, written) for start in range(0, len(group), size)]
    for part_number, part in enumerate(parts):
        wanted = sorted({index for _, index in part})
        encoded = whole.take(wanted) if len(wanted) == len(prompts) else encode(lm, [prompts[at] for at in wanted])
        thetas = np.stack([theta_of(lm, bank, rows[number], decoding.seed) for number, _ in part])
        of = [wanted.index(index) for _, index in part]
        trace, begins = Trace(target), [written.get(one, ()) for one in part]
        generating = batching.generate(lm, encoded, thetas, source, decoding, stop, of, trace, begins)
        with closing(generating):
            while True:
                try:
                    progress = next(generating)
                except StopIteration as end:
                    found = end.value
                    break
                for at, (number, index) in enumerate(part):
                    drafts[number][index] = drafts[number][index].model_copy(
                        update={
                            "text": progress.texts[at],
                            "tokens": progress.tokens[at],
                            "finished": progress.finished[at],
                            "ids": None if begun is None or progress.finished[at] else tuple(progress.ids[at]),
                        }
                    )
                done = part_number * total + progress.step
                stage = f"token {progress.step} of up to {total}"
                step = SteeringProgress(_flat(drafts), done, total * len(parts), stage)
                yield step
                if progress.whole and not stop():
                    yield replace(step, stage="reading the texts back")
        if found is not None:
            scored = score([drafts[number][index] for number, index in part], found, baselines, target)
            for (number, index), entry in zip(part, scored, strict=True):
                drafts[number][index] = entry
        if stop():
            break
    completions = list(_flat(drafts))
    asked_for = [entry for entry in completions if entry.vector is not None] or completions
    if not any(entry.tokens for entry in asked_for):
        raise Stopped(NOTHING)
    # checked by the texts: a stop after the last token loses nothing
    finished = all(entry.finished or entry.tokens == decoding.max_new_tokens for entry in completions)
    return [entry for entry in completions if entry.tokens], finished


def _groups(
    missing: Sequence[tuple[int, int]], written: Mapping[tuple[int, int], Sequence[int]]
) -> list[list[tuple[int, int]]]:
    """The texts (variant, prompt) that can be generated together, because as much of each is written. If that differs,
    unsteered ones come first: the others are compared with them."""
    lengths = {one: len(written.get(one, ())) for one in missing}
    several = len({*lengths.values()}) > 1
    groups: dict[tuple[bool, int], list[tuple[int, int]]] = {}
    for one in missing:
        groups.setdefault((several and one[0] > 0, lengths[one]), []).append(one)
    return [groups[key] for key in sorted(groups)]


def _usable(found: Completion, target: int | None) -> bool:
    """Whether an earlier text can be used. One without scores, or whose runaways were measured at another target layer,
    is generated again, because both are measured during generation."""
    if found.scores is None or not (found.finished or found.tokens == found.max_new_tokens):
        return False
    return found.vector is None or found.scores.runaway_target == target


def theta_of(lm: "LanguageModel", bank: Bank | None, variant: Variant, seed: int) -> np.ndarray:
    """The vector [d] that a variant adds."""
    from melbo_app.engine.steering import random_vector

    if variant.vector is None or bank is None:
        return np.zeros(lm.hidden_size, dtype=np.float32)
    if variant.vector == "random":
        return random_vector(lm.hidden_size, variant.radius, seed).numpy()
    row = bank.vectors[variant.vector]
    return (row / np.linalg.norm(row) * variant.radius).astype(np.float32)


def _draft(
    lm: "LanguageModel",
    bank: Bank | None,
    variant: Variant,
    encoded: "EncodedPrompts",
    index: int,
    decoding: Decoding,
) -> Completion:
    """A completion without its text."""
    prompt = encoded.prompts[index]
    of_bank = bank if isinstance(variant.vector, int) else None
    return Completion(
        bank=of_bank.record.name if of_bank else None,
        bank_hash=of_bank.hash if of_bank else None,
        vector=variant.vector,
        radius=variant.radius,
        source=bank.record.source if bank and variant.vector is not None else None,
        prompt=PromptRecord.of(prompt, encoded.texts[index] if prompt.template else None),
        prompt_hash=encoded.hashes[index] + lm.turn_end.key,
        prompt_index=index,
        text="",
        tokens=0,
        finished=False,
        model=lm.name,
        model_hash=lm.weights_hash,
        dtype=str(lm.dtype).removeprefix("torch."),
        max_new_tokens=decoding.max_new_tokens,
        temperature=decoding.temperature,
        top_p=decoding.top_p,
        seed=decoding.seed,
        created=datetime.now(UTC),
    )


def _flat(drafts: Sequence[Sequence[Completion]]) -> tuple[Completion, ...]:
    return tuple(entry for row in drafts for entry in row)
