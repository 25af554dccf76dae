"""Tensors of a file that the model loaded from it does not use, though its outputs depend on them."""

import math
import re
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any, NoReturn

from safetensors import safe_open

from melbo_app.errors import InputError

MASKS = re.compile(r"\.(attn|attention|self_attention)\.(attention\.)?(bias|masked_bias|causal_mask)$")
"""Buffers of old checkpoints (GPT-2, GPT-J, GPT-Neo, CodeGen): triangles of ones, and what masked scores become."""
COMPUTED = re.compile(
    r"(rotary_emb|rotary_pos_emb)\.|\.inv_freq$|embed_positions\.(weights|_float_tensor)$|(^|\.)position_ids$"
)
"""Angles and positions, which every model computes itself."""
NEXT_TOKENS = re.compile(r"(^|\.)mtp(_\w+)?\.")
"""Layers that predict several tokens ahead, for faster decoding; a text does not depend on them."""
LAYER = re.compile(r"\blayers\.(\d+)\.")
OTHER_SENSES = re.compile(
    r"(^|\.)(vision|visual|vqmodel|audio|image|speech|multi_modal|mm_projector|embed_vision|embed_audio)\w*\."
)
"""Towers for images and sound, where only the language model of a multimodal checkpoint is loaded."""
EXTRAS_OF_GGUF = re.compile(
    r"^rope_(freqs|factors_long|factors_short)\.weight$|\.attn_rot_embd\.|\.rope_freqs\.|\.nextn\."
)
"""What llama.cpp writes beside the weights: angles, and layers that predict several tokens ahead."""


def leftovers(unused: Collection[str], config: Any, loaded: Any, files: Sequence[Path]) -> list[str]:
    """Of the tensors ``unused`` in ``files`` (safetensors), those that change what the checkpoint computes, sorted.

    Left out are what the family computes itself, layers for predicting several tokens ahead, the other senses of a
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
    """Raise InputError("model"): the model would compute something else than its file was made for."""
    more = f" and {len(unused) - 1:,} more" if len(unused) > 1 else ""
    raise InputError(
        "model",
        f"{name} cannot be loaded: a {kind} has no place for {unused[0]}{more}, so its logits would be wrong",
        "Right are the config.json and the weights of one model; where these tensors are not meant to be used, save "
        "the weights once without them",
    )


def _idle(names: Collection[str], files: Sequence[Path]) -> set[str]:
    """Which of the tensors ``names`` are masks, or biases of zeros."""
    idle: set[str] = set()
    for file in files if names else ():
        with safe_open(file, "pt") as stored:
            for name in set(stored.keys()) & set(names):
                # a mask has a number for every pair of positions, and a bias one for every channel
                shape = stored.get_slice(name).get_shape()
                mask = MASKS.search(name) and (len(shape) > 1 or math.prod(shape) == 1)
                if mask or (name.endswith(".bias") and not stored.get_tensor(name).any()):
                    idle.add(name)
    return idle
