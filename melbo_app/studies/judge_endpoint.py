"""A judge behind an OpenAI-compatible endpoint that a person names: the only thing that sends texts elsewhere."""

import json
import time
from functools import cached_property
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from melbo_app.errors import InputError
from melbo_app.hosts import is_loopback

if TYPE_CHECKING:
    import httpx

KEY = "MELBO_JUDGE_KEY"
"""The environment variable that holds the key; nothing else does."""
SECONDS = 60.0
"""How long an answer may take: a local server may have to load its model first."""
LONGEST_ANSWER = 2**20
"""Bytes of an answer that are read."""


class Endpoint:
    """Asks ``url``/chat/completions for what ``model`` says. ``key`` is sent as a bearer token and kept nowhere.

    Raises InputError for an address that cannot be used, and for a key that would travel unencrypted.
    """

    def __init__(self, url: str, model: str, key: str | None = None, seconds: float = SECONDS) -> None:
        try:
            parts = urlsplit(url)
        except ValueError:
            parts = urlsplit("")
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise InputError("endpoint", f"“{url}” is not an address", "Give one as https://host/v1")
        if parts.username or parts.password or parts.query:
            raise InputError("endpoint", "the address has a name, a key or a question in it", f"Set {KEY}")
        if parts.fragment:  # what is asked for stands behind the address, and would be a part of it
            raise InputError("endpoint", "the address has a # in it", "Give it up to /v1")
        if not model.strip():
            raise InputError("endpoint model", "none is named", "Give the name under which the endpoint knows it")
        if key and parts.scheme == "http" and not is_loopback(parts.hostname):
            raise InputError("endpoint", "a key would be sent to it unencrypted", f"Use https, or unset {KEY}")
        if key and not (key.isascii() and key.isprintable() and " " not in key):  # an error would quote the header
            raise InputError("endpoint", "the key has characters that cannot be sent", f"Set {KEY} anew")
        self.url, self.model, self._key, self._seconds = url.rstrip("/"), model, key, seconds

    @cached_property
    def _client(self) -> "httpx.Client":
        import httpx

        # Without redirects the key goes nowhere else; nor does it, on its way to this machine, go to a proxy.
        near = is_loopback(urlsplit(self.url).hostname or "")
        return httpx.Client(timeout=self._seconds, follow_redirects=False, trust_env=not near)

    def ask(self, question: str, tokens: int) -> str:
        """What it answers to ``question``, in at most ``tokens`` tokens.

        Raises:
            InputError: it cannot be reached, takes too long, refuses, or answers something else; with the reason.
        """
        import httpx

        body = {
            "model": self.model,
            "messages": [{"role": "user", "content": question}],
            "max_tokens": tokens,
            "temperature": 0,
        }
        end = time.monotonic() + self._seconds
        headers = {"Authorization": f"Bearer {self._key}"} if self._key else {}
        try:
            with self._client.stream("POST", f"{self.url}/chat/completions", json=body, headers=headers) as answer:
                if answer.status_code != 200:
                    raise self._refused(answer.status_code)
                content = b""
                for piece in answer.iter_bytes():
                    content += piece
                    if time.monotonic() > end:
                        raise self._late()
                    if len(content) > LONGEST_ANSWER:
                        raise self._problem("its answer is longer than a megabyte", "Check that it is a language model")
        except httpx.TimeoutException as error:
            raise self._late() from error
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            reason = str(error) if isinstance(error, httpx.TransportError) else type(error).__name__
            raise self._problem(f"it cannot be reached ({reason})", "Check the address, and that it runs") from None
        return self._text(content)

    def _text(self, content: bytes) -> str:
        try:
            text = json.loads(content)["choices"][0]["message"]["content"]
        except (ValueError, LookupError, TypeError):
            text = None
        if not isinstance(text, str):
            raise self._problem("its answer is not a chat completion", "Give the address up to /v1")
        return text

    def _late(self) -> InputError:
        return self._problem(f"it did not answer within {self._seconds:g} seconds", "Try again later")

    def _refused(self, status: int) -> InputError:
        if 300 <= status < 400:
            problem = f"it sends on to another address (status {status}), where neither texts nor the key go"
            return self._problem(problem, "Name the address where it is, up to /v1")
        remedies = {
            401: f"Set {KEY} to a key that it takes",
            403: f"Set {KEY} to a key that it takes",
            404: "Check the address (up to /v1) and the model's name",
            429: "It has had too many questions: try again later",
        }
        return self._problem(f"it answered with status {status}", remedies.get(status, "See what its own log says"))

    def _problem(self, problem: str, remedy: str) -> InputError:
        return InputError("endpoint", f"{self.url}: {problem}", remedy)
