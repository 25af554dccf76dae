"""The sum of two LoRAs of one model as a LoRA: what was trained upon an adapter becomes one adapter with it."""

import json
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from melbo_app.engine.weight_files import ADAPTER_CONFIG, ADAPTER_WEIGHTS
from melbo_app.errors import InputError

PLAIN: dict[str, Any] = {
    "use_dora": False, "bias": "none", "modules_to_save": None, "rank_pattern": {}, "alpha_pattern": {},
    "trainable_token_indices": None, "target_parameters": None, "layer_replication": None,
}  # fmt: skip
"""What a LoRA must have, or leave out, to be added to another one."""
PREFIX = "base_model.model."
"""Of the names of layers in peft's files."""


def summed(first: Mapping[str, bytes], second: Mapping[str, bytes]) -> dict[str, bytes]:
    """The files of a LoRA with ΔW = ΔW₁ + ΔW₂, for the model of ``first``. ``second`` was trained on that model with
    ``first`` merged into it. Its rank is the sum of both ranks: A are stacked, and B, times α/r, stand side by side.

    Raises:
        InputError: the first is more than a plain LoRA (DoRA, biases, ranks by layer, layers saved whole).
    """
    from safetensors.torch import save

    configs = [json.loads(one[ADAPTER_CONFIG]) for one in (first, second)]
    for key, plain in PLAIN.items():
        found = configs[0].get(key)
        if found and found != plain:
            problem = f"its adapter has {key} {found!r}, so nothing can be added to it"
            raise InputError("model", problem, "Merge the adapter into its model first, and give that folder")
    parts = [_matrices(files, config) for files, config in zip((first, second), configs, strict=True)]
    ranks = [config["r"] for config in configs]
    state: dict[str, Tensor] = {}
    for name in sorted(parts[0].keys() | parts[1].keys()):
        shapes = next(part[name] for part in parts if name in part)
        both = [
            part.get(name) or (torch.zeros(rank, shapes[0].shape[1]), torch.zeros(shapes[1].shape[0], rank))
            for part, rank in zip(parts, ranks, strict=True)
        ]
        state[f"{name}.lora_A.weight"] = torch.cat([one[0] for one in both]).contiguous()
        state[f"{name}.lora_B.weight"] = torch.cat([one[1] for one in both], dim=1).contiguous()
    names = parts[0].keys() | parts[1].keys()
    config = configs[1] | {
        "r": sum(ranks), "lora_alpha": sum(ranks), "use_rslora": False,
        "target_modules": sorted(name.removeprefix(PREFIX) for name in names),
        "base_model_name_or_path": configs[0].get("base_model_name_or_path"),
        "fan_in_fan_out": configs[0].get("fan_in_fan_out", False),
    }  # fmt: skip
    written = json.dumps(config, indent=1, sort_keys=True)
    return {ADAPTER_CONFIG: written.encode(), ADAPTER_WEIGHTS: save(state)}


def _matrices(files: Mapping[str, bytes], config: Mapping[str, Any]) -> dict[str, tuple[Tensor, Tensor]]:
    """A [r, inputs], and B [outputs, r] times the LoRA's scale, of each layer."""
    from safetensors.torch import load

    rank = config["r"]
    scale = config["lora_alpha"] / (rank**0.5 if config.get("use_rslora") else rank)
    state = load(files[ADAPTER_WEIGHTS])
    ending = ".lora_A.weight"
    names = [name.removesuffix(ending) for name in state if name.endswith(ending)]
    if 2 * len(names) != len(state):
        raise InputError("model", "its adapter has other parts than LoRAs of linear layers", "Give its model alone")
    return {name: (state[f"{name}{ending}"].float(), state[f"{name}.lora_B.weight"].float() * scale) for name in names}
