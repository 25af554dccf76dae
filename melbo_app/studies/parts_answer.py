"""A circuit as JSON and in words."""

import shlex
from collections.abc import Sequence
from typing import Any, TypedDict, cast

from melbo_app.library.circuits import Circuit, Part, SmallestSet
from melbo_app.studies.training_command import asked_with

LISTED = 16
"""Parts in the terminal's table."""


class FoundParts(TypedDict):
    """A circuit as JSON (docs/parts.md)."""

    sentence: str
    model: str
    spec: str
    model_hash: str
    dtype: str
    bank: str
    bank_hash: str
    vector: int
    radius: float
    own_radius: bool
    source: int
    prompt: dict[str, Any]
    measure: str
    keep: float
    exact: int
    random: int
    max_new_tokens: int
    seed: int
    tokens: int
    answers: list[str]
    unsteered: float
    steered: float
    effect: float
    random_effects: list[float]
    random_shows: dict[str, Any] | None
    direct: float | None
    parts: list[dict[str, Any]]
    heads_apart: bool
    agreement: float | None
    smallest: dict[str, Any] | None
    finished: bool
    created: str
    not_kept: str | None


def found_parts(found: Circuit, not_kept: str | None) -> FoundParts:
    """The fields of a ``Circuit``, with the names of its parts."""
    parts = [{"name": one.name, **one.model_dump(mode="json")} for one in found.parts]
    said = {"effect": found.effect, "sentence": sentence_of(found), "not_kept": not_kept}
    return cast(FoundParts, found.model_dump(mode="json") | {"parts": parts} | said)


def sentence_of(found: Circuit) -> str:
    """The result in a few sentences."""
    return " ".join([effect_sentence(found), *set_sentences(found)])


def effect_sentence(found: Circuit) -> str:
    """How much the vector changes, and random vectors of the same R."""
    others = found.random_effects
    said = f"Vector {found.vector} changes the log-odds by {found.effect:+.2f} nats"
    span = f"{min(others):+.2f} to {max(others):+.2f}"
    if found.as_random:
        return (
            f"{said}, and {found.as_random} of {len(others)} random vectors of the same R change them as much "
            f"({span}): there is no effect to take apart."
        )
    shows = f", and {found.random_shows} of their texts show it" if found.random_shows else ""
    return f"{said}; {len(others)} random vectors of the same R by {span}{shows}."


def set_sentences(found: Circuit) -> list[str]:
    """The smallest set, beside random sets."""
    one = found.smallest
    if one is None:
        return ["The smallest set is not found yet."] if found.parts and not found.finished else []
    direct = percent(found.direct)
    if not one.parts:
        return [f"The vector alone, along the residual stream, keeps {direct} of it: no head or MLP is needed."]
    members = [found.parts[at] for at in one.parts]
    random_kept, random_left = one.random_kept_mean, one.random_left_mean
    assert random_kept is not None and random_left is not None, "a set that is not empty has random ones beside it"
    kept, left = (
        f"{percent(mean.mean)} ({percent(mean.low)} to {percent(mean.high)})" for mean in (random_kept, random_left)
    )
    verb = "keeps" if len(members) == 1 else "keep"
    return [
        f"{len(members)} of {len(found.parts)} parts {verb} {percent(one.kept)} of it: {kinds(members)}.",
        f"Random sets of as many heads and MLPs keep {kept}, and the vector without any part {direct}.",
        f"With the set restored, {percent(one.left)} is left; with random sets restored, {left}.",
        *_retests(found, one),
    ]


def _retests(found: Circuit, one: SmallestSet) -> list[str]:
    """Whether texts show the behaviour."""
    if one.kept_text is None or one.left_text is None:
        return []
    first, second = ("shows" if text.shows else "does not show" for text in (one.kept_text, one.left_text))
    return [f"A text written with the set alone {first} {found.measure}, and one written without the set {second} it."]


def kinds(parts: Sequence[Part]) -> str:
    """How many heads and MLPs."""
    words = (("head", "head"), ("attention", "attention"), ("mlp", "MLP"))
    counts = [(sum(one.kind == kind for one in parts), word) for kind, word in words]
    return " and ".join(f"{count} {word}{'s' * (count != 1)}" for count, word in counts if count)


def lines_of(found: Circuit) -> list[str]:
    """The result for the terminal: sentences, and the best parts."""
    lines = [effect_sentence(found), *set_sentences(found), *notes_of(found)]
    if not found.exactly:
        return lines
    lines += ["", f"{'part':>12}  {'estimate':>8}  {'exact':>7}  {'alone':>7}"]
    chosen = set(found.smallest.parts) if found.smallest else set()
    for one in found.exactly[:LISTED]:
        mark = "  in the set" if found.parts.index(one) in chosen else ""
        cells = f"{percent(one.attribution):>8}  {percent(one.exact):>7}  {percent(one.alone):>7}"
        lines.append(f"{one.name:>12}  {cells}{mark}")
    return lines


def notes_of(found: Circuit) -> list[str]:
    """How well the estimates order the parts, and where heads are not apart."""
    lines = []
    if found.agreement is not None:
        lines.append(
            f"Over the {len(found.exactly)} parts that were patched exactly, estimates and exact effects have a rank "
            f"correlation of {found.agreement:.2f}."
        )
    if not found.heads_apart:
        lines.append("Some blocks' heads cannot be told apart: their attention is one part.")
    return lines


def command_of(found: Circuit) -> str:
    """The command line that repeats it."""
    words = ["python", "-m", "melbo_app", "parts", found.bank, "--vector", str(found.vector)]
    words += ["--prompt", found.prompt.user, *asked_with(found.prompt.asked), "--measure", found.measure]
    words += [] if found.own_radius else [f"--radius={found.radius!r}"]
    words += ["--keep", f"{found.keep:g}", "--exact", str(found.exact), "--random", str(found.random)]
    words += ["--max-new-tokens", str(found.max_new_tokens), "--seed", str(found.seed)]
    return shlex.join(words)


def percent(value: float | None) -> str:
    """A share; – for None."""
    return "–" if value is None else f"{100 * value:z.0f} %".replace("-", "−")
