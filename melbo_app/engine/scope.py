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
"""A token is an attention sink where its residual norm exceeds this many times the prompt's median, or the model's
usual norm where that median is not an ordinary token's (ORDINARY_RATIO): the tokens of a short prompt may all be sinks.

Sinks stand far above (109 times the median at block 20 of SmolLM2, 160 times in a 1.5B Qwen at block 7) and ordinary
tokens stay under 3 times, so any value in between finds the same ones.
"""
ORDINARY_RATIO = 3.0
"""What ordinary tokens stay under, in the model's usual norms. In low blocks sinks are between this and SINK_RATIO."""
FEWEST_ORDINARY = 3
"""Tokens behind the first that a median is taken of; fewer say little."""


@dataclass(frozen=True)
class TokenScope:
    """Which positions count: ``all``, ``content``, ``assistant`` or ``last:k``."""

    kind: Literal["all", "content", "assistant", "last"]
    count: int = 0

    @classmethod
    def parse(cls, text: str) -> "TokenScope":
        """Read a scope as it is written. Raises InputError for anything else."""
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
            sinks: [P, T] bool, needed for ``content`` only.

        Raises:
            InputError: a prompt is left without any position.
        """
        real = encoded.attention_mask.bool()
        if self.kind == "all":
            counts = real
        elif self.kind == "content":
            if sinks is None:
                raise ValueError("the scope `content` needs to know the attention sinks")
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
    """Attention sinks by their residual norms [P, T]: [P, T] bool, never True at padding.

    ``usual`` is the model's usual norm at this layer (``usual_norms``). Norms may lie on any device, as the blocks they
    were taken at do; the result lies with the prompts.
    """
    real = encoded.attention_mask.bool()
    norms = norms.to(real.device)
    return real & (norms > SINK_RATIO * _unit(norms, real, usual))


def median_norm(norms: "Tensor", ordinary: "Tensor", encoded: "EncodedPrompts", usual: float) -> float | None:
    """The median residual norm of the prompts' ordinary tokens; None where they have too few to tell.

    The first token of a prompt, where most models keep an attention sink, counts only if the others outnumber it.

    Args:
        norms: [P, T], on any device.
        ordinary: [P, T] bool, what is neither padding nor an attention sink.
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
    """Which part of the ordinary tokens a vector turns into attention sinks: [P], 0 to 1.

    A token counts whose steered norm exceeds what makes it a sink (``SINK_RATIO``) without steering; tokens that are
    sinks without steering, and padding, are left out. A vector with a share above 0 is called a runaway: it moves its
    target layer by blowing one token up. Norms may lie on any device; the result lies with the prompts.

    Args:
        steered: [P, T], residual norms under the vector.
        norms: [P, T], residual norms at the same layer without steering.
        usual: the model's usual norm at this layer (``usual_norms``).
    """
    real = encoded.attention_mask.bool()
    steered, norms = steered.to(real.device), norms.to(real.device)
    ordinary = real & ~sinks(norms, encoded, usual)
    blown_up = ordinary & ~(steered <= SINK_RATIO * _unit(norms, real, usual))  # written so that NaN counts
    return blown_up.sum(dim=1) / ordinary.sum(dim=1).clamp(min=1)


def _unit(norms: "Tensor", real: "Tensor", usual: float) -> "Tensor":
    """What norms are compared with: [P, 1]."""
    median = norms.masked_fill(~real, float("nan")).nanmedian(dim=1, keepdim=True).values
    return median.masked_fill(median > ORDINARY_RATIO * usual, usual)
