"""Answers a refused request with one sentence, before it reaches the page."""

import html
from http import HTTPStatus

from starlette.datastructures import Headers
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.types import Receive, Scope, Send

_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title><link rel="icon" href="data:,">
<style>
:root {{ color-scheme: light dark; }}
body {{ font: 16px/1.5 system-ui, sans-serif; max-width: 34rem; margin: 18vh auto 0; padding: 0 1.5rem; }}
h1 {{ font-size: 1.25rem; font-weight: 600; margin: 0 0 .75rem; }}
p {{ margin: 0 0 1rem; overflow-wrap: anywhere; }}
input, button {{ font: inherit; padding: .45rem .7rem; border: 1px solid #8888; border-radius: 6px; }}
input {{ width: min(20rem, 100%); box-sizing: border-box; }}
button {{ cursor: pointer; }}
code {{ font-family: ui-monospace, monospace; font-size: .92em; }}
</style></head>
<body><main><h1>{title}</h1>{body}</main></body></html>"""


def asks_for_a_page(scope: Scope) -> bool:
    """Whether a browser asks for a page, rather than a program for data."""
    accepted = Headers(scope=scope).get("accept", "")
    return scope["type"] == "http" and scope["method"] in ("GET", "HEAD") and "text/html" in accepted


def page(title: str, body: str, status: int) -> HTMLResponse:
    """A small page; ``body`` is HTML."""
    return HTMLResponse(_PAGE.format(title=html.escape(title), body=body), status, {"Cache-Control": "no-store"})


async def refuse(scope: Scope, receive: Receive, send: Send, status: int, sentence: str) -> None:
    """Answer with ``sentence``, as a page for people and as JSON for programs."""
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.close", "code": 1008, "reason": sentence[:120]})
        return
    answer: Response
    if asks_for_a_page(scope):
        answer = page(HTTPStatus(status).phrase, f"<p>{html.escape(sentence)}</p>", status)
    else:
        answer = JSONResponse({"error": sentence, "detail": sentence}, status, {"Cache-Control": "no-store"})
    await answer(scope, receive, send)
