"""Remnants of markup: tags in prose are, and pages, code and comparisons are not."""

import pytest

from melbo_app.analysis.markup import markup


@pytest.mark.parametrize(
    ("text", "share"),
    [
        ("", 0),
        ("The <em>Big</em> Show", 9 / 21),
        ("<strong>a</STRONG>", 17 / 18),
        ('<a href="x.html">y</a>', 21 / 22),
        ("so<|im_end|>", 10 / 12),
        ("a<start_of_image>king", 16 / 21),
        ("[INST] why? [/INST]", 13 / 19),
        ("a < b and c > d, i<j, <your name>, 1 <2> 3", 0),
        ("Use `x` and **bold**.", 0),
        ("```html\n<b>bold</b>\n```", 0),
        ("<p>A <b>page</b> was asked for.</p>", 0),
        ("std::vector<bool>, List<string>", 0),
    ],
)
def test_known_answers(text, share):
    assert markup(text) == pytest.approx(share)
