"""CSV for Excel and LibreOffice."""

import codecs
import csv
import io
from collections.abc import Iterable, Sequence
from typing import Any

# Spreadsheets take such a cell for a formula, which could send the data beside it to anyone.
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def csv_bytes(rows: Iterable[Sequence[Any]]) -> bytes:
    """Rows as a CSV file in UTF-8; the first is the header.

    It begins with a byte-order mark, without which Excel assumes a legacy encoding and shows “é” as “Ã©”. Text that a
    spreadsheet would run as a formula gets an apostrophe in front.
    """
    stream = io.StringIO(newline="")
    csv.writer(stream).writerows(
        [f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value for value in row]
        for row in rows
    )
    return codecs.BOM_UTF8 + stream.getvalue().encode()
