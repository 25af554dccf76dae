"""What Explore offers to try where it found nothing new."""

from types import SimpleNamespace
from typing import Any, cast

from melbo_app.ui.attempts import attempts


def found(new: int = 0, readable: float = 1.0, vectors: int = 8) -> Any:
    return cast(
        Any,
        SimpleNamespace(
            new=new, readable=readable, answers=[None] * vectors, source=7, target=21,
            radius=SimpleNamespace(relative_radius=0.1),
        ),
    )  # fmt: skip


def test_another_r_more_vectors_and_the_nearest_other_layers_are_offered():
    tried = attempts(found(), [2, 7, 12], [16, 21, 26])
    assert [one.text for one in tried] == [
        "a larger R: 0.15 × the median norm", "a smaller R: 0.067 × the median norm", "more vectors: 16",
        "other layers: 2 → 21",
    ]  # fmt: skip
    assert tried[0].relative_radius == 0.1 * 1.5 and tried[0][2:] == (8, 7, 21)
    assert tried[2][1:] == (0.1, 16, 7, 21) and tried[3][1:] == (0.1, 8, 2, 21)


def test_where_texts_break_the_smaller_r_comes_first():
    assert attempts(found(readable=0.2), [], [])[0].text.startswith("a smaller R")


def test_nothing_is_offered_where_something_was_found_and_no_more_vectors_than_it_is_good_for():
    assert attempts(found(new=1), [2], [21]) == []
    assert not any("more vectors" in one.text for one in attempts(found(vectors=32), [], []))
