"""Steering vectors in a notebook: load, train, steer, compare, save. See docs/api.md."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import torch
from torch import Tensor, nn

from melbo_app.api_generality import generality as generality
from melbo_app.api_generality import prompt_set as prompt_set
from melbo_app.api_studies import run as run
from melbo_app.api_studies import searched
from melbo_app.arguments import (
    STEERED,
    asked_of,
    bank_given,
    file_path,
    instance,
    model_given,
    number,
    optional,
    options,
    several,
    shown,
    thetas_of,
    whole,
    written,
)
from melbo_app.arguments import prompts as read_prompts
from melbo_app.commands.output import Sparingly
from melbo_app.defaults import OpenTraining
from melbo_app.engine.decoding import Decoding
from melbo_app.engine.encoding import encode
from melbo_app.engine.model import LanguageModel, prepare
from melbo_app.engine.prompt import Prompt
from melbo_app.engine.scope import TokenScope
from melbo_app.engine.slice import ModelSlice
from melbo_app.engine.steering import add_rows
from melbo_app.engine.steering import steer as steer_blocks
from melbo_app.engine.suggestion import RELATIVE_RADIUS, default_scope, default_vectors, layers
from melbo_app.engine.training_config import TrainingConfig, TrainingProgress
from melbo_app.engine.unembedding import word_difference
from melbo_app.errors import InputError
from melbo_app.jobs.batching import Batching
from melbo_app.jobs.bench import check_fits
from melbo_app.jobs.compute import ComputeLock
from melbo_app.jobs.generators import map_progress, result_of
from melbo_app.jobs.loaded_model import LoadedModel
from melbo_app.jobs.model_identity import identity
from melbo_app.library.atomic import write_file
from melbo_app.library.bank import Bank
from melbo_app.library.completion import Completion
from melbo_app.library.explorations import SEARCH_SECONDS
from melbo_app.library.file_names import check_file_name
from melbo_app.library.formula import combine as combine_banks
from melbo_app.library.imports import read_file
from melbo_app.library.ranking import by_direction, by_strength
from melbo_app.settings import Settings
from melbo_app.studies.completing import complete as complete_variants
from melbo_app.studies.completing import variants
from melbo_app.studies.sensitivity import LayerPair
from melbo_app.studies.sensitivity import sensitivity as measure_pairs
from melbo_app.studies.settings_ladder import searching
from melbo_app.studies.similarity import Similarity
from melbo_app.studies.similarity import compare as compare_vectors
from melbo_app.studies.trained_bank import train_bank

Prompts = str | Prompt | Sequence[str | Prompt]
Vectors = Bank | Tensor | np.ndarray

_KNOWN: "WeakKeyDictionary[nn.Module, tuple[str, str]]" = WeakKeyDictionary()
"""Name and weights of the models that went through ``load`` or ``wrap``."""


@torch.inference_mode(False)  # weights that are moved to a GPU in it could not be trained on
def load(spec: str | Path = "SmolLM2-135M-Instruct", device: Any = None, dtype: Any = None) -> LanguageModel:
    """A model by hub name, key of the catalogue, folder or .gguf file, ready to be steered.

    A model of the catalogue, such as ``qwen2.5-0.5b``, is downloaded where it is not here, with progress on stderr.

    Device and dtype left out are what ``MELBO_DEVICE`` and ``MELBO_DTYPE`` say, or else chosen for this machine.

    Raises:
        InputError: no such model, or one that cannot be steered.
        StorageError: it could not be prepared on disk.
    """
    wanted = str(spec) if isinstance(spec, Path) else written("model", spec)
    asked = {"device": device, "dtype": dtype}
    chosen = {name: str(value).removeprefix("torch.") for name, value in asked.items() if value is not None}
    settings = Settings(model=wanted, **chosen)  # type: ignore[arg-type]
    loaded = LoadedModel(settings, on_progress=Sparingly().say)
    return _known(replace(loaded.load(), name=loaded.spec))


def wrap(model: Any, tokenizer: Any, name: str = "", weights_hash: str | None = None) -> LanguageModel:
    """A transformers model that is loaded already. It is put into evaluation mode, its weights get no gradients, and
    its tokenizer pads on the left from now on.

    Args:
        name: what banks call it; "": where it came from.
        weights_hash: what tells its weights from others; None: found out by reading them all (jobs/model_identity.py).

    Raises:
        InputError: it is no causal language model of transformers with its tokenizer.
    """
    model = _module(model)
    if not hasattr(tokenizer, "pad_token_id"):
        raise InputError("tokenizer", f"{shown(tokenizer)} is none", "Give the model first, then its tokenizer")
    if any(parameter.is_inference() for parameter in model.parameters()):
        problem = "its weights were made under torch.inference_mode(), and nothing can be trained on such"
        raise InputError("model", problem, "Load it outside")
    name = written("name", name) or getattr(model.config, "_name_or_path", "") or "model"
    found = identity(model, Settings().cache_dir) if weights_hash is None else written("weights_hash", weights_hash)
    return _known(prepare(name, found, model, tokenizer))


@torch.inference_mode(False)  # it switches gradients on as well, where the notebook has switched them off
def train(
    lm: LanguageModel,
    prompts: Prompts,
    *,
    name: str = "bank",
    source: int | None = None,
    target: int | None = None,
    radius: float | None = None,
    relative_radius: float | None = None,
    vectors: int | None = None,
    method: str = "joint",
    scope: str | None = None,
    against: Prompts = (),
    held_out: Prompts = (),
    progress: Callable[[TrainingProgress], None] | None = None,
    memory_gb: float | None = None,
    search_seconds: float = SEARCH_SECONDS,
    **others: Any,
) -> Bank:
    """Train vectors: a ``Bank`` with ``vectors`` [V, d] float32 (numpy) and its ``record``.

    Args:
        source, target: blocks, counted from 0; None: 7/30 and 21/30 of the way up, or what the search finds.
        radius: R, the norm of each vector; or ``relative_radius``, a multiple of the median residual norm at the
            source. With neither of them, joint and the soft methods look for R at short completions, and for the
            effect budget unless ``others`` has a ``saturation``; R of the other methods is 0.07 × the median norm.
        vectors: how many; None: 8, or as many as the method can find.
        scope: None: ``assistant``, or ``last:4`` where a prompt goes in without the template.
        against: prompts of the other side, for the methods that compare two.
        held_out: prompts that are not trained on: what the vectors do there is measured.
        progress: called after every step.
        memory_gb: what a training may use; None: 70 % of what is free.
        search_seconds: how long to look for R and the effect budget.
        others: the other fields of ``TrainingConfig``: steps, p, q, seed, start, agreement, saturation (the effect
            budget: the share of a target token's norm at which a change counts most; 0: no limit), …

    Texts in ``against`` and ``held_out`` go in as the first prompt does, with its system text and template.

    Raises:
        InputError: what was asked for cannot be trained.
    """
    asked, first = asked_of(lm, prompts)
    source, target = (optional(field, value, whole) for field, value in (("source", source), ("target", target)))
    radius, share = optional("radius", radius, number), optional("relative_radius", relative_radius, number)
    wanted = OpenTraining(source, target, radius, share)  # refuses R given twice
    source, target = layers(len(lm.blocks), source, target)
    if radius is None:
        norm = ModelSlice(lm, encode(lm, asked), source, target).median_norm
        radius = norm * (RELATIVE_RADIUS if share is None else share)
    other_side = read_prompts("against", against, first)
    method = written("method", method)
    config = TrainingConfig(
        source,
        target,
        radius,
        default_vectors(method, len(other_side)) if vectors is None else whole("vectors", vectors),
        method,  # type: ignore[arg-type]  # an unknown one is refused with the names of those there are
        scope=default_scope(asked) if scope is None else written("scope", scope),
        against=tuple(other_side),
        held_out=tuple(read_prompts("held_out", held_out, first)),
        **options(TrainingConfig, others),
    )
    memory_gb = optional("memory_gb", memory_gb, number)
    if wanted.searches(config):
        looking = searched(lm, asked, config, number("search_seconds", search_seconds), memory_gb, wanted.layers_free)
        config, _ = result_of(map_progress(looking, searching), progress or (lambda now: None))
    work = train_bank(lm, lm.name, asked, config, written("name", name), memory_gb, lambda: False)
    return result_of(work, progress or (lambda now: None))


def complete(
    lm: LanguageModel,
    prompts: Prompts,
    bank: Bank | None = None,
    vectors: int | Sequence[int] | np.ndarray | None = None,
    radius: float | Sequence[float] | np.ndarray | None = None,
    *,
    decoding: Decoding | None = None,
    random_control: bool = False,
    both_signs: bool = False,
) -> list[Completion]:
    """Complete prompts without steering and under vectors: the baseline first, then for each R the vectors.

    Args:
        vectors: the number of one of the bank's vectors, or several; None: all.
        radius: R or several; None: each vector with the norm that it has in the bank.
        decoding: None: greedy, 40 tokens.
        random_control: for each R, before the vectors, a random vector of that R.
        both_signs: each vector is followed by itself at -R.

    Raises:
        InputError: prompts that cannot go in, or a bank of another model.
    """
    asked, _ = asked_of(lm, prompts)
    numbers = [] if vectors is None else several("vectors", vectors, whole)
    radii = None if radius is None else several("radius", radius, number)
    if bank is not None:
        check_fits(bank_given(bank), lm)
        numbers = [*range(len(bank.vectors))] if vectors is None else numbers
    remedy = "Give Decoding(max_new_tokens=40)"
    chosen = instance("decoding", Decoding() if decoding is None else decoding, Decoding, remedy)
    chosen = Decoding(**options(Decoding, asdict(chosen)))
    rows = variants(bank, numbers, radii, random_control=random_control, both_signs=both_signs)
    alone = Batching(ComputeLock(), None)
    work = complete_variants(lm, bank, asked, rows, chosen, lambda _draft: None, alone, lambda: False)
    return result_of(work)[0]


def compare(lm: LanguageModel, bank: Bank, prompts: Prompts | None = None, scope: str = "content") -> Similarity:
    """Pairwise cosines [V, V] of what the vectors change (δ) and of the vectors (θ), by default on the prompts that
    the bank was trained on; ``scope`` says at which tokens, whichever the bank was trained for.

    Raises:
        InputError: a bank of another model, or one without prompts where none are given.
    """
    record = bank_given(bank).record
    if prompts is None and not record.prompts:
        raise InputError("prompts", f"“{record.name}” has none of its own", "Give some")
    asked, _ = asked_of(lm, record.prompts if prompts is None else prompts)
    check_fits(bank, lm)
    piece = ModelSlice(lm, encode(lm, asked), *layers(len(lm.blocks), record.source, record.target))
    return result_of(compare_vectors(piece, bank, TokenScope.parse(written("scope", scope))))


@torch.inference_mode(False)  # as for train
def sensitivity(
    lm: LanguageModel,
    prompts: Prompts,
    sources: int | Sequence[int] | None = None,
    targets: int | Sequence[int] | None = None,
    *,
    scope: str | None = None,
    values: int = 4,
) -> list[LayerPair]:
    """How strongly each target layer answers to each source layer below it: ``values`` singular values of the Jacobian
    between them, the largest first. Layers and scope left out are those of ``train``.

    Raises:
        InputError: no target is above a source.
    """
    asked, _ = asked_of(lm, prompts)
    usual = layers(len(lm.blocks))
    below, above = (
        [layer] if given is None else several(field, given, whole)
        for field, given, layer in (("sources", sources, usual[0]), ("targets", targets, usual[1]))
    )
    wanted, count = default_scope(asked) if scope is None else written("scope", scope), whole("values", values)
    return result_of(measure_pairs(lm, asked, below, above, wanted, count, None, lambda: False))


def rank(lm: LanguageModel, bank: Bank, toward: str | None = None, away: str | None = None) -> list[tuple[int, float]]:
    """The bank's vectors in order, as (number, value): by the strength that their method gives, or, with two words, by
    the cosine between what they do at the target layer and what makes the model say ``toward`` rather than ``away``.

    Raises:
        InputError: the bank's method gives no strengths, or does not say what vectors do at the target layer.
    """
    check_fits(bank_given(bank), model_given(lm))
    if toward is None and away is None:
        return by_strength(bank)
    words = (written("toward", toward), written("away", away))
    return by_direction(bank, word_difference(lm, *words).detach().numpy())


def combine(formula: str, banks: Mapping[str, Bank], name: str = "combined") -> Bank:
    """The bank that a formula over vectors of others describes, such as ``"mean(a[0], b[3]) - 0.5 * c[1]"``; ``banks``
    says which bank each word in it is. What can be written is in engine/recipe.py.

    Raises:
        InputError: a formula that cannot be read, or banks of other weights or source layers.
    """
    remedy = "Give one that says which bank each word of the formula is: {'a': bank}"
    known = instance("banks", banks, Mapping, remedy)  # type: ignore[type-abstract]

    def bank_of(word: str) -> Bank:
        if word not in known:
            raise InputError("formula", f"“{word}” is none of the banks", f"There are {', '.join(map(str, known))}")
        return bank_given(known[word])

    return combine_banks(written("formula", formula), written("name", name), bank_of)


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
        model: a ``LanguageModel``, or any causal language model of transformers. Whether a bank was made for its
            weights is known of those that ``load`` or ``wrap`` gave or were given.
        vectors: a bank, or an array [d] or [rows, d] (then row i of every batch gets vector i).
        vector: which one of a bank, or of the array's rows; None: as it is.
        source: the block; a bank knows its own.
        radius: R, signed; None: the vectors as they are.

    Raises:
        InputError: vectors of another width or another model, no ``source``, a block that does not exist, or another
            number of vectors than the batch has rows.
        RuntimeError: the model did not run while this was open, so nothing was steered.
    """
    lm = _model_of(model)
    if isinstance(vectors, Bank):
        if lm.model in _KNOWN:
            check_fits(vectors, lm)
        source = vectors.record.source if source is None else source
    if source is None:
        raise InputError("source layer", "an array has no source layer", "Pass source=7, the number of the block")
    source, vector = whole("source layer", source), optional("vector", vector, whole)
    thetas = thetas_of(vectors)
    if vector is not None:
        if not 0 <= vector < len(thetas):
            raise InputError("vector", f"there is no vector {vector}", f"Choose from 0 to {len(thetas) - 1}")
        thetas = thetas[vector : vector + 1]
    if thetas.shape[1] != lm.hidden_size:
        problem = f"they have {thetas.shape[1]} numbers each, and the hidden size of {lm.name} is {lm.hidden_size}"
        raise InputError("vectors", problem, "Choose vectors of this model")
    if radius is not None:
        variants(None, [], [radius := number("radius", radius)])  # refuses what is no R
        thetas = radius * nn.functional.normalize(thetas.float(), dim=1)
    block = lm.block("source layer", source)
    STEERED.append(block)
    try:
        with steer_blocks(lm, source, add_rows(thetas.to(next(block.parameters()).device))):
            yield
    finally:
        STEERED.remove(block)


def save(bank: Bank, path: str | Path, *, overwrite: bool = False) -> Path:
    """Write a bank to a ``.safetensors`` file, whole or not at all; the page and the command line import it.

    Raises:
        InputError: the file is there, and ``overwrite`` is False; or a name that not every system can hold.
        StorageError: the disk refuses.
    """
    out = file_path(path)
    check_file_name("path", out.name)
    try:
        write_file(out, bank_given(bank).renamed(out.stem).to_bytes(), overwrite=overwrite)
    except FileExistsError as error:
        raise InputError("path", f"“{out}” is there already", "Choose another name, or say overwrite=True") from error
    return out


def open_bank(path: str | Path) -> Bank:
    """A bank from a file that ``save`` or the workbench wrote.

    Raises:
        InputError: the file is none of ours, or damaged.
        StorageError: it could not be read.
    """
    found, contents = read_file(file_path(path))
    if contents.bank is None:
        problem = f"“{path}” is not one of our banks ({found.title}) and does not say what one knows"
        raise InputError("path", problem, "Make one of it with: python -m melbo_app banks import FILE --source LAYER")
    return contents.bank


def _known(lm: LanguageModel) -> LanguageModel:
    """``lm``, remembered for ``steer``."""
    _KNOWN[lm.model] = (lm.name, lm.weights_hash)
    return lm


def _model_of(given: Any) -> LanguageModel:
    """A ``LanguageModel`` around any causal language model. Raises InputError for anything else."""
    if isinstance(given, LanguageModel):
        return given
    model = _module(given)
    name, weights_hash = _KNOWN.get(model, (type(model).__name__, ""))
    return LanguageModel(name, weights_hash, model, None)


def _module(given: Any) -> nn.Module:
    """A causal language model of transformers. Raises InputError for anything else, and for one of torch.compile, which
    runs without what is added to a block."""
    remedy = "Give a language model of transformers, pipe.model of a pipeline"
    if not isinstance(given, nn.Module) or not hasattr(given, "config"):
        raise InputError("model", f"{shown(given)} is none", remedy)
    if hasattr(given, "_orig_mod"):
        problem = "torch.compile leaves out what is added to a block"
        raise InputError("model", problem, "Give the model that was compiled, and run that one")
    return given
