"""Which models a server loads: any, or those that its operator names, each under a name that tells no path."""

import os
from collections.abc import Sequence
from pathlib import PurePath

from melbo_app.errors import InputError
from melbo_app.library.model_catalogue import canonical
from melbo_app.settings import Settings


class OfferedModels:
    """Names that people give and what each stands for; made of keys, hub names, folders and .gguf files.

    A folder or file is offered under its own name, without the folders that it is in.
    """

    def __init__(self, specs: Sequence[str] | None = None) -> None:
        """``specs`` None: any model is offered, under whatever names it."""
        self._real: dict[str, str] = {}
        self.limited = specs is not None
        for spec in dict.fromkeys(map(canonical, specs or ())):
            name = _plain(spec)
            number = 2
            while name in self._real:  # two folders of one name
                name, number = f"{_plain(spec)}-{number}", number + 1
            self._real[name] = spec

    @classmethod
    def of(cls, settings: Settings) -> "OfferedModels":
        """Those of a server: any, unless it is public or some are named; the one it starts with is always one."""
        limited = settings.public or settings.models
        return cls([settings.model, *settings.models]) if limited else cls()

    @property
    def names(self) -> list[str]:
        """What can be given, where it is limited."""
        return list(self._real)

    def name_of(self, spec: str) -> str:
        """The name under which the operator's own ``spec`` is offered."""
        return next((name for name, real in self._real.items() if real == canonical(spec)), spec)

    def check(self, name: str) -> str:
        """What ``name`` stands for. Raises InputError, the same for whatever is not offered, be it there or not."""
        if not self.limited:
            return name
        real = self._real.get(canonical(name))
        if real is None:
            problem = "this server loads only those that its operator names"
            raise InputError("model", problem, f"Choose one of {', '.join(self._real)}")
        return real


def _plain(spec: str) -> str:
    """A path's last part, with ``.gguf`` taken off; any other name as it is."""
    is_path = os.path.isabs(spec) or os.path.exists(spec) or spec.lower().endswith(".gguf")
    if not is_path:
        return spec
    path = PurePath(spec)
    return (path.stem if path.suffix.lower() == ".gguf" else path.name) or "model"
