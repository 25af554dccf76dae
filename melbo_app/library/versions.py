"""The versions of the programs that made something."""

import platform
from importlib.metadata import version

from melbo_app import __version__


def versions(*packages: str) -> dict[str, str]:
    """This program's, Python's, and those of ``packages``."""
    return {"melbo_app": __version__, "python": platform.python_version(), **{name: version(name) for name in packages}}
