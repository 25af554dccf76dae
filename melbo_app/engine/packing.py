"""Linear layers of a float32 model on a CPU, with a copy of their weights in the order the processor reads them in.

Otherwise every product puts the weights in that order again (oneDNN calls it a reorder), which costs the more the fewer
rows there are, and in decoding there is a row for each text. Steered decoding of SmolLM2-135M on two cores takes .68 of
the time with 4 texts, .73 with 16, .82 with 32. In bfloat16 nothing is gained, nor in training, with its many rows.
"""

import torch
from torch import Tensor, nn

from melbo_app.engine.device import free

SHARE = 0.125
"""Of the free memory, what the copies may take."""
TYPICAL_ROWS = 16
"""Rows that the order is chosen for; it is used for others as well."""


class Copy:
    """The copy of one weight, made when it is needed, and again where the weight has changed since."""

    def __init__(self) -> None:
        self._of: tuple[int, int] | None = None
        self._made: Tensor | None = None

    def __reduce__(self) -> tuple[type, tuple[()]]:
        return Copy, ()  # it can be neither copied nor pickled, but made again

    def of(self, weight: Tensor) -> Tensor:
        """``weight`` [out, in] in the other order. Changes through ``weight.data`` leave no trace and are not seen."""
        state = (weight.data_ptr(), weight._version)
        if self._made is None or self._of != state:
            self._made, self._of = torch.ops.mkldnn._reorder_linear_weight(weight.detach(), TYPICAL_ROWS), state
        return self._made


class PackedLinear(nn.Linear):
    """A linear layer that uses such a copy where no gradients are wanted and there is more than one row."""

    copy: Copy

    def forward(self, input: Tensor) -> Tensor:
        """As ``nn.Linear``: [..., in] to [..., out]."""
        weight, bias = self.weight, self.bias
        alike = input.device == weight.device == torch.device("cpu") and input.dtype == weight.dtype == torch.float32
        if not alike or torch.is_grad_enabled() or input.numel() < 2 * self.in_features:
            return super().forward(input)
        return torch.ops.mkldnn._linear_pointwise(input.contiguous(), self.copy.of(weight), bias, "none", [], "")


def pack(model: nn.Module) -> int:
    """Let the linear layers of ``model`` use such copies, where it is a float32 model on a CPU with memory to spare.

    Returns:
        Bytes that the copies take; 0 where nothing was packed.
    """
    cpu = torch.device("cpu")
    layers = [module for module in model.modules() if type(module) is nn.Linear]
    layers = [layer for layer in layers if layer.weight.device == cpu and layer.weight.dtype == torch.float32]
    size = sum(layer.weight.nbytes for layer in layers)
    if not torch.backends.mkldnn.is_available() or size > SHARE * free(cpu) or not _works():
        return 0
    for layer in layers:
        layer.__class__ = PackedLinear
        layer.copy = Copy()  # type: ignore[assignment]
    return size


def _works() -> bool:
    """Whether this build of torch can do it: these operations are its compiler's, not promised to others."""
    layer, rows = nn.Linear(8, 4), torch.ones(3, 8)
    want = layer(rows).detach()
    layer.__class__, layer.copy = PackedLinear, Copy()  # type: ignore[assignment]
    try:
        with torch.no_grad():
            return torch.allclose(layer(rows), want, atol=1e-5)
    except (AttributeError, RuntimeError):
        return False
