"""Strangers' values in a sentence: short, on one line, and nothing that a terminal or a page would act on."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from melbo_app.quoting import readable, shown


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.floats() | st.text(), st.lists, max_leaves=5))
def test_any_value_is_short_and_printable(value):
    assert shown(value).isprintable() and len(shown(value)) <= 60


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("a\x1b[31mb", "“a\N{REPLACEMENT CHARACTER}[31mb”"),
        ("two\nlines", "“two lines”"),
        ("x" * 41, f"“{'x' * 39}…”"),
        ([1, 2], "a list of 2"),
        ({}, "an object"),
        (10**400, "a number of 401 digits"),
        (2.5, "2.5"),
    ],
)
def test_what_is_said_of_a_value(value, said):
    assert shown(value) == said


def test_a_text_is_cut():
    assert readable("x" * 81) == "x" * 79 + "…" and readable("x" * 80) == "x" * 80
