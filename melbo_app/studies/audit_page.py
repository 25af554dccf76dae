"""An audit as one HTML page that needs no network and no scripts."""

from collections.abc import Callable
from typing import Any

from melbo_app import __version__
from melbo_app.analysis.difference import mark
from melbo_app.library.audits import Audit, AuditedBehaviour, AuditedPrompt
from melbo_app.library.counted import Counted
from melbo_app.studies.as_json import one_line
from melbo_app.studies.audit_answer import alarms_line, counted, nothing, often
from melbo_app.studies.audit_commands import commands
from melbo_app.studies.page_template import page_template

TEMPLATE = "audit.html"
UNFOLDED = 6
"""As many behaviours are shown whole, whether or not they recur."""


def audit_page(found: Audit, shown: Callable[[str], str] = str) -> str:
    """The page; ``shown`` takes folders out of the names of models and out of commands."""
    rest = [(number, one) for number, one in enumerate(found.prompts, start=1) if one.state != "found"]
    lines = [(one.part, shown(one.command)) for one in commands(found)]
    return page_template(TEMPLATE).render(
        title=f"Audit of {one_line(shown(found.model), 80)}", sentence=found.sentence, facts=_facts(found, shown),
        left_out=found.left_out, behaviours=[_behaviour(found, one) for one in found.behaviours],
        nothing=[_nothing(number, one) for number, one in rest if one.state == "nothing"],
        others=[(number, one.prompt.user, nothing(one)) for number, one in rest if one.state != "nothing"],
        tried=[(number, one.prompt.user, _tried(one)) for number, one in enumerate(found.prompts, 1) if one.bank],
        watch=_watch(found), commands=[line for line in lines if line[0] == "the audit"],
        parts=[line for line in lines if line[0] != "the audit"], version=__version__,
        made=f"{found.created:%Y-%m-%d %H:%M} UTC",
    )  # fmt: skip


def _facts(found: Audit, shown: Callable[[str], str]) -> list[tuple[str, str]]:
    settings, reached = found.settings, len(found.prompts) - len(found.of("not reached"))
    radius = "searched" if settings.relative_radius is None else f"{settings.relative_radius:g} × the median norm"
    asked, presses = found.prompts[0].prompt, sum(one.seconds for one in found.prompts)
    template = asked.template if isinstance(asked.template, str) else "the model's own" if asked.template else "none"
    facts = [
        ("Model", f"{shown(found.model)}, weights sha256 {found.model_hash}"),
        ("Data type", found.dtype),
        ("Prompts", f"{reached} of {len(found.prompts)} explored, one press of Explore each"),
        ("Chat template", template + (", prompts are continued as they are" if template == "none" else "")),
        (
            "Search",
            f"{settings.vectors} vectors a prompt, {settings.method}, R {radius}; beside as many random vectors of the "
            f"same R; greedy, at most {settings.max_new_tokens} new tokens",
        ),
        ("Seed", str(settings.seed)),
        ("Versions", ", ".join(f"{name} {version}" for name, version in found.versions.items())),
        (
            "Seconds",
            ", ".join(f"{name} {seconds:.0f}" for name, seconds in found.seconds.items())
            + f"; the search was allowed {found.budget:.0f}, and its presses took {presses:.0f} when they were made",
        ),
    ]
    if asked.system:
        facts.insert(4, ("System text", asked.system))
    return facts


def _behaviour(found: Audit, one: AuditedBehaviour) -> dict[str, Any]:
    rows, own = [("vectors that show it", one.shown, one.random)], f"vector {one.representative}"
    answers: list[dict[str, Any]] = []
    if (others := one.others) is not None:
        rows += [
            (f"answers of {own} to other prompts that say the same", others.same, others.random_same),
            (f"answers of {own} to other prompts that changed", others.changed, others.random_changed),
        ]
        answers = [
            {
                "prompt": found.prompts[answer.prompt].prompt.user, "pieces": mark(answer.baseline, answer.text),
                "baseline": answer.baseline, "kind": "says the same" if answer.same else answer.change or "unchanged",
            }
            for answer in others.answers
        ]  # fmt: skip
    if one.echoes is not None and one.random_echoes is not None:
        rows.append(("answers of vectors trained on other prompts that say the same", one.echoes, one.random_echoes))
    return {
        "recurs": one.recurs, "open": one.recurs or len(found.behaviours) <= UNFOLDED, "name": one.name,
        "number": one.prompt + 1,
        "prompt": found.prompts[one.prompt].prompt.user,
        "rows": [(what, _cell(mine), _cell(random)) for what, mine, random in rows],
        "pieces": mark(one.baseline, one.text), "baseline": one.baseline, "verdict": one.verdict or "",
        "flags": [(flag.kind, flag.reason) for flag in one.flags], "answers": answers,
        "vector": one.representative, "bank": one.bank, "radius": f"{one.radius:.4g}",
        "vectors": ", ".join(map(str, one.vectors)),
    }  # fmt: skip


def _cell(one: Counted) -> dict[str, Any]:
    """A count with its interval, in percent."""
    low, high = (round(100 * end, 1) for end in (one.low, one.high))
    share = round(100 * one.share, 1)
    return {"words": counted(one), "low": low, "width": round(high - low, 1), "share": share, "none": not one.n}


def _nothing(number: int, one: AuditedPrompt) -> dict[str, Any]:
    assert one.changed is not None and one.random_changed is not None
    return {
        "number": number, "prompt": one.prompt.user, "settings": len(one.tried), "changed": counted(one.changed),
        "random": counted(one.random_changed),
        "often": often(one.often),
    }  # fmt: skip


def _tried(one: AuditedPrompt) -> dict[str, Any]:
    lines = [tried.sentence for tried in one.tried]
    return {"reason": one.reason, "lines": lines, "seconds": f"{one.seconds:.0f}", "often": often(one.often)}


def _watch(found: Audit) -> dict[str, Any] | None:
    if found.watch is None:
        return None
    names = {bank.bank: bank for bank in found.watch.banks}
    return {
        "sentence": alarms_line(found),
        "banks": [(bank.bank, f"{bank.threshold:.2f}", bank.read) for bank in found.watch.banks],
        "alarms": [
            {
                "prompt": found.prompts[alarm.prompt].prompt.user, "number": alarm.prompt + 1, "own": alarm.own,
                "bank": alarm.bank, "vector": alarm.vector, "name": alarm.name, "score": f"{alarm.score:.2f}",
                "threshold": f"{names[alarm.bank].threshold:.2f}",
            }
            for alarm in sorted(found.watch.alarms, key=lambda alarm: -alarm.score)
        ],
    }  # fmt: skip
