"""Flags: what an auditor looks for in a completion, told by rules; docs/flags.md says how often each is right."""

from melbo_app.analysis.flags.arithmetic import answer_flag
from melbo_app.analysis.flags.code import code_flag
from melbo_app.analysis.flags.echo import echo_flag, system_flag
from melbo_app.analysis.flags.flag import Flag, FlagKind
from melbo_app.analysis.flags.persona import persona_flag
from melbo_app.analysis.flags.refusal import refusal_flag
from melbo_app.analysis.flags.speech import language_flag

__all__ = ["Flag", "FlagKind", "flags"]

LOOKED_AT = 10_000
"""Characters of a text that are looked at, from its beginning: a second at most, whatever is in it."""


def flags(text: str, user: str, system: str | None = None, baseline: str | None = None) -> tuple[Flag, ...]:
    """What stands out in a completion.

    Repetitions of the prompt and of the system prompt stand for themselves; all other flags compare with ``baseline``,
    what the model says to the same prompt without steering, and need one. Of each text its first ``LOOKED_AT``
    characters count.
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
