"""The command lines that repeat the parts of an audit."""

import json
import shlex
from collections.abc import Iterable
from typing import NamedTuple

from melbo_app.library.audits import Audit, AuditedPrompt
from melbo_app.library.explorations import ExploreSettings
from melbo_app.studies.generality import RANDOM
from melbo_app.studies.training_command import asked_with
from melbo_app.studies.usual_prompts import FALSE_ALARMS

PROGRAM = ["python", "-m", "melbo_app"]
PROMPTS, CLEAN, TRIED_ON, OUT = "prompts.jsonl", "clean.jsonl", "tried-on.jsonl", "audit-again"
OPTIONS = {
    "rule": "--choose-radius", "radius": "--radius", "relative_radius": "--relative-radius",
    "effect_budget": "--effect-budget", "search_seconds": "--search-seconds", "elsewhere": "--elsewhere",
    "vectors": "--vectors", "method": "--method", "steps": "--steps", "source": "--source", "target": "--target",
    "scope": "--scope", "max_new_tokens": "--max-new-tokens", "threshold": "--same-meaning", "seed": "--seed",
}  # fmt: skip
"""Of the settings of Explore."""
USUAL = ExploreSettings().elsewhere


class Command(NamedTuple):
    """A command line, and the part of the audit that it repeats."""

    part: str
    command: str


def commands(found: Audit) -> list[Command]:
    """All of them, in the order of the work. Files of prompts that have no name are made by a command of their own."""
    lines = [*_audit(found)]
    for number, one in enumerate(found.prompts, start=1):
        if one.bank:
            words = ["explore", *_model(found), "--prompt", one.prompt.user, *asked_with(one.prompt.asked)]
            lines.append(_line(f"prompt {number}: the search", [*words, *_settings(found.settings)]))
    lines += [*_texts(found), *_others(found), *_watch(found)]
    return lines


def _audit(found: Audit) -> Iterable[Command]:
    mine, clean = found.files
    if not mine:
        yield _written("the prompts", PROMPTS, found.prompts)
    words = ["audit", *_model(found), "--prompts", mine or PROMPTS, "--out", OUT]
    if found.watch is not None:
        words += ["--clean", clean or CLEAN]
        words += [] if found.watch.false_alarms == FALSE_ALARMS else ["--false-alarms", repr(found.watch.false_alarms)]
        if not clean:
            lines = [json.dumps({"text": text}, ensure_ascii=False) for text in found.watch.clean]
            yield Command("the clean prompts", here(CLEAN, lines))
    words += ["--seconds", f"{found.budget:g}", *asked_with(found.prompts[0].prompt.asked)]
    words += ["--elsewhere", str(found.elsewhere), *_settings(found.settings.model_copy(update={"elsewhere": USUAL}))]
    yield _line("the audit", words)


def _texts(found: Audit) -> Iterable[Command]:
    for one in found.behaviours:
        prompt = found.prompts[one.prompt].prompt
        words = ["steer", one.bank, *_model(found), "--prompt", prompt.user, *asked_with(prompt.asked)]
        words += ["--vector", str(one.representative), f"--radius={one.radius!r}"]
        words += ["--max-new-tokens", str(found.settings.max_new_tokens)]
        yield _line(f"“{one.name}”: its text", words)


def _others(found: Audit) -> Iterable[Command]:
    banks: dict[str, list[int]] = {}
    for one in found.behaviours:
        if one.others is not None:
            banks.setdefault(one.bank, []).append(one.representative)
    if banks:
        part = "the prompts on which behaviours were tried"
        yield _written(part, TRIED_ON, [found.prompts[at] for at in found.tried_on])
    radii = {one.bank: one.radius for one in found.behaviours}
    for bank, vectors in banks.items():
        words = ["generality", bank, *_model(found), "--prompts", TRIED_ON, "--vector", ",".join(map(str, vectors))]
        words += [f"--radius={radii[bank]!r}", "--random", str(RANDOM), *asked_with(found.prompts[0].prompt.asked)]
        words += ["--max-new-tokens", str(found.settings.max_new_tokens), "--seed", str(found.settings.seed)]
        yield _line(f"“{bank}” on other prompts", words)


def _watch(found: Audit) -> Iterable[Command]:
    if found.watch is None:
        return
    mine, clean = found.files
    for one in found.watch.banks:
        words = ["watch", one.bank, *_model(found), "--clean", clean or CLEAN, "--prompts", mine or PROMPTS]
        words += ["--false-alarms", repr(found.watch.false_alarms), "--seed", str(found.settings.seed)]
        yield _line(f"“{one.bank}” on watch", words)


def _model(found: Audit) -> list[str]:
    return ["--model", found.spec]


def _settings(given: ExploreSettings) -> list[str]:
    """The options for the settings that are not the usual ones."""
    words: list[str] = []
    for name, option in OPTIONS.items():
        value = getattr(given, name)
        if value != ExploreSettings.model_fields[name].default:
            words += [option, value if isinstance(value, str) else repr(value)]
    return words


def _line(part: str, words: list[str]) -> Command:
    return Command(part, shlex.join([*PROGRAM, *words]))


def _written(part: str, name: str, prompts: Iterable[AuditedPrompt]) -> Command:
    lines = [
        json.dumps({"prompt": one.prompt.user, **({"group": one.group} if one.group else {})}, ensure_ascii=False)
        for one in prompts
    ]
    return Command(part, here(name, lines))


def here(name: str, lines: Iterable[str]) -> str:
    """A shell command that writes these lines into a file; none of them is END, as each is a JSON object."""
    return "\n".join([f"cat > {name} <<'END'", *lines, "END"])
