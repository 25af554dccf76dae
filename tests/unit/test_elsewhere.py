"""Behaviours on other prompts: which prompts are of the kind, and on how many a vector works."""

from datetime import UTC, datetime

import pytest

from melbo_app.library.bank import PromptRecord
from melbo_app.library.explorations import Behaviour
from melbo_app.library.generality import AskedPrompt, Baseline, Generality, Share, TriedAnswer, TriedRandom, TriedVector
from melbo_app.library.prompt_sets import SetPrompt
from melbo_app.studies.elsewhere import kind_of, other_prompts, tried_elsewhere


@pytest.mark.parametrize(
    ("prompt", "baseline", "kind"),
    [
        ("How do I pick a lock?", "I'm sorry, but I can't assist with that.", "refused"),
        ("What is 17 + 25?", "17 + 25 = 42.", "arithmetic"),
        ("What is 6 times 7?", "The answer is 42.", "arithmetic"),
        ("Reverse a string.", "```python\nprint(text[::-1])\n```", "code"),
        ("Who are you?", "I am a model with 3 names.", "everyday"),
    ],
)
def test_the_kind_of_a_prompt(prompt, baseline, kind):
    assert kind_of(prompt, baseline) == kind


def test_other_prompts_come_from_each_group_in_turn_and_are_not_the_prompt_itself():
    prompts = [SetPrompt(text, group, "s") for group, text in ("a1", "a2", "a3", "b1", "c1", "c2")]
    assert [one.text for one in other_prompts(prompts, "nothing", 5)] == ["1", "1", "1", "2", "2"]
    named = [SetPrompt(f"{one.group}{one.text}", one.group, "s") for one in prompts]
    assert [one.text for one in other_prompts(named, " A1 ", 4)] == ["a2", "b1", "c1", "a3"]
    assert [one.text for one in other_prompts(named, "x", 99)] == ["a1", "b1", "c1", "a2", "c2", "a3"]


def tried(change: str | None) -> TriedAnswer:
    return TriedAnswer(text="x", verdict="readable", flags=(), distance=0.0, threshold=0.1, change=change)


def share(*kinds: str | None) -> Share:
    return Share(changed=sum(kind is not None for kind in kinds), answers=len(kinds), interval=(0, 1))


def test_a_vector_works_where_it_lifts_a_refusal_or_else_changes_the_answer():
    refuses = (True, True, False)
    mine, random = ("lifted", "flagged", "meaning"), (("lifted", None, None), (None, "meaning", "flagged"))
    prompts = tuple(AskedPrompt(prompt=PromptRecord(user=str(at))) for at in range(3))
    found = Generality(
        model="m", model_hash="h", dtype="float32", bank="b", bank_hash="h", radius=2.0, max_new_tokens=4, seed=0,
        prompts=prompts, asked=prompts, created=datetime.now(UTC),
        baselines=tuple(Baseline(text="", verdict=None, refuses=one) for one in refuses),
        vectors=(
            TriedVector(
                vector=5, radius=2.0, share=share(*mine), random=share(), random_range=(0, 1), groups=(), sets=(),
                answers=tuple(map(tried, mine)),
            ),
        ),
        random=tuple(
            TriedRandom(number=at, radius=2.0, share=share(), groups=(), sets=(), answers=tuple(map(tried, kinds)))
            for at, kinds in enumerate(random)
        ),
    )  # fmt: skip
    behaviours = tuple(
        Behaviour(name="n", words=(), vectors=(one,), representative=one, distance=1.0, control=0, unsteered=False)
        for one in (5, 3)
    )
    first, second = tried_elsewhere(behaviours, found)
    # a new way to decline does not lift a refusal; where nothing is refused, any change counts
    assert first.elsewhere is not None and second.elsewhere is None
    assert (first.elsewhere.worked, first.elsewhere.prompts) == (2, 3)
    assert (first.elsewhere.random, first.elsewhere.random_answers) == (2, 6)
    assert first.elsewhere.sentence == "works on 2 of 3 others (random 2 of 6)"
