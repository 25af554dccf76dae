"""Texts, and results of studies."""

import json
from collections.abc import Callable, Generator, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic_core import to_jsonable_python

from melbo_app.engine.prompt import Prompt
from melbo_app.engine.stopping import never
from melbo_app.errors import InputError
from melbo_app.library import adapter_set
from melbo_app.library.atlases import Atlas
from melbo_app.library.atomic import write_file, write_folder
from melbo_app.library.audits import Audit
from melbo_app.library.bank import EffectRecord, PromptRecord
from melbo_app.library.circuits import Circuit
from melbo_app.library.comparison_settings import ComparisonKind
from melbo_app.library.completion import Comparison, ComparisonSummary, Completion, TextsAtRadius
from melbo_app.library.curves import KeptCurve
from melbo_app.library.damage import Listed
from melbo_app.library.evidence import Evidence
from melbo_app.library.explorations import Exploration
from melbo_app.library.file_names import check_file_name
from melbo_app.library.finds import Find
from melbo_app.library.generality import Generality
from melbo_app.library.judges import Judgement
from melbo_app.library.labelled_prompts import LabelledPrompt
from melbo_app.library.searches import Search
from melbo_app.limits import MOST_LISTED, MOST_NAME, check_range, check_text
from melbo_app.studies.adapters import TrainedAdapters
from melbo_app.studies.atlas import atlas_layers
from melbo_app.studies.audit_answer import audited
from melbo_app.studies.audit_page import audit_page
from melbo_app.studies.completing import Variant
from melbo_app.studies.flagging import Order, flagged_first, most_unlike_first
from melbo_app.studies.judge import judge_standing, judgements
from melbo_app.studies.judge_address import JudgeAddress
from melbo_app.studies.judge_endpoint import Endpoint
from melbo_app.studies.judging import Standing
from melbo_app.studies.map import Map
from melbo_app.studies.report import Report
from melbo_app.studies.report_table import PAGES, TABLES, check_ending, dataset_files
from melbo_app.studies.scoring import target_of
from melbo_app.studies.search_meaning import passage
from melbo_app.studies.spreads import Spread, spreads
from melbo_app.studies.steer import SteeringStudy
from melbo_app.studies.watch import Watch, Watched
from melbo_app.workbench.banks import Shelf

if TYPE_CHECKING:  # plotly takes a second to import
    from melbo_app.analysis.map_groups import Colouring


RunawayPlace = Literal["trained", "held out", "steered"]


