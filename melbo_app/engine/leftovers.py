"""Tensors of a checkpoint that the loaded model ignores although its outputs should depend on them."""

import math
import re
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any, NoReturn

from safetensors import safe_open

from melbo_app.errors import InputError

MASKS = re.compile(r"\.(attn|attention|self_attention)\.(attention\.)?(bias|masked_bias|causal_mask)$")
"""Buffers of old checkpoints (GPT-2, GPT-J, GPT-Neo, CodeGen): triangular masks, and the value of masked scores."""
COMPUTED = re.compile(
    r"(rotary_emb|rotary_pos_emb)\.|\.inv_freq$|embed_positions\.(weights|_float_tensor)$|(^|\.)position_ids$"
)
"""Rotary angles and positions, which every model computes."""
NEXT_TOKENS = re.compile(r"(^|\.)mtp(_\w+)?\.")
"""Layers for multi-token prediction, which speed up decoding and do not change the text."""
LAYER = re.compile(r"\blayers\.(\d+)\.")
OTHER_SENSES = re.compile(
    r"(^|\.)(vision|visual|vqmodel|audio|image|speech|multi_modal|mm_projector|embed_vision|embed_audio)\w*\."
)
"""Vision and audio towers of a multimodal checkpoint, of which only the language model is loaded."""
EXTRAS_OF_GGUF = re.compile(
    r"^rope_(freqs|factors_long|factors_short)\.weight$|\.attn_rot_embd\.|\.rope_freqs\.|\.nextn\."
)
"""Tensors that llama.cpp writes beside the weights: rotary angles, and layers for multi-token prediction."""


def leftovers(unused: Collection[str], config: Any, loaded: Any, files: Sequence[Path]) -> list[str]:
    """The tensors ``unused`` in ``files`` (safetensors) that change the checkpoint's outputs, sorted.

    Omits tensors that the model computes, layers for multi-token prediction, the vision and audio towers of a
    multimodal checkpoint, and biases that are zero. ``config`` is the checkpoint's, ``loaded`` the model's.
    """
    text = config.get_text_config()
    layers, ahead = getattr(text, "num_hidden_layers", None), getattr(text, "num_nextn_predict_layers", None) or 0
    multimodal = type(config) is not type(loaded)

    def harmless(name: str) -> bool:
        layer = LAYER.search(name)
        beyond = bool(layer and layers is not None and layers <= int(layer[1]) < layers + ahead)
        other = multimodal and OTHER_SENSES.search(name)
        return bool(beyond or other or COMPUTED.search(name) or NEXT_TOKENS.search(name))

    found = [name for name in unused if not harmless(name)]
    return sorted(set(found) - _idle(found, files))


def refuse_leftovers(name: str, unused: Sequence[str], kind: str) -> NoReturn:
    """Raise InputError("model"), because the model's logits would be wrong."""
    more = f" and {len(unused) - 1:,} more" if len(unused) > 1 else ""
    raise InputError(
        "model",
        f"{name} cannot be loaded: a {kind} has no place for {unused[0]}{more}, so its logits would be wrong",
        "Use the config.json and the weights of the same model; if it does not need these tensors, save the weights "
        "without them",
    )


def _idle(names: Collection[str], files: Sequence[Path]) -> set[str]:
    """The tensors among ``names`` that are masks or biases of zeros."""
    idle: set[str] = set()
    for file in files if names else ():
        with safe_open(file, "pt") as stored:
            for name in set(stored.keys()) & set(names):
                # a mask has an entry for every pair of positions, a bias one for every channel
                shape = stored.get_slice(name).get_shape()
                mask = MASKS.search(name) and (len(shape) > 1 or math.prod(shape) == 1)
                if mask or (name.endswith(".bias") and not stored.get_tensor(name).any()):
                    idle.add(name)
    return idle
