"""Reliability as JSON and for the terminal."""

from collections.abc import Sequence
from typing import TypedDict

import numpy as np

from melbo_app.analysis.steerability import mean_of_few, ranks
from melbo_app.library.bank import PromptRecord
from melbo_app.library.reliability import Reliability
from melbo_app.studies.reliability_card import Card, Interval, by_id, card


class RankLine(TypedDict):
    """Spearman's correlation of ``n`` pairs with its 95 % interval, and p by shuffling."""

    rho: float
    n: int
    low: float | None
    high: float | None
    p: float


class RandomLine(TypedDict):
    """The random vectors of an R, in the first setting: their mean slopes, the mean of these with an interval over the
    vectors, their range, the range of their shares of inputs that go the other way, and of their curves."""

    radius: float
    means: list[float]
    mean: float
    interval: Interval | None
    range: Interval
    against: Interval
    sd: Interval
    curve: list[Interval]


class VectorLine(TypedDict):
    """A vector: a card for each setting, how many of the random vectors' mean slopes are nearer to 0 than its own, and
    the rank correlation of its inputs' slopes between the first setting and each other one, by id."""

    vector: int
    radius: float
    sentence: str
    cards: list[Card]
    random: RandomLine | None
    beyond: int
    matched: list[RankLine | None]


class SettingLine(TypedDict):
    """A setting. ``ranks`` correlates the vectors' mean slopes in the first setting and in this one, ``random_ranks``
    those of the random vectors; null in the first one, and for fewer than four vectors."""

    name: str
    inputs: int
    means: list[float]
    ranks: RankLine | None
    random_ranks: RankLine | None


class InputLine(TypedDict):
    prompt: PromptRecord
    first: str | None
    second: str | None
    group: str
    position: str | None
    wording: str | None
    id: str | None


class Reliable(TypedDict):
    """The result of a reliability (``library/reliability.py``); ``inputs`` are those of each setting, in order."""

    key: str
    bank: str
    bank_hash: str
    model: str
    radius: float | None
    measure: str | None
    unit: str
    multiples: list[float]
    seed: int
    max_new_tokens: int
    finished: bool
    sentence: str
    vectors: list[VectorLine]
    settings: list[SettingLine]
    inputs: list[list[InputLine]]
    not_kept: str | None


CAUSAL = (
    "Causal: the multiple of R is set for every input, so what changes with it is the vector's effect. Not causal: "
    "which vectors were chosen by looking; their figures on the prompts they were chosen by are too large."
)
FLAT = "The measure is the same for every input at every multiple, of all vectors: this behaviour never shows."


def reliable(found: Reliability, not_kept: str | None = None) -> Reliable:
    """A reliability as JSON; ``not_kept`` says why it could not be stored."""
    beside = {radius: _random(found, radius) for radius in dict.fromkeys(one.radius for one in found.tried)}
    vectors = [_vector(found, at, beside) for at in range(len(found.own))]
    first = [line["cards"][0]["mean"] for line in vectors]
    random = [one for one in found.tried if one.random is not None]
    settings: list[SettingLine] = []
    for at, setting in enumerate(found.settings):
        means = [line["cards"][at]["mean"] for line in vectors]
        here, there = (_means(found, random, place) for place in (0, at))
        settings.append(
            {
                "name": setting.name, "inputs": len(setting.inputs), "means": means,
                "ranks": _ranks(first, means, found.seed) if at else None,
                "random_ranks": _ranks(here, there, found.seed) if at else None,
            }
        )  # fmt: skip
    return {
        "key": found.key, "bank": found.bank, "bank_hash": found.bank_hash, "model": found.model,
        "radius": found.radius, "measure": found.measure, "unit": unit(found), "multiples": [*found.multiples],
        "seed": found.seed, "max_new_tokens": found.max_new_tokens, "finished": found.finished,
        "sentence": _whole(found, vectors), "vectors": vectors, "settings": settings,
        "inputs": [
            [
                {
                    "prompt": one.prompt, "first": one.first, "second": one.second, "group": one.group,
                    "position": one.position, "wording": one.wording, "id": one.id,
                }
                for one in setting.inputs
            ]
            for setting in found.settings
        ],
        "not_kept": not_kept,
    }  # fmt: skip


