"""Steering vectors in a notebook: load, train, steer, compare, save. See docs/api.md."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from melbo_app.engine.decoding import Decoding
from melbo_app.engine.encoding import encode
from melbo_app.engine.model import LanguageModel, prepare
from melbo_app.engine.prompt import Prompt
from melbo_app.engine.scope import TokenScope
from melbo_app.engine.slice import ModelSlice
from melbo_app.engine.steering import add_rows
from melbo_app.engine.steering import steer as steer_blocks
from melbo_app.engine.training_config import TrainingConfig, TrainingProgress
from melbo_app.errors import InputError
from melbo_app.jobs.batching import Batching
from melbo_app.jobs.compute import ComputeLock
from melbo_app.jobs.loaded_model import LoadedModel
from melbo_app.jobs.similarity import Similarity
from melbo_app.jobs.similarity import compare as compare_vectors
from melbo_app.jobs.steering import check_fits, variants
from melbo_app.jobs.steering import complete as complete_variants
from melbo_app.jobs.training import RELATIVE_RADIUS, default_scope, layers, train_bank
from melbo_app.jobs.work import result_of
from melbo_app.library.atomic import write_file
from melbo_app.library.bank import Bank
from melbo_app.library.completions import Completion
from melbo_app.settings import Settings

Prompts = str | Prompt | Sequence[str | Prompt]
Vectors = Bank | Tensor | np.ndarray


def load(spec: str = "SmolLM2-135M-Instruct", device: str = "auto", dtype: str = "auto") -> LanguageModel:
    """A model by hub name, folder or .gguf file, ready to be steered.

    Raises:
        InputError: no such model, or one that cannot be steered.
        StorageError: it could not be prepared on disk.
    """
    return LoadedModel(Settings(model=spec, device=device, dtype=dtype)).load()


def wrap(model: Any, tokenizer: Any, name: str = "", weights_hash: str = "") -> LanguageModel:
    """A transformers model that is loaded already. It is put into evaluation mode, its weights get no gradients, and
    its tokenizer pads on the left from now on."""
    return prepare(name or getattr(model.config, "_name_or_path", "") or "model", weights_hash, model, tokenizer)


def train(
    lm: LanguageModel,
    prompts: Prompts,
    *,
    name: str = "bank",
    source: int | None = None,
    target: int | None = None,
    radius: float | None = None,
    relative_radius: float = RELATIVE_RADIUS,
    progress: Callable[[TrainingProgress], None] | None = None,
    memory_gb: float | None = None,
    **options: Any,
) -> Bank:
    """Train vectors: a ``Bank`` with ``vectors`` [V, d] float32 (numpy) and its ``record``.

    Args:
        source, target: blocks, counted from 0; None: 7/30 and 21/30 of the way up.
        radius: R, the norm of each vector; None: ``relative_radius`` times the median residual norm at the source.
        progress: called after every step.
        memory_gb: what a training may use; None: 70 % of what is free.
        options: the other fields of ``TrainingConfig``: vectors, method, steps, p, q, scope, seed, …

    Raises:
        InputError: what was asked for cannot be trained.
    """
    asked = _prompts(lm, prompts)
    source, target = layers(len(lm.blocks), source, target)
    if radius is None:
        radius = relative_radius * ModelSlice(lm, encode(lm, asked), source, target).median_norm
    config = TrainingConfig(source, target, radius, **{"scope": default_scope(asked), **options})
    work = train_bank(lm, lm.name, asked, config, name, memory_gb, lambda: False)
    return result_of(work, progress or (lambda now: None))


def complete(
    lm: LanguageModel,
    prompts: Prompts,
    bank: Bank | None = None,
    vectors: Sequence[int] | None = None,
    radius: float | Sequence[float] | None = None,
    *,
    decoding: Decoding | None = None,
    random_control: bool = False,
    both_signs: bool = False,
) -> list[Completion]:
    """Complete prompts without steering and under vectors: the baseline first, then for each R the vectors.

    With ``both_signs`` each vector is followed by itself at -R.

    Args:
        vectors: numbers of the bank's vectors; None: all.
        radius: R or several; None: as trained.
        decoding: None: greedy, 40 tokens.

    Raises:
        InputError: prompts that cannot go in, or a bank of another model.
    """
    asked = _prompts(lm, prompts)
    if bank is not None:
        check_fits(bank, lm)
        vectors = range(len(bank.vectors)) if vectors is None else vectors
        radius = bank.record.radius if radius is None else radius
    radii = [radius] if isinstance(radius, int | float) else list(radius or [])
    rows = variants(bank, list(vectors or []), radii, random_control=random_control, both_signs=both_signs)
    alone = Batching(ComputeLock(), None)
    work = complete_variants(lm, bank, asked, rows, decoding or Decoding(), lambda _draft: None, alone, lambda: False)
    return result_of(work)[0]


def compare(lm: LanguageModel, bank: Bank, prompts: Prompts | None = None, scope: str = "content") -> Similarity:
    """Pairwise cosines [V, V] of what the vectors change (δ) and of the vectors (θ), by default on the prompts that
    the bank was trained on.

    Raises:
        InputError: a bank of another model, or one without prompts where none are given.
    """
    check_fits(bank, lm)
    record = bank.record
    own = [Prompt(entry.user, entry.system, entry.template) for entry in record.prompts]
    asked = own if prompts is None else _prompts(lm, prompts)
    if not asked:
        raise InputError("prompts", f"“{record.name}” has none of its own", "Give some")
    piece = ModelSlice(lm, encode(lm, asked), *layers(len(lm.blocks), record.source, record.target))
    return result_of(compare_vectors(piece, bank, TokenScope.parse(scope)))


@contextmanager
def steer(
    model: LanguageModel | nn.Module,
    vectors: Vectors,
    vector: int | None = None,
    *,
    source: int | None = None,
    radius: float | None = None,
) -> Iterator[None]:
    """While this is open, vectors are added to the output of block ``source`` at every token, whoever runs the model.

    It works inside other people's code: ``model.generate``, a pipeline, an evaluation harness.

    Args:
        model: a ``LanguageModel``, or any causal language model of transformers.
        vectors: a bank, or an array [d] or [rows, d] (then row i of every batch gets vector i).
        vector: which one of a bank, or of the array's rows; None: as it is.
        source: the block; a bank knows its own.
        radius: R, signed; None: the vectors as they are.

    Raises:
        InputError: vectors of another width or another model, no ``source``, or a block that does not exist.
        RuntimeError: the model did not run while this was open, so nothing was steered.
    """
    lm = model if isinstance(model, LanguageModel) else LanguageModel(type(model).__name__, "", model, None)
    rows = vectors.vectors if isinstance(vectors, Bank) else vectors
    if isinstance(vectors, Bank):
        if isinstance(model, LanguageModel):
            check_fits(vectors, lm)
        source = vectors.record.source if source is None else source
    if source is None:
        raise InputError("source layer", "an array does not know its own", "Say source=7, the block's number")
    thetas = torch.as_tensor(np.array(rows, dtype=np.float32) if isinstance(rows, np.ndarray) else rows)
    thetas = thetas[None] if thetas.dim() == 1 else thetas
    if vector is not None:
        if not 0 <= vector < len(thetas):
            raise InputError("vector", f"there is no vector {vector}", f"Choose from 0 to {len(thetas) - 1}")
        thetas = thetas[vector : vector + 1]
    if thetas.shape[1] != lm.hidden_size:
        problem = f"they have {thetas.shape[1]} numbers each, and the hidden size of {lm.name} is {lm.hidden_size}"
        raise InputError("vectors", problem, "Choose vectors of this model")
    if radius is not None:
        thetas = radius * nn.functional.normalize(thetas.float(), dim=1)
    block = lm.block("source layer", source)
    with steer_blocks(lm, source, add_rows(thetas.to(next(block.parameters()).device))):
        yield


def save(bank: Bank, path: str | Path, *, overwrite: bool = False) -> Path:
    """Write a bank to a ``.safetensors`` file, whole or not at all; the page and the command line import it.

    Raises:
        FileExistsError: the file is there, and ``overwrite`` is False.
        StorageError: the disk refuses.
    """
    out = Path(path)
    write_file(out, bank.renamed(out.stem).to_bytes(), overwrite=overwrite)
    return out


def open_bank(path: str | Path) -> Bank:
    """A bank from a file that ``save`` or the workbench wrote.

    Raises:
        InputError: the file is none of ours, or damaged.
    """
    return Bank.from_bytes(Path(path).read_bytes())


def _prompts(lm: LanguageModel, prompts: Prompts) -> list[Prompt]:
    entries = [prompts] if isinstance(prompts, str | Prompt) else list(prompts)
    return [Prompt(entry, template=lm.has_template) if isinstance(entry, str) else entry for entry in entries]
