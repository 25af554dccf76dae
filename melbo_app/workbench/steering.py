"""Use cases of steering: completions, maps, and what vectors do."""

from collections.abc import Generator, Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from melbo_app.engine.decoding import Decoding
from melbo_app.engine.prompt import Prompt
from melbo_app.engine.scope import TokenScope
from melbo_app.engine.training_config import TrainingProgress
from melbo_app.errors import InputError, Stopped, StorageError
from melbo_app.jobs.flagging import Order, flagged_first, most_unlike_first
from melbo_app.jobs.mapping import Map, MapProgress, draw
from melbo_app.jobs.scoring import target_of
from melbo_app.jobs.sensitivity import LayerPair, sensitivity
from melbo_app.jobs.similarity import Similarity, compare
from melbo_app.jobs.steering import SteeringProgress, Variant, complete, variants
from melbo_app.jobs.top_tokens import VectorTokens, vector_tokens
from melbo_app.jobs.work import retold
from melbo_app.library.atomic import write_file
from melbo_app.library.bank import Bank, EffectRecord
from melbo_app.library.comparison_settings import ComparisonKind
from melbo_app.library.completion import Comparison, ComparisonSummary, Completion
from melbo_app.library.damage import Listed
from melbo_app.library.file_names import check_file_name
from melbo_app.library.labels import Label
from melbo_app.limits import MOST_ITEMS, MOST_LISTED, MOST_NAME, check_range, check_text
from melbo_app.workbench.banks import Shelf
from melbo_app.workbench.base import EXAMPLE, Stop

if TYPE_CHECKING:  # torch, scipy and umap take seconds to import, and the page is up before them
    from melbo_app.analysis.figures import Colouring
    from melbo_app.engine.model import LanguageModel

WHOLE: tuple[ComparisonKind, ...] = ("part", "map")
"""What is kept whole or not at all: nobody asked to read it as far as it is."""
RunawayPlace = Literal["trained", "held out", "steered"]


