"""Which address a judge may have, and which one the key belongs to."""

import os
from dataclasses import dataclass
from urllib.parse import urlsplit

from melbo_app.errors import InputError
from melbo_app.settings import Settings
from melbo_app.studies.judge_endpoint import KEY, Endpoint

ADDRESS, MODEL = "MELBO_JUDGE_URL", "MELBO_JUDGE_MODEL"


@dataclass(frozen=True)
class JudgeAddress:
    """The judge that the operator of a server names. ``url`` and ``model`` are "" where he names none."""

    url: str
    model: str

    @classmethod
    def of(cls, settings: Settings) -> "JudgeAddress":
        """As the settings have it."""
        return cls(settings.judge_url or "", settings.judge_model or "")

    def named_on_a_page(self, url: str, model: str, *, here: bool) -> Endpoint:
        """The endpoint that somebody names on a page, with the key where it is the operator's.

        ``here``: the person sits at this machine. Raises InputError for an address of another one's, and for what
        ``Endpoint`` refuses.
        """
        if self.url and _same(url, self.url):
            return self.endpoint(model)
        if not here:
            remedy = f"Name {self.url}" if self.url else f"Whoever runs this server names one with {ADDRESS}"
            raise InputError("endpoint", "only the one that the operator names can be asked from here", remedy)
        return Endpoint(url, model)

    def endpoint(self, model: str = "") -> Endpoint:
        """The operator's own, with the key; ``model`` "": the one that he names."""
        return Endpoint(self.url, model or self.model, os.environ.get(KEY))

    def named_in_a_command(self, url: str, model: str) -> Endpoint:
        """The endpoint that a command names: who runs it gives the key as well, unless that belongs elsewhere."""
        if self.url and _same(url, self.url):
            return self.endpoint(model)
        return Endpoint(url, model, None if self.url else os.environ.get(KEY))


def _same(one: str, other: str) -> bool:
    """Whether two addresses lead to the same place. What is asked then is the operator's own spelling."""
    return _place(one) is not None and _place(one) == _place(other)


def _place(url: str) -> tuple[str, str, int, str] | None:
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return None
    if parts.username or parts.password or parts.query or parts.fragment or not parts.hostname:
        return None
    return parts.scheme, parts.hostname, port or (443 if parts.scheme == "https" else 80), parts.path.rstrip("/")
