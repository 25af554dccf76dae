"""The addresses that a judge may have, and the one that gets the key."""

import os
from dataclasses import dataclass
from urllib.parse import urlsplit

from melbo_app.errors import InputError
from melbo_app.settings import Settings
from melbo_app.studies.judge_endpoint import KEY, Endpoint

ADDRESS, MODEL = "MELBO_JUDGE_URL", "MELBO_JUDGE_MODEL"


@dataclass(frozen=True)
class JudgeAddress:
    """The judge set by the operator of a server; ``url`` and ``model`` are "" if not set."""

    url: str
    model: str

    @classmethod
    def of(cls, settings: Settings) -> "JudgeAddress":
        """The judge in the settings."""
        return cls(settings.judge_url or "", settings.judge_model or "")

    def named_on_a_page(self, url: str, model: str, *, here: bool) -> Endpoint:
        """The endpoint named on a page, with the key if it is the operator's.

        ``here``: the person sits at this machine. Raises InputError for other people who name another address than the
        operator's, and for everything that ``Endpoint`` refuses.
        """
        if self.url and _same(url, self.url):
            return self.endpoint(model)
        if not here:
            remedy = f"Name {self.url}" if self.url else f"The operator of this server can set one with {ADDRESS}"
            raise InputError("endpoint", "only the operator's endpoint can be used from here", remedy)
        return Endpoint(url, model)

    def endpoint(self, model: str = "") -> Endpoint:
        """The operator's endpoint, with the key; ``model`` defaults to the operator's."""
        return Endpoint(self.url, model or self.model, os.environ.get(KEY))

    def named_in_a_command(self, url: str, model: str) -> Endpoint:
        """The endpoint named in a command, with the key, unless the key belongs to another address."""
        if self.url and _same(url, self.url):
            return self.endpoint(model)
        return Endpoint(url, model, None if self.url else os.environ.get(KEY))


def _same(one: str, other: str) -> bool:
    """Whether two addresses lead to the same place; the operator's spelling is then used."""
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
