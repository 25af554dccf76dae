"""Which work a browser tab has under way, so that its Stop button and its next press end it."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import gradio as gr


class Runs:
    """One kind of work; a browser tab has at most one of it under way."""

    def __init__(self) -> None:
        self._stops: dict[str, threading.Event] = {}

    @contextmanager
    def start(self, request: gr.Request) -> Iterator[threading.Event]:
        """The event that stops the work inside; an earlier run of the same browser tab is told to stop."""
        tab = request.session_hash or ""
        self.stop(request)
        stop = self._stops[tab] = threading.Event()
        try:
            yield stop
        finally:
            stop.set()  # the page was left, or the work ended by itself
            if self._stops.get(tab) is stop:
                del self._stops[tab]

    def replaced(self, request: gr.Request, stop: threading.Event) -> bool:
        """Whether a later run of this browser tab took the place of the one that ``stop`` belongs to."""
        return self._stops.get(request.session_hash or "") is not stop

    def busy(self, request: gr.Request) -> bool:
        """Whether this browser tab has work under way."""
        return (request.session_hash or "") in self._stops

    def stop(self, request: gr.Request) -> bool:
        """Tell the work of this browser tab to stop; False where there is none."""
        stop = self._stops.get(request.session_hash or "")
        if stop is None:
            return False
        stop.set()
        return True
