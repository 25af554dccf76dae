"""Headers that make browsers refuse foreign scripts, frames and types on this server's pages."""

from collections.abc import Sequence

from starlette.types import ASGIApp, Message, Receive, Scope, Send

# Gradio 6.31 needs each exception: its page has inline scripts (templates/frontend/index.html), compiles `js` and
# `js_on_load` from text, and styles elements inline; icons are `data:`, and plotly saves pictures through a `blob:`.
# The page was tested without each of them: every time, the browser refused something.
POLICY = {
    "default-src": "'self'",
    "script-src": "'self' 'unsafe-inline' 'unsafe-eval'",
    "style-src": "'self' 'unsafe-inline'",
    "img-src": "'self' data: blob:",
    "frame-src": "'none'",
    "object-src": "'none'",
    "base-uri": "'self'",
    "form-action": "'self'",
}
ALWAYS = {
    "x-content-type-options": "nosniff",
    "referrer-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
}
ALONE = {"x-frame-options": "DENY", "cross-origin-resource-policy": "same-origin"}
"""Only if no other page may embed this one."""


class SecurityHeaders:
    """Adds the headers to every answer; pages of the origins ``embedders`` may show this one in a frame."""

    def __init__(self, app: ASGIApp, embedders: Sequence[str] = ()) -> None:
        self._app = app
        policy = {**POLICY, "frame-ancestors": " ".join(["'self'", *embedders]) if embedders else "'none'"}
        headers = {"content-security-policy": "; ".join(f"{name} {value}" for name, value in policy.items()), **ALWAYS}
        headers |= {} if embedders else ALONE
        self._headers = [(name.encode(), value.encode()) for name, value in headers.items()]
        self._names = {name for name, _ in self._headers}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, and add the headers to the answer."""

        async def sent(message: Message) -> None:
            if message["type"] == "http.response.start":
                kept = [pair for pair in message.get("headers", []) if pair[0].lower() not in self._names]
                message = {**message, "headers": [*kept, *self._headers]}
            await send(message)

        await self._app(scope, receive, sent)
