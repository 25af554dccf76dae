"""A layer atlas: what vectors do between many pairs of layers, each pair as soon as it is measured."""

import re
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import numpy as np

from melbo_app import __version__
from melbo_app.analysis.diversity import readable_diversity
from melbo_app.analysis.embedding import Embedder
from melbo_app.engine.decoding import Decoding
from melbo_app.engine.prompt import Prompt
from melbo_app.engine.scope import TokenScope
from melbo_app.engine.training_config import TrainingConfig
from melbo_app.errors import InputError, Stopped
from melbo_app.jobs.batching import Batching
from melbo_app.jobs.calibration import calibrate_piece
from melbo_app.jobs.steering import complete, variants
from melbo_app.jobs.training import layers
from melbo_app.jobs.work import retold
from melbo_app.library.atlases import Atlas, AtlasCell
from melbo_app.library.bank import Bank, BankRecord, PromptRecord
from melbo_app.library.completion import Completion

if TYPE_CHECKING:  # torch takes seconds to import, and the page is up before it
    from melbo_app.engine.encoding import EncodedPrompts
    from melbo_app.engine.model import LanguageModel

Pair = tuple[int, int]
DIRECTIONS = 2
"""Leading singular vectors of a pair; texts are those of both signs of each."""
DECODING = Decoding(max_new_tokens=24)
PARTS = 20  # of a pair, for the share that is done


@dataclass(frozen=True)
class AtlasProgress:
    """Where an atlas stands, with all that is known of it."""

    stage: str
    done: int
    total: int
    atlas: Atlas
    note: str = ""


