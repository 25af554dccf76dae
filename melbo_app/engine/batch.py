"""A running batch: rows of several calls are completed together, joining and leaving between tokens."""

from collections.abc import Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from melbo_app.engine import cache
from melbo_app.engine.encoding import gathered
from melbo_app.engine.model import LanguageModel
from melbo_app.engine.prefill import prefill
from melbo_app.engine.steering import add_rows, steer
from melbo_app.engine.trace import Trace

if TYPE_CHECKING:
    from melbo_app.engine.generation import Rows


class Batch:
    """Members share the forward pass for the next token; each has its own steering, decoding and stop.

    Members may differ in prompts, vectors, source layers and decoding. Each text is the one it would have been alone.

    Attributes:
        members: calls still running, in the order of their rows.
    """

    def __init__(self, lm: LanguageModel) -> None:
        self.lm = lm
        self.members: tuple[Rows, ...] = ()
        self._cache: Any = None
        self._mask = self._positions = torch.empty(0)
        self._steering: dict[int, Tensor] = {}

    def join(self, *newcomers: "Rows") -> None:
        """Read the prompts of ``newcomers``, and what is written, in one pass, equal ones once, choose their next
        tokens, and add those that are not done. If this fails, the members are unchanged.

        Raises:
            Stopped: all newcomers were stopped before their first token.
        """
        lm = self.lm
        read = [rows.read for rows in newcomers]
        encoded, places = gathered(lm, [one for one, _ in read])
        of = torch.cat(
            [torch.tensor(place, device=lm.device)[own] for (_, own), place in zip(read, places, strict=True)]
        )
        targets = dict.fromkeys(rows.trace.target for rows in newcomers if rows.trace is not None)
        written = max(rows.begins.shape[1] for rows in newcomers)
        traces = {target: Trace(target, written=written) for target in targets}

        def stop() -> bool:
            return all(rows.stop is not None and rows.stop() for rows in newcomers)

        logits, states = prefill(lm, encoded, of, _steering(newcomers), stop, [*traces.values()])
        mask = encoded.attention_mask.to(lm.device)[of]
        positions = encoded.position_ids.to(lm.device)[of, -1:]
        begin = 0
        for rows in newcomers:
            end = begin + len(rows.of)
            if rows.trace is not None:
                rows.trace.begin(traces[rows.trace.target], slice(begin, end), rows.columns, rows.begins.shape[1])
            rows.take(logits[begin:end])
            begin = end
        if all(rows.done for rows in newcomers):
            return
        if self.members:
            cache.merge(self._cache, states)
            columns = max(mask.shape[1], self._mask.shape[1])
            mask = torch.cat([_padded(self._mask, columns), _padded(mask, columns)])
            positions = torch.cat([self._positions, positions])
        else:
            self._cache = states
        self._mask, self._positions = mask, positions
        self._set_members((*self.members, *newcomers))
        self.leave(*(rows for rows in newcomers if rows.done))

    def step(self) -> None:
        """Run one forward pass and choose the next token of each row; members that are done leave."""
        tokens = torch.cat([rows.chosen for rows in self.members])
        self._mask = torch.cat([self._mask, self._mask.new_ones(len(tokens), 1)], dim=1)
        self._positions = self._positions + 1
        trace = Trace()
        with torch.no_grad(), ExitStack() as hooks:
            for source, thetas in self._steering.items():
                hooks.enter_context(steer(self.lm, source, add_rows(thetas)))
            if any(rows.trace is not None for rows in self.members):
                hooks.enter_context(trace.watch(self.lm))  # last, because steering may hook the same block
            output = self.lm.forward(tokens[:, None], self._mask, self._positions, self._cache, use_cache=True)
        self._cache = output.past_key_values
        counts = [len(rows.of) for rows in self.members]
        parts = [states.split(counts) for states in trace.states]
        for at, (rows, logits) in enumerate(zip(self.members, output.logits[:, -1].split(counts), strict=True)):
            if rows.trace is not None:
                rows.trace.states += [part[at].clone() for part in parts]  # a view would keep the whole batch alive
            rows.take(logits)
        self.leave(*(rows for rows in self.members if rows.done))

    def leave(self, *gone: "Rows") -> None:
        """Remove members, and the padding that only they needed."""
        if not gone:
            return
        going = [rows not in gone for rows in self.members for _ in rows.of]
        if any(going):
            index = torch.tensor(going).nonzero()[:, 0].to(self.lm.device)
            mask = self._mask[index]
            blank = int(mask.any(dim=0).int().argmax())
            cache.keep(self._cache, index, blank)
            self._mask, self._positions = mask[:, blank:], self._positions[index]
        else:
            self._cache = None
        self._set_members(tuple(rows for rows in self.members if rows not in gone))

    def _set_members(self, members: "tuple[Rows, ...]") -> None:
        self.members, self._steering = members, _steering(members)


def _steering(members: "Sequence[Rows]") -> dict[int, Tensor]:
    """For each source layer, a vector for every row: zeros for rows steered elsewhere."""
    sources = dict.fromkeys(rows.source for rows in members if rows.source is not None)
    return {
        source: torch.cat([rows.thetas if rows.source == source else torch.zeros_like(rows.thetas) for rows in members])
        for source in sources
    }


def _padded(mask: Tensor, columns: int) -> Tensor:
    return torch.nn.functional.pad(mask, (columns - mask.shape[1], 0))
