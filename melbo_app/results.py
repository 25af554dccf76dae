"""What came of it, as JSON can hold it: the same objects for ``--json`` on the command line and for the HTTP API."""

from collections.abc import Iterable
from dataclasses import asdict
from typing import Any, Literal, TypedDict, cast

from melbo_app.analysis.curve import DiversityCurve
from melbo_app.analysis.cusp import DEFAULT_DETECTOR, Cusp
from melbo_app.analysis.flags import FlagKind, flags
from melbo_app.analysis.readability import Verdict
from melbo_app.jobs.flagging import flagged, gathered
from melbo_app.jobs.mapping import Map
from melbo_app.jobs.similarity import Similarity
from melbo_app.library.bank import PromptRecord
from melbo_app.library.completion import Comparison, Completion, Scores
from melbo_app.library.explorations import Answer, Exploration
from melbo_app.library.judges import Judgement
from melbo_app.listings import plain


class FlagLine(TypedDict):
    kind: FlagKind
    reason: str


class SteeredText(TypedDict):
    """One text with all that made it; ``vector`` is None for the baseline and "random" for the random control. Its
    ``flags`` are told against the baseline of the same comparison. ``id`` is None where it could not be stored."""

    id: int | None
    text: str
    vector: int | Literal["random"] | None
    radius: float
    bank: str | None
    bank_hash: str | None
    source: int | None
    prompt: PromptRecord
    prompt_index: int
    tokens: int
    finished: bool
    scores: Scores | None
    flags: list[FlagLine]
    model: str
    model_hash: str
    dtype: str | None
    max_new_tokens: int
    temperature: float
    top_p: float
    seed: int
    created: str


class Steered(TypedDict):
    """``not_kept`` says why the texts could not be stored; ``comparison`` is None then, and so it is below."""

    comparison: int | None
    completions: list[SteeredText]
    stopped: bool
    not_kept: str | None


class JudgedText(TypedDict):
    id: int | None
    vector: int | Literal["random"] | None
    radius: float
    prompt_index: int
    text: str
    verdict: Verdict
    behaviour: str


class Judged(TypedDict):
    """What a judge says of the texts of a comparison; ``not_kept`` says why that could not be stored."""

    comparison: int
    texts: list[JudgedText]
    not_kept: str | None


class Verdicts(TypedDict):
    """How many texts are what; ``unknown`` counts those of which it cannot be said."""

    readable: int
    strange: int
    broken: int
    unknown: int


class SweepLine(TypedDict):
    radius: float
    vectors: Verdicts
    random: Verdicts


class FlaggedText(TypedDict):
    """A flag of a text: where it has several, there is a line for each."""

    kind: FlagKind
    reason: str
    id: int | None
    vector: int | Literal["random"] | None
    radius: float
    prompt_index: int
    text: str


class Flagged(TypedDict):
    """What stands out in a comparison, over all its R, sorted by kind."""

    comparison: int | None
    texts: int
    flagged: list[FlaggedText]
    not_kept: str | None


class Swept(Steered):
    radii: list[SweepLine]
    flagged: list[FlaggedText]


class Cosines(TypedDict):
    """``matrix`` [V][V] holds cosines of what the vectors change (δ), ``theta`` those of the vectors themselves."""

    bank: str
    scope: str
    matrix: list[list[float]]
    theta: list[list[float]]
    order: list[int]
    mean_off_diagonal: float | None
    mean_off_diagonal_theta: float | None


class PlacedText(TypedDict):
    """A completion on the map; its ``id`` is that of the text."""

    id: int | None
    x: float
    y: float
    vector: int | Literal["random"] | None
    radius: float
    label: str
    text: str
    prompt_index: int


class Drawn(TypedDict):
    comparison: int | None
    method: Literal["UMAP", "PCA"]
    note: str
    points: list[PlacedText]
    not_kept: str | None


