"""What the tests of workbench, jobs and command line share: a tiny model in a folder, and a workbench around it."""

from collections.abc import Generator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from tiny_models import tiny

from melbo_app.engine.prompt import Prompt
from melbo_app.engine.training_config import TrainingConfig
from melbo_app.jobs.generators import result_of
from melbo_app.library.bank import Bank
from melbo_app.settings import Settings
from melbo_app.studies.train import Train
from melbo_app.workbench import Workbench

Result = TypeVar("Result")

PROMPT = Prompt("hello there")
QUICK = TrainingConfig(source=1, target=3, radius=6.0, vectors=3, steps=4)
LENT: set[str] = set()
"""Folders of models that conftest.py reads once for all workbenches."""


def save_tiny(folder: Path, family: str = "llama", **config: Any) -> Path:
    """A tiny random model with its tokenizer, in a folder as transformers writes it."""
    lm = tiny(family, **config)
    lm.model.save_pretrained(folder)
    lm.tokenizer.save_pretrained(folder)
    return folder


def settings(cache: Path, model: Path) -> Settings:
    """Settings that know nothing of this machine's environment but its hardware."""
    return Settings(
        cache_dir=cache, assets_dir=cache / "assets", model=str(model), device="cpu", dtype="float32", memory_gb=4
    )


def listen(work: Generator[Any, None, Result]) -> tuple[list[Any], Result]:
    """All progress, and what the work returns."""
    heard = []
    while True:
        try:
            heard.append(next(work))
        except StopIteration as end:
            return heard, end.value


def trained(
    bench: Workbench, name: str = "a", config: TrainingConfig = QUICK, prompts: Sequence[Prompt] = (PROMPT,)
) -> Bank:
    """A bank trained and put on the shelf."""
    return result_of(bench.run(Train(prompts=prompts, config=config, name=name)))


_SHELVED: dict[tuple[str, str, str], Bank] = {}


def shelved(bench: Workbench, *, load: bool = True) -> Bank:
    """The bank of ``trained``, for tests that are not about training: it is trained once and put on each shelf.

    ``load``: the model is loaded then, as it is after a training.
    """
    chosen = bench.settings
    key = (chosen.model, chosen.device, chosen.dtype)
    if key not in _SHELVED:
        _SHELVED[key] = trained(bench)
        return _SHELVED[key]
    before = _SHELVED[key]
    bank = replace(before, record=before.record.model_copy(update={"created": datetime.now(UTC)}))
    bench.bench.banks.save(bank)
    if load:
        bench.load_model()
    return bank


class StubEmbedder:
    """Stands for the sentence embedder: each text at a place of its own, the same text at the same place."""

    identity = "stub"

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        rows = [np.random.default_rng(sum(map(ord, text)) + len(text)).normal(size=8) for text in texts]
        return np.asarray(rows, dtype=np.float32)
