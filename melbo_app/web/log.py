"""The server's terminal output, with lines of bounded length."""

import threading
from typing import Any, TextIO

LONGEST = 2_000
"""Characters per line: tracebacks of Gradio, uvicorn and FastAPI may quote a whole request."""


class ShortLines:
    """A stream that truncates long lines, and otherwise behaves like ``stream``."""

    def __init__(self, stream: TextIO, longest: int = LONGEST) -> None:
        self._stream, self._longest = stream, longest
        self._written = 0  # characters of the line so far
        self._lock = threading.Lock()

    def write(self, text: str) -> int:
        """Write ``text`` with truncated lines; returns its full length, as streams do."""
        with self._lock:
            self._stream.write("".join(self._cut(piece) for piece in text.splitlines(keepends=True)))
        return len(text)

    def writelines(self, lines: list[str]) -> None:
        """Write each line."""
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def _cut(self, piece: str) -> str:
        line = piece.rstrip("\r\n")
        end = piece[len(line) :]
        kept = line[: max(0, self._longest - self._written)]
        self._written += len(line)
        if not end:
            return kept
        left = self._written - self._longest
        self._written = 0
        return f"{kept} … and {left:,} more characters{end}" if left > 0 else kept + end
