"""What a notebook gives, as the engine takes it: numbers of numpy and torch, texts, prompts, vectors."""

import operator
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from types import NoneType
from typing import Any, TypeVar, get_args, get_type_hints

import numpy as np
import torch
from torch import Tensor, nn

from melbo_app.engine.model import LanguageModel
from melbo_app.engine.prompt import Prompt
from melbo_app.errors import InputError
from melbo_app.library.bank import Bank, PromptRecord
from melbo_app.paths import written_path

Kind = TypeVar("Kind")
LONGEST = 60
STEERED: list[nn.Module] = []
"""Blocks to which vectors are being added."""


def shown(given: Any) -> str:
    """What was given, short enough for a sentence."""
    text = " ".join(repr(given).split())
    return text if len(text) <= LONGEST else f"a value of type {type(given).__name__}"


def number(field: str, given: Any) -> float:
    """A number, be it a scalar of numpy or torch. Raises InputError for texts, truth values and arrays."""
    if not isinstance(given, str | bytes | bool) and not getattr(given, "ndim", 0):
        try:
            return float(given)
        except (TypeError, ValueError, OverflowError):
            pass
    raise InputError(field, f"{shown(given)} is not a number", "Give one, without quotes")


def whole(field: str, given: Any) -> int:
    """A whole number; 2.0 is one. Raises InputError for anything else."""
    if not isinstance(given, bool):
        try:
            return operator.index(given)
        except TypeError:
            if (found := number(field, given)).is_integer():
                return int(found)
    raise InputError(field, f"{shown(given)} is not a whole number", "Give one such as 2")


def several(field: str, given: Any, one: Callable[[str, Any], Kind]) -> list[Kind]:
    """One or several of what ``one`` takes: a scalar, or a list, range or array of them."""
    if isinstance(given, str | bytes) or not isinstance(given, Iterable) or getattr(given, "ndim", 1) == 0:
        return [one(field, given)]
    return [one(field, entry) for entry in given]


def written(field: str, given: Any) -> str:
    """A text. Raises InputError for anything else."""
    if isinstance(given, str):
        return str(given)
    raise InputError(field, f"{shown(given)} is not a text", "Give one in quotes")


def instance(field: str, given: Any, kind: type[Kind], remedy: str) -> Kind:
    """``given``, if it is a ``kind``. Raises InputError with ``remedy`` otherwise."""
    if isinstance(given, kind):
        return given
    raise InputError(field, f"{shown(given)} is not a {kind.__name__}", remedy)


def prompts(field: str, given: Any, made: Callable[[str], Prompt]) -> list[Prompt]:
    """Prompts: a text, a ``Prompt`` or the record of one in a bank, or several; ``made`` makes one of a text.

    Raises:
        InputError: something else, such as chat messages.
    """
    if isinstance(given, str | Prompt | PromptRecord):
        given = [given]
    if isinstance(given, bytes | Mapping) or not isinstance(given, Iterable):
        raise InputError(field, f"{shown(given)} is not a text", "Give a text, a Prompt, or a list of these")
    return [_prompt(field, entry, number, made) for number, entry in enumerate(given, start=1)]


def _prompt(field: str, given: Any, number: int, made: Callable[[str], Prompt]) -> Prompt:
    if isinstance(given, str):
        return made(str(given))
    if isinstance(given, PromptRecord):
        return given.asked
    if isinstance(given, Prompt) and isinstance(given.user, str) and isinstance(given.system, str | None):
        return given
    problem = f"number {number} is {shown(given)}, and no text"
    raise InputError(field, problem, "Give a text, or Prompt(user text, system=…) for one with a system text")


def options(kind: type, given: Mapping[str, Any]) -> dict[str, Any]:
    """``given`` as the fields of the dataclass ``kind`` have it: its ints, floats and texts.

    Raises:
        InputError: a field that it does not have, or a value that is none for it.
    """
    types = get_type_hints(kind)
    return {name: _option(name, value, types) for name, value in given.items()}


def _option(name: str, given: Any, types: Mapping[str, Any]) -> Any:
    if name not in types:
        raise InputError(name, "there is no such argument", f"Choose from {', '.join(types)}")
    kinds = get_args(types[name]) or (types[name],)
    if given is None and NoneType in kinds:
        return None
    convert = whole if int in kinds else number if float in kinds else written
    return convert(name, given)


def file_path(given: Any) -> Path:
    """A path, be it written as a text, with ``~`` or ``$HOME``. Raises InputError for anything else."""
    return written_path(str(given) if isinstance(given, Path) else written("path", given))


def thetas_of(given: Any) -> Tensor:
    """A bank's vectors, or an array or tensor [d] or [rows, d]: [rows, d] floats. A tensor with gradients keeps them.

    Raises:
        InputError: another shape, or something that is no finite number.
    """
    rows = given.vectors if isinstance(given, Bank) else given
    remedy = "Give a bank, or an array [d] or [rows, d] of finite numbers"
    if not isinstance(rows, Tensor):
        try:
            rows = torch.tensor(np.array(rows, dtype=np.float32))
        except (TypeError, ValueError) as error:
            raise InputError("vectors", f"{shown(given)} is not an array of numbers", remedy) from error
    thetas = rows if rows.is_floating_point() else rows.float()
    thetas = thetas[None] if thetas.dim() == 1 else thetas
    if thetas.dim() != 2 or not thetas.numel():
        raise InputError("vectors", f"their shape is {list(rows.shape)}", remedy)
    if not bool(thetas.isfinite().all()):
        raise InputError("vectors", "they hold NaN or infinity", remedy)
    return thetas


def model_given(lm: Any) -> LanguageModel:
    """A model of ours. Raises InputError for anything else."""
    return instance("model", lm, LanguageModel, "Give what melbo.load or melbo.wrap returned")


def unsteered(lm: Any) -> LanguageModel:
    """A model of ours. Raises InputError where it is being steered: a result would not say so."""
    if any(block in STEERED for block in model_given(lm).blocks):
        problem = f"vectors are being added to {lm.name}"
        raise InputError("model", problem, "Leave `with melbo.steer(…)` first")
    return lm


def asked_of(lm: Any, given: Any) -> tuple[list[Prompt], Callable[[str], Prompt]]:
    """The prompts, and what makes further ones like the first. Raises InputError where ``lm`` is being steered."""
    unsteered(lm)
    asked = prompts("prompts", given, lambda text: Prompt(text, template=lm.has_template))
    if not asked:
        raise InputError("prompts", "there is none", "Write a text for the model to answer")
    return asked, lambda text: replace(asked[0], user=text)


def optional(field: str, value: Any, convert: Callable[[str, Any], Any]) -> Any:
    """None, or what ``convert`` makes of it."""
    return None if value is None else convert(field, value)


def bank_given(bank: Any) -> Bank:
    """A bank. Raises InputError for anything else."""
    return instance("bank", bank, Bank, "Give what melbo.train or melbo.open_bank returned")
