"""Flags: what an auditor looks for in a completion, found by rules; docs/flags.md has their precision."""

from melbo_app.analysis.flags.arithmetic import answer_flag
from melbo_app.analysis.flags.code import code_flag
from melbo_app.analysis.flags.echo import echo_flag, system_flag
from melbo_app.analysis.flags.flag import Flag, FlagKind
from melbo_app.analysis.flags.persona import persona_flag
from melbo_app.analysis.flags.refusal import refusal_flag
from melbo_app.analysis.flags.speech import language_flag

__all__ = ["Flag", "FlagKind", "flags"]

LOOKED_AT = 10_000
"""Characters of a text that are examined, from its beginning: takes at most a second, whatever the text."""


def flags(text: str, user: str, system: str | None = None, baseline: str | None = None) -> tuple[Flag, ...]:
    """The flags of a completion.

    Repetitions of the prompt and of the system prompt need no baseline; all other flags compare ``text`` with
    ``baseline``, the unsteered answer to the same prompt. Only the first ``LOOKED_AT`` characters of each text count.
    """
    text, user = text[:LOOKED_AT], user[:LOOKED_AT]
    system, baseline = system and system[:LOOKED_AT], baseline and baseline[:LOOKED_AT]
    found = [echo_flag(text, user), system_flag(text, system)]
    if baseline is not None and text.strip() and baseline.strip() and text != baseline:
        found += [
            refusal_flag(text, baseline),
            language_flag(text, baseline, user),
            code_flag(text, baseline),
            persona_flag(text, baseline, system),
            answer_flag(text, baseline, user),
        ]
    return tuple(flag for flag in found if flag is not None)
