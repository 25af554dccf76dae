"""Lines of the server's log: short, whoever writes them."""

import io
import logging
import traceback

from hypothesis import given
from hypothesis import strategies as st

from melbo_app.web.log import LONGEST, ShortLines


def written(*texts: str, longest: int = 10) -> str:
    stream = io.StringIO()
    short = ShortLines(stream, longest)
    for text in texts:
        assert short.write(text) == len(text)
    return stream.getvalue()


def test_short_lines_stay_as_they_are():
    assert written("one\n", "two", " three\n\n", "0123456789\n") == "one\ntwo three\n\n0123456789\n"


def test_a_long_line_is_cut_and_says_so():
    assert written("0123456789abc\nnext\n") == "0123456789 … and 3 more characters\nnext\n"


def test_a_line_in_pieces_is_one_line():
    assert written("01234", "56789", "abc", "def", "\n", "next\n") == "0123456789 … and 6 more characters\nnext\n"


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=40)))
def test_no_line_is_longer_however_it_is_written(texts):
    assert all(len(line) <= 10 + len(" … and 1,600 more characters") for line in written(*texts).splitlines())


def test_a_traceback_and_a_log_record_of_a_whole_request_are_short(monkeypatch):
    stream = io.StringIO()
    monkeypatch.setattr("sys.stderr", ShortLines(stream))
    try:
        raise ValueError("x" * 10**6)
    except ValueError:
        traceback.print_exc()
        handler = logging.StreamHandler()
        handler.emit(logging.LogRecord("any", logging.ERROR, "file", 1, "y" * 10**6, None, None))
    said = stream.getvalue()
    assert len(said) < 4 * LONGEST and "ValueError: xxx" in said and said.count("more characters") == 2


def test_everything_else_is_the_stream_s():
    stream = io.StringIO()
    short = ShortLines(stream)
    short.flush()
    assert not short.isatty() and not short.closed
