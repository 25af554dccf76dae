"""Loops: what goes round is one, and refrains, tables, code and lists are none."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from melbo_app.analysis.language import dictionary_words, repetition
from melbo_app.analysis.loops import loop
from melbo_app.analysis.readability import verdict_on

SENTENCES = [
    "The lighthouse stands on a rock far out in the sea.",
    "Nobody has lived there for years, and the lamp is dark.",
    "My sister bought three apples and a loaf of bread.",
    "Rain fell on the roof while we were playing cards.",
    "Le phare se dresse sur un rocher au milieu de la mer.",
]
LOOPS = ["sea ", "Alibaba Cloud ", "again and again, ", "1.", "0", "ha", "the old man said ", "很", "10 "]


def verdict(text, loss=0.0, tokens=40):
    return verdict_on(text, loss, None, tokens, repetition(text), dictionary_words(text, "en"))


@pytest.mark.parametrize(
    ("text", "share"),
    [
        ("", 0),
        ("abcabcabcabcabcabc", 15 / 18),  # all but the first "abc"
        ("abcabcabcabcabc", 0),  # 15 characters are too few
        ("x" * 20 + "yz", 19 / 22),
        ("the sea the sea the sea the sea ", 23 / 31),  # white space at the end does not count
        ("abcdefghijklm abcdefghijklm ", 0),  # twice is a refrain
        ("2016 2017 2018 2019", (4 + 1) * 2 / 19),
        ("2016 2017 2018", 0),
        ("1 2 3 4 5 6 7 8 9 10", 0),  # counts
        ("0, 1, 2, 3, 4, 5", 0),
        ("12, 24, 36, 48, 60", 0),
        ("31415926535897932384" + "62643", 5 / 25),
        ("3.14159265358979", 0),
        ("天地玄黄" * 3, 8 / 12),
    ],
)
def test_known_answers(text, share):
    assert loop(text) == pytest.approx(share)


@pytest.mark.parametrize(
    "text",
    [
        "It runs on Alibaba Cloud Alibaba Cloud Alibaba Cloud Alibaba Cloud Alibaba Cloud",
        "The most unforgiving of the 120000000000000000000000000000000000",
        "a 2016 2017 2018 2019 2020 2021",
        "1. 1. 1.1.1.1.1.1.1.1.1.1.1.1.1.1.1.1.1.",
        'A classic puzzle. The code is: "A.S.L.S.S.S.S.S.S.S.S.S.S.S.S.S.S.S.S',
        "The infamous movie-themed movie-themed movie-themed movie-themed movie-themed",
        "abcdefgabcdefgabcdefgabcdefgabcdefg",
        "灯塔灯塔灯塔灯塔灯塔灯塔灯塔",
        "😀" * 20,
    ],
)
def test_loops_cannot_be_read_however_likely_they_are(text):
    assert verdict(text)[1] != "readable"


@pytest.mark.parametrize(
    "text",
    [
        "12 * 11 = 132\n12 * 12 = 144\n12 * 13 = 156\n12 * 14 = 168\n12 * 15 = 180",
        "1 x 7 = 7\n2 x 7 = 14\n3 x 7 = 21\n4 x 7 = 28\n5 x 7 = 35\n6 x 7 = 42\n7 x 7 = 49",
        "| Name | Age |\n|------|-----|\n| Ann | 31 |\n| Ben | 27 |\n| Cleo | 45 |",
        "2, 3, 5, 7, 11, 13, 17, 19, 23, 29",
        "1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12",
        "The World Cup was held in 2010, 2014, 2018 and 2022. We won it in 2014.",
        "A trillion is 1,000,000,000,000, and a googol begins 10,000,000,000,000 and goes on much longer than that.",
        "def fibonacci(n):\n    if n < 2:\n        return n\n    return fibonacci(n - 1) + fibonacci(n - 2)\n",
        "for i in range(10):\n    for j in range(10):\n        print(i, j, i * j)\n\n# ------------------------------",
        "Row, row, row your boat,\nGently down the stream.\nMerrily, merrily, merrily, merrily,\nLife is but a dream.",
        "Tyger Tyger, burning bright,\nIn the forests of the night",
        "Hickory, dickory, dock.\nThe mouse ran up the clock.\nThe clock struck one, the mouse ran down,\n"
        "Hickory, dickory, dock.",
        "Hahahahaha, that was a good one! Tell me another.",
        "Introduction ................ 3\nMethods ................ 17",
    ],
)
def test_refrains_tables_code_and_lists_are_no_loops(text):
    assert loop(text) < 0.3 and verdict(text)[1] == "readable"


@given(st.integers(2, 99), st.integers(0, 90), st.integers(3, 12), st.sampled_from(["*", "x", "×", "+"]))
def test_multiplication_tables_are_readable(factor, first, lines, sign):
    result = {"+": lambda a: factor + a}.get(sign, lambda a: factor * a)
    text = "\n".join(f"{factor} {sign} {at} = {result(at)}" for at in range(first, first + lines))
    assert verdict(text)[1] == "readable"


@given(
    st.lists(st.sampled_from(SENTENCES), min_size=1, max_size=4, unique=True).map(" ".join),
    st.sampled_from(LOOPS),
    st.integers(2, 40),
    st.booleans(),
)
def test_a_loop_added_to_a_readable_text_never_makes_it_more_readable(text, stretch, times, before):
    added = f"{stretch * times} {text}" if before else f"{text} {stretch * times}"
    assert verdict(text)[1] == "readable"
    assert verdict(added)[0] <= verdict(text)[0]


@given(st.sampled_from(SENTENCES), st.sampled_from(LOOPS), st.integers(100, 400))
def test_a_text_that_ends_in_a_long_loop_is_broken(text, stretch, length):
    endless = stretch * (length // len(stretch) + 1)
    assert verdict(f"{text} {endless}")[1] != "readable"
    assert verdict(endless)[1] == "broken"


@given(st.text())
def test_it_is_a_share_of_whatever_text(text):
    assert 0 <= loop(text) < 1