class Texts(Shelf):
    """Comparisons and completions, and the loaded model's results."""

    def comparison(self, id: int) -> Comparison:
        """One press of Steer, with its texts."""
        return self.bench.completions.comparison(id)

    def comparisons(self, kind: ComparisonKind = "steer", limit: int = 20) -> Listed[ComparisonSummary]:
        """The last presses of Steer, or the last maps or sweeps, newest first."""
        return self.bench.completions.recent(limit, kind)

    def watch_stream(self, study: Watch, incoming: Iterable[LabelledPrompt]) -> Generator[Any, None, Watched]:
        """Watch prompts one after the other, as long as they come; the study's own do not count."""
        return study.over(self.bench, ([one] for one in incoming), never)

    def variants(self, study: SteeringStudy[Any]) -> list[Variant]:
        """The variants under which a study completes each prompt, in order. Raises the study's errors."""
        return study.bound(self.bench).variants(self.bench)

    def ordered(self, completions: Sequence[Completion], order: Order) -> list[Completion]:
        """Completions of a comparison, conspicuous ones first; the baseline stays at the beginning."""
        if order == "as chosen":
            return list(completions)
        if order == "flagged first":
            return flagged_first(completions)
        with self.bench.compute.hold():
            return most_unlike_first(completions, self.bench.embedder, self.bench.embeddings)

    def runaways(self, bank: str) -> dict[int, dict[RunawayPlace, float]]:
        """The vectors of a bank that ran away, each with the smallest |R| at each place: on its training prompts, on
        held-out prompts, and in steered texts."""
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

    def radii(self, bank: str) -> list[TextsAtRadius]:
        """What the stored texts under the vectors of a bank are like at each R."""
        return self.bench.completions.radii(self.bank(bank).hash)

    def at_other_radii(self, completions: Sequence[Completion]) -> Listed[Completion]:
        """The stored texts that differ from those of a comparison in R alone."""
        return self.bench.completions.at_other_radii(completions)

    def at_other_seeds(self, completions: Sequence[Completion]) -> Listed[Completion]:
        """The stored texts that differ from those of a comparison in their seed alone."""
        return self.bench.completions.at_other_seeds(completions)

    def spread(self, bank: str, vector: int, prompt: PromptRecord) -> Spread | None:
        """What the sampled texts of a vector at its own R have in common; None for fewer than two seeds."""
        held = self.bank(bank)
        found = self.bench.evidences.sampled(held.hash, vector, held.norms[vector], prompt)
        return next((one for cell, one in spreads(found, ()).items() if cell[1] == vector), None)

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
        """The newest completions with ``text`` in text or prompt, of a bank, a vector or a verdict."""
        check_text("text", text, MOST_NAME)
        check_range("limit", limit, 1, MOST_LISTED)
        digest = None if bank is None else self.bank(bank).hash
        return self.bench.completions.search(text, bank_hash=digest, vector=vector, verdict=verdict, limit=limit)

    def passage(self, text: str, sentence: str) -> str:
        """The sentence of a text that is nearest in meaning to another one."""
        return passage(self.bench, text, sentence)

    def newest_texts(self, bank: str) -> dict[int, Completion]:
        """The newest text under each vector of a bank."""
        return self.bench.completions.newest(self.bank(bank).hash)

    def evidence(self, bank: str, vector: int) -> Evidence | None:
        """What a vector of a bank says on one prompt, its bank's own if possible; None without a text."""
        digest, held = self._hash_of(bank, vector), self.bank(bank)
        return self.bench.evidences.of(digest, vector, held.norms[vector], held.record.prompts)

    def export_map(self, found: Map, out: Path, colour: "Colouring", *, title: str, overwrite: bool = False) -> Path:
        """Write a map as an HTML page that needs no network."""
        from melbo_app.analysis.map_figure import map_figure
        from melbo_app.analysis.plot_config import html_page

        page = html_page(map_figure(found.points, colour, title, found.clusters))
        return _write(page.encode(), out, overwrite)

    def export_report(
        self, found: Report, out: Path, *, overwrite: bool = False, shown: Callable[[str], str] = str
    ) -> Path:
        """Write a report as an HTML page that needs no network; or its texts alone, as ``.csv``, ``.jsonl`` or, without
        an ending, as a dataset folder. ``shown`` takes folders out of it."""
        ending = check_ending(out)
        if ending in PAGES:
            from melbo_app.studies.report_page import report_page  # late: plotly takes a second to import

            return _write(report_page(found, shown).encode(), out, overwrite)
        if ending in TABLES:
            return _write(TABLES[ending](found, shown), out, overwrite)
        return _write(dataset_files(found, shown), out, overwrite)

    def export_adapters(self, found: TrainedAdapters, out: Path) -> None:
        """Write adapters into the new folder ``out``: a LoRA for each, and the record."""
        adapter_set.save(out, found.record, found.files)

    def export_audit(self, found: Audit, folder: Path, not_kept: str | None = None) -> list[Path]:
        """Write an audit as ``audit.html``, a page that needs no network, and ``audit.json`` into a folder that is new
        or empty."""
        files = {"audit.html": audit_page(found).encode(), "audit.json": _as_json(found, not_kept)}
        if folder.is_dir() and not any(folder.iterdir()):
            return [_write(data, folder / name, overwrite=False) for name, data in files.items()]
        _write(files, folder, overwrite=False)
        return [folder / name for name in files]

    def export_audit_page(self, found: Audit, out: Path) -> Path:
        """Write an audit's page alone; its JSON where ``out`` ends in ``.json``."""
        is_json = out.suffix == ".json"
        data = _as_json(found, self.bench.audits.not_kept().get(found.key)) if is_json else audit_page(found).encode()
        return _write(data, out, overwrite=False)

    @property
    def judge_address(self) -> JudgeAddress:
        """The operator's judge."""
        return JudgeAddress.of(self.settings)

    def judge_endpoint(self, url: str, model: str, *, here: bool) -> Endpoint:
        """The judge named on a page; ``here``: at this machine. Only the operator's judge gets the key."""
        return self.judge_address.named_on_a_page(url.strip(), model.strip(), here=here)

    def judgements(self, completions: Sequence[Completion]) -> dict[str, Judgement]:
        """The latest judgements of these completions, by their digests, without those of judges that are off."""
        return judgements(self.bench, completions)

    def judge_standing(self, endpoint: Endpoint | None = None) -> Standing:
        """The judge's last score, beside that of the built-in verdict."""
        return judge_standing(self.bench, endpoint)

    def suggested_layers(self) -> tuple[list[int], list[int]]:
        """Default source and target layers of an atlas of the loaded model."""
        return atlas_layers(len(self.bench.model.get().blocks))

    def latest_atlas(self) -> Atlas | None:
        """The loaded model's most recently changed atlas; None without one, or without a model."""
        known = self.weights_hash
        return self.bench.atlases.latest(known) if known else None

    def latest_curve(self) -> KeptCurve | None:
        """The loaded model's latest curve; None without one, or without a model."""
        known = self.weights_hash
        return self.bench.curves.latest(known) if known else None

    def curve_on(self, prompts: Sequence[Prompt]) -> KeptCurve | None:
        """The loaded model's curve on these prompts, or None."""
        asked = tuple(map(PromptRecord.of, prompts))
        every = self.bench.curves.of_model(self.weights_hash) if self.weights_hash else []
        return next((one for one in every if one.prompts == asked), None)

    def atlas_on(self, prompts: Sequence[Prompt], scope: str | None) -> Atlas | None:
        """The loaded model's latest atlas on these prompts, in this scope if one is given; or None."""
        asked = tuple(map(PromptRecord.of, prompts))
        every = self.bench.atlases.of_model(self.weights_hash) if self.weights_hash else []
        return next((one for one in every if one.prompts == asked and scope in (None, one.scope)), None)

    def latest_search(self, source: int, target: int, scope: str) -> Search | None:
        """The loaded model's latest search between these layers; None without one, or without a model."""
        known = self.weights_hash
        return self.bench.searches.nearest(known, source, target, scope) if known else None

    def generalities(self) -> Listed[Generality]:
        """The loaded model's generality results, newest first; none without a model."""
        known = self.weights_hash
        return self.bench.generalities.of_model(known) if known else Listed()

    def finds(self) -> Listed[Find]:
        """The loaded model's searches for a text, newest first; none without a model."""
        known = self.weights_hash
        return self.bench.finds.of_model(known) if known else Listed()

    def audits(self) -> Listed[Audit]:
        """The loaded model's audits, newest first; none without a model."""
        known = self.weights_hash
        return self.bench.audits.of_model(known) if known else Listed()

    def circuits(self) -> Listed[Circuit]:
        """What carries the loaded model's vectors, newest first; none without a model."""
        known = self.weights_hash
        return self.bench.circuits.of_model(known) if known else Listed()

    def audit(self, key: str) -> Audit:
        """One audit. Raises InputError for an unknown key."""
        found = self.bench.audits.find(key)
        if found is None:
            raise InputError("audit", "there is none with this key", "Take the key from the answer of an audit")
        return found

    def explorations(self) -> Listed[Exploration]:
        """The loaded model's explorations, newest first; none without a model."""
        known = self.weights_hash
        return self.bench.explorations.of_model(known) if known else Listed()

    def exploration(self, key: str) -> Exploration:
        """One exploration. Raises InputError for an unknown key."""
        found = self.bench.explorations.find(key)
        if found is None:
            raise InputError("exploration", "it no longer exists", "Press Explore again")
        return found


def _as_json(found: Audit, not_kept: str | None) -> bytes:
    answer = to_jsonable_python(audited(found, not_kept), inf_nan_mode="null")
    return f"{json.dumps(answer, ensure_ascii=False)}\n".encode()


def _write(made: bytes | dict[str, bytes], out: Path, overwrite: bool) -> Path:
    """Write a file, or a folder, which is never replaced."""
    check_file_name("out", out.name)
    try:
        if isinstance(made, dict):
            write_folder(out, made)
        else:
            write_file(out, made, overwrite=overwrite)
    except FileExistsError as error:
        raise InputError("out", f"“{out}” already exists", "Choose another name, or allow overwriting") from error
    return out
