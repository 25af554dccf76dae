"""Quantised weights, as declared by a checkpoint's config.json."""

from typing import Any

UNPACKED_BY_TRANSFORMERS = ("fp8", "mxfp4", "compressed-tensors")
"""Methods whose weights transformers can dequantise while it loads them."""
UNQUANTISED = "Use the unquantised weights that it was made from, or a .gguf file, which is dequantised here"


def quantised(config: Any) -> str:
    """The common name of the quantisation method in ``config``; "" for unquantised weights."""
    found = _settings(config)
    method = str(found.get("quant_method") or found.get("quant_algo") or "")
    if not method:
        return "by a method it does not name" if found else ""
    bits = found.get("bits") or found.get("w_bit") or (4 if found.get("load_in_4bit") else None)
    name = method.upper() if len(method) < 6 else method
    return f"{name}, {bits} bits" if isinstance(bits, int) else name


def unpack(config: Any) -> None:
    """Make transformers dequantise the weights, where it can."""
    found = getattr(config, "quantization_config", None)
    if isinstance(found, dict) and found.get("quant_method") in UNPACKED_BY_TRANSFORMERS:
        found["dequantize"] = True


def _settings(config: Any) -> dict[str, Any]:
    found = getattr(config, "quantization_config", None)
    if found is not None and not isinstance(found, dict):
        found = found.to_dict()
    return {key: getattr(value, "value", value) for key, value in (found or {}).items()}
