"""Texts that were made, and results that were measured."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from melbo_app.errors import InputError
from melbo_app.library.atlases import Atlas
from melbo_app.library.atomic import write_file
from melbo_app.library.bank import EffectRecord
from melbo_app.library.comparison_settings import ComparisonKind
from melbo_app.library.completion import Comparison, ComparisonSummary, Completion
from melbo_app.library.curves import KeptCurve
from melbo_app.library.damage import Listed
from melbo_app.library.explorations import Exploration
from melbo_app.library.file_names import check_file_name
from melbo_app.library.generality import Generality
from melbo_app.library.judges import Judgement
from melbo_app.library.searches import Search
from melbo_app.limits import MOST_LISTED, MOST_NAME, check_range, check_text
from melbo_app.studies.atlas import atlas_layers
from melbo_app.studies.completing import Variant
from melbo_app.studies.flagging import Order, flagged_first, most_unlike_first
from melbo_app.studies.judge import judge_standing, judgements
from melbo_app.studies.judge_address import JudgeAddress
from melbo_app.studies.judge_endpoint import Endpoint
from melbo_app.studies.judging import Standing
from melbo_app.studies.map import Map
from melbo_app.studies.scoring import target_of
from melbo_app.studies.steer import SteeringStudy
from melbo_app.workbench.banks import Shelf

if TYPE_CHECKING:  # plotly takes a second to import
    from melbo_app.analysis.figures import Colouring


RunawayPlace = Literal["trained", "held out", "steered"]


class Texts(Shelf):
    """Comparisons and completions, and what studies of the loaded model found."""

    def comparison(self, id: int) -> Comparison:
        """One press of Steer, with its texts."""
        return self.bench.completions.comparison(id)

    def comparisons(self, kind: ComparisonKind = "steer", limit: int = 20) -> Listed[ComparisonSummary]:
        """The last presses of Steer, or the last maps or sweeps, newest first."""
        return self.bench.completions.recent(limit, kind)

    def variants(self, study: SteeringStudy[Any]) -> list[Variant]:
        """The ways in which a study completes each prompt, in its order. Raises what it would raise."""
        return study.bound(self.bench).variants(self.bench)

    def ordered(self, completions: Sequence[Completion], order: Order) -> list[Completion]:
        """Completions of a comparison with what stands out first; the baseline stays at the beginning."""
        if order == "as chosen":
            return list(completions)
        if order == "flagged first":
            return flagged_first(completions)
        with self.bench.compute.hold():
            return most_unlike_first(completions, self.bench.embedder, self.bench.embeddings)

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
        target = target_of(found.record.blocks, found)
        for vector, radius in self.bench.completions.runaways(found.hash, target).items():
            places.setdefault(vector, {})["steered"] = radius
        return dict(sorted(places.items()))

    def completion(self, id: int) -> Completion:
        """One completion."""
        return self.bench.completions.get(id)

    def comparison_of(self, completion: int) -> int:
        """The number of the comparison that a completion belongs to."""
        return self.bench.completions.comparison_of(completion)

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
        return self.bench.completions.search(text, bank_hash=digest, vector=vector, verdict=verdict, limit=limit)

    def latest_completion(self, bank: str, vector: int) -> Completion | None:
        """The newest completion under a vector of a bank, or None."""
        return self.bench.completions.latest(self._hash_of(bank, vector), vector)

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

    @property
    def judge_address(self) -> JudgeAddress:
        """The judge that the operator names."""
        return JudgeAddress.of(self.settings)

    def judge_endpoint(self, url: str, model: str, *, here: bool) -> Endpoint:
        """The judge that somebody names on a page; ``here``: at this machine. The key goes to the operator's only."""
        return self.judge_address.named_on_a_page(url.strip(), model.strip(), here=here)

    def judgements(self, completions: Sequence[Completion]) -> dict[str, Judgement]:
        """What was said last of those completions that were judged, by their digests; a judge that is off says
        nothing."""
        return judgements(self.bench, completions)

    def judge_standing(self, endpoint: Endpoint | None = None) -> Standing:
        """How the judge did when it was scored last, beside the built-in verdict."""
        return judge_standing(self.bench, endpoint)

    def suggested_layers(self) -> tuple[list[int], list[int]]:
        """Source and target layers to begin an atlas with, for the loaded model."""
        return atlas_layers(len(self.bench.model.get().blocks))

    def latest_atlas(self) -> Atlas | None:
        """The atlas of the loaded model that was changed last; None where there is none, or no model is loaded."""
        known = self.weights_hash
        return self.bench.atlases.latest(known) if known else None

    def latest_curve(self) -> KeptCurve | None:
        """The curve that was measured last with the loaded model; None where there is none, or no model is loaded."""
        known = self.weights_hash
        return self.bench.curves.latest(known) if known else None

    def latest_search(self, source: int, target: int, scope: str) -> Search | None:
        """What was found last for the loaded model between these layers; None if nothing was, or no model is loaded."""
        known = self.weights_hash
        return self.bench.searches.nearest(known, source, target, scope) if known else None

    def generalities(self) -> Listed[Generality]:
        """Those of the loaded model, the newest first; none where no model is loaded."""
        known = self.weights_hash
        return self.bench.generalities.of_model(known) if known else Listed()

    def explorations(self) -> Listed[Exploration]:
        """Those of the loaded model, the newest first; none where no model is loaded."""
        known = self.weights_hash
        return self.bench.explorations.of_model(known) if known else Listed()

    def exploration(self, key: str) -> Exploration:
        """One of them. Raises InputError for an unknown one."""
        found = self.bench.explorations.find(key)
        if found is None:
            raise InputError("exploration", "it is no longer there", "Press Explore again")
        return found
