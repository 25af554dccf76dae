"""People's text files, in the encodings that editors and spreadsheets write."""

import codecs

# UTF-32 first: its mark begins with that of UTF-16.
_MARKED = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_MARK = "\N{ZERO WIDTH NO-BREAK SPACE}"


def encoding_of(beginning: bytes) -> str:
    """The encoding of a file by its byte-order mark; UTF-8 without one."""
    return next((name for mark, name in _MARKED if beginning.startswith(mark)), "utf-8")


def text_of(data: bytes) -> str:
    """The text in ``data`` without byte-order marks, even inside concatenated files. Raises UnicodeDecodeError."""
    text = data.decode(encoding_of(data[:4]))
    return text.removeprefix(_MARK).replace(f"\n{_MARK}", "\n")
