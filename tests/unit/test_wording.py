"""Texts without a model: repetition, dictionary words and language, in every script."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from melbo_app.analysis.language import STRETCH, dictionary_words, language, repetition

ENGLISH = "The lighthouse stands on a rock far out in the sea, and nobody has lived there for years."
GERMAN = "Der Leuchtturm steht auf einem Felsen weit draußen im Meer, und seit Jahren wohnt dort niemand."
FRENCH = "Le phare se dresse sur un rocher au milieu de la mer, et personne n'y habite depuis des années."
RUSSIAN = "Маяк стоит на скале далеко в море, и там уже много лет никто не живёт."
JAPANESE = "灯台は海の沖の岩の上に立っていて、もう何年も誰も住んでいません。"
CHINESE = "灯塔矗立在远离海岸的岩石上，多年来一直没有人住在那里。"
THAI = "ประภาคารตั้งอยู่บนโขดหินกลางทะเล และไม่มีใครอาศัยอยู่ที่นั่นมาหลายปีแล้ว"
KOREAN = "등대는 바다 멀리 바위 위에 서 있고 몇 년 동안 아무도 살지 않았다."
TEXTS = {
    "en": ENGLISH,
    "de": GERMAN,
    "fr": FRENCH,
    "ru": RUSSIAN,
    "ja": JAPANESE,
    "zh": CHINESE,
    "th": THAI,
    "ko": KOREAN,
}
SALAD = "ontologyicas prere hipp unequ sund fict glamourisq vexelt"


@pytest.mark.parametrize("code", TEXTS)
def test_the_language_is_recognised(code):
    assert language(TEXTS[code]) == code


@pytest.mark.parametrize("text", ["", "   ", "12 + 30 = 42", "??!", SALAD, "🙂🙂"])
def test_a_language_that_is_not_clear_is_not_named(text):
    assert language(text) is None


@pytest.mark.parametrize("code", TEXTS)
def test_ordinary_sentences_do_not_repeat_themselves_in_any_script(code):
    assert repetition(TEXTS[code]) < 0.05


@pytest.mark.parametrize("code", TEXTS)
def test_loops_do_in_any_script(code):
    beginning = TEXTS[code][:9]
    assert repetition(beginning * 20) > 0.9
    assert repetition(f"{TEXTS[code]} {TEXTS[code]}") == pytest.approx(0.5, abs=0.12)


def test_repetition_by_hand():
    assert repetition("a" * STRETCH) == 0
    assert repetition("a" * (STRETCH + 1)) == 1 / 2
    assert repetition("abcdefghijkl abcdefghijkl") == pytest.approx(1 / 14)
    assert repetition("灯塔矗立灯塔矗立") == pytest.approx(1 / 13) and repetition("灯塔矗立") == 0
    assert repetition("The End of it all.\n\nthe   end of it ALL.") == repetition(
        "the end of it all. the end of it all."
    )
    assert repetition("short") == repetition("") == 0


@given(st.text())
def test_repetition_is_a_share_of_whatever_text(text):
    assert 0 <= repetition(text) < 1


@pytest.mark.parametrize("code", ["en", "fr"])
def test_the_words_of_a_sentence_are_in_its_dictionary(code):
    assert dictionary_words(TEXTS[code], code) == 1


@pytest.mark.parametrize(
    ("code", "text"),
    [
        ("ja", JAPANESE),
        ("zh", CHINESE),
        ("th", THAI),
        ("ko", KOREAN),
        ("en", "17 + 25 = 42"),
        ("en", ""),
        (None, "Ωμέγα"),
    ],
)
def test_where_there_is_no_dictionary_or_no_word_nothing_is_said(code, text):
    assert dictionary_words(text, code) is None


def test_words_that_are_none_count_against_a_text_and_numbers_and_single_letters_do_not():
    assert dictionary_words(SALAD, None) < 0.2
    assert dictionary_words("The house ontologyicas glamourisq", "en") == 1 / 2
    assert dictionary_words("House 17, x y z: 3D", "en") == 1
    assert dictionary_words("La maison a un meeting", "fr") == 1  # English words are at home everywhere


def test_word_forms_with_an_apostrophe_are_words():
    assert dictionary_words("I'm sorry, we can't, it's John’s", "en") == 1
    assert dictionary_words("l'homme n'y habite pas, qu’il dise", "fr") == 1
    assert dictionary_words("fict'unequ", "en") == 0