def unit(found: Reliability) -> str:
    """What slopes are measured in."""
    return "share of texts per R" if is_of_texts(found) else "nats per R"


def is_of_texts(found: Reliability) -> bool:
    """Whether texts were written, rather than answers compared."""
    return found.measure is not None and not found.measure.startswith("logits:")


def lines_of(found: Reliability) -> list[str]:
    """The result for the terminal."""
    answer = reliable(found)
    lines = [answer["sentence"]]
    for one in answer["vectors"]:
        lines += ["", one["sentence"], *(f"  {line}" for line in card_lines(one))]
    for setting in answer["settings"][1:]:
        lines += ["", *setting_lines(setting)]
    return [*lines, "", CAUSAL]


def card_lines(one: VectorLine) -> list[str]:
    """The lines of a vector's card."""
    main = one["cards"][0]
    q, fit = main["quantiles"], main["fit"]
    lines = [
        f"spread over inputs: sd {main['sd']:.2f}, 5 % below {signed(q['0.05'])}, median {signed(q['0.5'])}, "
        f"5 % above {signed(q['0.95'])}"
    ]
    lines.append("fit: every input is flat" if fit is None else f"fit of a line: median R² {fit:.2f} over inputs")
    for factor in main["factors"]:
        levels = ", ".join(f"{_said(level['name'])} {signed(level['mean'])}" for level in factor["levels"])
        lines.append(
            f"{factor['factor']} explains {_percent(factor['eta2'])} of the slopes' variance (adjusted "
            f"{_percent(max(0.0, factor['omega2']))}, p = {factor['p']:.3f}): {levels}"
        )
    if main["not_varied"]:
        lines.append(f"not varied: {', '.join(main['not_varied'])}")
    if worst := main["worst_group"]:
        lines.append(f"worst group: {worst['name']} {signed(worst['mean'])}, where the mean is {signed(main['mean'])}")
    for other, rank in zip(one["cards"][1:], one["matched"], strict=True):
        (low, high), against = other["interval"], other["against"]
        line = f"{other['setting']}: {signed(other['mean'])} ({signed(low)} to {signed(high)}), "
        line += f"{against['count']} of {against['n']} the other way"
        lines.append(line + (f"; matched inputs {_rank(rank)}" if rank else ""))
    return lines


def setting_lines(setting: SettingLine) -> list[str]:
    """What a further setting says of all vectors together."""
    lines = []
    for what, rank in (("vectors", setting["ranks"]), ("random vectors", setting["random_ranks"])):
        if rank is not None:
            lines.append(f"{setting['name']}: mean slopes of {what} in both settings correlate, {_rank(rank)}")
    return lines or [f"{setting['name']}: fewer than four vectors, so no rank correlation"]


def _random(found: Reliability, radius: float) -> RandomLine | None:
    cards = [card(found.settings[0], 0, one, found.multiples, found.seed) for one in found.beside(radius)]
    if not cards:
        return None
    means = [one["mean"] for one in cards]
    against, sds = [one["against"]["share"] for one in cards], [one["sd"] for one in cards]
    mean, low, high = mean_of_few(means) if len(means) > 1 else (means[0], None, None)
    curves = [[dose["mean"] for dose in one["curve"]] for one in cards]
    return {
        "radius": radius,
        "means": means,
        "mean": mean,
        "interval": None if low is None or high is None else (low, high),
        "range": (min(means), max(means)),
        "against": (min(against), max(against)),
        "sd": (min(sds), max(sds)),
        "curve": [(min(values), max(values)) for values in zip(*curves, strict=True)],
    }


