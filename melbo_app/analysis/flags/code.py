"""Whether a text is program code where the baseline is prose."""

import re

from melbo_app.analysis.flags.flag import Flag, quote

LEAST_LINES, LEAST_SHARE = 2, 0.3
"""Minimum lines of code, and minimum share of all lines, for a text without a fence to be code."""
_FENCE = re.compile(r"^\s*```[^\n]*\n?[^\n]*", re.MULTILINE)
_ANNOUNCED = re.compile(
    r"[^.!?\n]*\b(?:(?:python|java|javascript|c\+\+|bash|shell|sql|html|php|ruby|rust|go) (?:code|script|function)"
    r"|code (?:snippet|example))(?: snippet| example)?:\s*\Z",
    re.IGNORECASE,
)  # the text is cut off before the code
_LINE = re.compile(
    r"^\s*(?:"
    r"(?:def|class|async def|function|fn|func|void|public|private|static|int|const|let|var)\s+\w+.*[({=:;]"
    r"|(?:from\s+[\w.]+\s+)?import\s+[\w.*{]+(?:\s+as\s+\w+|;|,.*)?\s*$"
    r"|(?:for|while|if|elif|else|try|except|with)\b.*[:{]\s*$"
    r"|return\b.*|#include\b.*|#!/.*|(?:SELECT|INSERT|UPDATE|CREATE)\s.*"
    r"|(?:print|console\.log|printf|echo|puts)\s*[( ].*[)\"';]\s*$"
    r"|[\w.\[\]]+\s*(?:=|\+=|:=)\s*\S.*"
    r"|.*[;{}]\s*$|</?\w+[^<>]*>.*"
    r")"
)
_ARITHMETIC = re.compile(r"^[\s\d.+*/=×÷()-]*$|^\s*[A-Za-z]\s*=\s*[\d\s.+*/×÷()-]+$")


def code(text: str) -> str | None:
    """A line that shows that ``text`` is code, contains a block of it, or ends by announcing one; None for prose."""
    fence = _FENCE.search(text)
    if fence is not None:
        return fence.group()
    # matched at the start of the last sentence, because searching from each of its letters may take minutes
    announced = _ANNOUNCED.match(text, max(text.rfind(mark, 0, len(text.rstrip())) for mark in ".!?\n") + 1)
    if announced is not None:
        return announced.group()
    lines = [line for line in text.splitlines() if line.strip()]
    found = [line for line in lines if _LINE.match(line) and not _ARITHMETIC.match(line)]
    return found[0] if len(found) >= max(LEAST_LINES, LEAST_SHARE * len(lines)) else None


def code_flag(text: str, baseline: str) -> Flag | None:
    """A flag if ``text`` has code and the baseline does not."""
    found = code(text)
    if found is None or code(baseline) is not None:
        return None
    return Flag("code instead of prose", f"It writes code: {quote(found)}.")
