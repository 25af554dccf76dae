"""The device and dtype to compute with, and the free memory."""

import psutil
import torch

from melbo_app.errors import InputError

ROOM_FOR_WEIGHTS = 0.7
"""Share of a GPU's free memory that weights may take before they are spread over several: work needs the rest."""
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16, "float64": torch.float64}


def choose_device(wanted: str = "auto") -> torch.device:
    """The device to compute on: for "auto" the first GPU, else the CPU. Raises InputError for other devices."""
    if wanted == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        device = torch.device(wanted)
        if device.type == "meta":  # torch accepts it, but computes nothing there
            raise RuntimeError
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise InputError("device", f"{wanted!r} cannot be used on this machine", "Choose auto, cpu or cuda") from error
    return device


def devices_to_load(wanted: str, need: int) -> list[torch.device]:
    """The devices for a model of ``need`` bytes: one, or for "auto" all GPUs where the first is too small. Raises
    InputError as ``choose_device``."""
    first = choose_device(wanted)
    if wanted == "auto" and first.type == "cuda" and need > ROOM_FOR_WEIGHTS * free(first):
        return [torch.device("cuda", number) for number in range(torch.cuda.device_count())]
    return [first]


def free(device: torch.device) -> int:
    """Bytes of free memory."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    return psutil.virtual_memory().available


def choose_dtype(wanted: str, device: torch.device) -> torch.dtype:
    """The dtype to compute in: for "auto" bfloat16 where the hardware multiplies it faster than float32, else float32.

    On a CPU this takes AMX or AVX512-BF16; without either, bfloat16 is emulated and slower. Raises InputError
    for a dtype that is not in ``DTYPES``.
    """
    if wanted != "auto":
        if wanted not in DTYPES:
            raise InputError("dtype", f"{wanted!r} is not known", f"Choose auto or one of {', '.join(DTYPES)}")
        return DTYPES[wanted]
    if device.type == "cuda":
        fast = torch.cuda.is_bf16_supported(including_emulation=False)
    elif device.type == "cpu":
        # torch has no public test for these; other architectures lack both
        tests = [getattr(torch.cpu, name, None) for name in ("_is_amx_tile_supported", "_is_avx512_bf16_supported")]
        fast = any(test() for test in tests if test is not None)
    else:
        fast = False
    return torch.bfloat16 if fast else torch.float32
