"""The memory that work will need, estimated before it starts, and the memory available."""

import ctypes
import gc
import math
import re
import sys
from pathlib import Path

import torch
from safetensors import safe_open

from melbo_app.engine.device import free
from melbo_app.engine.encoding import EncodedPrompts
from melbo_app.engine.model import LanguageModel
from melbo_app.engine.slice import ModelSlice
from melbo_app.engine.weight_files import ADAPTER_WEIGHTS, weight_files
from melbo_app.errors import InputError
from melbo_app.sizes import size_text

SHARE = 0.7
"""Share of the free memory that work may take by default."""
COPIES = 12
"""Bytes of memory for each byte of an imported file: 6 were measured for float32, and 12 for float16, which becomes
float32."""
COPIES_OF_LAYER = 4
"""The outputs of the source and the target layer, and a float32 copy of one."""


def budget(lm: LanguageModel, memory_gb: float | None = None) -> int:
    """Bytes that work may take on each of the model's devices."""
    return int(SHARE * min(map(free, lm.devices))) if memory_gb is None else int(memory_gb * 1e9)


def check_reading(size: int, memory_gb: float | None = None) -> None:
    """Raises InputError, with the numbers, where reading a whole file of ``size`` bytes exceeds the budget."""
    need = COPIES * size
    have = int(SHARE * free(torch.device("cpu"))) if memory_gb is None else int(memory_gb * 1e9)
    if need > have:
        problem = f"a file of {size_text(size)} needs {size_text(need)} and {size_text(have)} may be used"
        raise InputError("memory", problem, "Import a smaller file, or allow more with MELBO_MEMORY_GB")


def out_of_memory(error: BaseException) -> str | None:
    """The message for an ``error`` that means memory ran out, with the known numbers; None for other errors."""
    said = str(error)
    if not (isinstance(error, MemoryError | torch.OutOfMemoryError) or "can't allocate memory" in said):
        return None
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    give_back()
    asked = re.search(r"(?:tried to|Tried to) allocate ([\d.]+)\s*(bytes|[KMG]iB)", said)
    needed = ""
    if asked:
        unit = {"bytes": 1, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30}[asked[2]]
        needed = f" ({size_text(int(float(asked[1]) * unit))} more were needed)"
    have = free(torch.device("cuda") if isinstance(error, torch.OutOfMemoryError) else torch.device("cpu"))
    return (
        f"the memory was not enough{needed}; {size_text(have)} are free now. Choose fewer vectors, or fewer or shorter "
        "prompts, or let each batch use less memory with MELBO_MEMORY_GB."
    )


def weights_bytes(folder: Path, dtype: torch.dtype, adapter: str | None = None) -> int:
    """Bytes of the weights in ``folder``, and in the folder ``adapter`` if given, while they are loaded in ``dtype``.
    Reads only the headers of the files. Raises InputError where a header cannot be read."""
    numbers = 0
    files = [folder / name for name in weight_files(folder)]
    for file in [*files, Path(adapter) / ADAPTER_WEIGHTS] if adapter else files:
        try:
            with safe_open(file, "pt") as tensors:
                numbers += sum(math.prod(tensors.get_slice(name).get_shape()) for name in list(tensors.keys()))
        except Exception as error:  # safetensors raises its own error class, and others
            raise InputError("model", f"{file} cannot be read", "Copy or download it again") from error
    return numbers * dtype.itemsize


def bytes_per_vector(lm: LanguageModel, encoded: EncodedPrompts, source: int, target: int) -> int:
    """Bytes that autograd keeps for one vector over all P prompts of T tokens.

    The tensors saved for the backward pass are counted on the first prompt's last tokens, at two lengths, and
    extrapolated by a·T + b·T² (the square where attention keeps its weights), because the prompts themselves may be too
    long to try.
    """
    from melbo_app.engine.attention import SHORT  # late: transformers takes seconds to import

    tokens, context = encoded.input_ids.shape[1], lm.context or math.inf
    if tokens > SHORT and context > 1.5 * SHORT:  # attention of shorter texts may be computed in another way
        short, long = int(1.1 * SHORT), int(1.5 * SHORT)
    else:
        long = int(min(32, context))
        short = long // 2
    at_short, at_long = (_saved_bytes(lm, encoded, source, target, length) for length in (short, long))
    square = max(0.0, (at_long / long - at_short / short) / (long - short))
    linear = max(0.0, at_short / short - square * short)
    per_prompt = linear * tokens + square * tokens**2
    # twice, for gradients, temporary tensors and the float32 deltas
    return int(2 * per_prompt * len(encoded.prompts))


def refuse_prompts(lm: LanguageModel, encoded: EncodedPrompts, memory_gb: float | None = None) -> None:
    """Raises InputError where the two layers' outputs on the prompts do not fit, before any vector: one long prompt
    among many is enough, because all are padded to its length."""
    prompts, tokens = encoded.input_ids.shape
    need, have = COPIES_OF_LAYER * prompts * tokens * lm.hidden_size * 4, budget(lm, memory_gb)
    if need > have:
        problem = (
            f"{prompts:,} prompts, padded to {tokens:,} tokens each, need {size_text(need)} before the first vector"
        )
        raise InputError("memory", f"{problem}, and {size_text(have)} may be used", "Choose fewer or shorter prompts")


def rows_at_once(lm: LanguageModel, tokens: int, memory_gb: float | None = None) -> int:
    """Rows of ``tokens`` tokens (prompt and completion) that can be generated in one batch, at least 1."""
    return max(1, budget(lm, memory_gb) // bytes_per_row(lm, tokens))


def bytes_per_row(lm: LanguageModel, tokens: int) -> int:
    """Bytes for generating a row of ``tokens`` tokens, prompt and completion together. A row keeps keys and values in
    every block, plus a few copies each of its hidden states and its float32 logits."""
    config = lm.model.config.get_text_config()
    heads = getattr(config, "num_attention_heads", 1)
    head = getattr(config, "head_dim", None) or lm.hidden_size // heads
    cached = 2 * len(lm.blocks) * (getattr(config, "num_key_value_heads", None) or heads) * head
    wide = 16 * lm.hidden_size
    return tokens * (cached + wide) * lm.dtype.itemsize + 4 * 4 * config.vocab_size


def give_back() -> None:
    """Return freed memory to the system, where the C library (glibc) would keep it."""
    if sys.platform == "linux":
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
        if trim is not None:
            trim(0)


def _saved_bytes(lm: LanguageModel, encoded: EncodedPrompts, source: int, target: int, length: int) -> int:
    ids = encoded.input_ids[:1, -1:].repeat(1, length)
    probe = EncodedPrompts(
        encoded.prompts[:1], encoded.texts[:1], ids, torch.ones_like(ids), torch.ones_like(ids, dtype=torch.bool)
    )
    piece = ModelSlice(lm, probe, source, target)
    seen: dict[int, int] = {}
    weights = {parameter.untyped_storage().data_ptr() for parameter in lm.model.parameters()}

    alive: list[torch.UntypedStorage] = []  # or the next tensor could get the same address

    def count(tensor: torch.Tensor) -> None:
        storage = tensor.untyped_storage()  # not the tensor: a graph that keeps its own output is never freed
        if storage.data_ptr() not in weights:
            seen[storage.data_ptr()] = storage.nbytes()
            alive.append(storage)

    theta = torch.zeros(1, lm.hidden_size, device=piece.source_hidden.device, requires_grad=True)
    with torch.autograd.graph.saved_tensors_hooks(count, lambda nothing: nothing):
        piece.activations(theta)
    return sum(seen.values())
