"""Pairs of answers that differ in kind, and pairs that do not."""

import pytest

from melbo_app.analysis.traits import differences, traits

BOSS = "Should I tell my boss that I made a mistake?"
FRIEND = "My friend stole a pen. What do I do?"
MEAT = "Is it wrong to eat meat?"
LOCK = "How do I pick a lock?"
SUM = "What is 17 + 25?"
WHO = "Who are you?"
REFUSAL = "I'm sorry, but I can't assist with that."


def apart(user: str, one: str, other: str) -> tuple[str, ...]:
    found = differences(traits(one, user), traits(other, user))
    assert found == differences(traits(other, user), traits(one, user))
    return found


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("You should tell your boss about it.", "You should not tell your boss about it."),
        ("Yes, you should tell your boss.", "No, it is better to keep it to yourself."),
        ("It's important to be honest with your boss.", "Avoid mentioning your mistake."),
        ("It is best to admit it.", "It's best not to tell him."),
        ("Tell them at once.", "Do not tell them."),
        ("Tell them at once.", "Please do not tell them."),
        ("Don't hesitate to tell your boss.", "Never tell your boss."),
        ("If you don't tell your boss, they will find out. You should own up.", "You don't have to tell your boss."),
        ("It's always a good idea to inform your boss.", "It is not a good idea to inform your boss."),
        ("I recommend telling him.", "I would not recommend telling him."),
        ("Lying is wrong. Be honest.", "Stay quiet."),
        ("When you make a mistake, tell your boss.", "When you make a mistake, hide it."),
    ],
)
def test_reversed_advice_is_another_answer(one, other):
    assert apart(BOSS, one, other) == ("advice",)


@pytest.mark.parametrize(
    ("user", "one", "other"),
    [
        (MEAT, "It is wrong to eat meat.", "It is not wrong to eat meat."),
        (MEAT, "Eating meat is not inherently wrong.", "Yes, eating meat is wrong."),
        (MEAT, "There is nothing wrong with that.", "It's unethical."),
        (MEAT, "Yes.", "No."),
        ("Is it safe to eat raw eggs?", "It's not safe.", "It is perfectly safe."),
        ("Is Sydney the capital of Australia?", "Yes, it is.", "No, that is Canberra."),
        (FRIEND, "Tell the teacher.", "Do not tell the teacher."),
        (FRIEND, "Keep it secret.", "You should report it."),
        ("What about the report?", "You should read it.", "You should not read it."),
    ],
)
def test_other_sides_are_taken_to_other_questions(user, one, other):
    assert apart(user, one, other) == ("advice",)


@pytest.mark.parametrize(
    ("user", "one", "other"),
    [
        (BOSS, "You should tell your boss.", "Tell your boss the truth."),
        (BOSS, "It is best to admit it.", "Yes, be honest with your boss."),
        (BOSS, "Whether you should tell your boss depends.", "Do not tell your boss."),
        (BOSS, "If you do not tell your boss, others may.", "You should tell your boss."),
        (BOSS, "Should you not tell them?", "You should tell them."),
        (BOSS, "It depends on your boss.", "Never tell your boss."),
        (BOSS, "You should tell them. Never tell them by mail.", "Never tell your boss."),
        (MEAT, "It is wrong.", "It is immoral."),
        ("What is the capital of Australia?", "No, the capital is Canberra.", "Yes, the capital is Canberra."),
    ],
)
def test_the_same_side_and_no_side_are_not_opposed(user, one, other):
    assert apart(user, one, other) == ()


@pytest.mark.parametrize(
    ("user", "one", "other", "kind"),
    [
        (LOCK, REFUSAL, "To pick a lock, you need a tension wrench.", "refusal"),
        (LOCK, "Use this:\n```python\nopen(lock)\n```", "Use a pick, and be patient with it.", "code"),
        (WHO, "I am a large language model created by people.",
         "我是一个由阿里云开发的人工智能助手，帮助用户解答问题。", "language"),
        (WHO, "I am Captain Jack, a pirate.", "I am a helpful AI assistant.", "speaker"),
        (WHO, "My name is Anna.", "My name is Peter.", "speaker"),
        (SUM, "17 + 25 = 42", "17 + 25 = 43", "number"),
        (SUM, "The answer is 42.", "17 + 25 = 325 The answer is 325.", "number"),
        ("How many legs does a spider have?", "A spider has eight legs.", "Spiders have 6 legs.", "number"),
        ("When did the war end?", "It ended in 1945.", "The war ended in 1918, in November.", "number"),
    ],
)  # fmt: skip
def test_a_difference_in_kind_is_named(user, one, other, kind):
    assert apart(user, one, other) == (kind,)


@pytest.mark.parametrize(
    ("user", "one", "other"),
    [
        (LOCK, REFUSAL, "I'm not able to assist with that."),
        (LOCK, "Use this:\n```python\nopen(lock)\n```", "You can use the `Lock` class in Java."),
        (LOCK, "You can use the `Lock` class in Java.", "Use a pick, and be patient with it."),
        (WHO, "I am Qwen, a large language model.", "I am an AI assistant."),
        (WHO, "I am Captain Jack.", "Ahoy! The sea is my home, and gold is my joy."),
        (SUM, "17 + 25 = 42.", "The answer is 42."),
        ("How many legs does a spider have?", "A spider has eight legs.", "1. Spiders have 8 legs."),
        ("Tell me about 1945.", "It was the year 1945.", "In 1946, it was over."),
    ],
)
def test_other_words_are_of_the_same_kind(user, one, other):
    assert apart(user, one, other) == ()


def test_flags_count_where_the_baseline_does_not_raise_them():
    asked = "Tell me where the museum is and when it opens on Mondays."
    echo = "Tell me where the museum is and when it opens on Mondays. It opens at nine."
    plain = "The museum opens at nine in the morning."
    assert traits(echo, asked, None, plain).flags == {"instructions echoed"}
    assert traits(echo, asked, None, echo).flags == frozenset()
    both = (traits(echo, asked, None, plain), traits(plain, asked, None, plain))
    assert differences(*both) == ("flag",)
