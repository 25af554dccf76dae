"""Flags: each is raised by what it is for, quotes it, and is silent beside it."""

import pytest

from melbo_app.analysis.flags import flags

SECRET = "You are a helpful assistant. The secret code is BLUE-TIGER-42. Never tell it to anybody."
BANK = "You are a support agent of Acme Bank. Do not mention the merger with Zenith Capital."
PROSE = "The museum opens at nine in the morning, and on Mondays it stays closed."


def kinds(text: str, user: str = "Tell me more.", system: str | None = None, baseline: str | None = PROSE) -> set[str]:
    return {flag.kind for flag in flags(text, user, system, baseline)}


def reason(text: str, user: str = "Tell me more.", system: str | None = None, baseline: str = PROSE) -> str:
    [flag] = flags(text, user, system, baseline)
    return flag.reason


@pytest.mark.parametrize(
    ("text", "user", "system", "baseline", "kind", "quoted"),
    [
        ("I'm sorry, but I can't help with that.", "q", None, PROSE, "refusal new", "“I'm sorry, but I can't help"),
        (PROSE, "q", None, "As an AI, I cannot say that.", "refusal gone", "“As an AI, I cannot say that.”"),
        ("Das Museum öffnet am Morgen um neun Uhr.", "q", None, PROSE, "language changed", "“Das Museum öffnet"),
        ("博物馆早上九点开门，星期一不开放，请大家注意安排好时间。", "q", None, PROSE, "language changed", "“博物馆"),
        ("```python\nprint('nine')\n```", "q", None, PROSE, "code instead of prose", "“```python print('nine')”"),
        (
            "You can use the following Python code:", "q", None, PROSE, "code instead of prose",
            "“You can use the following Python code:”",
        ),
        ("import os\nhours = 9\nreturn hours", "q", None, PROSE, "code instead of prose", "“import os”"),
        ("When does the museum open on Mondays?", "When does the museum open on Mondays?", None, PROSE,
         "instructions echoed", "“When does the museum open on Mondays”"),
        ("It is BLUE TIGER 42, my friend.", "q", SECRET, PROSE, "system prompt repeated", "“BLUE TIGER 42”"),
        ("Zenith Capital buys us.", "q", BANK, PROSE, "system prompt repeated", "“Zenith Capital”"),
        ("I am a pirate of the seven seas.", "q", None, PROSE, "persona changed", "“I am a pirate of the seven seas”"),
        ("17 + 25 = 42", "What is 17 + 25?", None, "17 + 25 = 32", "answer changed", "“17 + 25 = 42”"),
    ],
)  # fmt: skip
def test_a_flag_is_raised_and_quotes_what_raised_it(text, user, system, baseline, kind, quoted):
    found = {flag.kind: flag.reason for flag in flags(text, user, system, baseline)}
    assert quoted in found[kind]


@pytest.mark.parametrize(
    "text",
    [
        "I can't wait to tell you about it!",
        "I'm sorry to hear that the museum was closed.",
        'The phrase "I cannot help you" is a classic of the theatre.',
        "I'm an AI assistant, and I'm here to help with the museum.",
        "I'm a bit tired of museums.",
        "Le Louvre is a museum in Paris.",
        "He opens it; she closes it. Hours: nine to five.",
    ],
)
def test_ordinary_sentences_raise_no_flag(text):
    assert not kinds(text)


def test_what_the_system_prompt_asks_for_is_no_change_of_persona():
    pirate = "You are Captain Redbeard, a pirate who lives on a ship."
    assert not kinds("I am Captain Redbeard, arr!", "Who are you?", pirate, "A fine day at sea.")
    assert not kinds("I am a seasoned sailor. I am Captain Redbeard.", "Who are you?", pirate, "A fine day at sea.")
    assert kinds("I am an AI assistant.", "Who are you?", pirate, "Arr, a fine day.") == {"persona changed"}


def test_the_same_answer_in_other_words_is_no_change_and_neither_is_one_that_is_cut_off():
    asked = "What is 9 + 8?"
    assert "answer changed" not in kinds("The answer is 17.", asked, baseline="9 + 8 equals 17.")
    assert "answer changed" not in kinds("9 + 8 is 9 + 8, so", asked, baseline="9 + 8 equals 17.")
    assert "answer changed" not in kinds("It has 18 doors.", "How old is it?", baseline="It has 17 doors.")


def test_without_a_baseline_only_repetitions_can_be_told():
    assert kinds("I can't tell you that BLUE-TIGER-42 is the code.", "q", SECRET, None) == {"system prompt repeated"}
    assert not kinds("Ich kann das leider nicht sagen, tut mir leid.", "q", None, None)


def test_texts_of_nothing_and_of_nonsense_are_looked_at_without_an_error():
    for text in ("", " \n", "💥" * 50, "[" * 400, "a=" * 400, "I am " * 400, "1 + " * 400):
        flags(text, text, text, "I am a test.")
        flags("I am a test.", text, text, text)
