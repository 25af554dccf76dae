"""A layer atlas: the effects of vectors between many pairs of layers, shown pair by pair."""

import re
from collections.abc import Generator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import numpy as np
from pydantic import Field

from melbo_app import __version__
from melbo_app.analysis.diversity import readable_diversity
from melbo_app.engine.decoding import Decoding
from melbo_app.engine.prompt import Prompt
from melbo_app.engine.scope import TokenScope
from melbo_app.engine.stopping import Stop
from melbo_app.engine.suggestion import default_scope, layers
from melbo_app.engine.training_config import TrainingConfig
from melbo_app.errors import InputError, MelboError, Stopped
from melbo_app.jobs.bench import Bench
from melbo_app.jobs.generators import part_of
from melbo_app.jobs.progress import Progress
from melbo_app.jobs.study import ModelStudy, Option
from melbo_app.library.atlases import PAIR, Atlas, AtlasCell
from melbo_app.library.bank import Bank, BankRecord, PromptRecord
from melbo_app.library.completion import Comparison
from melbo_app.library.json_files import key_of
from melbo_app.studies.as_json import beginning
from melbo_app.studies.calibrate import calibrate_piece
from melbo_app.studies.curve_making import CurveMaking

if TYPE_CHECKING:  # torch takes seconds to import, and the page is up before it
    from melbo_app.engine.encoding import EncodedPrompts
    from melbo_app.engine.model import LanguageModel

Pair = tuple[int, int]
DIRECTIONS = 2
"""Leading singular vectors of a pair; each is completed with in both signs."""
DECODING = Decoding(max_new_tokens=24)
PARTS = 20  # steps of progress for each pair


@dataclass(frozen=True, kw_only=True)
class AtlasProgress(Progress):
    """The progress of an atlas, with all pairs measured so far."""

    atlas: Atlas


