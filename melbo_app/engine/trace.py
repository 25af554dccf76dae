"""Activations recorded while a model generates."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from melbo_app.engine.block import hidden_of
from melbo_app.engine.model import LanguageModel


@dataclass
class Trace:
    """Filled by ``generate`` at each forward pass.

    Attributes:
        target: the block whose norms on the prompt are recorded, if any.
        norms: [rows, T], residual norms of the prompt's tokens at the target's output.
        states: for each generated token, the last block's output that predicted it, [rows, d].
    """

    target: int | None = None
    norms: Tensor | None = None
    states: list[Tensor] = field(default_factory=list)

    @contextmanager
    def watch(self, lm: LanguageModel) -> Iterator[None]:
        """In this context, one forward pass is recorded."""

        def keep_state(_module: Any, _args: tuple, output: Any) -> None:
            self.states.append(hidden_of(output)[:, -1].clone())

        def keep_norms(_module: Any, _args: tuple, output: Any) -> None:
            self.norms = hidden_of(output).float().norm(dim=-1)

        with ExitStack() as hooks:
            hooks.callback(lm.blocks[-1].register_forward_hook(keep_state).remove)
            if self.target is not None and not self.states:
                hooks.callback(lm.block("target layer", self.target).register_forward_hook(keep_norms).remove)
            yield

    def begin(self, whole: "Trace", rows: slice, columns: int) -> None:
        """Take ``rows``, and their last ``columns``, from a trace of a first pass over more prompts with the same
        target."""
        self.states = [whole.states[0][rows].clone()]  # a view would keep the whole batch alive
        self.norms = None if whole.norms is None else whole.norms[rows, -columns:].clone()

    def stacked(self) -> Tensor:
        """The states of all generated tokens: [rows, tokens, d]."""
        return torch.stack(self.states, dim=1)
