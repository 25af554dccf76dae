"""What the server writes to its terminal: every line of a bounded length, whoever writes it."""

import threading
from typing import Any, TextIO

LONGEST = 2_000
"""Letters of a line. Tracebacks of Gradio, uvicorn and FastAPI quote what they could not use: a whole request."""


class ShortLines:
    """A stream that cuts lines; for all else it is ``stream`` itself."""

    def __init__(self, stream: TextIO, longest: int = LONGEST) -> None:
        self._stream, self._longest = stream, longest
        self._written = 0  # letters of the line so far
        self._lock = threading.Lock()

    def write(self, text: str) -> int:
        """Write ``text``, but for what is too much of a line; its length, as streams say it."""
        with self._lock:
            self._stream.write("".join(self._cut(piece) for piece in text.splitlines(keepends=True)))
        return len(text)

    def writelines(self, lines: list[str]) -> None:
        """Write each of them."""
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
        return f"{kept} … and {left:,} letters more{end}" if left > 0 else kept + end
