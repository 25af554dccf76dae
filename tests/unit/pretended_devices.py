"""Devices that are pretended: what fails on two GPUs fails here, where there is none."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves, tree_map

from melbo_app.engine.model import LanguageModel

FIRST, SECOND, THIRD = (torch.device("cpu", number) for number in range(3))
_CPU = torch.device("cpu")


def place(tensor: Tensor) -> torch.device:
    """Where a tensor is said to lie."""
    return getattr(tensor, "place", _CPU)


def put(value: Any, where: torch.device) -> Any:
    """Say of all tensors in ``value`` that they lie there."""
    for tensor in tree_leaves(value):
        if isinstance(tensor, Tensor):
            tensor.place = where
    return value


class PretendedDevices(TorchFunctionMode):
    """While this is open, tensors know a device and refuse, as on GPUs, to be mixed with those of another.

    As in torch, numbers (tensors of no dimension) mix with everything, and what indexes a tensor may lie on the CPU.
    What becomes of an ``nn.Parameter`` is not followed.
    """

    def __torch_function__(self, func: Any, types: Any, args: tuple = (), kwargs: dict[str, Any] | None = None) -> Any:
        kwargs = dict(kwargs or {})
        if func == Tensor.device.__get__:
            return place(args[0])
        if func in (Tensor.to, Tensor.cpu):
            return self._moved(func, args, kwargs)
        if "device" in kwargs:
            where = torch.device(kwargs.pop("device") or _CPU)
            return put(func(*args, **kwargs), where)
        if func is torch.autograd.grad:  # a gradient lies with what it is for
            return tuple(put(found, place(one)) for found, one in zip(func(*args, **kwargs), args[1], strict=True))
        if func is Tensor.__deepcopy__:  # beside it stands all that was copied before
            return put(func(*args), place(args[0]))
        tensors = [entry for entry in tree_leaves((args, kwargs)) if isinstance(entry, Tensor)]
        where = {place(tensor) for tensor in tensors if tensor.dim()} or {place(tensor) for tensor in tensors}
        if func in (Tensor.__getitem__, Tensor.__setitem__, Tensor.index_select) and len(where) == 2:
            where -= {_CPU} if place(args[0]) != _CPU else set()
        if len(where) > 1:
            raise RuntimeError(f"Expected all tensors to be on the same device, but found {sorted(map(str, where))}")
        made = func(*args, **kwargs)
        return put(made, where.pop()) if where else made

    def _moved(self, func: Any, args: tuple, kwargs: dict[str, Any]) -> Tensor:
        """``to`` and ``cpu``: the same numbers, of the dtype and said to lie where it was asked for."""
        tensor, *wanted = args
        wanted += kwargs.values()
        where = _CPU if func is Tensor.cpu else place(tensor)
        for entry in wanted:
            where = place(entry) if isinstance(entry, Tensor) else entry if isinstance(entry, torch.device) else where
        kinds = [entry.dtype if isinstance(entry, Tensor) else entry for entry in wanted]
        kind = next((entry for entry in kinds if isinstance(entry, torch.dtype)), tensor.dtype)
        return put(tensor.to(kind).view_as(tensor), where)


def say_spread(lm: LanguageModel, places: list[torch.device]) -> None:
    """Say that block i lies at ``places[i]`` and all else on the first; what a module is called with goes there, as
    accelerate has it."""

    def at(where: torch.device) -> Any:
        def move(_module: nn.Module, args: tuple, kwargs: dict[str, Any]) -> tuple[tuple, dict[str, Any]]:
            return tree_map(lambda entry: entry.to(where) if isinstance(entry, Tensor) else entry, (args, kwargs))

        return move

    inside = {id(module): where for block, where in zip(lm.blocks, places, strict=True) for module in block.modules()}
    for module in lm.model.modules():
        where = inside.get(id(module), FIRST)
        own = [*module.parameters(recurse=False), *module.buffers(recurse=False)]
        put(own, where)
        if own:
            module.register_forward_pre_hook(at(where), with_kwargs=True)
    for block, where in zip(lm.blocks, places, strict=True):
        block.register_forward_pre_hook(at(where), with_kwargs=True)
