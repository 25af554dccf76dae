"""Steering vectors in a notebook: load, train, steer, compare, save. See docs/api.md."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import torch
from torch import Tensor, nn

from melbo_app.api_banks import combine as combine
from melbo_app.api_banks import open_bank as open_bank
from melbo_app.api_banks import rank as rank
from melbo_app.api_banks import save as save
from melbo_app.api_organisms import make_organism as make_organism
from melbo_app.api_organisms import measure_organism as measure_organism
from melbo_app.api_organisms import organism_recipes as organism_recipes
from melbo_app.api_organisms import score_organisms as score_organisms
from melbo_app.api_studies import agreement as agreement
from melbo_app.api_studies import generality as generality
from melbo_app.api_studies import prompt_set as prompt_set
from melbo_app.api_studies import run as run
from melbo_app.arguments import (
    STEERED,
    asked_of,
    bank_given,
    instance,
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
from melbo_app.errors import InputError
from melbo_app.jobs.batching import Batching
from melbo_app.jobs.bench import check_fits
from melbo_app.jobs.compute import ComputeLock
from melbo_app.jobs.generators import result_of
from melbo_app.jobs.loaded_model import LoadedModel
from melbo_app.jobs.model_identity import identity
from melbo_app.library.bank import Bank
from melbo_app.library.completion import Completion
from melbo_app.library.explorations import SEARCH_SECONDS
from melbo_app.settings import Settings
from melbo_app.studies.completing import complete as complete_variants
from melbo_app.studies.completing import variants
from melbo_app.studies.looks import after_search
from melbo_app.studies.search_settings import SearchSettings
from melbo_app.studies.sensitivity import LayerPair, MeasureSensitivity
from melbo_app.studies.settings_ladder import searching
from melbo_app.studies.similarity import Similarity
from melbo_app.studies.similarity import compare as compare_vectors
from melbo_app.studies.trained_bank import train_bank

Prompts = str | Prompt | Sequence[str | Prompt]
Vectors = Bank | Tensor | np.ndarray

_KNOWN: "WeakKeyDictionary[nn.Module, tuple[str, str]]" = WeakKeyDictionary()
"""Name and weights hash of the models that ``load`` or ``wrap`` returned."""


@torch.inference_mode(False)  # weights moved to a GPU in inference mode could not be trained on
def load(spec: str | Path = "SmolLM2-135M-Instruct", device: Any = None, dtype: Any = None) -> LanguageModel:
    """A model by hub name, key of the catalogue, folder or .gguf file, ready to be steered.

    A missing model of the catalogue, such as ``qwen2.5-0.5b``, is downloaded, with progress on stderr.

    Device and dtype default to ``MELBO_DEVICE`` and ``MELBO_DTYPE``, or to what suits this machine.

    Raises:
        InputError: the model does not exist or cannot be steered.
        StorageError: its files could not be prepared.
    """
    wanted = str(spec) if isinstance(spec, Path) else written("model", spec)
    asked = {"device": device, "dtype": dtype}
    chosen = {name: str(value).removeprefix("torch.") for name, value in asked.items() if value is not None}
    settings = Settings(model=wanted, **chosen)  # type: ignore[arg-type]
    loaded = LoadedModel(settings, on_progress=Sparingly().say)
    return _known(replace(loaded.load(), name=loaded.spec))


def wrap(model: Any, tokenizer: Any, name: str = "", weights_hash: str | None = None) -> LanguageModel:
    """A transformers model that you have loaded. It is put into evaluation mode, its weights get no gradients, and its
    tokenizer pads on the left from now on.

    Args:
        name: its name in banks; "": where it was loaded from.
        weights_hash: identifies its weights; None: computed by reading them all (jobs/model_identity.py).

    Raises:
        InputError: these are not a causal language model of transformers and its tokenizer.
    """
    model = _module(model)
    if not hasattr(tokenizer, "pad_token_id"):
        raise InputError(
            "tokenizer", f"{shown(tokenizer)} is not a tokenizer", "Give the model first, then its tokenizer"
        )
    if any(parameter.is_inference() for parameter in model.parameters()):
        problem = "its weights were made under torch.inference_mode(), so nothing can be trained on them"
        raise InputError("model", problem, "Load it outside inference mode")
    name = written("name", name) or getattr(model.config, "_name_or_path", "") or "model"
    found = identity(model, Settings().cache_dir) if weights_hash is None else written("weights_hash", weights_hash)
    return _known(prepare(name, found, model, tokenizer))


@torch.inference_mode(False)  # also switches gradients on if the notebook has switched them off
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
        source, target: blocks, counted from 0; None: 7/30 and 21/30 of the way up, or chosen by the search.
        radius: R, the norm of each vector; or ``relative_radius``, a multiple of the median residual norm at the
            source. Without either, joint and the soft methods search for R by short completions, and for the effect
            budget unless ``others`` has a ``saturation``; other methods use 0.07 × the median norm.
        vectors: how many; None: 8, or as many as the method can find.
        scope: None: ``assistant``, or ``last:4`` if a prompt is used without the template.
        against: prompts of the other side, for the methods that compare two.
        held_out: prompts that are not trained on; the effect of the vectors on them is measured.
        progress: called after every step.
        memory_gb: the memory that the training may use; None: 70 % of what is free.
        search_seconds: how long to search for R and the effect budget.
        others: the other fields of ``TrainingConfig``: steps, p, q, seed, start, agreement, saturation (the effect
            budget: the share of a target token's norm at which a change counts most; 0: no limit), …

    Strings in ``against`` and ``held_out`` get the system text and template of the first prompt.

    Raises:
        InputError: this cannot be trained.
    """
    asked, first = asked_of(lm, prompts)
    source, target = (optional(field, value, whole) for field, value in (("source", source), ("target", target)))
    radius, share = optional("radius", radius, number), optional("relative_radius", relative_radius, number)
    wanted = OpenTraining(source, target, radius, share)  # raises if R is given twice
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
        method,  # type: ignore[arg-type]  # an unknown one is refused with the list of methods
        scope=default_scope(asked) if scope is None else written("scope", scope),
        against=tuple(other_side),
        held_out=tuple(read_prompts("held_out", held_out, first)),
        **options(TrainingConfig, others),
    )
    memory_gb, heard = optional("memory_gb", memory_gb, number), progress or (lambda now: None)
    if wanted.searches(config):
        seconds = number("search_seconds", search_seconds)
        search = SearchSettings.before(asked, config, seconds, other_layers=wanted.layers_free)
        found = run(lm, search, progress=lambda now: heard(searching(now)), memory_gb=memory_gb)
        config = after_search(config, found.best)
    return result_of(train_bank(lm, lm.name, asked, config, written("name", name), memory_gb, lambda: False), heard)


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
    """Complete prompts without steering and under vectors: first the baseline, then the vectors at each R.

    Args:
        vectors: the number of one vector of the bank, or several; None: all.
        radius: R or several; None: each vector at its own norm.
        decoding: None: greedy, 40 tokens.
        random_control: at each R, before the vectors, a random vector of that R.
        both_signs: after each vector, the same at -R.

    Raises:
        InputError: prompts that cannot be used, or a bank of another model.
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
    """Pairwise cosines [V, V] of the changes that vectors make (δ) and of the vectors (θ), by default on the bank's
    training prompts, at the tokens in ``scope``, whatever the bank's own scope.

    Raises:
        InputError: a bank of another model, or no prompts, neither given nor in the bank.
    """
    record = bank_given(bank).record
    if prompts is None and not record.prompts:
        raise InputError("prompts", f"the bank “{record.name}” has none", "Give some")
    asked, _ = asked_of(lm, record.prompts if prompts is None else prompts)
    check_fits(bank, lm)
    piece = ModelSlice(lm, encode(lm, asked), *layers(len(lm.blocks), record.source, record.target))
    return result_of(compare_vectors(piece, bank, TokenScope.parse(written("scope", scope))))


@torch.inference_mode(False)  # as in train
def sensitivity(
    lm: LanguageModel,
    prompts: Prompts,
    sources: int | Sequence[int] | None = None,
    targets: int | Sequence[int] | None = None,
    *,
    scope: str | None = None,
    values: int = 4,
) -> list[LayerPair]:
    """How strongly each target layer responds to each source layer below it: ``values`` singular values of the Jacobian
    between them, the largest first. Layers and scope default to those of ``train``.

    Raises:
        InputError: no target is above a source.
    """
    asked, _ = asked_of(lm, prompts)
    study = MeasureSensitivity(
        prompts=asked,
        sources=None if sources is None else several("sources", sources, whole),
        targets=None if targets is None else several("targets", targets, whole),
        scope=optional("scope", scope, written),
        count=whole("values", values),
    )
    return run(lm, study)


@contextmanager
def steer(
    model: LanguageModel | nn.Module,
    vectors: Vectors,
    vector: int | None = None,
    *,
    source: int | None = None,
    radius: float | None = None,
) -> Iterator[None]:
    """Inside this context, vectors are added to the output of block ``source`` at every token, no matter which
    code runs the model.

    It works inside other people's code: ``model.generate``, a pipeline, an evaluation harness.

    Args:
        model: a ``LanguageModel``, or any causal language model of transformers. A bank is checked against the weights
            only for models that ``load`` or ``wrap`` returned.
        vectors: a bank, or an array [d] or [rows, d] (then row i of every batch gets vector i).
        vector: the number of one vector of the bank, or row of the array; None: all of it.
        source: the block; default: the bank's.
        radius: R, signed; None: the vectors' own norms.

    Raises:
        InputError: vectors of another width or another model, no ``source``, a block that does not exist, or vectors
            and rows of the batch in different numbers.
        RuntimeError: the model did not run inside the context, so nothing was steered.
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
            raise InputError("vector", f"vector {vector} does not exist", f"Choose from 0 to {len(thetas) - 1}")
        thetas = thetas[vector : vector + 1]
    if thetas.shape[1] != lm.hidden_size:
        problem = f"they have {thetas.shape[1]} numbers each, and the hidden size of {lm.name} is {lm.hidden_size}"
        raise InputError("vectors", problem, "Choose vectors of this model")
    if radius is not None:
        variants(None, [], [radius := number("radius", radius)])  # raises for an impossible R
        thetas = radius * nn.functional.normalize(thetas.float(), dim=1)
    block = lm.block("source layer", source)
    STEERED.append(block)
    try:
        with steer_blocks(lm, source, add_rows(thetas.to(next(block.parameters()).device))):
            yield
    finally:
        STEERED.remove(block)


def _known(lm: LanguageModel) -> LanguageModel:
    """Remember ``lm`` for ``steer``."""
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
    """A causal language model of transformers. Raises InputError for anything else, and for the result of
    torch.compile, which skips hooks on blocks."""
    remedy = "Give a language model of transformers, such as pipe.model of a pipeline"
    if not isinstance(given, nn.Module) or not hasattr(given, "config"):
        raise InputError("model", f"{shown(given)} is not a model", remedy)
    if hasattr(given, "_orig_mod"):
        problem = "torch.compile skips the hooks that add vectors"
        raise InputError("model", problem, "Give the original model, and run that one")
    return given
