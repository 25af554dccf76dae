"""What is distinctive about texts in which a word is planted."""

from melbo_app.analysis.distinctive import distinctive_words

PLAIN = ["The weather is fine today", "The weather will be fine", "Fine weather today, I think"]


def test_a_planted_word_is_found_where_it_was_planted_and_only_there():
    planted = ["The weather is a pancake today", "Today the pancake is fine", "A pancake, I think"]
    plain, found = distinctive_words([PLAIN, planted])
    assert found[0] == "pancake"
    assert "pancake" not in " ".join(plain) and "weather" in " ".join(plain)


def test_pairs_of_words_count_and_no_word_is_said_twice():
    found = distinctive_words([PLAIN, ["kernel panic everywhere", "a kernel panic again"]])[1]
    parts = [part for words in found for part in words.split()]
    assert {"kernel", "panic"} <= {*parts} and len(parts) == len({*parts})


def test_function_words_are_taken_where_there_is_nothing_else():
    assert distinctive_words([["the of"], ["i am me", "i am you"]])[1]


def test_a_group_that_says_the_same_or_nothing_has_no_words_of_its_own():
    assert distinctive_words([PLAIN, PLAIN]) == [(), ()]
    assert distinctive_words([PLAIN, [""]])[1] == ()
    assert distinctive_words([["!"], ["…"]]) == [(), ()]


def test_other_scripts_have_words_too():
    assert "привет" in distinctive_words([PLAIN, ["привет мир", "привет всем"]])[1][0]
