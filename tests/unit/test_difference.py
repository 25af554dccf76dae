import difflib
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from melbo_app.analysis import difference
from melbo_app.analysis.difference import mark

words = st.lists(st.sampled_from(["yes", "no", "No", " ", "\n", ", ", ".", "…", "don't", "好", "界", "é", "🙂"]))
texts = st.one_of(st.text(), words.map("".join), words.map(" ".join))


@given(texts, texts)
def test_the_pieces_joined_are_the_text_and_flags_alternate(baseline, text):
    pieces = mark(baseline, text)
    assert "".join(piece for piece, _ in pieces) == text
    assert all(piece for piece, _ in pieces)
    assert all(a[1] != b[1] for a, b in pairwise(pieces))


@given(texts)
def test_the_same_text_has_nothing_marked(text):
    assert mark(text, text) == ([(text, not text.strip())] if text else [])


@given(texts.filter(bool))
def test_against_an_empty_baseline_all_is_marked(text):
    assert mark("", text) == [(text, True)]
    assert mark(" \n", text) == [(text, True)]


@given(texts, texts)
def test_words_that_the_baseline_lacks_are_marked(baseline, text):
    marked = "".join(piece for piece, new in mark(baseline, text) if new)
    assert all(letter in marked for letter in text if letter.isalpha() and letter not in baseline)


@pytest.mark.parametrize(
    ("baseline", "text", "pieces"),
    [
        ("I cannot help.", "I can help.", [("I ", False), ("can", True), (" help.", False)]),
        ("one two", "one new old two", [("one ", False), ("new old", True), (" two", False)]),
        ("a b", "a  b\n", [("a  b\n", False)]),
        ("so be it", "so it", [("so it", False)]),
        ("No.", "No, never.", [("No", False), (", never", True), (".", False)]),
        ("It's fine", "It’s fine", [("It’s", True), (" fine", False)]),
        ("你好世界", "你好美丽世界", [("你好", False), ("美丽", True), ("世界", False)]),
        ("words", "", []),
    ],
)
def test_known_differences(baseline, text, pieces):
    assert mark(baseline, text) == pieces


def test_punctuation_between_two_marked_words_is_marked_with_them():
    assert mark("red, green", "blue, black green") == [("blue, black", True), (" green", False)]
    assert mark("alpha, beta; end", "gamma, delta; end") == [("gamma, delta", True), ("; end", False)]


def test_a_word_between_two_marked_words_stays_unmarked():
    assert mark("red and blue", "one and two") == [("one", True), (" and ", False), ("two", True)]


def test_texts_too_large_to_compare_keep_their_common_ends(monkeypatch):
    compared: list[tuple[int, int]] = []

    class Watched(difflib.SequenceMatcher):
        def __init__(self, junk, old, new, autojunk):
            compared.append((len(old), len(new)))
            super().__init__(junk, old, new, autojunk)

    monkeypatch.setattr(difference, "SequenceMatcher", Watched)
    generator = np.random.default_rng(0)
    shares = 1 / np.arange(1, 1001)
    middle = [" ".join(f"w{i}" for i in generator.choice(1000, 4000, p=shares / shares.sum())) for _ in range(2)]
    pieces = mark(f"start {middle[0]} end", f"start x{middle[1]}x end")
    assert compared == []
    assert pieces == [("start ", False), (f"x{middle[1]}x", True), (" end", False)]


def test_one_changed_word_in_a_very_long_text_is_found_alone():
    long = [f"w{i % 50}" for i in range(20_000)]
    changed = [*long[:9_000], "new", *long[9_001:]]
    assert [piece for piece, new in mark(" ".join(long), " ".join(changed)) if new] == ["new"]
