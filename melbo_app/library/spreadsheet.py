"""Tables for spreadsheets: CSV as Excel and LibreOffice read it."""

import codecs
import csv
import io
from collections.abc import Iterable, Sequence
from typing import Any

# What makes spreadsheets take a cell's text for a formula, which can send what is beside it to anyone.
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def csv_bytes(rows: Iterable[Sequence[Any]]) -> bytes:
    """Rows as a CSV file in UTF-8, the first being the header.

    It begins with a byte-order mark: Excel takes a file without one for the system's old encoding, and shows “é” as
    “Ã©”. A text that a spreadsheet would run as a formula gets an apostrophe in front.
    """
    stream = io.StringIO(newline="")
    csv.writer(stream).writerows([_cell(value) for value in row] for row in rows)
    return codecs.BOM_UTF8 + stream.getvalue().encode()


def _cell(value: Any) -> Any:
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value
