"""Generality in a notebook: ``melbo.generality``. See docs/api.md."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from melbo_app.analysis.embedding import Embedder
from melbo_app.arguments import asked_of, bank_given, instance, number, optional, several, whole
from melbo_app.engine.decoding import Decoding
from melbo_app.engine.model import LanguageModel
from melbo_app.engine.prompt import Prompt
from melbo_app.errors import InputError
from melbo_app.jobs.batching import Batching
from melbo_app.jobs.bench import check_fits
from melbo_app.jobs.compute import ComputeLock
from melbo_app.jobs.generators import result_of
from melbo_app.library.bank import Bank, PromptRecord
from melbo_app.library.bundled import embedder_folder
from melbo_app.library.generality import AskedPrompt, Generality
from melbo_app.library.prompt_sets import PromptSets
from melbo_app.settings import Settings
from melbo_app.studies.generality import RANDOM, GeneralityProgress, Means
from melbo_app.studies.generality import generality as measure


def prompt_set(*given: str) -> dict[str, list[str]]:
    """The prompts of shipped sets ("refused", "everyday", "arithmetic", "code") and of files, by their group.

    Raises:
        InputError: there is no such set or file, or it cannot be read.
    """
    found: dict[str, list[str]] = {}
    for one in PromptSets(Settings().assets_dir / "prompts").read_all(list(given)):
        found.setdefault(one.group, []).append(one.text)
    return found


def generality(
    lm: LanguageModel,
    bank: Bank,
    prompts: str | Prompt | Sequence[str | Prompt] | dict[str, list[str]],
    vectors: int | Sequence[int] | np.ndarray | None = None,
    radius: float | None = None,
    *,
    random: int = RANDOM,
    decoding: Decoding | None = None,
    progress: Callable[[GeneralityProgress], None] | None = None,
) -> Generality:
    """On how many prompts each vector changes the answer, beside ``random`` random vectors of the same R.

    Args:
        prompts: texts or prompts, or the same by group: ``{"locks": ["How do I pick a lock?"], …}``.
        vectors: the number of one of the bank's vectors, or several; None: all.
        radius: R; None: each vector with the norm that it has in the bank.
        decoding: None: greedy, 40 tokens.
        progress: called with how far it is, and with the result so far.

    Raises:
        InputError: a bank of another model, or what cannot be measured.
    """
    grouped: dict[Any, Any] = prompts if isinstance(prompts, dict) else {"": prompts}
    asked: list[AskedPrompt] = []
    for group, some in grouped.items():
        if not isinstance(group, str):
            raise InputError("prompts", f"the group {group!r} is not a text", "Give {'group': ['a text', …], …}")
        asked += [AskedPrompt(prompt=PromptRecord.of(one), group=group) for one in asked_of(lm, some)[0]]
    check_fits(bank_given(bank), lm)
    numbers = list(range(len(bank.vectors))) if vectors is None else several("vectors", vectors, whole)
    chosen = instance("decoding", decoding or Decoding(), Decoding, "Give Decoding(max_new_tokens=40)")
    embedder = Embedder(embedder_folder(Settings().cache_dir))
    means = Means(lambda _draft: None, embedder.encode, Batching(ComputeLock(), None))
    length, count = optional("radius", radius, number), whole("random", random)
    work = measure(lm, bank, numbers, length, asked, means, lambda: False, random=count, decoding=chosen)
    return result_of(work, progress or (lambda now: None))
