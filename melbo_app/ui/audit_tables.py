"""An audit in the tables and lines of the page."""

from collections.abc import Iterable
from typing import Any

from melbo_app.library.audits import Audit, AuditedBehaviour, AuditedPrompt
from melbo_app.library.counted import Counted
from melbo_app.studies.audit_answer import counted, counts_of, nothing, often
from melbo_app.studies.audit_commands import CLEAN, PROMPTS, commands
from melbo_app.ui.present import amount, duration, first_line, many, sentence

BEHAVIOURS = ["behaviour", "prompt", "text", "shown", "random", "other prompts", "random", "other banks", "random"]
COUNTS = (
    "How many vectors of its bank show a behaviour; how many answers of its vector to other prompts say the same; and "
    "how many of vectors trained on other prompts do: with 95 % intervals, each beside random vectors of the same R. "
    "Those that are commoner elsewhere than under random vectors recur, and come first. Click one to read it."
)
ASKED = ["no.", "prompt", "group", "state", "what it showed"]
ALARMS = ["prompt", "vector", "bank", "score", "threshold", "trained on it"]
LONGEST = 160


def places(found: Audit) -> tuple[list[int], list[int]]:
    """The numbers of the behaviours that recur, and of the others."""
    every = range(len(found.behaviours))
    recur = [at for at in every if found.behaviours[at].recurs]
    return recur, [at for at in every if at not in recur]


def others_title(found: Audit) -> str:
    """What the behaviours have in common that are not known to recur."""
    _, others = places(found)
    tried = any(one.others for one in found.behaviours)
    return f"{len(others)} that do not recur" if tried else f"{many(len(others), 'behaviour')}, not tried elsewhere"


def behaviour_table(found: Audit, numbers: Iterable[int], chosen: int | None = None) -> dict[str, Any]:
    """The table of these behaviours; a row's key is the behaviour's number, and ``chosen`` is selected."""
    rows = [{"key": str(at), "cells": _cells(found, found.behaviours[at])} for at in numbers]
    if not rows:
        return {"columns": []}
    selected = None if chosen is None else str(chosen)
    return {
        "columns": BEHAVIOURS,
        "wide": BEHAVIOURS[:3],
        "figures": BEHAVIOURS[3:],
        "rows": rows,
        "selected": selected,
    }


def behaviour_lines(found: Audit, one: AuditedBehaviour) -> list[str]:
    """All that is known of a behaviour."""
    which = f"vector{'s' * (len(one.vectors) != 1)} {', '.join(map(str, one.vectors))} at R {amount(one.radius, 4)}"
    lines = [f"{one.name} – {which}", f"Prompt {one.prompt + 1}: {_asked(found, one.prompt)}"]
    lines += [f"Vector {one.representative}: {one.text}", f"Without steering: {one.baseline}"]
    lines += [*map(sentence, counts_of(one)), *(f"{sentence(flag.kind)}: {flag.reason}" for flag in one.flags)]
    for answer in one.others.answers if one.others else ():
        kind = "says the same" if answer.same else answer.change or "unchanged"
        lines.append(f"Vector {one.representative} on “{_asked(found, answer.prompt)}” ({kind}): {answer.text}")
    return lines


def prompt_table(found: Audit) -> dict[str, Any]:
    """Each prompt with its state, and what it showed or why nothing."""
    columns = [one for one in ASKED if one != "group" or len({prompt.group for prompt in found.prompts}) > 1]
    rows = []
    for at, one in enumerate(found.prompts):
        cells = dict(zip(ASKED, [str(at + 1), _asked(found, at), one.group, one.state, _shows(found, at)], strict=True))
        tone = {"tone": "damaged"} if one.state == "failed" else {}
        rows.append({"key": str(at), "cells": [cells[name] for name in columns], **tone})
    return {"columns": columns, "wide": ["prompt", "what it showed"], "figures": ["no."], "rows": rows}


def prompt_lines(found: Audit, prompt: int) -> list[str]:
    """What was tried on a prompt."""
    one = found.prompts[prompt]
    lines = [f"Prompt {prompt + 1}: {one.prompt.user}", f"{sentence(one.state)}: {_shows(found, prompt)}"]
    if not one.bank:
        return lines
    lines += [f"Bank “{one.bank}”, {one.reason}", *(tried.sentence for tried in one.tried)]
    lines += [f"Random vectors show as often: {often(one.often)}"] if one.often and one.state == "found" else []
    return [*lines, f"Without steering: {one.baseline}"]


def alarm_table(found: Audit) -> dict[str, Any]:
    """The alarms of the banks on watch, highest scores first."""
    if found.watch is None or not found.watch.alarms:
        return {"columns": []}
    thresholds = {one.bank: one.threshold for one in found.watch.banks}
    rows = [
        {
            "cells": [
                _asked(found, one.prompt), f"{one.vector} {one.name}".strip(), one.bank, f"{one.score:.2f}",
                f"{thresholds[one.bank]:.2f}", "yes" if one.own else "",
            ]
        }
        for one in sorted(found.watch.alarms, key=lambda one: -one.score)
    ]  # fmt: skip
    return {"columns": ALARMS, "wide": ["prompt", "vector", "bank"], "figures": ["score", "threshold"], "rows": rows}


def repeating(found: Audit) -> dict[str, Any]:
    """The command line that makes the audit again, and what is in its files."""
    lines = {one.part: one.command for one in commands(found)}
    parts = {"the prompts": f"{PROMPTS} has the prompts", "the clean prompts": f"{CLEAN} the clean ones"}
    files = [words for part, words in parts.items() if part in lines]
    written = "commands that write them" if len(files) > 1 else "command that writes it"
    where = f", where {' and '.join(files)}; audit.html has the {written}" if files else ""
    return {"command": lines["the audit"], "note": f"The same on the command line{where}:"}


def summary(found: Audit) -> str:
    """An audit in a few words, beside the buttons."""
    reached = len(found.prompts) - len(found.of("not reached"))
    took = duration(sum(found.seconds.values()))
    done = f"{reached} of {len(found.prompts)} prompts" if not found.finished else many(reached, "prompt")
    return f"{done}, {took}" + ("" if found.finished else "; press Audit to go on")


def _cells(found: Audit, one: AuditedBehaviour) -> list[str]:
    same, random_same = (one.others.same, one.others.random_same) if one.others else (None, None)
    counts = (one.shown, one.random, same, random_same, one.echoes, one.random_echoes)
    return [one.name, _asked(found, one.prompt), first_line(one.text, LONGEST), *map(_count, counts)]


def _count(one: Counted | None) -> str:
    return "–" if one is None else counted(one)


def _asked(found: Audit, prompt: int) -> str:
    return first_line(found.prompts[prompt].prompt.user, LONGEST)


def _shows(found: Audit, prompt: int) -> str:
    one: AuditedPrompt = found.prompts[prompt]
    if one.state == "not reached":
        return one.problem or "stopped before this prompt"
    if one.state != "found":
        return nothing(one)
    return "; ".join(behaviour.name for behaviour in found.behaviours if behaviour.prompt == prompt)
