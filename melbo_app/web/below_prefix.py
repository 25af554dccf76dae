"""The page below a path of another server: a proxy's prefix, which the proxy strips or keeps."""

from collections.abc import Iterable
from typing import Any
from urllib.parse import quote

from starlette.datastructures import URL
from starlette.responses import RedirectResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from melbo_app.prefix import read_prefix

PREFIX, HOST = b"x-forwarded-prefix", b"x-forwarded-host"
BASE = b'<base href="./" />'
"""The page's base for scripts and styles: wrong for an address without the final slash, which some proxies hide from
us."""
SLASH = """<script>
if (!location.pathname.endsWith("/"))
  history.replaceState(null, "", location.pathname + "/" + location.search + location.hash);
</script>"""
"""For code that reads the address itself, as Gradio does for the scripts of components."""

Headers = Iterable[tuple[bytes, bytes]]


class BelowPrefix:
    """Gives each request the address that the browser sees, from which Gradio derives all others. The prefix is the
    proxy's ``X-Forwarded-Prefix``, or else ``root_path``. Proxies that strip it and proxies that keep it both work."""

    def __init__(self, app: ASGIApp, root_path: str = "") -> None:
        self._app, self._root_path = app, root_path

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on; redirect a request for the prefix itself to the prefix with a slash."""
        prefix = "" if scope["type"] == "lifespan" else _said(scope["headers"]) or self._root_path
        if not prefix:
            return await self._app(scope, receive, send)
        if scope["path"] == prefix:
            query = scope.get("query_string", b"").decode("latin-1")
            target = URL(f"{quote(prefix)}/").replace(query=query)
            return await RedirectResponse(target)(scope, receive, send)
        scope = _outside(scope, prefix)
        if scope["path"] == f"{prefix}/" and scope.get("method") == "GET":
            send = _based(send, prefix)
        return await self._app(scope, receive, send)


def _outside(scope: Scope, prefix: str) -> dict[str, Any]:
    """The request as the browser sent it to the proxy."""
    headers = scope["headers"]
    hosts = [value.split(b",")[0].strip() for name, value in headers if name == HOST]
    if hosts:  # from this header, Gradio would make addresses without a path
        headers = [(name, value) for name, value in headers if name not in (HOST, b"host")] + [(b"host", hosts[0])]
    path, raw = scope["path"], scope.get("raw_path") or quote(scope["path"]).encode()
    if not path.startswith(f"{prefix}/"):
        path, raw = prefix + path, quote(prefix).encode() + raw
    return {**scope, "path": path, "raw_path": raw, "root_path": prefix, "headers": headers}


def _based(send: Send, prefix: str) -> Send:
    """Sends the page with the prefix as its base, and with its icon, which browsers would look for at the root."""
    begin: Message = {}
    parts: list[bytes] = []
    base = f'<base href="{quote(prefix)}/" />{SLASH}<link rel="icon" href="favicon.ico" />'.encode()

    async def sent(message: Message) -> None:
        if message["type"] == "http.response.start":
            begin.update(message)
            return
        parts.append(message.get("body", b""))
        if not message.get("more_body", False):
            body = b"".join(parts).replace(BASE, base, 1)
            kept = [(name, value) for name, value in begin["headers"] if name.lower() != b"content-length"]
            await send({**begin, "headers": [*kept, (b"content-length", str(len(body)).encode())]})
            await send({"type": "http.response.body", "body": body})

    return sent


def _said(headers: Headers) -> str:
    """The proxies' prefixes, outermost first; "" if there are none, or one is not a valid path."""
    parts = [part for name, value in headers if name == PREFIX for part in value.decode("utf-8", "replace").split(",")]
    read = [read_prefix(part) for part in parts]
    return "" if None in read else "".join(part for part in read if part)
