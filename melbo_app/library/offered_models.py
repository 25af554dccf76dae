"""The models that a server loads: any, or those that its operator names, without revealing their paths."""

import os
from collections.abc import Sequence
from pathlib import PurePath

from melbo_app.errors import InputError
from melbo_app.library.model_catalogue import canonical
from melbo_app.settings import Settings


class OfferedModels:
    """Maps the names that people give to the operator's keys, hub names, folders and .gguf files. A folder or file is
    offered under its own name, without the folders above it."""

    def __init__(self, specs: Sequence[str] | None = None) -> None:
        """``specs`` None: any model is offered, under any name."""
        self._real: dict[str, str] = {}
        self.limited = specs is not None
        for spec in dict.fromkeys(map(canonical, specs or ())):
            name = _plain(spec)
            number = 2
            while name in self._real:  # two folders of the same name
                name, number = f"{_plain(spec)}-{number}", number + 1
            self._real[name] = spec

    @classmethod
    def of(cls, settings: Settings) -> "OfferedModels":
        """The models of a server: any, unless it is public or names some; always the one it starts with."""
        limited = settings.public or settings.models
        return cls([settings.model, *settings.models]) if limited else cls()

    @property
    def names(self) -> list[str]:
        """The names on offer; empty if any model is."""
        return list(self._real)

    def name_of(self, spec: str) -> str:
        """The name under which the operator's ``spec`` is offered."""
        return next((name for name, real in self._real.items() if real == canonical(spec)), spec)

    def check(self, name: str) -> str:
        """The model behind ``name``. Raises the same InputError for all others, whether they exist or not."""
        if not self.limited:
            return name
        real = self._real.get(canonical(name))
        if real is None:
            problem = "this server loads only the models that its operator names"
            raise InputError("model", problem, f"Choose one of {', '.join(self._real)}")
        return real


def _plain(spec: str) -> str:
    """A path's last part without ``.gguf``; any other name unchanged."""
    is_path = os.path.isabs(spec) or os.path.exists(spec) or spec.lower().endswith(".gguf")
    if not is_path:
        return spec
    path = PurePath(spec)
    return (path.stem if path.suffix.lower() == ".gguf" else path.name) or "model"
