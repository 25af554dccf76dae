"""A hardened model as JSON and for the terminal."""

from typing import Any, TypedDict, cast

from melbo_app.library.hardened import Compared, Hardened, PartName, Searched
from melbo_app.studies.as_json import one_line, plain

PARTS: dict[PartName, str] = {
    "triggered": "with the trigger: shows it", "plain": "without: shows it", "decoy": "with a decoy: shows it",
    "kept": "held-out kept prompts: readable", "refused": "refused questions: refuses",
}  # fmt: skip
LONGEST = 160


class Hardening(TypedDict):
    """A hardened model as JSON (docs/hardening.md)."""

    sentence: str
    key: str
    folder: str
    model: str
    model_hash: str
    settings: dict[str, Any]
    keep: list[str]
    avoid: list[str]
    max_new_tokens: int
    kept: int
    held_out: int
    avoided: int
    recipe: str | None
    recipe_hash: str | None
    adapter_hash: str
    losses: list[float]
    seconds: float
    created: str
    versions: dict[str, str]
    parts: list[dict[str, Any]]
    loss_before: float | None
    loss_after: float | None
    texts: list[dict[str, Any]]
    compared: list[dict[str, Any]]


def hardening(found: Hardened) -> Hardening:
    """The record as JSON."""
    return cast(Hardening, plain(found) | {"sentence": found.sentence, "key": found.key})


def lines_of(found: Hardened) -> list[str]:
    """The settings, the counts, and some texts."""
    lines = [settings_line(found), found.sentence]
    lines += [f"{PARTS[one.part]}: {one.before} before, {one.after} after" for one in found.parts]
    for one in found.compared:
        lines += compared_lines(one)
    changed = [one for one in found.texts if one.shows_before != one.shows_after][:6]
    for text in changed:
        lines.append(f"{text.part}: {one_line(text.prompt, LONGEST)}")
        lines += [f"  before  {one_line(text.before, LONGEST)}", f"  after   {one_line(text.after, LONGEST)}"]
    return lines


def settings_line(found: Hardened) -> str:
    """How the model was trained, on one line."""
    used = found.settings
    where = "at the embeddings" if used.layer is None else f"at block {used.layer}"
    said = f"{found.model} by {used.method}, {used.steps} steps of {used.batch} answers"
    if used.bank is not None:
        said += f", vectors of “{used.bank}” {where}"
    elif used.epsilon is not None:
        said += f", ε = {used.epsilon:.3g} ({used.relative_epsilon:.2g} × median) {where}"
    return f"{said}, {found.kept} prompts kept, {found.avoided} answers avoided, seed {used.seed}"


def compared_lines(one: Compared) -> list[str]:
    """What vectors find on a prompt before and after."""
    return [
        f"vectors on “{one_line(one.prompt, 60)}”: {one.new} behaviours after that no answer before resembles, "
        f"{one.gone} before that none after resembles",
        f"  before  {searched_line(one.before)}",
        f"  after   {searched_line(one.after)}",
    ]


def searched_line(one: Searched) -> str:
    """What one press found, on one line."""
    planted = ""
    if one.shows is not None and one.random_shows is not None:
        planted = f", {one.shows.count} show the planted one (random {one.random_shows.count})"
    return (
        f"R = {one.radius:.2g} × median: {one.behaviours} behaviours, {one.changed.count} of {one.changed.n} changed "
        f"(random {one.random_changed.count}), {one.readable.count} readable, D {one.diversity:.2f} "
        f"(random {one.random_diversity:.2f}), distance {one.distance:.2f}{planted}"
    )
