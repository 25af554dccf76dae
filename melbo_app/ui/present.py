"""Banks, models, jobs and labels in the words of the page."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from melbo_app.engine.training_config import TrainingProgress
from melbo_app.jobs.job import Job
from melbo_app.jobs.loaded_model import ModelState
from melbo_app.library.bank import Bank, BankRecord, BankSummary, PromptRecord
from melbo_app.library.comparison_settings import ComparisonSettings
from melbo_app.library.completion import Comparison, ComparisonSummary
from melbo_app.library.model_catalogue import BUNDLED, canonical
from melbo_app.ui.components.progress_bar import resting, working


def amount(value: float | None, digits: int = 3) -> str:
    """A number as a person would write it."""
    return "–" if value is None else f"{value:.{digits}g}"


def radius_text(radius: float, median: float | None) -> str:
    """R in both units."""
    return f"R {amount(radius)}" + (f" ({amount(radius / median, 2)} × median)" if median else "")


def sentence(text: str) -> str:
    """An error's message with a capital letter."""
    return text[:1].upper() + text[1:]


def day(moment: datetime) -> str:
    """Date and time in the server's time zone."""
    return moment.astimezone().strftime("%Y-%m-%d %H:%M")


def seconds_text(seconds: float | None) -> str:
    """The time that is left."""
    if seconds is None:
        return ""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s left" if minutes else f"{rest} s left"


def duration(seconds: float) -> str:
    """The time that has passed."""
    minutes, rest = divmod(max(0, round(seconds)), 60)  # the clock may have been set back
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"


def layers(record: BankRecord) -> str:
    """Source and target."""
    return f"{record.source} → {record.target}" if record.target is not None else f"{record.source} → ?"


def first_line(text: str, most: int = 60) -> str:
    """The beginning of a text on one line."""
    flat = " ".join(text.split())
    return flat if len(flat) <= most else flat[: most - 1] + "…"


def prompts_text(prompts: Sequence[PromptRecord], most: int = 40) -> str:
    """The beginning of the first prompt, and the number of others."""
    more = f" and {len(prompts) - 1} more" if len(prompts) > 1 else ""
    return f"“{first_line(prompts[0].user, most)}”{more}"


PROVENANCE_WORDS = (
    "The method that found the vectors; the block after which they are added → the one where their effect is measured; "
    "R, their length, also in multiples of the median norm of the activations; scope: the tokens to which they are "
    "added."
)


def provenance(summary: BankSummary) -> list[str]:
    """The origin of a bank in a few short lines."""
    record = summary.record
    if record is None:
        return [f"“{summary.name}” cannot be used: {summary.damaged}"]
    facts = [record.method, layers(record), radius_text(record.radius, record.median_norm)]
    origin = [f"scope {record.scope}"] if record.scope else []
    prompts = prompts_text(record.prompts, 60) if record.prompts else ""
    return [" · ".join(facts), " · ".join([*origin, record.model]), prompts, record.note or ""]


def bank_choices(summaries: Iterable[BankSummary]) -> list[tuple[str, str]]:
    """Entries of the bank list: own banks, then samples; damaged ones cannot be chosen."""
    return [(_bank_choice(line), line.name) for line in summaries if not line.damaged]


def _bank_choice(line: BankSummary) -> str:
    """A bank's name in the list; samples name their model unless it is the bundled one."""
    if not line.sample:
        return line.name
    key = canonical(line.record.model) if line.record else BUNDLED.name
    return f"{line.name} (sample)" if key == BUNDLED.name else f"{line.name} (sample, {key})"


def made_on(comparison: Comparison, loaded: str | None) -> str:
    """The origin of a sample's texts, on a page where the model with the hash ``loaded`` is in memory; empty for other
    comparisons."""
    if comparison.settings.get("kind") != "sample":
        return ""
    first = comparison.completions[0]
    radius = next((one.radius for one in comparison.completions if one.vector is not None), None)
    settings = [first.model, *([f"R = {amount(radius)}"] if radius is not None else [])]
    made = f"Made on {', '.join(settings)}: “{first_line(first.prompt.user)}”"
    return made if first.model_hash == loaded else f"{made} – load that model to steer with other settings"


