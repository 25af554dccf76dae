"""Limits on a request's address, headers and body, which is counted as it arrives."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from starlette.formparsers import MultiPartException
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from melbo_app.library.uploads import RequestRefused, Uploads
from melbo_app.sizes import size_text
from melbo_app.web.parts import Parts

UPLOAD, MCP = "/gradio_api/upload", "/gradio_api/mcp"
LONGEST_ADDRESS, LONGEST_HEADERS = 8_000, 32_000
"""Bytes, as in nginx. Uvicorn itself refuses more than 64 kB of both together, without a message."""
LARGEST_BODY, LARGEST_MESSAGE = 4_000_000, 16_000_000
"""Bytes of a request other than an upload, which takes up to 20 times as much memory while it is read: the page's
largest, the cards of 4,096 vectors, has 2 MB; over MCP, a bank of 12 MB arrives as base64."""
ALL_BODIES = 64_000_000
"""Bytes of all these requests that are read at the same time."""
PATIENCE = 60.0
"""Seconds to wait for the next byte of a body."""
LINGER = 2_000_000_000
"""Bytes of a refused body to read and discard: a browser does not show an answer while it is sending."""
TIDYING = 60.0
"""Seconds between two removals of expired files."""


class Bodies:
    """Refuses, with one sentence, files that ``uploads`` cannot accept and other bodies that are too large. Refused
    files do not stay on the disk."""

    def __init__(self, app: ASGIApp, uploads: Uploads) -> None:
        self._app, self._uploads = app, uploads
        self.held = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on if it is small enough."""
        if scope["type"] == "lifespan":
            async with self._tidying():
                return await self._app(scope, receive, send)
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        try:
            _check_head(scope)
            incoming = self._begin(scope)
        except RequestRefused as refusal:
            return await _refuse(refusal, scope, receive, send)
        await _Exchange(self._app, incoming).run(scope, receive, send)

    def _begin(self, scope: Scope) -> "_Plain | _Upload":
        lengths = [value for name, value in scope["headers"] if name == b"content-length"]
        length = int(lengths[0]) if lengths and lengths[0].isdigit() else None
        path = scope["path"].removeprefix(scope.get("root_path", ""))
        if scope["method"] == "POST" and path == UPLOAD:
            return _Upload(self._uploads, scope, length)
        return _Plain(self, length or 0, LARGEST_MESSAGE if path.startswith(MCP) else LARGEST_BODY)

    @asynccontextmanager
    async def _tidying(self) -> AsyncIterator[None]:
        async def tidy() -> None:
            while True:
                self._uploads.tidy()
                await asyncio.sleep(TIDYING)

        task = asyncio.create_task(tidy())
        try:
            yield
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task


class _Plain:
    """A body that the app reads into memory."""

    def __init__(self, all: Bodies, length: int, largest: int) -> None:
        self._all, self._size, self._largest = all, 0, largest
        self._check(length)

    def take(self, data: bytes, *, more: bool) -> None:
        """The next piece. Raises RequestRefused."""
        self._check(len(data))
        self._size += len(data)
        self._all.held += len(data)

    def over(self, answer: bytes) -> None:
        """The end of the request; ``answer`` is the body of the answer on success, else empty."""
        self._all.held -= self._size

    def _check(self, more: int) -> None:
        if self._size + more > self._largest:
            problem = f"the request has more than {size_text(self._largest)}"
            raise RequestRefused(413, "body", problem, "Send less at a time, and upload files first")
        if self._all.held + more > ALL_BODIES:
            raise RequestRefused(503, "body", "too many large requests at the same time", "Try again in a moment")


class _Upload:
    """Files on their way to the disk."""

    def __init__(self, uploads: Uploads, scope: Scope, length: int | None) -> None:
        self._uploads = uploads
        address = (scope.get("client") or ("",))[0]
        kind = next((value for name, value in scope["headers"] if name == b"content-type"), b"")
        self._parts = Parts(kind, lambda: self._arrival.file())
        self._arrival = uploads.begin(address, length)

    def take(self, data: bytes, *, more: bool) -> None:
        self._arrival.take(len(data))
        self._parts.write(data)
        if not more:
            self._parts.end()

    def over(self, answer: bytes) -> None:
        paths: list[object] = []
        with suppress(ValueError):
            paths = json.loads(answer or b"[]")
        self._uploads.end(self._arrival, [path for path in paths if isinstance(path, str)])


class _Exchange:
    """One request and its answer."""

    def __init__(self, app: ASGIApp, incoming: _Plain | _Upload) -> None:
        self._app, self._incoming = app, incoming
        self._refusal: RequestRefused | None = None
        self._status, self._answer = 0, b""
        self._is_complete = False

    async def run(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def received() -> Message:
            return await self._received(receive)

        async def sent(message: Message) -> None:
            await self._sent(message, send)

        try:
            await self._app(scope, received, sent)
        except Exception:
            if self._refusal is None or self._status:
                raise
        finally:
            self._incoming.over(self._answer if self._status == 200 and self._refusal is None else b"")
        if self._refusal is not None and not self._status:
            await _refuse(self._refusal, scope, receive, send, is_complete=self._is_complete)

    async def _received(self, receive: Receive) -> Message:
        if self._is_complete:
            return await receive()
        if self._refusal is not None:
            raise MultiPartException(str(self._refusal))
        try:
            try:
                message = await asyncio.wait_for(receive(), PATIENCE)
            except TimeoutError:
                problem = f"nothing arrived for {PATIENCE:.0f} seconds"
                raise RequestRefused(408, "body", problem, "Send it again") from None
            if message["type"] == "http.disconnect":
                if isinstance(self._incoming, _Upload):
                    raise RequestRefused(400, "upload", "it was interrupted", "Send it again")
                return message
            more = message.get("more_body", False)
            self._is_complete = not more
            self._incoming.take(message.get("body", b""), more=more)
            return message
        except RequestRefused as refusal:
            self._refusal = refusal
            # the only error for which Gradio's form reader removes the files it has written
            raise MultiPartException(str(refusal)) from None

    async def _sent(self, message: Message, send: Send) -> None:
        if self._refusal is not None and not self._status:  # the app's own answer to the refusal
            return
        if message["type"] == "http.response.start":
            self._status = message["status"]
        elif isinstance(self._incoming, _Upload):
            self._answer += message.get("body", b"")
        await send(message)


def _check_head(scope: Scope) -> None:
    address = len(scope.get("raw_path") or scope["path"].encode()) + len(scope.get("query_string", b""))
    if address > LONGEST_ADDRESS:
        remedy = f"At most {LONGEST_ADDRESS:,} are allowed"
        raise RequestRefused(414, "address", f"it has {address:,} bytes", remedy)
    headers = sum(len(name) + len(value) for name, value in scope["headers"])
    if headers > LONGEST_HEADERS:
        remedy = f"At most {LONGEST_HEADERS:,} are allowed"
        raise RequestRefused(431, "headers", f"they have {headers:,} bytes", remedy)


async def _refuse(
    refusal: RequestRefused, scope: Scope, receive: Receive, send: Send, *, is_complete: bool = False
) -> None:
    """Read the rest of the body, within limits, and answer."""
    more, size = not is_complete, 0
    with suppress(TimeoutError):
        while more and size < LINGER:
            message = await asyncio.wait_for(receive(), PATIENCE)
            size += len(message.get("body", b""))
            more = message.get("more_body", False)
    # otherwise the rest of the body would be taken for the next request
    headers = {"Connection": "close"} if more else None
    await PlainTextResponse(str(refusal), refusal.status, headers)(scope, receive, send)
