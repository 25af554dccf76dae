"""Which MCP calls still have a client: Gradio calls its own API for them, and would go on without one."""

import uuid
from typing import Any

HEADER = "x-melbo-call"
"""Header with the call's name, in the requests that Gradio makes for it."""
_present: set[str] = set()


def is_present(call: str) -> bool:
    """Whether the client of this call is still connected."""
    return call in _present


class Presence:
    """ASGI middleware: names each request with ``path`` in its address, and notes when its client leaves."""

    def __init__(self, app: Any, path: str) -> None:
        self._app, self._path = app, path

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Serve a request."""
        if scope["type"] != "http" or self._path not in scope["path"]:
            return await self._app(scope, receive, send)
        call = uuid.uuid4().hex
        others = [(name, value) for name, value in scope["headers"] if name != HEADER.encode()]
        _present.add(call)

        async def heard() -> Any:
            message = await receive()
            if message["type"] == "http.disconnect":
                _present.discard(call)
            return message

        try:
            return await self._app({**scope, "headers": [*others, (HEADER.encode(), call.encode())]}, heard, send)
        finally:
            _present.discard(call)
