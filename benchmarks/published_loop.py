"""A plain version of the published training loop (Mack & Turner 2024): one vector at a time through the whole model.

The vector is the bias of the source block's down-projection, Z is read from ``output_hidden_states`` and nothing is
kept between steps, as in the published code.
"""

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel


class PublishedLoop:
    """Trains one vector on one prompt, a step a call."""

    def __init__(
        self,
        model: PreTrainedModel,
        input_ids: Tensor,
        source: int,
        target: int,
        radius: float,
        found: Tensor | None = None,
    ) -> None:
        """``input_ids`` is [1, T]; ``target`` counts blocks, so it is ``target + 1`` among the hidden states.

        ``found`` [V, d] is orthonormal; the vector is kept orthogonal to it.
        """
        self.model, self.input_ids, self.radius, self.at = model, input_ids, radius, target + 1
        projection = model.model.layers[source].mlp.down_proj
        with torch.no_grad():
            unsteered = model(input_ids, output_hidden_states=True).hidden_states[self.at]
        self.found = torch.zeros(0, projection.out_features) if found is None else found
        start = torch.randn(projection.out_features, dtype=torch.float32)
        bias = radius * nn.functional.normalize(self._free(start), dim=0)
        projection.bias = nn.Parameter(bias.to(model.dtype))
        self.bias, self.projection, self.unsteered = projection.bias, projection, unsteered
        self.optimizer = torch.optim.AdamW([self.bias], lr=0.001, betas=(0.9, 0.98), weight_decay=0.0, amsgrad=True)

    def step(self) -> float:
        """Take one step; returns J before it."""
        self.optimizer.zero_grad()
        hidden = self.model(self.input_ids, output_hidden_states=True).hidden_states[self.at]
        loss = -(hidden - self.unsteered).norm(dim=-1).pow(2).sum().pow(1 / 2)
        loss.backward()
        with torch.no_grad():
            unit = self.bias / self.bias.norm()
            self.bias.grad -= (self.bias.grad @ unit) * unit
            self.bias.grad.copy_(self._free(self.bias.grad))
        self.optimizer.step()
        with torch.no_grad():
            self.bias.copy_(self.radius * nn.functional.normalize(self._free(self.bias), dim=0))
        return -float(loss.detach())

    def _free(self, row: Tensor) -> Tensor:
        return row - self.found.T @ (self.found @ row)

    def remove(self) -> None:
        """Restore the model."""
        self.projection.bias = None
