"""Token scope: which positions count."""

import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from melbo_app.errors import InputError
from melbo_app.limits import MOST_NAME, check_text

if TYPE_CHECKING:  # scopes are read where torch is not needed
    from torch import Tensor

    from melbo_app.engine.encoding import EncodedPrompts

SINK_RATIO = 10.0
"""A token is an attention sink if its residual norm exceeds this many times the prompt's median, or the model's usual
norm if that median is itself above ORDINARY_RATIO usual norms: the tokens of a short prompt may all be sinks.

Sinks are far above (109 times the median at block 20 of SmolLM2, 160 times in a 1.5B Qwen at block 7) and ordinary
tokens stay below 3 times, so any value in between finds the same sinks.
"""
ORDINARY_RATIO = 3.0
"""Bound on the norm of ordinary tokens, in usual norms. In low blocks, sinks lie between this and SINK_RATIO."""
FEWEST_ORDINARY = 3
"""Minimum number of ordinary tokens after the first for a median."""


@dataclass(frozen=True)
class TokenScope:
    """Which positions count: ``all``, ``content``, ``assistant`` or ``last:k``."""

    kind: Literal["all", "content", "assistant", "last"]
    count: int = 0

    @classmethod
    def parse(cls, text: str) -> "TokenScope":
        """Parse a scope such as ``last:4``. Raises InputError for anything else."""
        check_text("scope", text, MOST_NAME)
        if text in ("all", "content", "assistant"):
            return cls(text)  # type: ignore[arg-type]
        match = re.fullmatch(r"last:([1-9][0-9]{0,5})", text)
        if not match:
            raise InputError("scope", f"{text!r} is not known", "Write all, content, assistant or last:4")
        return cls("last", int(match[1]))

    def __str__(self) -> str:
        return f"last:{self.count}" if self.kind == "last" else self.kind

    def mask(self, encoded: "EncodedPrompts", sinks: "Tensor | None" = None) -> "Tensor":
        """The positions that count: [P, T] bool.

        Args:
            encoded: P prompts of T tokens.
            sinks: [P, T] bool, needed only for ``content``.

        Raises:
            InputError: a prompt has no token in scope.
        """
        real = encoded.attention_mask.bool()
        if self.kind == "all":
            counts = real
        elif self.kind == "content":
            if sinks is None:
                raise ValueError("the scope `content` needs the attention sinks")
            counts = real & ~sinks
        elif self.kind == "assistant":
            counts = encoded.tail
        else:
            from_end = real.long().flip(1).cumsum(1).flip(1)
            counts = real & (from_end <= self.count)
        empty = (~counts.any(dim=1)).nonzero().flatten().tolist()
        if empty:
            remedy = "Use last:4, or switch the chat template on" if self.kind == "assistant" else "Use all"
            raise InputError("scope", f"no token of prompt {empty[0] + 1} is in the scope {self}", remedy)
        return counts


def sinks(norms: "Tensor", encoded: "EncodedPrompts", usual: float = math.inf) -> "Tensor":
    """Attention sinks by their residual norms [P, T]: [P, T] bool, never True at padding, on the prompts' device.
    ``usual`` is the model's usual norm at this layer (``usual_norms``). Norms may be on any device."""
    real = encoded.attention_mask.bool()
    norms = norms.to(real.device)
    return real & (norms > SINK_RATIO * _unit(norms, real, usual))


def median_norm(norms: "Tensor", ordinary: "Tensor", encoded: "EncodedPrompts", usual: float) -> float | None:
    """The median residual norm of the prompts' ordinary tokens; None where they have too few.

    First tokens, where most models have an attention sink, count only if other tokens outnumber them.

    Args:
        norms: [P, T], on any device.
        ordinary: [P, T] bool, neither padding nor attention sinks.
        usual: the model's usual norm at this layer (``usual_norms``).
    """
    norms = norms.to(ordinary.device)
    ordinary = ordinary & ~(norms > ORDINARY_RATIO * usual)
    behind = ordinary & (encoded.position_ids > 0)
    count = int(behind.sum())
    if count < FEWEST_ORDINARY:
        return None
    outnumbered = 2 * count > int(ordinary.sum())
    return float(norms[ordinary if outnumbered else behind].median())


def runaway_share(steered: "Tensor", norms: "Tensor", encoded: "EncodedPrompts", usual: float = math.inf) -> "Tensor":
    """Share of the ordinary tokens that a vector turns into attention sinks: [P], 0 to 1, on the prompts' device.

    A token counts if its steered norm exceeds the unsteered threshold for sinks (``SINK_RATIO``). Unsteered sinks and
    padding are left out. A vector with a share above 0 is called a runaway: it changes the target layer by blowing up
    single tokens.

    Args:
        steered: [P, T], residual norms under the vector, on any device.
        norms: [P, T], residual norms at the same layer without steering, on any device.
        usual: the model's usual norm at this layer (``usual_norms``).
    """
    real = encoded.attention_mask.bool()
    steered, norms = steered.to(real.device), norms.to(real.device)
    ordinary = real & ~sinks(norms, encoded, usual)
    blown_up = ordinary & ~(steered <= SINK_RATIO * _unit(norms, real, usual))  # written so that NaN counts
    return blown_up.sum(dim=1) / ordinary.sum(dim=1).clamp(min=1)


def _unit(norms: "Tensor", real: "Tensor", usual: float) -> "Tensor":
    """The norm that thresholds are multiples of: [P, 1]."""
    median = norms.masked_fill(~real, float("nan")).nanmedian(dim=1, keepdim=True).values
    return median.masked_fill(median > ORDINARY_RATIO * usual, usual)
