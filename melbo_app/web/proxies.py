"""Who asks, where a proxy stands in between."""

import secrets
from collections.abc import Sequence

from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

SOMEBODY = "behind a proxy"
"""The client of a request that came through a proxy that nobody named: not this machine, and not known."""
OWN_HEADER = "x-melbo-own"
OWN = "melbo.own"
"""In the scope of a request that the server sends to itself: Gradio's MCP server asks its own page over HTTP."""
_FOR = (b"x-forwarded-for", b"forwarded", b"x-real-ip")


class Proxies:
    """Sets ``scope["client"]`` to the browser's address as the ``trusted`` proxies (addresses or networks) give it.

    Anybody can write ``X-Forwarded-For``. From others it is not believed; it shows only that the request was passed
    on, so that its client counts as nobody known rather than as the machine that the proxy runs on. ``own`` is the
    secret by which the server knows its own requests, which say for whom they are sent.
    """

    def __init__(self, app: ASGIApp, trusted: Sequence[str] = (), own: str = "") -> None:
        self._app, self._own = _Resolved(app), own
        self._believed = ProxyHeadersMiddleware(self._app, list(trusted))  # type: ignore[arg-type]
        self._known = self._believed.trusted_hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on with its client."""
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
        await self._app(scope, receive, send)


class _Resolved:
    """Leaves one ``X-Forwarded-For``: the client as it was found out, for requests that are sent in its name."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "lifespan":
            headers = [pair for pair in scope["headers"] if pair[0] not in (*_FOR, OWN_HEADER.encode())]
            client = scope.get("client")
            if client:
                headers.append((b"x-forwarded-for", client[0].encode("latin-1", "replace")))
            scope = {**scope, "headers": headers}
        await self._app(scope, receive, send)
