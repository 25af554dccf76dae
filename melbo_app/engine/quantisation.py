"""Weights that are kept in fewer bits than are computed with, as a checkpoint's config.json says."""

from typing import Any

UNPACKED_BY_TRANSFORMERS = ("fp8", "mxfp4", "compressed-tensors")
"""Methods whose weights transformers can turn into ordinary ones while it loads them."""
UNQUANTISED = "Take the weights that it was made from, which are not quantised, or a .gguf file, which is unpacked here"


def quantised(config: Any) -> str:
    """How the weights of a model with this config are quantised, as people call it; "" where they are not."""
    found = _settings(config)
    method = str(found.get("quant_method") or found.get("quant_algo") or "")
    if not found or not method:
        return "by a method it does not name" if found else ""
    bits = found.get("bits") or found.get("w_bit") or (4 if found.get("load_in_4bit") else None)
    name = method.upper() if len(method) < 6 else method
    return f"{name}, {bits} bits" if isinstance(bits, int) else name


def unpack(config: Any) -> None:
    """Ask transformers for ordinary weights, where it can make them of quantised ones."""
    found = getattr(config, "quantization_config", None)
    if isinstance(found, dict) and found.get("quant_method") in UNPACKED_BY_TRANSFORMERS:
        found["dequantize"] = True


def _settings(config: Any) -> dict[str, Any]:
    found = getattr(config, "quantization_config", None)
    if found is not None and not isinstance(found, dict):
        found = found.to_dict()
    return {key: getattr(value, "value", value) for key, value in (found or {}).items()}