def atlas_layers(blocks: int) -> tuple[list[int], list[int]]:
    """Three source and three target layers, around those that trainings begin with."""
    source, target = layers(blocks)
    sources = {max(0, source - blocks // 6), source, min(source + blocks // 6, blocks - 2)}
    targets = {max(1, target - blocks // 6), target, min(target + blocks // 6, blocks - 1)}
    return sorted(sources), sorted(targets)


def grid(sources: Sequence[int], targets: Sequence[int], blocks: int) -> list[Pair]:
    """All pairs of a source and a target above it. Raises InputError where there is none, or no such block."""
    for field, chosen in (("source layers", sources), ("target layers", targets)):
        for layer in chosen:
            if not 0 <= layer < blocks:
                raise InputError(field, f"there is no block {layer}", f"Choose from 0 to {blocks - 1}")
    pairs = [(source, target) for source in sorted({*sources}) for target in sorted({*targets}) if target > source]
    if not pairs:
        raise InputError("target layers", "none of them is above a source layer", "Choose higher ones")
    return pairs


def parse_pairs(text: str) -> list[Pair] | None:
    """The pairs in ``7-21, 7-26``; none for ``none``, and None for ``all``. Raises InputError for anything else."""
    text = text.strip()
    if text in ("all", "none"):
        return None if text == "all" else []
    pairs = [re.fullmatch(r"(\d{1,4})\s*(?:-|→|->)\s*(\d{1,4})", word.strip()) for word in text.split(",")]
    found = [(int(match[1]), int(match[2])) for match in pairs if match]
    if len(found) < len(pairs):
        raise InputError("completions", f"“{text}” names no pairs of layers", "Write all, none, or 7-21, 7-26")
    return found


def check_read(read: Sequence[Pair] | None, pairs: Sequence[Pair]) -> None:
    """Refuse pairs to complete that are not on the grid."""
    for source, target in read or ():
        if (source, target) not in pairs:
            raise InputError("completions", f"{source} → {target} is not on the grid", "Choose pairs that are")


def draw_atlas(
    lm: "LanguageModel",
    spec: str,
    prompts: Sequence[Prompt],
    pairs: Sequence[Pair],
    read: Sequence[Pair] | None,
    scope: str,
    batching: Batching,
    memory_gb: float | None,
    embed: Callable[[], Embedder],
    find: Callable[[str], Atlas | None],
    save: Callable[[Atlas], None],
    stop: Callable[[], bool],
) -> Generator[AtlasProgress, None, Atlas]:
    """Measure every pair: singular values and calibrated R, and for those in ``read`` (None: all) what a few vectors
    do at that R. What is known of a pair is not measured again. A stop keeps the pairs that are done.

    Args:
        find: an atlas that was saved before, by its key.
        save: keeps the atlas after each pair.

    Raises:
        InputError: what cannot be measured.
    """
    from melbo_app.engine.encoding import encode

    TokenScope.parse(scope)
    read = pairs if read is None else read
    atlas = Atlas(
        model=spec,
        model_hash=lm.weights_hash,
        dtype=str(lm.dtype).removeprefix("torch."),
        prompts=tuple(map(PromptRecord.of, prompts)),
        scope=scope,
        changed=datetime.now(UTC),
    )
    atlas = find(atlas.key) or atlas
    measuring = _Measuring(lm, spec, prompts, encode(lm, prompts, stop), scope, batching, memory_gb, embed, stop)
    total = len(pairs) * PARTS
    for number, (source, target) in enumerate(pairs):
        told = AtlasProgress(f"block {source} → {target}", number * PARTS, total, atlas)
        yield told
        known = atlas.cell(source, target)
        if known is not None and (known.texts or known.radius is None or (source, target) not in read):
            continue
        try:
            cell = yield from measuring.measure(source, target, (source, target) in read, told)
        except Stopped:
            break
        atlas = atlas.with_cell(cell).model_copy(update={"baseline": measuring.baseline or atlas.baseline})
        atlas = atlas.model_copy(update={"changed": datetime.now(UTC)})
        save(atlas)
        if stop():
            break
    yield AtlasProgress("done", total, total, atlas)
    return atlas


@dataclass
class _Measuring:
    lm: "LanguageModel"
    spec: str
    prompts: Sequence[Prompt]
    encoded: "EncodedPrompts"
    scope: str
    batching: Batching
    memory_gb: float | None
    embed: Callable[[], Embedder]
    stop: Callable[[], bool]
    baseline: str | None = None

    def __post_init__(self) -> None:
        self._baselines: dict[str, Completion] = {}

    def measure(
        self, source: int, target: int, read: bool, told: AtlasProgress
    ) -> Generator[AtlasProgress, None, AtlasCell]:
        """Raises Stopped where it was stopped before its end."""
        work = self._numbers(source, target, told)
        cell, vectors = yield from self.batching.compute.steps(work, short=False)
        if not read or cell.radius is None:
            return cell
        bank = self._bank(cell, vectors)
        rows = variants(bank, range(len(vectors)), [cell.radius])
        completing = complete(self.lm, bank, self.prompts, rows, DECODING, self._known, self.batching, self.stop)
        completions, _ = yield from retold(completing, _as_part_of(told, PARTS // 2, PARTS // 2))
        if self.stop():
            raise Stopped
        with self.batching.compute.hold():
            return self._read(cell, completions)

    def _numbers(
        self, source: int, target: int, told: AtlasProgress
    ) -> Generator[AtlasProgress, None, tuple[AtlasCell, np.ndarray]]:
        """Singular values, R, and how much the singular vectors change at that R."""
        from melbo_app.engine.effect import share_changed
        from melbo_app.engine.slice import ModelSlice
        from melbo_app.engine.training import train

        scope = TokenScope.parse(self.scope)
        stop = self.batching.compute.giving_way(self.stop)
        piece = ModelSlice(self.lm, self.encoded, source, target, stop)
        config = TrainingConfig(source, target, 1.0, 2 * DIRECTIONS, "jacobian", scope=self.scope)
        training = train(piece, config, stop, self.memory_gb)
        found = yield from retold(training, _as_part_of(told, 0, PARTS // 4))
        if found.stopped:
            raise Stopped
        assert found.strength is not None, "the Jacobian's directions come with it"
        calibrating = calibrate_piece(piece, scope, self.memory_gb, stop)
        radius = (yield from retold(calibrating, _as_part_of(told, PARTS // 4, PARTS // 4))).radius
        strength = None if radius is None else share_changed(piece, scope, radius * found.vectors, stop)
        cell = AtlasCell(
            source=source,
            target=target,
            values=tuple(found.strength[::2]),
            residual=found.residual,
            median_norm=piece.median_norm,
            radius=radius,
            strength=strength,
        )
        return cell, found.vectors.numpy()

    def _read(self, cell: AtlasCell, completions: Sequence[Completion]) -> AtlasCell:
        """The cell with what its texts say."""
        diversities = []
        steered = [one for one in completions if one.vector is not None]
        for index in range(len(self.prompts)):
            plain = next(one for one in completions if one.vector is None and one.prompt_index == index)
            self._baselines[plain.digest] = plain
            self.baseline = self.baseline or plain.text
            own = [one for one in steered if one.prompt_index == index]
            places = self.embed().encode([plain.text, *(one.text for one in own)])
            losses = [one.scores.loss if one.scores else None for one in own]
            diversities.append(readable_diversity(places[1:], losses, places[0]))
        kls = [one.scores.kl_text for one in steered if one.scores and one.scores.kl_text is not None]
        verdicts = [(one.scores.verdict if one.scores else None) or "" for one in steered]
        first = [(one, verdict) for one, verdict in zip(steered, verdicts, strict=True) if one.prompt_index == 0]
        return cell.model_copy(
            update={
                "kl": float(np.mean(kls)) if kls else None,
                "diversity": float(np.mean(diversities)),
                "readable": float(np.mean([verdict == "readable" for verdict in verdicts])),
                "texts": tuple(one.text for one, _ in first),
                "verdicts": tuple(verdict for _, verdict in first),
            }
        )

    def _known(self, draft: Completion) -> Completion | None:
        """The baselines are the same for all pairs."""
        return self._baselines.get(draft.digest)

    def _bank(self, cell: AtlasCell, vectors: np.ndarray) -> Bank:
        """The vectors as a bank, which is not put on the shelf."""
        assert cell.radius is not None
        record = BankRecord(
            name=f"{cell.source} → {cell.target}",
            model=self.spec,
            model_hash=self.lm.weights_hash,
            hidden_size=self.lm.hidden_size,
            blocks=len(self.lm.blocks),
            source=cell.source,
            target=cell.target,
            scope=self.scope,
            radius=cell.radius,
            median_norm=cell.median_norm,
            method="jacobian",
            versions={"melbo_app": __version__},
            created=datetime.now(UTC),
        )
        return Bank(record, (cell.radius * vectors).astype(np.float32))


def _as_part_of(told: AtlasProgress, before: int, parts: int) -> Callable[[Any], AtlasProgress]:
    """Tells progress as that of ``parts`` of a pair, behind ``before`` others."""

    def tell(now: Any) -> AtlasProgress:
        share = before + parts * now.done // max(1, now.total)
        return replace(told, stage=f"{told.stage}: {now.stage}", done=told.done + share)

    return tell
