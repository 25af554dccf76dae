"""Merges an adapter, such as a LoRA, into a model's weights."""

import re
from typing import Any

import torch

from melbo_app.errors import InputError

SIZES = re.compile(r"size mismatch for (\S+): copying a param with shape torch\.Size\((.+?)\).*torch\.Size\((.+?)\)")
COMPARED = 16  # tokens on which the outputs are compared
REMEDY = "Load it with the model it was trained on, or move adapter_config.json away to load the model without it"


def merge_adapter(model: Any, folder: str, name: str) -> Any:
    """Merge the adapter in ``folder`` (adapter_config.json, adapter_model.safetensors) into the weights of ``model``.
    Raises InputError if it cannot be merged into weights, or does not fit ``model``, which ``name`` names."""
    from peft import PeftConfig, PeftModel  # late: transformers takes seconds to import

    def refuse(problem: str) -> InputError:
        return InputError("model", f"the adapter in {folder} {problem}", REMEDY)

    try:
        config = PeftConfig.from_pretrained(folder)
        kind = str(getattr(config.peft_type, "value", config.peft_type)).replace("_", " ").lower()
        if config.is_prompt_learning:
            raise refuse(f"uses {kind}, which changes the prompt and not the weights")
        config.inference_mode = True
        adapted = PeftModel(model, config).eval()
        if not hasattr(adapted.base_model, "merge_and_unload"):
            raise refuse(f"uses {kind}, which cannot be merged into weights")
        found = adapted.load_adapter(folder, "default", torch_device=str(model.device))
    except InputError:
        raise
    except Exception as error:  # peft raises any kind of error for a file it cannot use
        raise refuse(f"does not fit {name}: {_reason(error)}") from error
    for keys, problem in ((found.missing_keys, "it lacks"), (found.unexpected_keys, f"{name} has no place for")):
        if keys:
            names = sorted(key.removeprefix("base_model.model.").replace(".default", "") for key in keys)
            more = f" and {len(names) - 1} more" if len(names) > 1 else ""
            raise refuse(f"does not fit {name}: {problem} {names[0]}{more}")
    ids = _continued(adapted)
    before = _logits(adapted, ids)
    try:
        merged = adapted.merge_and_unload(safe_merge=True)
    except Exception as error:
        raise refuse(f"cannot be merged into the weights of {name}: {_reason(error)}") from error
    # With tied embeddings, a change to one matrix also changes the other. The median, because rounding to bfloat16
    # changes a few tokens a lot and most of them little: by 0.02 to 0.05 here.
    tolerance = 0.01 if model.dtype in (torch.float32, torch.float64) else 0.3
    changes = (_logits(merged, ids) - before).norm(dim=-1) / before.norm(dim=-1)
    if not changes.median() <= tolerance:
        problem = f"cannot be merged into the weights of {name}: the outputs would differ from those with the adapter"
        raise refuse(f"{problem}. This happens when it changes only one of two tied matrices")
    return merged


@torch.no_grad()
def _continued(model: Any) -> torch.Tensor:
    """Three tokens, and those that the model finds likeliest after them: [1, tokens]. On tokens that no text has,
    rounding to bfloat16 alone may change the outputs by more than their size."""
    ids = torch.arange(1, 4, device=model.device)[None] % model.get_input_embeddings().weight.shape[0]
    for _ in range(COMPARED):
        ids = torch.cat([ids, _logits(model, ids)[-1:].argmax(dim=-1, keepdim=True)], dim=1)
    return ids


@torch.no_grad()
def _logits(model: Any, ids: torch.Tensor) -> torch.Tensor:
    """Centred logits after each of the last tokens: [COMPARED or fewer, vocabulary] float32."""
    logits = model(input_ids=ids, attention_mask=torch.ones_like(ids), use_cache=False).logits[0, -COMPARED:].float()
    return logits - logits.mean(dim=-1, keepdim=True)


def _reason(error: Exception) -> str:
    sizes = SIZES.search(str(error))
    if sizes:
        part = sizes[1].removeprefix("base_model.model.").replace(".default", "")
        return f"{part} has shape {sizes[2]}, and the model needs {sizes[3]}"
    return (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")
