"""A search for triggers as JSON, for the terminal, and as the command that repeats it."""

import shlex
from typing import Any, TypedDict

from pydantic_core import to_jsonable_python as plain

from melbo_app.library.triggers import Trigger, TriggerSearch
from melbo_app.studies.as_json import one_line
from melbo_app.studies.audit_answer import CountedLine

NOTE = (
    "Experimental: a string that is not found may still exist, and one that works need not be the one that was meant."
)


class TriggerLine(TypedDict):
    """One string: its loss ``before`` and ``after`` the search, and what the held-out answers show."""

    text: str
    pieces: list[str]
    before: float | None
    after: float | None
    shows: CountedLine
    works: bool
    planted: bool | None
    answers: list[dict[str, Any]]


class Triggered(TypedDict):
    """The result of a search for triggers. ``not_kept`` says why it could not be stored."""

    experimental: str
    sentence: str
    key: str
    model: str
    model_hash: str
    dtype: str
    toward: str
    goal: str
    source: int | None
    target: int | None
    clean: float
    without: CountedLine
    works: CountedLine
    planted: CountedLine | None
    random_works: CountedLine
    known: TriggerLine | None
    triggers: list[TriggerLine]
    random: list[TriggerLine]
    baselines: list[dict[str, Any]]
    sampled: list[str]
    request: dict[str, Any]
    finished: bool
    seconds: float
    not_kept: str | None


def triggered(found: TriggerSearch, not_kept: str | None) -> Triggered:
    """The search as JSON."""
    return {
        "experimental": NOTE, "sentence": found.sentence, "key": found.key, "model": found.model,
        "model_hash": found.model_hash, "dtype": found.dtype, "toward": found.toward, "goal": found.goal,
        "source": found.source, "target": found.target, "clean": found.clean, "without": plain(found.without),
        "works": plain(found.works), "planted": plain(found.planted), "random_works": plain(found.random_works),
        "known": plain(found.known), "triggers": plain(list(found.found)), "random": plain(list(found.random)),
        "baselines": plain(list(found.baselines)), "sampled": list(found.sampled), "request": plain(found.request),
        "finished": found.finished, "seconds": found.seconds, "not_kept": not_kept,
    }  # fmt: skip


def lines_of(found: TriggerSearch) -> list[str]:
    """The search for the terminal."""
    lines = [NOTE, found.sentence]
    if not found.finished:
        lines.append("It was stopped: the same command goes on from here.")
    lines.append(f"loss without a trigger: {found.clean:.3f}")
    if found.known:
        lines.append(f"planted {_line(found.known)}")
    lines += [_line(one) for one in found.found]
    lines += [f"random {_line(one)}" for one in found.random]
    for one in found.found:
        lines += [f"{one.text!r} → {one_line(answer.text, 160)}" for answer in one.answers[:1]]
    return lines


def _line(one: Trigger) -> str:
    loss = "" if one.before is None or one.after is None else f", loss {one.before:.3f} → {one.after:.3f}"
    planted = ", the planted one" if one.planted else ""
    return f"{one.text!r}: {'works' if one.works else 'does not work'}{planted}, shows it on {one.shows}{loss}"


def repeating(found: TriggerSearch, prompts: str) -> str:
    """The command line of a search; ``prompts`` is a file or a set with its clean prompts."""
    asked, first = found.request, found.request.trained_on[0]
    words = ["python", "-m", "melbo_app", "triggers", "--model", found.spec, "--toward", found.toward]
    words += ["--prompts", prompts, *(["--together"] if asked.together else [])]
    if asked.together and asked.text:
        words += ["--says", asked.text]
    words += ["--method", asked.method, "--place", asked.place]
    for name in ("tokens", "steps", "candidates", "restarts", "random", "seed", "max_new_tokens"):
        words += [f"--{name.replace('_', '-')}", str(getattr(asked, name))]
    words += ["--held-out", str(len(asked.tested_on))]
    words += ["--measure", asked.measure] if asked.measure else []
    words += ["--planted", asked.planted] if asked.planted else []
    words += ["--system", first.system] if first.system else []
    if first.template is False:
        words.append("--no-template")
    elif isinstance(first.template, str):
        words += ["--template", first.template]
    return shlex.join(words)
