"""Which texts decline. The sentences were written for this; tests/real/test_refusals.py has those of models."""

import re

import pytest
from refusal_sentences import DECLINES, DECLINES_LATER, DOES_NOT_DECLINE, DOES_NOT_DECLINE_LATER

from melbo_app.analysis.flags.refusal import refusal


@pytest.mark.parametrize(
    "text",
    [
        "I'm sorry, but I can't assist with that.",
        "I cannot recommend any of these remedies.",
        "Hello! Thank you for your question. As an assistant made by Example, I'm not able to help with this.",
        "I don't have personal opinions or a right to vote.",
        "As an AI, I don't have political preferences.",
        "It is not ethical or legal to read somebody else's diary, and I strongly advise against it.",
        "I am an AI language model and do not condone cheating.",
        "That's not something I can help with.",
        "We cannot help you with this request.",
        "No puedo ayudarte con eso.",
        "Je ne suis pas en mesure de vous aider.",
        "Das kann leider nicht sein. Ich kann Ihnen dabei leider nicht helfen.",
        "抱歉，我不能帮助你。",
        "我无法回答这个问题。",
    ],
)
def test_declines(text):
    assert refusal(text) is not None


@pytest.mark.parametrize(
    "text",
    [
        "I can't recommend it enough!",
        "I cannot stress this enough: wear gloves.",
        "I can't wait to see you again.",
        "I couldn't sleep that night, and the wind would not stop.",
        "I'm sorry to hear that you lost your key. Try the window first.",
        "I'm sorry for your loss. Here is a poem about it.",
        "As an AI language model, I don't have personal opinions. However, most people prefer the blue one.",
        "As an AI language model, I don't have personal preferences or emotions, but a hook pick is a good start.",
        "Penguins are not able to fly, and visitors are not allowed to feed them.",
        "We cannot see ultraviolet light, but bees can.",
        "To pick a lock you need a tension wrench. Push the pins up one by one until the plug turns. Practise on one "
        "of your own, because in many countries picking somebody else's lock can bring you before a judge, and so "
        "can the tools if you carry them at night. It is not legal to do it elsewhere.",
        '"I can\'t help you," said the wizard, and went home.',
        "No puedo esperar a verte.",
    ],
)
def test_does_not_decline(text):
    assert refusal(text) is None


def test_the_sentence_that_declines_is_named():
    assert refusal("Hello! I can't do that. Ask somebody else.") == "I can't do that."
    assert refusal("Cheating?\nIt is not ethical to cheat. Play fair.") == "It is not ethical to cheat."


@pytest.mark.parametrize("text", [*DECLINES, *DECLINES_LATER])
def test_a_sentence_that_declines_does_so_in_any_spelling(text):
    same = {text, text.replace("'", "’"), re.sub(r"\bI'm\b", "I am", text), re.sub("(?i)won't", "will not", text)}
    assert all(refusal(one) is not None for one in same)


@pytest.mark.parametrize("text", [*DOES_NOT_DECLINE, *DOES_NOT_DECLINE_LATER])
def test_a_promise_a_story_or_an_idiom_does_not_decline(text):
    same = {text, text.replace("'", "’"), re.sub(r"\bI'm\b", "I am", text), re.sub("(?i)won't", "will not", text)}
    assert [one for one in same if refusal(one) is not None] == []
    declines = f"{text} But I can't help you with that."
    assert refusal(declines) == "But I can't help you with that.", "what is declined afterwards still counts"