def vector_name(vector: int, names: dict[int, str]) -> str:
    """A vector with its label's name."""
    return f"{vector} · {names[vector]}" if names.get(vector) else str(vector)


def token_name(text: str) -> str:
    """A token's text on one line without outer blanks; one of blanks alone gets a name."""
    return " ".join(text.split()) or ("line end" if "\n" in text else "blank")


def job_status(job: Job[TrainingProgress, Bank] | None, waiting: int) -> dict[str, Any]:
    """The training chip; empty when no training runs."""
    if job is None or not job.is_active:
        return {}
    progress = job.progress
    fraction = progress.done / max(1, progress.total) if progress else 0.0
    left = seconds_text(progress.seconds_left) if progress else ""
    stopping = " (stopping)" if job.state == "stopping" else ""
    parts = [f"{job.title}{stopping}: {round(100 * fraction)} %", left, f"{waiting} more wait" if waiting else ""]
    text = ", ".join(part for part in parts if part)
    return {"job": text.replace("1 more wait", "1 more waits"), "job_state": job.state, "job_fraction": fraction}


def job_progress(job: Job[TrainingProgress, Bank] | None, waiting: Sequence[str] = ()) -> dict[str, Any]:
    """The progress bar of the tab Train; ``waiting`` are the titles of the trainings in the queue."""
    if job is None:
        return resting()
    if job.is_active:
        progress = job.progress
        parts = (
            [job.title, progress.stage, seconds_text(progress.seconds_left)] if progress else [job.title, "starting"]
        )
        if job.state == "stopping":
            parts.append("stopping")
        if waiting:
            parts.append(f"then {', '.join(waiting)}")
        fraction = progress.done / max(1, progress.total) if progress else None
        return working(" · ".join(part for part in parts if part), fraction)
    if job.result is None:
        nothing = f"{job.title} was stopped before a vector was finished: nothing is kept."
        return resting(sentence(job.error) if job.error else nothing)
    took = max(0.0, (job.ended - job.started).total_seconds()) if job.ended and job.started else 0.0
    verb = "stopped" if job.state == "stopped" else "finished"
    return resting(f"{job.title} {verb} after {took:.0f} s: {len(job.result.vectors)} vectors are saved.")


def model_status(state: ModelState) -> dict[str, Any]:
    """The model chip."""
    if state.error and not state.loaded:
        return {"model": f"{state.name}: not loaded", "model_state": "failed", "model_title": state.error}
    if state.loading:
        return {"model": f"loading {state.coming or state.name}: {state.loading} …", "model_state": "loading"}
    if not state.loaded:
        return {"model": f"{state.name}: waiting", "model_state": "loading"}
    facts = [f"{state.blocks} blocks", f"d = {state.hidden_size}", f"{state.dtype} on {state.device}"]
    ready = {"model": " · ".join([state.name, *facts]), "model_state": "ready"}
    return {**ready, "model_hash": state.weights_hash}


def comparison_choices(summaries: Iterable[ComparisonSummary]) -> list[tuple[str, int]]:
    """Entries of the history."""
    return [(comparison_name(line.created, line.settings, line.bank, line.prompt), line.id) for line in summaries]


def comparison_name(created: datetime, settings: ComparisonSettings, bank: str | None, prompt: str) -> str:
    """A comparison in one line: when, whose vectors, at which R, how many, and the prompt."""
    facts = [day(created), bank or "baseline"]
    radii, vectors = settings.get("radii", []), len(settings.get("vectors", []))
    if radii and (bank or settings.get("random_control")):
        several = f"R {amount(min(radii))} to {amount(max(radii))}"
        facts.append(f"R {amount(radii[0])}" if len(radii) == 1 else several)
    elif radii is None:
        facts.append("R as in the bank")
    if bank and vectors:
        facts.append(f"{vectors} vector{'s' * (vectors != 1)}")
    return " · ".join([*facts, f"“{first_line(prompt, 40)}”"])


def many(count: int, what: str) -> str:
    """A count and its noun: “1 prompt”, “1,200 prompts”."""
    return f"{count:,} {what}{'s' * (count != 1)}"
