"""The host names that this server answers to, and the pages that may send it requests."""

from collections.abc import Iterable, Iterator

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from melbo_app.hosts import Host, read_host, read_origin
from melbo_app.web.refusal import refuse

_SHOWN = 80


class AllowedHosts:
    """Refuses requests for hosts that are not allowed, and requests from pages of other hosts.

    A web page can make its own name resolve to 127.0.0.1 (DNS rebinding) and then pose as ours: only ``Host`` reveals
    it. It can also send simple requests without reading the answer, which ``Origin`` and ``Sec-Fetch-Site`` reveal.
    Loopback names are always allowed, and with ``any_address`` also IP addresses, since rebinding needs a name.
    """

    def __init__(
        self, app: ASGIApp, allowed: Iterable[Host], any_address: bool = False, embedded: bool = False
    ) -> None:
        self._app, self._allowed, self._any_address, self._embedded = app, list(allowed), any_address, embedded

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or answer 403."""
        if scope["type"] == "lifespan":
            return await self._app(scope, receive, send)
        headers = Headers(scope=scope)
        sentence = self._foreign_host(headers) or self._foreign_page(scope, headers)
        if sentence:
            return await refuse(scope, receive, send, 403, sentence)
        await self._app(scope, receive, send)

    def _foreign_host(self, headers: Headers) -> str | None:
        given = [*headers.getlist("host"), *_parts(headers, "x-forwarded-host")]
        if not headers.getlist("host"):
            return "The request names no host."
        for text in given:
            host = read_host(text)
            if host is None:
                return f"“{text[:_SHOWN]}” is not a host name."
            is_address = self._any_address and host.address is not None
            if not (host.is_loopback or is_address or any(allowed.allows(host) for allowed in self._allowed)):
                remedy = f"start it with --allow-host {host.written}, or set MELBO_ALLOW_HOST"
                return f"This server does not answer to the host {host.written}. If it should, {remedy}."
        return None

    def _foreign_page(self, scope: Scope, headers: Headers) -> str | None:
        origins = headers.getlist("origin")
        if origins:
            if all(self._is_own(origin, headers) for origin in origins):
                return None
            return f"Pages of {origins[0][:_SHOWN]} may not send requests to this server."
        if headers.get("sec-fetch-site") in ("cross-site", "same-site") and not self._is_visit(scope, headers):
            return "Pages of another server may not send requests to this one."
        return None

    def _is_own(self, origin: str, headers: Headers) -> bool:
        """Whether the page that sent the request is ours: the same host and port, whatever a proxy does to the scheme,
        or an allowed host."""
        page = read_origin(origin)
        if page is None:
            return False
        here = [read_host(text) for text in (*headers.getlist("host"), *_parts(headers, "x-forwarded-host"))]
        same = any(page in (host, Host(host.name, 80), Host(host.name, 443)) for host in here if host and not host.port)
        return same or page in here or any(allowed.allows(page) for allowed in self._allowed)

    def _is_visit(self, scope: Scope, headers: Headers) -> bool:
        """Whether somebody follows a link to this server, or a page that may do so shows it in a frame."""
        places = ("document", "iframe", "frame") if self._embedded else ("document",)
        reads = scope.get("method") in ("GET", "HEAD")
        return reads and headers.get("sec-fetch-mode") == "navigate" and headers.get("sec-fetch-dest") in places


def _parts(headers: Headers, name: str) -> Iterator[str]:
    for value in headers.getlist(name):
        yield from (part.strip() for part in value.split(","))