def atlas_layers(blocks: int) -> tuple[list[int], list[int]]:
    """Three source and three target layers around the default ones of trainings."""
    source, target = layers(blocks)
    sources = {max(0, source - blocks // 6), source, min(source + blocks // 6, blocks - 2)}
    targets = {max(1, target - blocks // 6), target, min(target + blocks // 6, blocks - 1)}
    return sorted(sources), sorted(targets)


def grid(sources: Sequence[int], targets: Sequence[int], blocks: int) -> list[Pair]:
    """All pairs of a source and a target above it. Raises InputError without such a pair, and for missing blocks."""
    for name, chosen in (("source layers", sources), ("target layers", targets)):
        for layer in chosen:
            if not 0 <= layer < blocks:
                raise InputError(name, f"the model has no block {layer}", f"Choose from 0 to {blocks - 1}")
    pairs = [(source, target) for source in sorted({*sources}) for target in sorted({*targets}) if target > source]
    if not pairs:
        raise InputError("target layers", "none is above a source layer", "Choose higher ones")
    return pairs


def parse_pairs(text: str) -> list[Pair] | None:
    """Parse ``7-21, 7-26``: an empty list for ``none``, None for ``all``. Raises InputError for anything else."""
    text = text.strip()
    if text in ("all", "none"):
        return None if text == "all" else []
    pairs = [re.fullmatch(r"(\d{1,4})\s*(?:-|→|->)\s*(\d{1,4})", word.strip()) for word in text.split(",")]
    found = [(int(match[1]), int(match[2])) for match in pairs if match]
    if len(found) < len(pairs):
        raise InputError("completions", f"“{text}” is not a list of layer pairs", "Write all, none, or 7-21, 7-26")
    return found


class MeasureAtlas(ModelStudy[Atlas]):
    """For pairs of layers: singular values, calibrated R, and the changes and texts of vectors at that R. Stopping
    keeps the finished pairs.

    Each pair is stored once it is measured, and never measured twice.
    """

    kind: ClassVar[str] = "atlas"
    doors = frozenset({"command"})

    prompts: tuple[Prompt, ...] = Field(description="user texts")
    sources: tuple[int, ...] | None = Field(None, description="source layers")
    targets: tuple[int, ...] | None = Field(None, description="target layers")
    read: Annotated[tuple[Pair, ...] | None, Option("complete", parse_pairs, "all")] = Field(
        None, description="pairs to complete with: all, none, or 7-21,7-26"
    )
    scope: str | None = Field(None, description="tokens that count: all, content, assistant or last:4")

    @property
    def title(self) -> str:
        return f"Layers on “{beginning(self.prompts[0])}”"

    def pairs(self, bench: Bench) -> list[Pair]:
        """The grid; the default layers lie around those of trainings."""
        blocks = len(bench.model.get().blocks)
        usual = atlas_layers(blocks)
        return grid(self.sources or usual[0], self.targets or usual[1], blocks)

    def check(self, bench: Bench) -> None:
        TokenScope.parse(self.scope or "all")

    def check_model(self, bench: Bench) -> None:
        pairs = self.pairs(bench)
        for source, target in self.read or ():
            if (source, target) not in pairs:
                raise InputError("completions", f"{source} → {target} is not on the grid", "Choose pairs that are")

    def run(self, bench: Bench, stop: Stop) -> Generator[Progress, None, Atlas]:
        from melbo_app.engine.encoding import encode

        lm, pairs, scope = bench.model.get(stop), self.pairs(bench), self.scope or default_scope(self.prompts)
        read = pairs if self.read is None else self.read
        atlas = Atlas(
            model=bench.model.spec,
            model_hash=lm.weights_hash,
            dtype=str(lm.dtype).removeprefix("torch."),
            prompts=tuple(map(PromptRecord.of, self.prompts)),
            scope=scope,
            changed=datetime.now(UTC),
        )
        atlas = bench.atlases.find(atlas.key) or atlas
        measuring = _Measuring(bench, lm, self.prompts, encode(lm, self.prompts, stop), scope, stop)
        total = len(pairs) * PARTS
        for number, (source, target) in enumerate(pairs):
            now = AtlasProgress(f"block {source} → {target}", number * PARTS, total, atlas=atlas)
            yield now
            known = atlas.cell(source, target)
            if known is not None and (known.is_read or known.radius is None or (source, target) not in read):
                continue
            try:
                cell = yield from measuring.measure(source, target, (source, target) in read, now)
            except Stopped:
                break
            atlas = atlas.with_cell(cell).model_copy(
                update={"baseline": measuring.baseline or atlas.baseline, "changed": datetime.now(UTC)}
            )
            bench.atlases.keep(atlas)
            if stop():
                break
        yield AtlasProgress("done", total, total, atlas=atlas)
        return atlas

    def answer(self, result: Atlas, not_kept: str | None) -> dict[str, Any]:
        return result.model_dump(mode="json") | {"not_kept": not_kept}

    def lines(self, result: Atlas) -> list[str]:
        return [HEAD, *map(_line, result.cells)]


@dataclass
class _Measuring:
    bench: Bench
    lm: "LanguageModel"
    prompts: Sequence[Prompt]
    encoded: "EncodedPrompts"
    scope: str
    stop: Stop
    baseline: str | None = None

    def measure(
        self, source: int, target: int, read: bool, whole: AtlasProgress
    ) -> Generator[Progress, None, AtlasCell]:
        """One pair of layers. Raises Stopped."""
        work = self._numbers(source, target, whole)
        cell, vectors = yield from self.bench.compute.steps(work, short=False)
        if not read or cell.radius is None:
            return cell
        bank = self._bank(cell, vectors)
        with suppress(MelboError):  # then it cannot be saved on the shelf later
            self.bench.parts.save(bank)
        config = TrainingConfig(source, target, cell.radius, len(vectors), "jacobian", scope=self.scope)
        making = CurveMaking(
            self.bench, self.prompts, config, cell.median_norm, bank, rescaled=True, decoding=DECODING, stop=self.stop
        )
        completing = making.complete(bank, cell.radius)
        comparison = yield from part_of(whole, completing, PARTS // 2, before=PARTS // 2)
        with self.bench.compute.hold():
            return self._read(cell, bank, comparison)

    def _numbers(
        self, source: int, target: int, whole: AtlasProgress
    ) -> Generator[Progress, None, tuple[AtlasCell, np.ndarray]]:
        """Singular values, R, and how strong the effect of the singular vectors is at that R."""
        from melbo_app.engine.effect import share_changed
        from melbo_app.engine.slice import ModelSlice
        from melbo_app.engine.training import train

        scope = TokenScope.parse(self.scope)
        stop = self.bench.compute.giving_way(self.stop)
        piece = ModelSlice(self.lm, self.encoded, source, target, stop)
        config = TrainingConfig(source, target, 1.0, 2 * DIRECTIONS, "jacobian", scope=self.scope)
        training = train(piece, config, stop, self.bench.model.memory_gb)
        found = yield from part_of(whole, training, PARTS // 4)
        if found.stopped:
            raise Stopped
        assert found.strength is not None, "the Jacobian's directions come with it"
        calibrating = calibrate_piece(piece, scope, self.bench.model.memory_gb, stop)
        radius = (yield from part_of(whole, calibrating, PARTS // 4, before=PARTS // 4)).radius
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

    def _read(self, cell: AtlasCell, bank: Bank, comparison: Comparison) -> AtlasCell:
        """The cell with the measures of its texts."""
        completions, diversities = comparison.completions, []
        steered = [one for one in completions if one.vector is not None]
        for index in range(len(self.prompts)):
            plain = next(one for one in completions if one.vector is None and one.prompt_index == index)
            self.baseline = self.baseline or plain.text
            own = [one for one in steered if one.prompt_index == index]
            places = self.bench.embedder.encode([plain.text, *(one.text for one in own)])
            diversities.append(readable_diversity(places[1:], [one.readable for one in own], places[0]))
        kls = [one.scores.kl_text for one in steered if one.scores and one.scores.kl_text is not None]
        first = [one for one in steered if one.prompt_index == 0]
        return cell.model_copy(
            update={
                "kl": float(np.mean(kls)) if kls else None,
                "diversity": float(np.mean(diversities)),
                "readable": float(np.mean([one.readable for one in steered])),
                "texts": tuple(one.text for one in first),
                "verdicts": tuple(one.verdict or "" for one in first),
                "comparison": None if comparison.not_kept else comparison.id,
                "bank_hash": bank.hash,
            }
        )

    def _bank(self, cell: AtlasCell, vectors: np.ndarray) -> Bank:
        """The vectors as a bank, named by a hash of what made them."""
        assert cell.radius is not None
        asked = [PromptRecord.of(prompt) for prompt in self.prompts]
        made_by = [self.lm.weights_hash, [one.model_dump() for one in asked], *cell.pair, self.scope, cell.radius]
        record = BankRecord(
            name=f"{PAIR}{key_of(made_by)}",
            model=self.bench.model.spec,
            model_hash=self.lm.weights_hash,
            hidden_size=self.lm.hidden_size,
            blocks=len(self.lm.blocks),
            source=cell.source,
            target=cell.target,
            scope=self.scope,
            radius=cell.radius,
            median_norm=cell.median_norm,
            method="jacobian",
            prompts=asked,
            versions={"melbo_app": __version__},
            created=datetime.now(UTC),
        )
        return Bank(record, (cell.radius * vectors).astype(np.float32))


HEAD = f"{'pair':>8}  {'σ':>9}  {'R':>8}  {'strength':>8}  {'KL':>6}  {'D':>5}  readable"


def _line(cell: AtlasCell) -> str:
    def number(value: float | None, width: int, digits: str) -> str:
        return f"{'–' if value is None else format(value, digits):>{width}}"

    readable = "–" if cell.readable is None else f"{100 * cell.readable:.0f} %"
    return "  ".join(
        [
            f"{cell.source:>3} → {cell.target:>2}",
            number(cell.values[0] if cell.values else None, 9, ".4g"),
            number(cell.radius, 8, ".3g"),
            number(cell.strength, 8, ".3f"),
            number(cell.kl, 6, ".2f"),
            number(cell.diversity, 5, ".2f"),
            readable,
        ]
    )
