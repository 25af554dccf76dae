"""The first pass of a generation: prompts are read once, and rows part where they are steered."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from typing import Any

import torch
from torch import Tensor

from melbo_app.engine.block import hidden_of, with_hidden
from melbo_app.engine.block_call import RowSelection
from melbo_app.engine.encoding import EncodedPrompts
from melbo_app.engine.model import LanguageModel
from melbo_app.engine.steering import add_rows, steer
from melbo_app.engine.stopping import asking
from melbo_app.engine.trace import Trace


def prefill(
    lm: LanguageModel,
    encoded: EncodedPrompts,
    of: Tensor,
    steering: Mapping[int, Tensor],
    stop: Callable[[], bool] | None = None,
    traces: Sequence[Trace] = (),
) -> tuple[Tensor, Any]:
    """Logits [rows, vocabulary] after the prompts, and the cache with which the rows go on.

    Up to the first block s that is steered, each of the P prompts is seen once, however many rows there are; there the
    hidden states are multiplied and each row's vector is added, and the blocks above see the rows. In families that do
    not allow that, all blocks see the rows.

    Args:
        of: [rows] int64, which prompt a row completes.
        steering: for each block whose output is steered, what is added to each row [rows, d], on the model's device;
            where there is none, all blocks see the prompts only.
        stop: asked before every block.
        traces: keep what they say of this pass, each for all rows.

    Raises:
        Stopped: ``stop()`` became true.
        RuntimeError: a block that is steered did not run, so that nothing was steered there.
    """
    source = min(steering, default=None)
    if source is not None and not lm.takes_rows_midway:
        encoded, of = encoded.take(of.tolist()), torch.arange(len(of), device=of.device)
    select = RowSelection(lm, len(encoded.prompts), of)
    last = len(lm.blocks) - 1 if source is None else source

    def part(_module: Any, _args: tuple, output: Any) -> Any:
        hidden = hidden_of(output)
        rows = hidden[of.to(hidden.device)]
        return with_hidden(output, rows + steering[last][:, None, :].to(rows))

    def widen(_module: Any, args: tuple, kwargs: dict[str, Any]) -> tuple[tuple, dict[str, Any]]:
        hidden = "hidden_states"  # these are the rows' already
        return (
            (*args[:1], *(select(value) for value in args[1:])),
            {key: value if key == hidden else select(value, key) for key, value in kwargs.items()},
        )

    with ExitStack() as hooks, torch.no_grad():
        hooks.enter_context(asking(lm, stop))
        if source is not None:
            hooks.callback(lm.block("source layer", source).register_forward_hook(part).remove)
            for block in lm.blocks[source + 1 :]:
                hooks.callback(block.register_forward_pre_hook(widen, with_kwargs=True).remove)
        for other, thetas in steering.items():
            if other != source:
                hooks.enter_context(steer(lm, other, add_rows(thetas)))
        for trace in traces:  # last: they are to see what steering made of the block that they watch
            hooks.enter_context(trace.watch(lm))
        output = lm.forward(encoded.input_ids, encoded.attention_mask, encoded.position_ids, use_cache=True)
    cache = output.past_key_values
    for layer in cache.layers[: last + 1]:
        layer.reorder_cache(of.to(lm.device))
    logits = output.logits[:, -1]
    for trace in traces:
        if source is None:
            trace.select(of)
        elif trace.norms is not None and trace.target is not None and trace.target < source:
            trace.norms = trace.norms[of.to(trace.norms.device)]
    if source is None:
        return logits[of.to(logits.device)], cache
    if len(logits) != len(of):
        raise RuntimeError(f"nothing was steered: block {source} of {lm.name} did not run")
    return logits, cache
