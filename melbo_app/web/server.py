"""The server of the page: an ASGI application on a port, in its own thread."""

import threading
import time

import uvicorn
from starlette.types import ASGIApp

from melbo_app.errors import StorageError

_START = 60.0  # seconds that a slow machine may take until it listens
_LOOK = 0.01
_LEAVE = 5.0  # seconds that pending answers get when the server ends


class Server:
    """Serves ``app`` until it is closed. uvicorn's handling of ``X-Forwarded-*`` is off: it trusts 127.0.0.1, where
    every local proxy runs."""

    def __init__(self, app: ASGIApp, host: str, port: int) -> None:
        config = uvicorn.Config(
            app, host, port, log_level="warning", proxy_headers=False, server_header=False, timeout_graceful_shutdown=1
        )
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run, name="server", daemon=True)

    def start(self) -> None:
        """Return once the server listens. Raises StorageError if it cannot."""
        self._thread.start()
        end = time.monotonic() + _START
        while not self._server.started:
            if not self._thread.is_alive() or time.monotonic() > end:
                raise StorageError("The server did not start: see the lines above.")
            time.sleep(_LOOK)

    def close(self) -> None:
        """Stop listening, and wait a few seconds for pending answers."""
        self._server.should_exit = True
        self._thread.join(timeout=_LEAVE)
