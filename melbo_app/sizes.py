"""Sizes in bytes, formatted and parsed for people."""

import re

from melbo_app.errors import InputError

_UNITS = {"": 1, "B": 1, "KB": 1e3, "MB": 1e6, "GB": 1e9, "TB": 1e12}


def size_text(size: float) -> str:
    """``size`` bytes in decimal units, such as ``"18.4 MB"``."""
    for unit in ("bytes", "kB", "MB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit == "bytes" else f"{size:.3g} {unit}"
        size /= 1000
    return f"{size:.3g} GB"


def parse_size(field: str, text: str) -> int:
    """The bytes of a size in decimal units, such as ``500 MB`` or ``2GB``. Raises InputError naming ``field``."""
    found = re.fullmatch(r"\s*(\d{1,15}(?:\.\d{1,9})?)\s*([kmgt]?b?)\s*", text, re.IGNORECASE | re.ASCII)
    unit = found[2].upper() if found else ""
    if found is None:
        raise InputError(field, f"{text[:40]!r} is not a size", "Write 500MB or 2GB")
    return round(float(found[1]) * _UNITS[unit if unit.endswith("B") or not unit else unit + "B"])