class Steering(Shelf):
    """Completions, maps, likeness, and what vectors make likelier."""

    def steer(
        self,
        bank: str | None,
        prompts: Sequence[Prompt],
        vectors: Sequence[int],
        radii: Sequence[float] | None,
        decoding: Decoding,
        *,
        random_control: bool = False,
        both_signs: bool = False,
        stop: Stop = lambda: False,
        kind: ComparisonKind = "steer",
    ) -> Generator[SteeringProgress, None, Comparison]:
        """Complete each prompt without steering and under each vector at each R (None: each vector at the norm that it
        has in the bank), and keep the comparison.

        Stopping keeps the texts as far as they are, but nothing of a map or a "part", one R of a sweep. Raises Stopped.
        """
        if not self._model.state().loaded:
            yield SteeringProgress((), 0, decoding.max_new_tokens, "loading the model")
        lm = self._model.get()
        loaded = self._bank_for(lm, bank) if bank else None
        rows = variants(loaded, vectors, radii, random_control=random_control, both_signs=both_signs)
        work = complete(lm, loaded, prompts, rows, decoding, self._completions.find, self._batching, stop)
        completions, finished = yield from work
        if kind in WHOLE and not finished:
            raise Stopped
        return self.keep_texts(
            completions, bank, prompts, vectors, radii, decoding, random_control=random_control, both_signs=both_signs,
            kind=kind, finished=finished,
        )  # fmt: skip

    def keep_texts(
        self,
        completions: Sequence[Completion],
        bank: str | None,
        prompts: Sequence[Prompt],
        vectors: Sequence[int],
        radii: Sequence[float] | None,
        decoding: Decoding,
        *,
        random_control: bool,
        both_signs: bool,
        kind: ComparisonKind,
        finished: bool,
    ) -> Comparison:
        """Keep texts that were made as ``steer`` makes them, as one comparison."""
        settings: dict[str, Any] = {
            "kind": kind,
            "bank": bank,
            "bank_hash": self.bank(bank).hash if bank else None,
            "vectors": list(vectors),
            "radii": None if radii is None else list(radii),
            "random_control": random_control,
            "both_signs": both_signs,
            "prompts": [asdict(prompt) for prompt in prompts],
            "decoding": asdict(decoding),
            "finished": finished,
        }
        return self._completions.keep(settings, completions)

    def variants(
        self,
        bank: str | None,
        vectors: Sequence[int],
        radii: Sequence[float] | None,
        random_control: bool,
        both_signs: bool,
    ) -> list[Variant]:
        """The ways in which ``steer`` would complete each prompt, in its order. Raises what it would raise."""
        loaded = self.bank(bank) if bank else None
        return variants(loaded, vectors, radii, random_control=random_control, both_signs=both_signs)

    def comparison(self, id: int) -> Comparison:
        """One press of Steer, with its texts."""
        return self._completions.comparison(id)

    def ordered(self, completions: Sequence[Completion], order: Order) -> list[Completion]:
        """Completions of a comparison with what stands out first; the baseline stays at the beginning."""
        if order == "as chosen":
            return list(completions)
        if order == "flagged first":
            return flagged_first(completions)
        with self._compute.hold():
            return most_unlike_first(completions, self._embed(), self._embeddings)

    def comparisons(self, kind: ComparisonKind = "steer", limit: int = 20) -> Listed[ComparisonSummary]:
        """The last presses of Steer, or the last maps or sweeps, newest first."""
        return self._completions.recent(limit, kind)

    def runaways(self, bank: str) -> dict[int, dict[RunawayPlace, float]]:
        """The vectors of a bank that ran away, each with where it did and the smallest |R| there: on the prompts of its
        training, on those that were kept out, and when it was steered with."""
        found = self.bank(bank)
        places: dict[int, dict[RunawayPlace, float]] = {}
        measured: dict[RunawayPlace, EffectRecord | None] = {
            "trained": found.record.effect,
            "held out": found.record.held_out_effect,
        }
        for place, effect in measured.items():
            for vector, share in enumerate((effect.runaway if effect else None) or []):
                if share > 0:
                    places.setdefault(vector, {})[place] = found.record.radius
        for vector, radius in self._completions.runaways(found.hash, target_of(found.record.blocks, found)).items():
            places.setdefault(vector, {})["steered"] = radius
        return dict(sorted(places.items()))

    def completion(self, id: int) -> Completion:
        """One completion."""
        return self._completions.get(id)

    def comparison_of(self, completion: int) -> int:
        """The number of the comparison that a completion belongs to."""
        return self._completions.comparison_of(completion)

    def search_completions(
        self,
        text: str = "",
        *,
        bank: str | None = None,
        vector: int | None = None,
        verdict: str | None = None,
        limit: int = 50,
    ) -> Listed[Completion]:
        """The newest completions with ``text`` in them or their prompt, of a bank, a vector or a verdict."""
        check_text("text", text, MOST_NAME)
        check_range("limit", limit, 1, MOST_LISTED)
        digest = None if bank is None else self.bank(bank).hash
        return self._completions.search(text, bank_hash=digest, vector=vector, verdict=verdict, limit=limit)

    def latest_completion(self, bank: str, vector: int) -> Completion | None:
        """The newest completion under a vector of a bank, or None."""
        return self._completions.latest(self._hash_of(bank, vector), vector)

    def map(
        self,
        bank: str,
        prompts: Sequence[Prompt],
        vectors: Sequence[int],
        radii: Sequence[float] | None,
        decoding: Decoding,
        *,
        random_control: bool = False,
        stop: Stop = lambda: False,
    ) -> Generator[MapProgress, None, Map | None]:
        """Complete, embed and lay out; the map, or None when stopped before there was one."""
        work = self.steer(bank, prompts, vectors, radii, decoding, random_control=random_control, stop=stop, kind="map")
        try:
            comparison = yield from retold(
                work, lambda now: MapProgress(f"completing: {now.stage}", now.done, now.total)
            )
        except Stopped:  # before the first token
            return None
        if stop():
            return None
        return (yield from self._draw(comparison, stop))

    def map_of(self, comparison: int, *, stop: Stop = lambda: False) -> Generator[MapProgress, None, Map | None]:
        """The map of a comparison made before; the same texts give the same map."""
        return (yield from self._draw(self._completions.comparison(comparison), stop))

    def export_map(self, found: Map, out: Path, colour: "Colouring", *, title: str, overwrite: bool = False) -> Path:
        """Write a map as an HTML page that needs no network."""
        from melbo_app.analysis.figures import map_figure
        from melbo_app.analysis.plot_config import html_page

        check_file_name("out", out.name)
        page = html_page(map_figure(found.points, colour, title))
        try:
            write_file(out, page.encode(), overwrite=overwrite)
        except FileExistsError as error:
            raise InputError("out", f"“{out}” is there already", "Choose another name, or allow overwriting") from error
        return out

    def similarity(
        self,
        bank: str,
        prompts: Sequence[Prompt] | None = None,
        scope: str = "content",
        *,
        stop: Stop = lambda: False,
    ) -> Similarity:
        """Pairwise cosines of a bank's vectors, on these prompts or those it was trained on. Raises Stopped."""
        wanted, lm = TokenScope.parse(scope), self._model.get()
        loaded = self._bank_for(lm, bank)
        asked, record = prompts or _prompts_of(loaded, lm), loaded.record
        piece = self._reader.piece(lm, asked, record.source, record.target, stop)
        return self._compute.result(compare(piece, loaded, wanted, self._compute.giving_way(stop)))

    def top_tokens(
        self,
        bank: str,
        vectors: Sequence[int] | None = None,
        prompts: Sequence[Prompt] | None = None,
        count: int = 10,
        radius: float | None = None,
        *,
        stop: Stop = lambda: False,
    ) -> list[VectorTokens]:
        """The next tokens that a bank's vectors (None: all) promote and suppress at the end of these prompts, or of
        those it was trained on, with a signed R or (None) each at the norm that it has in the bank. Raises Stopped."""
        if count < 1:
            raise InputError("count", f"{count} tokens cannot be shown", "Choose 1 or more")
        check_range("count", count, 1, MOST_ITEMS)
        lm = self._model.get()
        loaded = self._bank_for(lm, bank)
        wanted = range(len(loaded.vectors)) if vectors is None else vectors
        variants(loaded, wanted, [] if radius is None else [radius])
        asked = prompts or _prompts_of(loaded, lm)
        piece = self._reader.piece(lm, asked, loaded.record.source, len(lm.blocks) - 1, stop)
        return self._compute.result(
            vector_tokens(piece, loaded, wanted, count, radius, self._compute.giving_way(stop))
        )  # fmt: skip

    def sensitivity(
        self,
        prompts: Sequence[Prompt],
        sources: Sequence[int],
        targets: Sequence[int],
        scope: str,
        count: int = 4,
        *,
        stop: Stop = lambda: False,
    ) -> Generator[TrainingProgress, None, list[LayerPair]]:
        """How strongly each target layer answers to each source layer below it. Stopping keeps the pairs done."""
        lm, asked = self._model.get(), self._compute.giving_way(stop)
        work = sensitivity(lm, prompts, sources, targets, scope, count, self._model.memory_gb, asked)
        return (yield from self._compute.steps(work, short=False))

    def _draw(self, comparison: Comparison, stop: Stop) -> Generator[MapProgress, None, Map | None]:
        bank_hash = comparison.settings.get("bank_hash")
        labels: dict[int, Label] = {}
        with suppress(StorageError):  # a map without names is one as well
            labels = self._labels.of_bank(bank_hash) if bank_hash else {}
        names = {vector: label.name for vector, label in labels.items()}
        return (yield from draw(comparison, names, self._embed(), self._embeddings, self._compute, stop))


def _prompts_of(bank: Bank, lm: "LanguageModel") -> list[Prompt]:
    """What a bank was trained on, or the example where it does not say."""
    own = [entry.asked for entry in bank.record.prompts]
    return own or [Prompt(EXAMPLE.user, template=lm.usual_template)]
