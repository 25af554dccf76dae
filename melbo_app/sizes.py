"""Numbers of bytes as a person reads them."""


def size_text(size: float) -> str:
    """``size`` in bytes, decimal units: ``"18.4 MB"``."""
    for unit in ("bytes", "kB", "MB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit == "bytes" else f"{size:.3g} {unit}"
        size /= 1000
    return f"{size:.3g} GB"
