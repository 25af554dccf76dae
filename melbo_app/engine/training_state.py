"""Where a training stands, so that it can go on later as if nothing had happened."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor


@dataclass(frozen=True)
class Standing:
    """What a method knows between two of its steps."""

    tensors: dict[str, Tensor]
    facts: dict[str, Any]
    """What JSON can hold."""


@dataclass(frozen=True)
class TrainingState:
    """All that a training needs to go on to the same bits.

    Attributes:
        stage: the part of the training that can go on from here: climb, jacobian, sequential or transcoding.
        standing: between two steps.
        parts: what the batches of the step after that gave, as far as they are done.
        batch: vectors in a batch; another number would round differently.
        generator: the state of the random numbers, [n] uint8.
        seconds: spent so far.
    """

    stage: str
    standing: Standing
    parts: list[tuple[Tensor, ...]]
    batch: int
    generator: Tensor
    seconds: float

    def packed(self) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """Arrays, and a record that JSON can hold."""
        tensors = {f"standing.{name}": tensor for name, tensor in self.standing.tensors.items()}
        for number, part in enumerate(self.parts):
            tensors |= {f"part.{number}.{place}": tensor for place, tensor in enumerate(part)}
        tensors["generator"] = self.generator
        arrays = {name: np.ascontiguousarray(tensor.detach().cpu().numpy()) for name, tensor in tensors.items()}
        record = {
            "stage": self.stage,
            "facts": self.standing.facts,
            "parts": [len(part) for part in self.parts],
            "batch": self.batch,
            "seconds": self.seconds,
        }
        return arrays, record

    @classmethod
    def unpacked(cls, arrays: dict[str, np.ndarray], record: dict[str, Any]) -> Self:
        """The state that ``packed`` took apart; tensors are on the CPU. Raises KeyError where something is missing."""
        # copied: arithmetic depends on how memory is aligned, and a file's bytes are not
        tensors = {name: torch.tensor(array) for name, array in arrays.items()}
        prefix = "standing."
        standing = {name.removeprefix(prefix): one for name, one in tensors.items() if name.startswith(prefix)}
        parts = [
            tuple(tensors[f"part.{number}.{place}"] for place in range(count))
            for number, count in enumerate(record["parts"])
        ]
        return cls(
            record["stage"], Standing(standing, record["facts"]), parts, record["batch"], tensors["generator"],
            record["seconds"],
        )  # fmt: skip


Keeper = Callable[[Callable[[], TrainingState]], None]
"""Is offered the state after each batch and step; it asks for it when it wants to keep it, which costs a copy."""
