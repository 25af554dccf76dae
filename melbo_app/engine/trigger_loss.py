"""How far a trigger brings a model toward a text, or toward what a vector does: exact losses, and their gradients."""

import copy
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from melbo_app.engine.block import hidden_of
from melbo_app.engine.model import LanguageModel
from melbo_app.engine.slice import TOKENS_AT_ONCE
from melbo_app.engine.stopping import Stop, asking, plain, raise_if
from melbo_app.engine.trigger_place import Place
from melbo_app.errors import InputError

ROWS_AT_ONCE = 16_384
"""Rows of the embedding that are read together."""


@dataclass(frozen=True)
class Toward:
    """What a trigger is searched for: a text, a direction, or both.

    Attributes:
        text: the tokens of an answer; empty: none.
        target: the block at whose output the direction lies.
        directions: [P, d], the mean Δ of the vector over the last ``scope`` tokens of each prompt; None: no direction.
        bases: [P, d], the mean output of the block over the same tokens of the prompts without a trigger.
        scope: how many last tokens of a prompt count.
        weight: of the direction's loss beside the text's.
    """

    text: tuple[int, ...] = ()
    target: int = 0
    directions: Tensor | None = None
    bases: Tensor | None = None
    scope: int = 1
    weight: float = 1.0


@dataclass
class TriggerLoss:
    """The loss of triggers, a mean over P prompts: the surprisal of the text in nats a token, plus ``weight`` times one
    less the cosine between the direction and the change that the trigger makes.

    Prompts run one after the other, so that no row needs padding.

    Attributes:
        rows_at_once: triggers in one pass at most, as far as memory allows.
    """

    lm: LanguageModel
    places: Sequence[Place]
    toward: Toward
    rows_at_once: int = 1 << 30
    _read: dict[int, Any] = field(default_factory=dict)

    def exact(self, ids: Tensor, stop: Stop | None = None) -> Tensor:
        """The losses of C triggers [C, n]: [C] float32, on the processor. Raises Stopped."""
        return self.parts(ids, stop).sum(dim=0)

    def parts(self, ids: Tensor, stop: Stop | None = None) -> Tensor:
        """The same in its two parts, that of the text and that of the direction: [2, C]."""
        total = torch.zeros(2, len(ids))
        for number, place in enumerate(self.places):
            length = ids.shape[1] + len(place.after) + len(self.toward.text)
            size = max(1, min(self.rows_at_once, TOKENS_AT_ONCE // length))
            found = []
            for some in ids.to(self.lm.device).split(size):
                raise_if(stop)
                with torch.no_grad(), asking(self.lm, stop):
                    found.append(self._behind(number, some).cpu())
            total += torch.cat(found, dim=1) / len(self.places)
        return total

    def without(self, stop: Stop | None = None) -> float:
        """The loss of the prompts without a trigger. Raises Stopped."""
        total = 0.0
        for number, place in enumerate(self.places):
            row = torch.tensor([place.before], dtype=torch.int64, device=self.lm.device)
            if not row.numel():  # nothing stands before the answer
                continue
            with torch.no_grad(), asking(self.lm, stop):
                total += float(self._loss(number, row).sum()) / len(self.places)
        return total

    def gradient(self, ids: Tensor, stop: Stop | None = None) -> tuple[float, Tensor]:
        """The loss of one trigger [n], and its gradient with respect to the one-hot vectors of its tokens: [n, V]
        float32. A token's entry is the gradient at the embedding's output times that token's embedding.

        Raises:
            InputError: the model gives no gradient.
            Stopped: ``stop()`` became true.
        """
        lm, total = self.lm, 0.0
        slope = torch.zeros(len(ids), self._width)
        for number, place in enumerate(self.places):
            raise_if(stop)
            loss, one = self._slope(number, place, ids.to(lm.device), stop)
            total += loss / len(self.places)
            slope += one / len(self.places)
        if not torch.isfinite(slope).all() or not slope.any():
            raise InputError("model", f"{lm.name} gives no gradient at its tokens", "Load its unquantised weights")
        embedding, parts = lm.model.get_input_embeddings(), []
        with torch.no_grad():  # in parts, because a float32 copy of a large embedding may not fit
            for some in torch.arange(lm.known_ids, device=lm.device).split(ROWS_AT_ONCE):
                parts.append(slope @ embedding(some).float().cpu().T)
        return total, torch.cat(parts, dim=1)

    @property
    def _width(self) -> int:
        """The length of an embedding, in some families not the hidden size."""
        return self.lm.model.get_input_embeddings().weight.shape[1]

    def _slope(self, number: int, place: Place, ids: Tensor, stop: Stop | None) -> tuple[float, Tensor]:
        """The loss on one prompt, and its gradient at the embedding's output: [n, d]."""
        lm, stop = self.lm, plain(stop)
        begin, leaf = (
            len(place.before),
            torch.zeros(len(ids), self._width, device=lm.device, requires_grad=True),
        )
        embedding: nn.Module = lm.model.get_input_embeddings()

        def add(_module: Any, _args: tuple, output: Tensor) -> Tensor:
            rows = nn.functional.pad(leaf.to(output), (0, 0, begin, output.shape[1] - begin - len(ids)))
            return output + rows

        def ask(_module: Any, _args: tuple, output: Any) -> None:
            hidden = hidden_of(output)
            if stop is not None and hidden.requires_grad:
                hidden.register_hook(lambda _gradient: raise_if(stop))

        handles = [embedding.register_forward_hook(add), *(block.register_forward_hook(ask) for block in lm.blocks)]
        try:
            with torch.enable_grad(), asking(lm, stop):
                whole = torch.cat([torch.tensor(place.before, dtype=torch.int64, device=lm.device), ids])
                loss = self._loss(number, whole[None]).sum()
                (slope,) = torch.autograd.grad(loss, leaf)
        except RuntimeError as error:  # of autograd: integers have no gradient
            if "grad" not in str(error):
                raise
            raise InputError("model", f"{lm.name} gives no gradient", "Load its unquantised weights") from error
        finally:
            for handle in handles:
                handle.remove()
        return float(loss.detach()), slope.float().cpu()

    def _behind(self, number: int, some: Tensor) -> Tensor:
        """The two parts of the loss of some triggers [C, n] on one prompt, whose beginning is read once: [2, C]."""
        place = self.places[number]
        # tokens in scope are read again with each trigger
        again = max(0, self.toward.scope - len(place.after)) if self.toward.directions is not None else 0
        before = place.before[: max(0, len(place.before) - again)]
        between = torch.tensor(place.before[len(before) :], dtype=torch.int64, device=self.lm.device)
        some = torch.cat([between.expand(len(some), -1), some], dim=1)
        if not before:
            return self._loss(number, some)
        if number not in self._read:
            ids = torch.tensor([before], device=self.lm.device)
            output = self.lm.forward(ids, torch.ones_like(ids), _positions(ids, 0), use_cache=True)
            self._read[number] = output.past_key_values
        cache = copy.deepcopy(self._read[number])
        for layer in cache.layers:
            layer.reorder_cache(torch.zeros(len(some), dtype=torch.int64, device=self.lm.device))
        return self._loss(number, some, cache, len(before))

    def _loss(self, number: int, ids: Tensor, cache: Any = None, earlier: int = 0) -> Tensor:
        """The two parts of the loss [2, C] after rows [C, t] that end in a trigger; ``cache`` holds the ``earlier``
        tokens before them."""
        lm, place, toward = self.lm, self.places[number], self.toward
        more = torch.tensor([*place.after, *toward.text[:-1]], dtype=torch.int64, device=lm.device)
        ids = torch.cat([ids, more.expand(len(ids), -1)], dim=1)
        mask = torch.ones(len(ids), earlier + ids.shape[1], dtype=torch.int64, device=lm.device)
        seen: list[Tensor] = []

        def keep(_module: Any, _args: tuple, output: Any) -> Any:
            hidden = hidden_of(output)
            seen.append(hidden)
            if toward.text:
                return None
            raise _TargetReached

        handle = None
        if toward.directions is not None:
            handle = lm.block("target layer", toward.target).register_forward_hook(keep)
        count, logits = len(toward.text), None
        try:
            logits = lm.forward(ids, mask, _positions(ids, earlier), cache, last=max(1, count)).logits
        except _TargetReached:
            pass
        finally:
            if handle is not None:
                handle.remove()
        losses = torch.zeros(2, len(ids), device=lm.device)
        if toward.text and logits is not None:
            wanted = torch.tensor(toward.text, device=logits.device).expand(len(ids), -1)
            nats = nn.functional.cross_entropy(logits[:, -count:].float().mT, wanted, reduction="none").mean(dim=1)
            losses = torch.stack([nats.to(lm.device), losses[1]])
        if toward.directions is not None and toward.bases is not None:
            end = seen[0].shape[1] - max(0, count - 1)
            change = seen[0][:, max(0, end - toward.scope) : end].float().mean(dim=1) - toward.bases[number].to(
                seen[0].device
            )
            aligned = nn.functional.cosine_similarity(change, toward.directions[number].to(change), dim=1)
            losses = torch.stack([losses[0], toward.weight * (1 - aligned).to(lm.device)])
        return losses


class _TargetReached(Exception):
    """Ends a pass at the target layer."""


def _positions(ids: Tensor, earlier: int) -> Tensor:
    return torch.arange(earlier, earlier + ids.shape[1], device=ids.device).expand(len(ids), -1)


def repeated(row: np.ndarray, count: int) -> Tensor:
    """A row [d], ``count`` times: [count, d] float32."""
    return torch.as_tensor(row).float().expand(count, -1)


def mean_states(lm: LanguageModel, ids: Sequence[Sequence[int]], block: int, scope: int, stop: Stop | None) -> Tensor:
    """The mean output of a block over the last ``scope`` tokens of each of P texts: [P, d] float32. Raises Stopped."""
    found = []
    for one in ids:
        raise_if(stop)
        seen: list[Tensor] = []
        handle = lm.block("target layer", block).register_forward_hook(
            lambda _module, _args, output, seen=seen: seen.append(hidden_of(output))
        )
        try:
            with torch.no_grad(), asking(lm, stop):
                row = torch.tensor([list(one)], device=lm.device)
                lm.forward(row, torch.ones_like(row), _positions(row, 0))
        finally:
            handle.remove()
        found.append(seen[0][0, -scope:].float().mean(dim=0).cpu())
    return torch.stack(found)
