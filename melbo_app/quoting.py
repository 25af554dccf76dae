"""Strangers' values, quoted in messages."""

from typing import Any


def shown(value: Any, longest: int = 40) -> str:
    """Any value, quoted briefly in a message."""
    if isinstance(value, list | tuple):
        return f"a list of {len(value):,}"
    if isinstance(value, dict):
        return "an object"
    if isinstance(value, int) and value.bit_length() > 128:  # Python refuses to format the longest ones
        return f"a number of {value.bit_length() * 30103 // 100000 + 1:,} digits"
    if not isinstance(value, str):
        return f"{value:.6g}" if isinstance(value, float) and value % 1 else str(value)
    return f"“{readable(' '.join(value[: 4 * longest].split()), longest)}”"


def readable(text: str, longest: int = 80) -> str:
    """A stranger's text for a message: one line of at most ``longest`` printable characters."""
    clean = "".join(sign if sign.isprintable() else "\N{REPLACEMENT CHARACTER}" for sign in text[: longest + 1])
    return clean if len(clean) <= longest else clean[: longest - 1] + "…"
