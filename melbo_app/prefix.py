"""The path below which a proxy shows the page, such as ``/proxy/7991``."""

import re
from urllib.parse import unquote

# It comes from strangers and goes into the page: letters, digits and a few marks, but nothing that a browser would
# read as another host, a parent folder, or script.
_PREFIX = re.compile(r"(?:/(?!\.\.?(?:/|$))[\w.~@+:-]+)+")
_LONGEST = 500


def read_prefix(text: str) -> str | None:
    """``/proxy/7991``, also for ``proxy/7991/`` or percent-encoded text; "" for the root, None if invalid."""
    path = unquote(text.strip()).removesuffix("/").removeprefix("/")
    if not path:
        return ""
    return f"/{path}" if len(path) < _LONGEST and _PREFIX.fullmatch(f"/{path}") else None
