"""The parts of a form with files, counted as they arrive."""

from collections.abc import Callable
from contextlib import suppress

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, MultipartState, parse_options_header

NAME = b"files"  # of the field in which Gradio looks for files; it leaves others on the disk
LONGEST_FIELD = 1_000  # bytes of what is no file; Gradio keeps all of it in memory, and the page sends none


class PartsRefused(Exception):
    """The form holds what no page and no client sends."""


class Parts:
    """Calls ``on_file`` for each file of a form that arrives in pieces.

    Raises PartsRefused for a field that is longer than any, for files in another field, and at the ``end`` of a form
    that is not complete. What is no form at all is left to whoever reads it.
    """

    def __init__(self, content_type: bytes, on_file: Callable[[], None]) -> None:
        self._on_file, self._name, self._value = on_file, b"", b""
        self._is_file, self._field = False, 0
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
                        "on_part_data": self._data,
                    },
                )

    def write(self, data: bytes) -> None:
        """Look at the next piece of the body."""
        if self._parser is not None:
            try:
                self._parser.write(data)
            except FormParserError:
                self._parser = None

    def end(self) -> None:
        """There is no more."""
        if self._parser is not None and self._parser.state != MultipartState.END:
            raise PartsRefused("the form ends in the middle. Send it again")

    def _begin(self) -> None:
        self._is_file, self._field, self._name, self._value = False, 0, b"", b""

    def _header_name(self, data: bytes, start: int, end: int) -> None:
        self._name += data[start:end]

    def _header_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _header_end(self) -> None:
        if self._name.lower() == b"content-disposition":
            _, options = parse_options_header(self._value)
            if b"filename" in options:
                if options.get(b"name") != NAME:
                    raise PartsRefused("a file is in another field than “files”. Send all of them in that field")
                self._is_file = True
                self._on_file()
        self._name = self._value = b""

    def _data(self, data: bytes, start: int, end: int) -> None:
        if not self._is_file:
            self._field += end - start
            if self._field > LONGEST_FIELD:
                raise PartsRefused(f"a field of the form has more than {LONGEST_FIELD:,} bytes. Send files only")
