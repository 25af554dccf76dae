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
        written: how many tokens the first pass reads after the prompts, at most.
        norms: [rows, T], residual norms of the prompt's tokens at the target's output.
        states: for each generated token, the last block's output that predicted it, [rows, d].
    """

    target: int | None = None
    written: int = 0
    norms: Tensor | None = None
    states: list[Tensor] = field(default_factory=list)

    @contextmanager
    def watch(self, lm: LanguageModel) -> Iterator[None]:
        """In this context, one forward pass is recorded."""

        def keep_state(_module: Any, _args: tuple, output: Any) -> None:
            new = 1 if self.states else 1 + self.written
            self.states += [states.clone() for states in hidden_of(output)[:, -new:].unbind(dim=1)]

        def keep_norms(_module: Any, _args: tuple, output: Any) -> None:
            self.norms = hidden_of(output).float().norm(dim=-1)

        with ExitStack() as hooks:
            hooks.callback(lm.blocks[-1].register_forward_hook(keep_state).remove)
            if self.target is not None and not self.states:
                hooks.callback(lm.block("target layer", self.target).register_forward_hook(keep_norms).remove)
            yield

    def begin(self, whole: "Trace", rows: slice, columns: int, written: int) -> None:
        """Take ``rows``, and their last ``columns``, of which ``written`` are behind the prompt, from a trace of a
        first pass over more prompts with the same target."""
        # a view would keep the whole batch alive
        self.states = [states[rows].clone() for states in whole.states[-1 - written :]]
        columns_end = None if whole.norms is None else whole.norms.shape[1] - written
        self.norms = None if whole.norms is None else whole.norms[rows, -columns:columns_end].clone()

    def stacked(self) -> Tensor:
        """The states of all generated tokens: [rows, tokens, d]."""
        return torch.stack(self.states, dim=1)