def _vector(found: Reliability, at: int, beside: dict[float, RandomLine | None]) -> VectorLine:
    one = found.own[at]
    assert one.vector is not None, "it is the bank's"
    cards = [card(setting, place, one, found.multiples, found.seed) for place, setting in enumerate(found.settings)]
    random, first = beside[one.radius], by_id(found.settings[0], cards[0]["slopes"])
    matched: list[RankLine | None] = []
    for setting, other in zip(found.settings[1:], cards[1:], strict=True):
        second = by_id(setting, other["slopes"])
        both = [id for id in first if id in second]
        matched.append(_ranks([first[id] for id in both], [second[id] for id in both], found.seed))
    beyond = sum(abs(mean) < abs(cards[0]["mean"]) for mean in random["means"]) if random else 0
    line: VectorLine = {
        "vector": one.vector, "radius": one.radius, "sentence": "", "cards": cards, "random": random,
        "beyond": beyond, "matched": matched,
    }  # fmt: skip
    line["sentence"] = _sentence(found, line)
    return line


def _sentence(found: Reliability, one: VectorLine) -> str:
    main, random = one["cards"][0], one["random"]
    who = f"Vector {one['vector']} at R {one['radius']:.4g}"
    if main["flat"]:
        return f"{who}: the measure is the same for every input at every multiple, so there is no slope."
    what = "the log-odds of the first answer"
    if is_of_texts(found):
        what = f"the share of texts with {found.measure}"
    low, high = main["interval"]
    told = f"mean slope of {what} {signed(main['mean'])} {unit(found)} (95 % {signed(low)} to {signed(high)})"
    if random:
        told += f", beyond {one['beyond']} of {len(random['means'])} random vectors"
    against = main["against"]
    share = f"{against['count']} of {against['n']} inputs go the other way ("
    share += f"{_percent(against['interval'][0])} to {_percent(against['interval'][1])})"
    if main["direction"] == "none":
        return f"{who}: {told}; no direction on average. {share}."
    return f"{who}: {told}. {share}."


def _whole(found: Reliability, vectors: Sequence[VectorLine]) -> str:
    if all(len({value for some in one.propensities for row in some for value in row}) == 1 for one in found.tried):
        same = {value for one in found.tried for some in one.propensities for row in some for value in row}
        if len(same) == 1:
            return FLAT
    moved = sum(one["cards"][0]["direction"] != "none" for one in vectors)
    part = "" if found.finished else f" (stopped after {len(found.tried)} of {found.wanted}, random ones included)"
    told = f"{moved} of {len(vectors)} vectors{part} move {len(found.settings[0].inputs)} inputs in one direction"
    shares = [one["cards"][0]["against"]["share"] for one in vectors if one["cards"][0]["direction"] != "none"]
    if shares:
        told += (
            f"; under each of these, {_percent(min(shares))} to {_percent(max(shares))} of the inputs go the other way"
        )
    random = next((one["random"] for one in vectors if one["random"]), None)
    if random and random["interval"]:
        low, high = random["interval"]
        told += (
            f". Random vectors: mean slope {signed(random['mean'])} (95 % over vectors {signed(low)} to {signed(high)})"
        )
    return f"{told}."


def _means(found: Reliability, some: Sequence, at: int) -> list[float]:
    from melbo_app.analysis.steerability import slopes

    return [float(slopes(np.array(one.propensities[at]), found.multiples).mean()) for one in some]


def _ranks(one: Sequence[float], other: Sequence[float], seed: int) -> RankLine | None:
    found = ranks(one, other, seed)
    if found is None:
        return None
    return {"rho": found.rho, "n": found.n, "low": found.low, "high": found.high, "p": found.p}


def _rank(one: RankLine) -> str:
    low, high = one["low"], one["high"]
    spread = "" if low is None or high is None else f", 95 % {signed(low)} to {signed(high)}"
    return f"ρ = {signed(one['rho'])} (n = {one['n']}{spread}, p = {one['p']:.3f})"


def signed(value: float) -> str:
    """A number with its sign and two decimals."""
    return f"{value:+.2f}".replace("-", "−")


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %"


def _said(name: str) -> str:
    return name if len(name) <= 24 else f"{name[:23].rstrip()}…"
