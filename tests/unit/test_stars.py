"""Stars on the cards can be read: WCAG's 4.5 : 1 on plain and on chosen cards, light and dark."""

import re

import pytest

from melbo_app.settings import ROOT

CSS = (ROOT / "assets" / "css" / "components.css").read_text("utf-8")
ACCENT = "#6366f1"
CHOSEN = 0.12  # share of the accent colour behind a chosen card


def channels(colour):
    return [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]


def luminance(parts):
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return sum(weight * part for weight, part in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def contrast(one, other):
    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def test_the_formula_gives_the_known_extremes():
    assert contrast(channels("#000000"), channels("#ffffff")) == pytest.approx(21)
    assert contrast(channels("#777777"), channels("#ffffff")) == pytest.approx(4.48, abs=0.01)


@pytest.mark.parametrize(
    ("where", "backgrounds"), [(":root", ["#ffffff", "#f8fafc"]), (r"\.dark", ["#0f172a", "#1e293b", "#030712"])]
)
def test_stars_have_enough_contrast(where, backgrounds):
    found = re.search(rf"^{where} {{ --star: (#[0-9a-f]{{6}}); }}", CSS, re.M)
    assert found and "color: var(--star)" in CSS
    for plain in map(channels, backgrounds):
        chosen = [CHOSEN * one + (1 - CHOSEN) * other for one, other in zip(channels(ACCENT), plain, strict=True)]
        for background in (plain, chosen):
            assert contrast(channels(found[1]), background) >= 4.5
