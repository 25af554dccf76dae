"""The state of a training, from which it can resume exactly."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor


@dataclass(frozen=True)
class TrainingState:
    """All that a training needs to resume with bitwise the same result.

    Attributes:
        stage: the part of the training that can resume from it: climb, jacobian, sequential or transcoding.
        tensors, facts: the method's state before the current step; facts are JSON values.
        parts: results of the current step's finished batches.
        batch: vectors in a batch; another number would round differently.
        generator: the state of the random number generator, [n] uint8.
        seconds: time spent so far.
    """

    stage: str
    tensors: dict[str, Tensor]
    facts: dict[str, Any]
    parts: list[tuple[Tensor, ...]]
    batch: int
    generator: Tensor
    seconds: float

    def packed(self) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """Arrays, and a JSON record."""
        tensors = {f"standing.{name}": tensor for name, tensor in self.tensors.items()}
        for number, part in enumerate(self.parts):
            tensors |= {f"part.{number}.{place}": tensor for place, tensor in enumerate(part)}
        tensors["generator"] = self.generator
        arrays = {name: np.ascontiguousarray(tensor.detach().cpu().numpy()) for name, tensor in tensors.items()}
        record = {
            "stage": self.stage,
            "facts": self.facts,
            "parts": [len(part) for part in self.parts],
            "batch": self.batch,
            "seconds": self.seconds,
        }
        return arrays, record

    @classmethod
    def unpacked(cls, arrays: dict[str, np.ndarray], record: dict[str, Any]) -> Self:
        """The inverse of ``packed``; tensors are on the CPU. Raises KeyError for a missing entry."""
        # copied, because a file's bytes are not aligned, and results depend on the alignment
        tensors = {name: torch.tensor(array) for name, array in arrays.items()}
        prefix = "standing."
        standing = {name.removeprefix(prefix): one for name, one in tensors.items() if name.startswith(prefix)}
        parts = [
            tuple(tensors[f"part.{number}.{place}"] for place in range(count))
            for number, count in enumerate(record["parts"])
        ]
        return cls(
            record["stage"], standing, record["facts"], parts, record["batch"], tensors["generator"], record["seconds"],
        )  # fmt: skip


Keeper = Callable[[Callable[[], TrainingState]], None]
"""Called after each batch and step with a function that returns the state, which costs a copy."""
