"""A judge behind an OpenAI-compatible endpoint: the only code that sends texts to other machines."""

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
"""The environment variable with the key, which is stored nowhere else."""
SECONDS = 60.0
"""Time limit of an answer; a local server may have to load its model first."""
LONGEST_ANSWER = 2**20
"""The most bytes of an answer that are read."""


class Endpoint:
    """Asks ``model`` at ``url``/chat/completions. ``key`` is sent as a bearer token and stored nowhere.

    Raises InputError for an unusable address, and for a key that would be sent unencrypted.
    """

    def __init__(self, url: str, model: str, key: str | None = None, seconds: float = SECONDS) -> None:
        try:
            parts = urlsplit(url)
        except ValueError:
            parts = urlsplit("")
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise InputError("endpoint", f"“{url}” is not an address", "Write it as https://host/v1")
        if parts.username or parts.password or parts.query:
            raise InputError("endpoint", "the address contains a user name, a password or a query", f"Set {KEY}")
        if parts.fragment:  # the path is appended to the address, and would become part of the fragment
            raise InputError("endpoint", "the address contains a #", "End it with /v1")
        if not model.strip():
            raise InputError("endpoint model", "none was given", "Give its name at the endpoint")
        if key and parts.scheme == "http" and not is_loopback(parts.hostname):
            raise InputError("endpoint", "a key would be sent to it unencrypted", f"Use https, or unset {KEY}")
        if key and not (
            key.isascii() and key.isprintable() and " " not in key
        ):  # otherwise an error would quote the header
            raise InputError("endpoint", "the key has characters that cannot be sent", f"Set {KEY} anew")
        self.url, self.model, self._key, self._seconds = url.rstrip("/"), model, key, seconds

    @cached_property
    def _client(self) -> "httpx.Client":
        import httpx

        # The key follows no redirect, and on its way to this machine it passes no proxy.
        near = is_loopback(urlsplit(self.url).hostname or "")
        return httpx.Client(timeout=self._seconds, follow_redirects=False, trust_env=not near)

    def ask(self, question: str, tokens: int) -> str:
        """The answer to ``question``, in at most ``tokens`` tokens.

        Raises:
            InputError: it cannot be reached, is too slow, refuses, or does not answer with a chat completion.
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
            raise self._problem(
                f"it cannot be reached ({reason})", "Check the address, and that the server runs"
            ) from None
        return self._text(content)

    def _text(self, content: bytes) -> str:
        try:
            text = json.loads(content)["choices"][0]["message"]["content"]
        except (ValueError, LookupError, TypeError):
            text = None
        if not isinstance(text, str):
            raise self._problem("its answer is not a chat completion", "End the address with /v1")
        return text

    def _late(self) -> InputError:
        return self._problem(f"it did not answer within {self._seconds:g} seconds", "Try again later")

    def _refused(self, status: int) -> InputError:
        if 300 <= status < 400:
            problem = f"it redirects to another address (status {status}), which gets neither texts nor the key"
            return self._problem(problem, "Give the final address, ending with /v1")
        remedies = {
            401: f"Set {KEY} to a valid key",
            403: f"Set {KEY} to a valid key",
            404: "Check the address (ending with /v1) and the model's name",
            429: "It got too many requests: try again later",
        }
        return self._problem(f"it answered with status {status}", remedies.get(status, "See the endpoint's log"))

    def _problem(self, problem: str, remedy: str) -> InputError:
        return InputError("endpoint", f"{self.url}: {problem}", remedy)
