"""The first pass of a generation: prompts are read once, and rows diverge where they are steered."""

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from typing import Any

import torch
from torch import Tensor

from melbo_app.engine.block import hidden_of, with_hidden
from melbo_app.engine.block_call import RowSelection
from melbo_app.engine.encoding import EncodedPrompts
from melbo_app.engine.model import LanguageModel
from melbo_app.engine.steering import add_rows, steer
from melbo_app.engine.stopping import Stop, asking
from melbo_app.engine.trace import Trace


def prefill(
    lm: LanguageModel,
    encoded: EncodedPrompts,
    of: Tensor,
    steering: Mapping[int, Tensor],
    stop: Stop | None = None,
    traces: Sequence[Trace] = (),
) -> tuple[Tensor, Any]:
    """Logits [rows, vocabulary] after the prompts, and the cache of the rows.

    Up to the first steered block s, the blocks see each of the P prompts once, however many rows there are. There the
    hidden states are expanded to rows and each row's vector is added; the blocks above see the rows. In families that
    do not allow this, all blocks see the rows.

    Args:
        of: [rows] int64, the prompt of each row.
        steering: for each steered block the vectors [rows, d] added to its output, on the model's device; if empty, all
            blocks see only the prompts.
        stop: called before every block.
        traces: record this pass, each for all rows.

    Raises:
        Stopped: ``stop()`` became true.
        RuntimeError: a steered block did not run.
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
        hidden = "hidden_states"  # already those of the rows
        selected = {key: value if key == hidden else select(value, key) for key, value in kwargs.items()}
        return (*args[:1], *(select(value) for value in args[1:])), selected

    with ExitStack() as hooks, torch.no_grad():
        hooks.enter_context(asking(lm, stop))
        if source is not None:
            hooks.callback(lm.block("source layer", source).register_forward_hook(part).remove)
            for block in lm.blocks[source + 1 :]:
                hooks.callback(block.register_forward_pre_hook(widen, with_kwargs=True).remove)
        for other, thetas in steering.items():
            if other != source:
                hooks.enter_context(steer(lm, other, add_rows(thetas)))
        for trace in traces:  # last, so that they see the steered output
            hooks.enter_context(trace.watch(lm))
        output = lm.forward(encoded.input_ids, encoded.attention_mask, encoded.position_ids, use_cache=True)
    cache = output.past_key_values
    for layer in cache.layers[: last + 1]:
        layer.reorder_cache(of.to(lm.device))
    logits = output.logits[:, -1]
    for trace in traces:  # of the blocks that saw each prompt once
        if source is None:
            trace.states = [states[of.to(states.device)] for states in trace.states]
        if trace.norms is not None and trace.target is not None and (source is None or trace.target < source):
            trace.norms = trace.norms[of.to(trace.norms.device)]
    if source is None:
        return logits[of.to(logits.device)], cache
    if len(logits) != len(of):
        raise RuntimeError(f"nothing was steered: block {source} of {lm.name} did not run")
    return logits, cache
