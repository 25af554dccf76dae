"""A LoRA inside a model, with the model's own weights untouched: it is switched off, or taken out again."""

import json
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from melbo_app.engine.model import LanguageModel
from melbo_app.engine.weight_files import ADAPTER_CONFIG, ADAPTER_WEIGHTS
from melbo_app.errors import InputError

MODULES = "recipe’s training.modules"
ATTENTION = ("q_proj", "k_proj", "v_proj", "o_proj")
"""The linear layers of attention in Llama and its many relatives."""


class Lora:
    """A LoRA that is part of the forward passes of a model."""

    def __init__(self, adapted: Any) -> None:
        self._adapted = adapted

    @property
    def parameters(self) -> list[nn.Parameter]:
        """Its matrices A and B."""
        return [one for name, one in self._adapted.named_parameters() if "lora_" in name]

    def take(self, weights: Mapping[str, tuple[Tensor, Tensor]]) -> None:
        """Set A and B of each layer, by its name in the model: [rank, inputs] and [outputs, rank]."""
        for name, given in weights.items():
            layer: Any = self._adapted.get_submodule(f"base_model.model.{name}")
            for parts, matrix in zip((layer.lora_A, layer.lora_B), given, strict=True):
                parts["default"].weight.data.copy_(matrix)

    def off(self) -> AbstractContextManager[None]:
        """In this context, the model computes what it does without the LoRA."""
        return self._adapted.disable_adapter()

    def files(self, base: str) -> dict[str, bytes]:
        """The adapter's two files by name, the same for the same weights; ``base`` is the spec of its model."""
        from peft import get_peft_model_state_dict
        from safetensors.torch import save

        config = self._adapted.peft_config["default"].to_dict() | {"base_model_name_or_path": base}
        config["inference_mode"] = True
        state = get_peft_model_state_dict(self._adapted, save_embedding_layers=False)
        weights = {name: state[name].detach().cpu().contiguous() for name in sorted(state)}
        written = json.dumps(config, indent=1, sort_keys=True, default=lambda one: sorted(one))
        return {ADAPTER_CONFIG: written.encode(), ADAPTER_WEIGHTS: save(weights)}


@contextmanager
def new_lora(lm: LanguageModel, rank: int, alpha: int, modules: Sequence[str], seed: int) -> Iterator[Lora]:
    """In this context, ``lm`` has a LoRA on the linear layers called ``modules``, by the last part of their names or by
    whole names; it changes nothing yet.

    Raises:
        InputError: the model has no such layers.
    """
    from peft import LoraConfig, get_peft_model  # late: transformers takes seconds to import

    _check_modules(lm, modules)
    with torch.random.fork_rng(), _quiet():
        torch.manual_seed(seed)  # peft draws the first A from the global generator
        adapted = get_peft_model(
            lm.model, LoraConfig(r=rank, lora_alpha=alpha, target_modules=sorted(modules), task_type="CAUSAL_LM")
        )
    with _taken_out(lm, adapted) as lora:
        yield lora


@contextmanager
def kept_lora(lm: LanguageModel, folder: Path) -> Iterator[Lora]:
    """In this context, ``lm`` has the LoRA in ``folder``. Raises InputError if it does not fit."""
    from peft import PeftModel

    try:
        with _quiet():
            adapted = PeftModel.from_pretrained(lm.model, folder)
    except Exception as error:  # peft raises any kind of error for a file it cannot use
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")
        raise InputError("organism", f"the adapter in {folder} does not fit {lm.name}: {reason}") from error
    with _taken_out(lm, adapted) as lora:
        yield lora


@contextmanager
def _taken_out(lm: LanguageModel, adapted: Any) -> Iterator[Lora]:
    try:
        yield Lora(adapted.eval())
    finally:
        adapted.unload()
        lm.model.requires_grad_(False)


@contextmanager
def _quiet() -> Iterator[None]:
    """Without peft's warnings about its own use of transformers."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        yield


def usual_modules(lm: LanguageModel) -> list[str]:
    """The linear layers of attention by name, or all linear layers of the blocks where these are called otherwise."""
    linear = _linear(lm)
    return [name for name in ATTENTION if name in linear] or linear


def _linear(lm: LanguageModel) -> list[str]:
    named = {name.rpartition(".")[2]: type(one).__name__ for name, one in lm.blocks.named_modules()}
    return sorted(name for name, kind in named.items() if "Linear" in kind or kind == "Conv1D")


def _check_modules(lm: LanguageModel, modules: Sequence[str]) -> None:
    named = {name.rpartition(".")[2]: type(one).__name__ for name, one in lm.blocks.named_modules()}
    missing = [name for name in modules if name.rpartition(".")[2] not in named]
    if missing:
        problem = f"the blocks of {lm.name} have no {' or '.join(missing)}"
        raise InputError("model", problem, f"Name some of {', '.join(_linear(lm))} in the {MODULES}")
