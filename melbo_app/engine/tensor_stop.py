"""Interrupting other people's code where it uses tensors."""

import sys
from typing import Any, Self

import torch
from torch.overrides import TorchFunctionMode

from melbo_app.engine.stopping import Stop, raise_if


class TensorStop(TorchFunctionMode):
    """In this context, ``stop`` is called before whatever this thread does with tensors, which raises Stopped if it is
    true: transformers has no other way to be stopped while it loads."""

    def __init__(self, stop: Stop) -> None:
        super().__init__()
        self._stop = stop

    def __enter__(self) -> Self:
        self._gradients = torch.is_grad_enabled()
        super().__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        super().__exit__(*error)
        torch.set_grad_enabled(self._gradients)  # what would have set it again may have been stopped

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if sys.exc_info()[1] is None:  # what cleans up after an error must not be stopped
            raise_if(self._stop)
        return func(*args, **(kwargs or {}))
