"""The parts of a form with files, counted as they arrive."""

from collections.abc import Callable
from contextlib import suppress

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, MultipartState, parse_options_header

from melbo_app.library.uploads import RequestRefused

NAME = b"files"  # the field that Gradio reads; it leaves files in others on the disk, and texts in memory


class Parts:
    """Calls ``on_file`` for each file of a form that arrives in pieces. Raises RequestRefused for parts other than
    files, for files in another field, and at the ``end`` of an incomplete form. Bodies that are not forms pass."""

    def __init__(self, content_type: bytes, on_file: Callable[[], None]) -> None:
        self._on_file, self._name, self._value = on_file, b"", b""
        kind, options = parse_options_header(content_type)
        boundary = options.get(b"boundary") if kind == b"multipart/form-data" else None
        self._parser: MultipartParser | None = None
        if boundary:
            with suppress(FormParserError):
                self._parser = MultipartParser(
                    boundary,
                    {
                        "on_part_begin": self._begin,
                        "on_header_field": self._header_name,
                        "on_header_value": self._header_value,
                        "on_header_end": self._header_end,
                    },
                )

    def write(self, data: bytes) -> None:
        """Parse the next piece of the body."""
        if self._parser is not None:
            try:
                self._parser.write(data)
            except FormParserError:
                self._parser = None

    def end(self) -> None:
        """End of the body."""
        if self._parser is not None and self._parser.state != MultipartState.END:
            raise RequestRefused(400, "upload", "the form is incomplete", "Send it again")

    def _begin(self) -> None:
        self._name = self._value = b""

    def _header_name(self, data: bytes, start: int, end: int) -> None:
        self._name += data[start:end]

    def _header_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _header_end(self) -> None:
        if self._name.lower() == b"content-disposition":
            _, options = parse_options_header(self._value)
            if b"filename" not in options or options.get(b"name") != NAME:
                problem = "a part of the form is not a file in the field “files”"
                raise RequestRefused(400, "upload", problem, "Send only files there")
            self._on_file()
        self._name = self._value = b""
