"""Who asks, where a proxy stands in between."""

from collections.abc import Sequence

from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

SOMEBODY = "behind a proxy"
"""The client of a request that came through a proxy that nobody named: not this machine, and not known."""
_FOR = (b"x-forwarded-for", b"forwarded", b"x-real-ip")


class Proxies:
    """Sets ``scope["client"]`` to the browser's address as the ``trusted`` proxies (addresses or networks) give it.

    Anybody can write ``X-Forwarded-For``. From others it is not believed; it shows only that the request was passed
    on, so that its client counts as nobody known rather than as the machine that the proxy runs on.
    """

    def __init__(self, app: ASGIApp, trusted: Sequence[str] = ()) -> None:
        self._app = _forgetting(app)
        self._trusted = ProxyHeadersMiddleware(self._app, list(trusted))  # type: ignore[arg-type]
        self._knows = self._trusted.trusted_hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on with its client."""
        if scope["type"] == "lifespan":
            return await self._app(scope, receive, send)
        client = scope.get("client")
        passed_on = any(name in _FOR for name, _ in scope["headers"])
        if client and client[0] in self._knows:
            return await self._trusted(scope, receive, send)  # type: ignore[arg-type]
        if passed_on:
            scope = {**scope, "client": (SOMEBODY, 0)}
        await self._app(scope, receive, send)


def _forgetting(app: ASGIApp) -> ASGIApp:
    """Nothing behind here is to read these headers again."""

    async def forgetting(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "lifespan":
            scope = {**scope, "headers": [pair for pair in scope["headers"] if pair[0] not in _FOR]}
        await app(scope, receive, send)

    return forgetting
