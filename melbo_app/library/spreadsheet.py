"""CSV for Excel and LibreOffice, and as they write it."""

import codecs
import csv
import io
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from melbo_app.errors import InputError

# Spreadsheets take such a cell for a formula, which could send the data beside it to anyone. Apostrophes that are there
# already count, so that exactly the one that was put in front is taken off again.
_FORMULA = re.compile(r"'*[=+\-@\t\r]")
_DELIMITERS = ",;\t"
LONGEST_CELL = 4_000_000
csv.field_size_limit(LONGEST_CELL)  # Python's own limit is 131,072 characters


def csv_bytes(rows: Iterable[Sequence[Any]]) -> bytes:
    """Rows as a CSV file in UTF-8; the first is the header.

    It begins with a byte-order mark, without which Excel assumes a legacy encoding and shows “é” as “Ã©”. Text that a
    spreadsheet would run as a formula gets an apostrophe in front.
    """
    stream = io.StringIO(newline="")
    csv.writer(stream).writerows(
        [f"'{value}" if isinstance(value, str) and _FORMULA.match(value) else value for value in row] for row in rows
    )
    return codecs.BOM_UTF8 + stream.getvalue().encode()


def csv_rows(text: str) -> Iterator[tuple[int, list[str]]]:
    """The rows of such a file, also after a spreadsheet has saved it, with their numbers there; the header comes first,
    and empty rows are left out. The apostrophes are taken off. Raises InputError for a cell without an end."""
    skipped, number = 0, 0
    if re.match(r"sep=[,;\t]\r?\n", text):  # by which Excel is told the delimiter
        text, skipped = text.partition("\n")[2], 1
    header = [next(csv.reader(io.StringIO(text, newline=""), delimiter=one), []) for one in _DELIMITERS]
    delimiter = _DELIMITERS[max(range(len(header)), key=lambda at: len(header[at]))]
    rows = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    try:
        for number, row in enumerate(rows, start=1 + skipped):
            if any(cell.strip() for cell in row):
                yield number, [cell[1:] if cell.startswith("'") and _FORMULA.match(cell) else cell for cell in row]
    except csv.Error as error:
        problem = f"it breaks off in the line after {number}, or a quotation mark is missing there"
        raise InputError("file", problem, "Save it again as CSV") from error