class Curved(TypedDict):
    """A diversity curve with its cusps (``analysis/curve.py``, ``analysis/cusp.py``); ``cusp`` is what the default
    detector found."""

    how: Literal["trained", "rescaled"]
    bank: str | None
    source: int
    target: int | None
    scope: str | None
    median_norm: float
    seeds: list[int]
    points: list[dict[str, Any]]
    finished: bool
    cusp: float | None
    cusps: list[dict[str, Any]]
    not_kept: str | None


class BehaviourLine(TypedDict):
    """Answers that say the same; ``text`` is the representative's, whose ``flags`` are raised against the baseline.
    ``control`` of the random vectors show it, ``as_often`` where that is as large a share as among the vectors."""

    name: str
    words: list[str]
    vectors: list[int]
    representative: int
    text: str
    distance: float
    control: int
    as_often: bool
    unsteered: bool
    elsewhere: dict[str, Any] | None
    flags: list[FlagLine]


class AnswerLine(TypedDict):
    """What one vector says. ``behaviour`` is the name of the one it belongs to, None for random vectors and for one
    that was set ``aside`` (with the reason); ``differs`` names the kinds of difference from the baseline."""

    vector: int
    completion: int | None
    text: str
    verdict: Verdict | None
    distance: float
    changed: bool
    runaway: bool
    differs: list[str]
    flags: list[FlagLine]
    behaviour: str | None
    aside: str | None


class Explored(TypedDict):
    """The result of one Explore (``library/explorations.py``); answers come by their distance from the baseline, the
    farthest first."""

    sentence: str
    prompt: PromptRecord
    settings: dict[str, Any]
    radius: dict[str, Any]
    tried: list[dict[str, Any]]
    bank: str
    bank_hash: str
    comparison: int | None
    control_comparison: int | None
    source: int
    target: int
    scope: str
    baseline: str
    behaviours: list[BehaviourLine]
    aside: list[dict[str, Any]]
    answers: list[AnswerLine]
    control: list[AnswerLine]
    changed: float
    control_changed: float
    readable: float
    threshold: float
    readable_diversity: float
    control_readable_diversity: float
    seconds: dict[str, float]
    model: str
    created: str
    not_kept: str | None


def stored(number: int | None) -> int | None:
    """The number of what is stored; None for what waits in memory, which has numbers that mean nothing elsewhere."""
    return None if number is None or number < 0 else number


def steered(comparison: Comparison) -> Steered:
    """The texts of a comparison, the baseline first."""
    return {
        "comparison": stored(comparison.id),
        "completions": [
            plain(completion) | {"id": stored(completion.id), "flags": [asdict(flag) for flag in found]}
            for completion, found in zip(comparison.completions, flagged(comparison.completions), strict=True)
        ],
        "stopped": not comparison.settings["finished"],
        "not_kept": comparison.not_kept,
    }


def judged(comparison: int, told: Iterable[tuple[Completion, Judgement]], not_kept: str | None = None) -> Judged:
    """The texts of a comparison that were judged, in their order; ``not_kept`` is why that could not be stored."""
    keys = {"id", "vector", "radius", "prompt_index", "text"}
    said_keys = {"verdict", "behaviour"}
    texts = [
        cast(JudgedText, completion.model_dump(include=keys) | said.model_dump(include=said_keys))
        for completion, said in told
    ]
    return {"comparison": comparison, "texts": texts, "not_kept": not_kept}


def swept(comparison: Comparison) -> Swept:
    """The same, with how many texts are readable at each R, beside those of the random control, and all flags."""
    radii = dict.fromkeys(entry.radius for entry in comparison.completions if entry.vector is not None)
    lines: list[SweepLine] = [
        {
            "radius": radius,
            "vectors": _verdicts(comparison, radius, random=False),
            "random": _verdicts(comparison, radius, random=True),
        }
        for radius in radii
    ]
    return {**steered(comparison), "radii": lines, "flagged": flags_of(comparison)["flagged"]}


