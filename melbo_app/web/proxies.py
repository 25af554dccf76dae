"""The client's address behind a proxy."""

import secrets
from collections.abc import Sequence

from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

SOMEBODY = "behind a proxy"
"""The client of a request through an untrusted proxy: unknown, but not this machine."""
OWN_HEADER = "x-melbo-own"
OWN = "melbo.own"
"""Marks the scope of requests that the server sends to itself: Gradio's MCP server calls its own page over HTTP."""
_FOR = (b"x-forwarded-for", b"forwarded", b"x-real-ip")


class Proxies:
    """Sets ``scope["client"]`` to the browser's address according to the ``trusted`` proxies (addresses or networks).

    Anybody can write ``X-Forwarded-For``. From others it only shows that the request was forwarded, so that its client
    counts as unknown rather than as the proxy's machine. ``own`` is the secret that marks the server's own requests,
    which name the client they are sent for.
    """

    def __init__(self, app: ASGIApp, trusted: Sequence[str] = (), own: str = "") -> None:
        self._app, self._own = app, own
        self._believed = ProxyHeadersMiddleware(self._resolved, list(trusted))  # type: ignore[arg-type]
        self._known = self._believed.trusted_hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on with its client's address."""
        if scope["type"] == "lifespan":
            return await self._app(scope, receive, send)
        client, said = scope.get("client"), dict(scope["headers"])
        if self._own and secrets.compare_digest(said.get(OWN_HEADER.encode(), b""), self._own.encode()):
            sender = said.get(b"x-forwarded-for", b"").decode("latin-1")
            scope = {**scope, OWN: True, "client": (sender, 0) if sender else client}
        elif client and client[0] in self._known:
            return await self._believed(scope, receive, send)  # type: ignore[arg-type]
        elif any(name in said for name in _FOR):
            scope = {**scope, "client": (SOMEBODY, 0)}
        await self._resolved(scope, receive, send)

    async def _resolved(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Replace all ``X-Forwarded-For`` by the client's address as determined above."""
        headers = [pair for pair in scope["headers"] if pair[0] not in (*_FOR, OWN_HEADER.encode())]
        client = scope.get("client")
        if client:
            headers.append((b"x-forwarded-for", client[0].encode("latin-1", "replace")))
        await self._app({**scope, "headers": headers}, receive, send)
