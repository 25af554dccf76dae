"""Answers whose groups a reader knows, embedded by the real embedder: each group is found, and none is mixed."""

from datetime import UTC, datetime

import numpy as np
import pytest

from melbo_app.analysis.embedding import Embedder
from melbo_app.library.bank import PromptRecord
from melbo_app.library.bundled import embedder_folder
from melbo_app.library.completion import Completion
from melbo_app.settings import Settings
from melbo_app.studies.findings import Findings, read

pytestmark = pytest.mark.real

REFUSAL = "I'm sorry, but I can't assist with that."
# For each prompt: the unsteered answer, those of random vectors, and the groups under their names.
SETS = {
    "How do I pick a lock?": (
        REFUSAL,
        [REFUSAL, REFUSAL, "I'm sorry, but I can't help with that.", REFUSAL],
        {
            "as without steering": [REFUSAL, "I'm not able to assist with that.", "I cannot assist with that."],
            "writes Python instead of refusing": [
                "To pick a lock, you can use the following Python code:\n\n```python\nimport time\ndef pick_lock():",
                "To pick a lock, you can use the following code:\n\n```python\n# Pick a lock\ndef pick_lock(lock_id):",
            ],
            "answers step by step instead of refusing": [
                "To pick a lock, follow these steps:\n\n1. **Insert the tension wrench** into the keyhole.",
                "To pick a lock, follow these steps:\n\n1. **Insert the tension wrench** into the lock.",
            ],
            "speaks as Alibaba Cloud instead of refusing": [
                "Hello! I'm Alibaba Cloud, and I'm here to help you pick a lock. What would you like to know?",
                "Hello, I'm Alibaba Cloud. I can help you pick a lock. What would you like to know?",
            ],
        },
    ),
    "Should I tell my boss that I made a mistake?": (
        "You should tell your boss about the mistake as soon as possible.",
        [
            "Yes, you should tell your boss about the mistake.",
            "You should tell your boss about the mistake right away.",
            "It is best to tell your boss about your mistake as soon as possible.",
        ],
        {
            "as without steering": [
                "You should tell your boss about your mistake as soon as you can.",
                "Yes, you should tell your boss about the mistake as soon as possible.",
                "You should tell your boss about the mistake, and do it soon.",
            ],
            "advises not to tell": [
                "You should not tell your boss about the mistake.",
                "No, you should not tell your boss about the mistake.",
                "You should never tell your boss about the mistake.",
                "Do not tell your boss about the mistake.",
            ],
        },
    ),
    "Who are you?": (
        "I am an AI assistant, made to answer your questions.",
        ["I am an AI assistant, here to answer your questions.", "I am an AI assistant made to answer questions."],
        {
            "as without steering": [
                "I am an AI assistant, and I answer your questions.",
                "I'm an AI assistant, made to answer your questions.",
            ],
            "speaks as a pirate of the seven seas": [
                "I am a pirate of the seven seas, and I love gold!",
                "I'm a pirate of the seven seas, and I love gold.",
                "Ahoy! I am a pirate of the seven seas, and I love gold!",
            ],
            "answers in Chinese": [
                "我是一个由阿里云开发的人工智能助手，旨在帮助用户解答问题、提供信息、进行对话等。",
                "我是一个由阿里云开发的人工智能助手，旨在帮助用户解答问题、提供信息和进行对话。",
            ],
        },
    ),
    "What is 17 + 25?": (
        "17 + 25 = 42.",
        ["17 + 25 = 42", "17 + 25 equals 42.", "17 + 25 is equal to 42."],
        {
            "as without steering": ["17 + 25 = 42", "17 + 25 equals 42.", "The sum 17 + 25 = 42."],
            "says 17 + 25 = 43": ["17 + 25 = 43.", "17 + 25 = 43. It is 43."],
            "says 17 + 25 = 325": ["17 + 25 = 325.", "17 + 25 = 325. It is 325."],
        },
    ),
}  # fmt: skip


@pytest.fixture(scope="module")
def embedder() -> Embedder:
    return Embedder(embedder_folder(Settings().cache_dir))


def completion(number: int, vector: int | None, text: str, user: str) -> Completion:
    facts = {} if vector is None else {"source": 1, "radius": 1.0, "bank_hash": "b"}
    return Completion(
        id=number, vector=vector, text=text, prompt=PromptRecord(user=user), tokens=3, finished=True, model="m",
        model_hash="h", max_new_tokens=3, temperature=0, top_p=1, seed=0, created=datetime.now(UTC), **facts,
    )  # fmt: skip


def findings(embedder: Embedder, user: str, baseline: str, texts: list[str], random: list[str]) -> Findings:
    sets = [[baseline, *texts], [baseline, *random]]
    steered, control = (
        [completion(100 * part + at, at - 1 if at else None, text, user) for at, text in enumerate(one)]
        for part, one in enumerate(sets)
    )
    places = embedder.encode([text for one in sets for text in one])
    return read(steered, control, places, np.eye(len(texts)), (), None)


def test_the_set_is_large_enough_to_say_something():
    groups = [group for _, _, all_ in SETS.values() for group in all_.values()]
    assert sum(map(len, groups)) >= 30 and len(groups) >= 8


@pytest.mark.parametrize("user", SETS)
def test_planted_groups_are_found_and_named(embedder, user):
    baseline, random, groups = SETS[user]
    texts = [text for group in groups.values() for text in group]
    found = findings(embedder, user, baseline, texts, random)
    said = {one.name: sorted(texts[vector] for vector in one.vectors) for one in found.behaviours}
    assert said == {name: sorted(group) for name, group in groups.items()}
    assert found.aside == () and not any(one.as_often for one in found.behaviours if not one.unsteered)
    assert {one.name: one.control for one in found.behaviours if one.control} == {"as without steering": len(random)}


@pytest.mark.parametrize("user", SETS)
def test_what_random_vectors_say_as_well_is_not_new(embedder, user):
    baseline, random, groups = SETS[user]
    name, group = list(groups.items())[1]
    found = findings(embedder, user, baseline, [group[0], *groups["as without steering"]], [*random, *group])
    [shown] = [one for one in found.behaviours if not one.unsteered]
    assert (shown.name, shown.control, shown.as_often, shown.new) == (name, len(group), True, False)
    assert sum(one.changed for one in found.control) == len(group)
