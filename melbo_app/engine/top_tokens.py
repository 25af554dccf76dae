"""Which next tokens a vector promotes, and which it suppresses."""

from collections.abc import Generator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from melbo_app.engine.block import hidden_of, with_hidden
from melbo_app.engine.model import LanguageModel
from melbo_app.engine.slice import TOKENS_AT_ONCE, ModelSlice


@dataclass(frozen=True)
class TopTokens:
    """Tokens and by how much a vector raises their logits, the most changed first."""

    promoted: list[tuple[int, float]]
    suppressed: list[tuple[int, float]]


def top_tokens(
    piece: ModelSlice, thetas: Tensor, count: int, batch: int | None = None
) -> Generator[int, None, list[TopTokens]]:
    """The ``count`` tokens whose logits each vector raises and lowers most at the prompts' last position.

    The logits are read out of Z(θ) and Z(0) at the target layer, as if it were the last one (logit lens;
    nostalgebraist 2020); their difference is averaged over the prompts. With the last block as the target they are the
    model's own next-token logits. Yields the number of vectors done after each pass.

    Args:
        thetas: [V, d].
        batch: vectors in one pass; None: as many as have some 2,000 tokens together.
    """
    batch = batch or max(1, TOKENS_AT_ONCE // piece.encoded.input_ids.numel())
    before = read_out(piece.lm, piece.baseline[:, -1])
    found: list[TopTokens] = []
    for start in range(0, len(thetas), batch):
        with torch.no_grad():
            hidden = piece.activations(thetas[start : start + batch])[:, :, -1]
        after = read_out(piece.lm, hidden.flatten(0, 1)).unflatten(0, hidden.shape[:2])
        for effect in (after - before).mean(dim=1):
            found.append(TopTokens(_largest(effect, count), [(token, -by) for token, by in _largest(-effect, count)]))
        yield len(found)
    return found


def read_out(lm: LanguageModel, hidden: Tensor) -> Tensor:
    """Next-token logits [N, vocabulary], in float32, of hidden states [N, d] taken as outputs of the last block.

    The model itself does what it does above its blocks (final norm, unembedding, soft-capping), so no family needs a
    rule of its own: it runs on one token a row, and the last block's output is replaced.
    """

    def replace(_module: Any, _args: tuple, output: Any) -> Any:
        return with_hidden(output, hidden[:, None].to(hidden_of(output)))

    one = torch.zeros(len(hidden), 1, dtype=torch.int64, device=lm.device)
    handle = lm.blocks[-1].register_forward_hook(replace)
    try:
        with torch.no_grad():
            return lm.forward(one, torch.ones_like(one), one).logits[:, -1].float()
    finally:
        handle.remove()


def _largest(effect: Tensor, count: int) -> list[tuple[int, float]]:
    values, tokens = effect.topk(min(count, len(effect)))
    return list(zip(tokens.tolist(), values.tolist(), strict=True))
