"""Arguments from notebooks, converted for the engine: numbers of numpy and torch, strings, prompts, vectors."""

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
"""Blocks that are being steered."""


def shown(given: Any) -> str:
    """A value, short enough for a sentence."""
    text = " ".join(repr(given).split())
    return text if len(text) <= LONGEST else f"a value of type {type(given).__name__}"


def number(field: str, given: Any) -> float:
    """A number, also from a scalar of numpy or torch. Raises InputError for strings, booleans and arrays."""
    if not isinstance(given, str | bytes | bool) and not getattr(given, "ndim", 0):
        try:
            return float(given)
        except (TypeError, ValueError, OverflowError):
            pass
    raise InputError(field, f"{shown(given)} is not a number", "Give one without quotes")


def whole(field: str, given: Any) -> int:
    """A whole number, also from 2.0. Raises InputError for anything else."""
    if not isinstance(given, bool):
        try:
            return operator.index(given)
        except TypeError:
            if (found := number(field, given)).is_integer():
                return int(found)
    raise InputError(field, f"{shown(given)} is not a whole number", "Give one such as 2")


def several(field: str, given: Any, one: Callable[[str, Any], Kind]) -> list[Kind]:
    """A list of one or several values, each converted by ``one``; from a scalar, list, range or array."""
    if isinstance(given, str | bytes) or not isinstance(given, Iterable) or getattr(given, "ndim", 1) == 0:
        return [one(field, given)]
    return [one(field, entry) for entry in given]


def written(field: str, given: Any) -> str:
    """A string. Raises InputError for anything else."""
    if isinstance(given, str):
        return str(given)
    raise InputError(field, f"{shown(given)} is not a string", "Give one in quotes")


def instance(field: str, given: Any, kind: type[Kind], remedy: str) -> Kind:
    """Returns ``given`` if it is a ``kind``, else raises InputError with ``remedy``."""
    if isinstance(given, kind):
        return given
    raise InputError(field, f"{shown(given)} is not a {kind.__name__}", remedy)


def prompts(field: str, given: Any, made: Callable[[str], Prompt]) -> list[Prompt]:
    """Prompts from a string, a ``Prompt`` or a bank's record of one, or several of them; ``made`` converts strings.

    Raises:
        InputError: anything else, such as chat messages.
    """
    if isinstance(given, str | Prompt | PromptRecord):
        given = [given]
    if isinstance(given, bytes | Mapping) or not isinstance(given, Iterable):
        raise InputError(field, f"{shown(given)} is not a string", "Give a string, a Prompt, or a list of these")
    return [_prompt(field, entry, number, made) for number, entry in enumerate(given, start=1)]


def _prompt(field: str, given: Any, number: int, made: Callable[[str], Prompt]) -> Prompt:
    if isinstance(given, str):
        return made(str(given))
    if isinstance(given, PromptRecord):
        return given.asked
    if isinstance(given, Prompt) and isinstance(given.user, str) and isinstance(given.system, str | None):
        return given
    problem = f"number {number} is {shown(given)}, not a string"
    raise InputError(field, problem, "Give a string, or Prompt(user text, system=…) to add a system text")


def options(kind: type, given: Mapping[str, Any]) -> dict[str, Any]:
    """``given``, converted to the types of the fields of the dataclass ``kind``: int, float and str.

    Raises:
        InputError: an unknown field, or a value of the wrong type.
    """
    types = get_type_hints(kind)
    return {name: _option(name, value, types) for name, value in given.items()}


def _option(name: str, given: Any, types: Mapping[str, Any]) -> Any:
    if name not in types:
        raise InputError(name, "this argument does not exist", f"Choose from {', '.join(types)}")
    kinds = get_args(types[name]) or (types[name],)
    if given is None and NoneType in kinds:
        return None
    convert = whole if int in kinds else number if float in kinds else written
    return convert(name, given)


def file_path(given: Any) -> Path:
    """A path, also from a string with ``~`` or ``$HOME``. Raises InputError for anything else."""
    return written_path(str(given) if isinstance(given, Path) else written("path", given))


def thetas_of(given: Any) -> Tensor:
    """Floats [rows, d] from a bank, or from an array or tensor [d] or [rows, d]. A tensor keeps its gradients.

    Raises:
        InputError: another shape, or values that are not finite numbers.
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
    """A ``LanguageModel``. Raises InputError for anything else."""
    return instance("model", lm, LanguageModel, "Give what melbo.load or melbo.wrap returned")


def unsteered(lm: Any) -> LanguageModel:
    """A ``LanguageModel``. Raises InputError while it is being steered, because results would not say so."""
    if any(block in STEERED for block in model_given(lm).blocks):
        raise InputError("model", f"{lm.name} is being steered", "Leave `with melbo.steer(…)` first")
    return lm


def asked_of(lm: Any, given: Any) -> tuple[list[Prompt], Callable[[str], Prompt]]:
    """The prompts, and a function that makes others like the first. Raises InputError while ``lm`` is being steered."""
    unsteered(lm)
    asked = prompts("prompts", given, lambda text: Prompt(text, template=lm.has_template))
    if not asked:
        raise InputError("prompts", "none was given", "Write a text for the model to answer")
    return asked, lambda text: replace(asked[0], user=text)


def optional(field: str, value: Any, convert: Callable[[str, Any], Any]) -> Any:
    """None, or the value converted."""
    return None if value is None else convert(field, value)


def bank_given(bank: Any) -> Bank:
    """A bank. Raises InputError for anything else."""
    return instance("bank", bank, Bank, "Give what melbo.train or melbo.open_bank returned")