def flags_of(comparison: Comparison) -> Flagged:
    """The flags of a comparison's texts, gathered over all R."""
    keys = {"id", "vector", "radius", "prompt_index", "text"}
    lines = [
        cast(
            FlaggedText,
            asdict(one.flag) | one.completion.model_dump(include=keys) | {"id": stored(one.completion.id)},
        )
        for one in gathered([comparison])
    ]
    return {
        "comparison": stored(comparison.id), "texts": len(comparison.completions), "flagged": lines,
        "not_kept": comparison.not_kept,
    }  # fmt: skip


def cosines(bank: str, found: Similarity) -> Cosines:
    """How alike the vectors of a bank are."""
    return {
        "bank": bank,
        "scope": found.scope,
        "matrix": found.delta.tolist(),
        "theta": found.theta.tolist(),
        "order": found.order,
        "mean_off_diagonal": found.mean_delta,
        "mean_off_diagonal_theta": found.mean_theta,
    }


def drawn(found: Map) -> Drawn:
    """A map's points, and how they were laid out."""
    points = [cast(PlacedText, asdict(point) | {"id": stored(point.id)}) for point in found.points]
    return {
        "comparison": stored(found.comparison), "method": found.method, "note": found.note, "points": points,
        "not_kept": found.not_kept,
    }  # fmt: skip


def diversity_curve(curve: DiversityCurve, cusps: Iterable[Cusp], not_kept: str | None = None) -> Curved:
    """A diversity curve, and what the detectors found; ``not_kept`` is why it could not be stored."""
    told = [asdict(cusp) for cusp in cusps]
    chosen = next((one["radius"] for one in told if one["detector"] == DEFAULT_DETECTOR), None)
    return cast(Curved, {**asdict(curve), "cusp": chosen, "cusps": told, "not_kept": not_kept})


def explored(found: Exploration, not_kept: str | None = None) -> Explored:
    """The result of one Explore: every answer and every behaviour with its flags; ``not_kept`` is why it, or its texts,
    could not be stored."""
    aside = {one.vector: one.reason for one in found.aside}
    answers = [_answer(found, one, aside.get(one.vector), control=False) for one in found.answers]
    lines = {one["vector"]: one for one in answers}
    behaviours = [
        plain(one)
        | {key: lines[one.representative][key] for key in ("text", "flags")}
        | {"elsewhere": one.elsewhere and plain(one.elsewhere) | {"sentence": one.elsewhere.sentence}}
        for one in found.behaviours
    ]
    random = [_answer(found, one, None, control=True) for one in found.control]
    facts = plain(found) | {
        "sentence": found.sentence,
        "behaviours": behaviours,
        "answers": sorted(answers, key=lambda one: -one["distance"]),
        "control": sorted(random, key=lambda one: -one["distance"]),
        "changed": sum(one.changed for one in found.answers) / len(found.answers),
        "control_changed": sum(one.changed for one in found.control) / len(found.control),
        "readable": found.readable,
        "comparison": stored(found.comparison),
        "control_comparison": stored(found.control_comparison),
        "not_kept": not_kept,
    }
    return cast(Explored, {key: facts[key] for key in Explored.__annotations__})


def _answer(found: Exploration, one: Answer, aside: str | None, *, control: bool) -> AnswerLine:
    raised = flags(one.text, found.prompt.user, found.prompt.system, found.baseline)
    behaviour = None if control else found.behaviour_of(one.vector)
    told = {"flags": [asdict(flag) for flag in raised], "behaviour": behaviour and behaviour.name, "aside": aside}
    return cast(AnswerLine, plain(one) | {"completion": stored(one.completion)} | told)


def _verdicts(comparison: Comparison, radius: float, *, random: bool) -> Verdicts:
    told: Verdicts = {"readable": 0, "strange": 0, "broken": 0, "unknown": 0}
    for entry in comparison.completions:
        if entry.radius == radius and (entry.vector == "random" if random else isinstance(entry.vector, int)):
            told[(entry.scores and entry.scores.verdict) or "unknown"] += 1
    return told
