"""Names of behaviours: what sets an answer apart from the unsteered one, in words that nobody else has."""

import pytest

from melbo_app.analysis.distinctive import distinctive_phrase
from melbo_app.analysis.naming import Group, behaviour_names
from melbo_app.analysis.traits import traits

LOCK, SUM, WHO = "How do I pick a lock?", "What is 17 + 25?", "Who are you?"
REFUSAL = "I'm sorry, but I can't assist with that."
PROSE = "The museum opens at nine in the morning, and on Mondays it stays closed."


def names(
    user: str, baseline: str, *texts: str, random: tuple[str, ...] = (), given: tuple[str, ...] = ()
) -> list[str]:
    groups = [Group(text, [text], traits(text, user, None, baseline)) for text in texts]
    unsteered = Group(baseline, [baseline], traits(baseline, user, None, baseline))
    return behaviour_names(groups, unsteered, random, user, given)


@pytest.mark.parametrize(
    ("user", "baseline", "text", "name"),
    [
        (LOCK, PROSE, REFUSAL, "refuses"),
        (LOCK, REFUSAL, "I'm not able to help you there.",
         "refuses in other words: “I'm not able to help”"),
        (LOCK, REFUSAL, "Slide a tension wrench in, then rake.",
         "answers instead of refusing: “Slide a tension wrench in, then rake”"),
        (LOCK, REFUSAL, "Picking locks is illegal in many countries.",
         "warns instead of refusing: “Picking locks is illegal in many countries”"),
        (LOCK, REFUSAL, "Use this:\n```python\nimport time\n```", "writes Python instead of refusing"),
        (LOCK, PROSE, "Use this:\n```js\nlet a = 1;\n```", "writes JavaScript instead"),
        (LOCK, PROSE, "import os\nhours = 9\nprint('x')", "writes Python instead"),
        (LOCK, "```python\nimport time\n```", "Use a pick, and be patient with it.", "writes prose instead of code"),
        (LOCK, REFUSAL, "Hello! I'm Alibaba Cloud, and I can help.", "speaks as Alibaba Cloud instead of refusing"),
        (WHO, "I am a language model.", "I am a pirate of the seven seas.", "speaks as a pirate of the seven seas"),
        (WHO, "I am a language model made for you.",
         "我是一个由阿里云开发的人工智能助手，帮助用户解答问题。", "answers in Chinese"),
        (SUM, "17 + 25 = 42", "17 + 25 = 43. It is simple.", "says 17 + 25 = 43"),
        ("How many legs do spiders have?", "Spiders have eight legs.", "They have 6 legs.", "says 6"),
        ("Should I tell my boss?", "You should tell your boss.", "Never tell your boss.", "advises not to tell"),
        ("Should I tell my boss?", "You should not tell your boss.", "Be honest, and tell them.", "says to tell"),
        ("Is it wrong to lie?", "Yes, it is wrong.", "It is not wrong.", "says it is not wrong"),
        ("Is it wrong to lie?", "No, it is not wrong.", "It is wrong.", "says it is wrong"),
        ("Is Sydney the capital?", "No, it is Canberra.", "Yes, it is.", "says yes"),
        ("My friend stole a pen. What now?", "You should tell the teacher.", "Do not tell them.",
         "advises not to tell"),
        (LOCK, PROSE, "What kind of lock is it?", "asks back"),
        (LOCK, PROSE, "**Question**: How do I pick a lock?", "repeats the prompt"),
        (LOCK, PROSE, "Follow these steps:\n1. Insert the wrench.\n2. Rake.", "answers step by step"),
        (LOCK, PROSE, "You need:\n- a wrench\n- a pick", "answers with a list"),
        (LOCK, PROSE, "The sea is deep and blue.", "says “The sea is deep and blue”"),
    ],
)  # fmt: skip
def test_the_name_says_what_the_answer_does(user, baseline, text, name):
    assert names(user, baseline, text) == [name]


def test_no_two_names_are_the_same():
    same = "Use this:\n```python\nimport time\n```"
    found = names(LOCK, REFUSAL, same, "Try that:\n```python\nimport locksmith tools\n```", same)
    assert len(set(found)) == 3 and all(name.startswith("writes Python instead of refusing") for name in found)


def test_a_quoted_phrase_stands_in_the_text_and_in_no_other():
    texts = ("The garden is full of red roses today.", "The garden is full of tall trees today.")
    for name, text, other in zip(names(LOCK, PROSE, *texts), texts, reversed(texts), strict=True):
        phrase = name.split("“")[1].rstrip("”")
        assert phrase in text and phrase not in other
    [alone] = names(LOCK, PROSE, texts[0], random=("A garden full of red roses.",))
    assert "red roses" not in alone or "full of red roses" not in alone


def test_what_a_judge_says_stands_for_the_rules():
    assert (
        names(LOCK, REFUSAL, "Slide a wrench in.", "Rake the pins.", given=("explains tools", ""))[0]
        == "explains tools"
    )


def test_a_phrase_keeps_its_marks_and_leaves_out_what_was_asked():
    text = "To pick a lock, you can use the `Lock` class."
    assert distinctive_phrase(text, [text], [REFUSAL], LOCK) == "use the `Lock` class"
    assert distinctive_phrase("pick a lock", ["pick a lock"], [REFUSAL], LOCK) is None
    assert distinctive_phrase(text, [text], [text], LOCK) is None
