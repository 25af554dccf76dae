"""Studies in a notebook, in a temporary library: nothing is kept. See docs/api.md."""

from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeVar

import numpy as np

from melbo_app.analysis.embedding import Embedder
from melbo_app.arguments import asked_of, bank_given, instance, number, optional, several, unsteered, whole, written
from melbo_app.engine.decoding import Decoding
from melbo_app.engine.model import LanguageModel
from melbo_app.engine.prompt import Prompt
from melbo_app.engine.stopping import never
from melbo_app.errors import InputError
from melbo_app.jobs.bench import Bench, check_fits
from melbo_app.jobs.generators import result_of
from melbo_app.jobs.study import Study
from melbo_app.library.bank import Bank, PromptRecord
from melbo_app.library.bundled import embedder_folder
from melbo_app.library.generality import AskedPrompt, Generality
from melbo_app.library.prompt_sets import PromptSets
from melbo_app.settings import Settings
from melbo_app.studies.generality import RANDOM, GeneralityProgress, MeasureGenerality
from melbo_app.studies.label_agreement import Agreement, LabelAgreement

Result = TypeVar("Result")


def run(
    lm: LanguageModel,
    study: Study[Result],
    banks: Sequence[Bank] = (),
    progress: Callable[[Any], None] | None = None,
    memory_gb: float | None = None,
) -> Result:
    """Do any study of ``melbo_app.studies`` with this model, and return its result.

    Args:
        banks: the banks that the study names.
        progress: called with the progress.
        memory_gb: the memory it may use; None: 70 % of what is free.

    Raises:
        InputError: the study cannot be done.
    """
    with TemporaryDirectory() as folder:
        bench = Bench(Settings(cache_dir=Path(folder), memory_gb=memory_gb))
        bench.embedder = Embedder(embedder_folder(Settings().cache_dir))
        bench.model.adopt(unsteered(lm))
        try:
            for bank in banks:
                bench.banks.save(bank_given(bank))
            asked = study.bound(bench)
            asked.check(bench)
            asked.check_model(bench)
            return result_of(asked.run(bench, never), progress or (lambda now: None))
        finally:
            bench.database.close()


def agreement(bank: str) -> Agreement:
    """How far the annotators of a bank in this machine's library agree about its vectors.

    Raises:
        InputError: the bank does not exist.
    """
    bench = Bench(Settings())
    try:
        return result_of(LabelAgreement(bank=written("bank", bank)).run(bench, never))
    finally:
        bench.database.close()


def prompt_set(*given: str) -> dict[str, list[str]]:
    """The prompts of shipped sets ("refused", "everyday", "arithmetic", "code") and of files, by group.

    Raises:
        InputError: a set or file does not exist or cannot be read.
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
    samples: int = 1,
    decoding: Decoding | None = None,
    progress: Callable[[GeneralityProgress], None] | None = None,
) -> Generality:
    """On how many prompts each vector changes the answer, beside ``random`` random vectors of the same R.

    Args:
        prompts: texts or prompts, or the same by group: ``{"locks": ["How do I pick a lock?"], …}``.
        vectors: the number of one vector of the bank, or several; None: all.
        radius: R; None: each vector at its own norm.
        samples: answers to each prompt, sampled with the seed of ``decoding`` and the following ones.
        decoding: None: greedy, 40 tokens.
        progress: called with the progress and the result so far.

    Raises:
        InputError: a bank of another model, or values that cannot be used.
    """
    grouped: dict[Any, Any] = prompts if isinstance(prompts, dict) else {"": prompts}
    asked: list[AskedPrompt] = []
    for group, some in grouped.items():
        if not isinstance(group, str):
            raise InputError("prompts", f"the group {group!r} is not a string", "Give {'group': ['a text', …], …}")
        asked += [AskedPrompt(prompt=PromptRecord.of(one), group=group) for one in asked_of(lm, some)[0]]
    check_fits(bank_given(bank), lm)
    study = MeasureGenerality(
        bank=bank.record.name,
        prompts=asked,
        vectors=None if vectors is None else several("vectors", vectors, whole),
        radius=optional("radius", radius, number),
        random=whole("random", random),
        samples=whole("samples", samples),
        decoding=instance("decoding", decoding or Decoding(), Decoding, "Give Decoding(max_new_tokens=40)"),
    )
    return run(lm, study, [bank], progress)
