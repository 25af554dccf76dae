"""Texts that a model writes as the user's turn, with vectors added at a block."""

from collections.abc import Generator, Sequence

import numpy as np
import torch
from torch import Tensor

from melbo_app.engine.batch import Batch
from melbo_app.engine.block import hidden_of
from melbo_app.engine.decoding import Decoding
from melbo_app.engine.encoding import EncodedPrompts
from melbo_app.engine.generation import Rows
from melbo_app.engine.model import LanguageModel
from melbo_app.engine.prompt import Prompt
from melbo_app.engine.stopping import Stop, asking, plain, raise_if
from melbo_app.engine.trigger_place import Place

AT_ONCE = 32
"""Texts that are sampled together."""


def opened(lm: LanguageModel, place: Place, like: Prompt) -> EncodedPrompts:
    """The beginning of a prompt up to where the user's text begins, as one prompt; ``place`` is at the beginning of the
    user's text. Where nothing stands there, the token that ends texts stands for the beginning of one."""
    ids = place.before or (lm.tokenizer.eos_token_id or lm.tokenizer.pad_token_id,)
    row = torch.tensor([ids], dtype=torch.int64, device=lm.device)
    return EncodedPrompts((like,), (place.left,), row, torch.ones_like(row), row < 0)


def sample_turns(
    lm: LanguageModel,
    opening: EncodedPrompts,
    source: int,
    theta: Tensor | np.ndarray,
    count: int,
    decoding: Decoding,
    stop: Stop | None = None,
) -> Generator[int, None, list[list[int]]]:
    """Sample ``count`` continuations of an opening under a vector [d] at the output of block ``source``, with the seed
    of ``decoding`` and the following ones; yields how many tokens long they are, and returns their tokens.

    Raises Stopped.
    """
    found: list[list[int]] = []
    for start in range(0, count, AT_ONCE):
        some = [
            Rows(
                lm, opening, theta[None], source,
                Decoding(decoding.max_new_tokens, decoding.temperature, decoding.top_p, decoding.seed + start + at),
                stop, of=[0],
            )
            for at in range(min(AT_ONCE, count - start))
        ]  # fmt: skip
        batch = Batch(lm)
        batch.join(*some)
        tokens = 1
        while batch.members:
            yield tokens
            raise_if(stop)
            batch.step()
            tokens += 1
        raise_if(stop)
        found += [one.progress().ids[0] for one in some]
    return found


def mean_output(
    lm: LanguageModel, rows: Sequence[tuple[Sequence[int], int]], block: int, stop: Stop | None = None
) -> Tensor:
    """The mean output of a block over the tokens of several texts from a place on: [d] float32. ``rows`` has the tokens
    of each text and the number of the first that counts. Raises Stopped."""
    stop, total, count = plain(stop), torch.zeros(lm.hidden_size), 0
    seen: list[Tensor] = []
    for ids, begin in rows:
        raise_if(stop)
        if len(ids) <= begin:
            continue
        handle = lm.block("source layer", block).register_forward_hook(
            lambda _module, _args, output: seen.append(hidden_of(output))
        )
        try:
            with torch.no_grad(), asking(lm, stop):
                row = torch.tensor([list(ids)], device=lm.device)
                lm.forward(row, torch.ones_like(row), torch.arange(len(ids), device=lm.device)[None])
        finally:
            handle.remove()
        states = seen.pop()[0, begin:].float().cpu()
        total, count = total + states.sum(dim=0), count + len(states)
    return total / max(1, count)
