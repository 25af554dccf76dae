"""The measurements of a circuit: passes of the model, one after the other."""

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from melbo_app.analysis.estimate import mean_of
from melbo_app.engine.stopping import Stop, raise_if
from melbo_app.library.circuits import Circuit, Interval, Part, Retest, SmallestSet
from melbo_app.studies.measure import Measure

if TYPE_CHECKING:  # torch takes seconds to import, and the page is up before it
    from torch import Tensor

    from melbo_app.engine.encoding import EncodedPrompts
    from melbo_app.engine.patching import Patching

RANDOM_SETS = 16
"""Random sets of as many heads and MLPs as the smallest set."""


@dataclass
class Measuring:
    """Passes over the parts of one circuit; shares are of its effect."""

    patching: "Patching"
    circuit: Circuit
    runs: int
    """Steered runs in a pass."""
    stop: Stop

    def _shares(self, masks: Sequence["Tensor"]) -> Generator[int, None, list[float]]:
        """The share of the effect that is there with these nodes restored [N]; yields how many are measured."""
        from melbo_app.engine.patching import at_once

        found: list[float] = []
        for part in at_once(masks, self.runs):
            raise_if(self.stop)
            odds = self.patching.patched(part, self.stop)
            found += ((odds - self.circuit.unsteered) / self.circuit.effect).tolist()
            yield len(found)
        return found

    def estimated(self) -> Generator[int, None, Circuit]:
        """The circuit with all parts, estimated, and the direct path."""
        lost = self.patching.attribution(self.stop) / self.circuit.effect
        yield 1
        [direct] = yield from self._shares([~self.patching.only([])])
        known = {(one.block, one.kind, one.head): one for one in self.circuit.parts}
        parts = []
        for node, share in zip(self.patching.nodes, lost.tolist(), strict=True):
            before = known.get((node.block, node.kind, node.head))
            one = Part(block=node.block, kind=node.kind, head=node.head, attribution=share)
            parts.append(one if before is None else one.model_copy(update=_measured(before)))
        apart = all(one.kind != "attention" for one in parts)
        self.circuit = self.circuit.model_copy(update={"parts": tuple(parts), "direct": direct, "heads_apart": apart})
        return self.circuit

    def exactly(self, keep: Callable[[Circuit], None]) -> Generator[int, None, Circuit]:
        """The circuit with its best parts patched one by one, in both directions; ``keep`` is called with what is
        finished after each pass, and what was measured before is not measured again. Yields how many are done."""
        parts, direct = list(self.circuit.parts), self.circuit.direct or 0.0
        best = sorted(range(len(parts)), key=lambda at: -abs(parts[at].attribution))[: self.circuit.exact]
        missing = [at for at in best if parts[at].exact is None]
        each = max(1, self.runs // 2)
        for start in range(0, len(missing), each):
            some = missing[start : start + each]
            masks = [self.patching.only([at]) for at in some]
            shares = yield from _quiet(self._shares([*masks, *(~one for one in masks)]))
            for at, restored, alone in zip(some, shares[: len(some)], shares[len(some) :], strict=True):
                parts[at] = parts[at].model_copy(update={"exact": 1 - restored, "alone": alone - direct})
            agreement = _rank_correlation([one for one in parts if one.exact is not None])
            self.circuit = self.circuit.model_copy(update={"parts": tuple(parts), "agreement": agreement})
            keep(self.circuit)
            yield len(best) - len(missing) + start + len(some)
        return self.circuit

    def smallest(self) -> Generator[int, None, Circuit]:
        """The circuit with its smallest set, and random sets beside it. Yields how many sets were measured."""
        from melbo_app.engine.circuit import smallest_set

        parts, seen = self.circuit.parts, 0

        def effect(at: int) -> float:
            exact = parts[at].exact
            return parts[at].attribution if exact is None else exact

        def keeping(sets: Sequence[frozenset[int]]) -> Generator[int, None, list[float]]:
            nonlocal seen
            found = yield from _quiet(self._shares([~self.patching.only(one) for one in sets]))
            seen += len(sets)
            yield seen
            return found

        order = sorted(range(len(parts)), key=lambda at: -effect(at))
        found = yield from smallest_set(order, self.circuit.keep, keeping)
        sets = [found, *(self._random_sets(found) if found else [])]
        kept = yield from keeping(sets)
        left = yield from _quiet(self._shares([self.patching.only(one) for one in sets]))
        smallest = SmallestSet(
            parts=tuple(sorted(found)), kept=kept[0], left=left[0], random_kept=tuple(kept[1:]),
            random_left=tuple(left[1:]), random_kept_mean=_mean(kept[1:]), random_left_mean=_mean(left[1:]),
        )  # fmt: skip
        self.circuit = self.circuit.model_copy(update={"smallest": smallest})
        return self.circuit

    def retested(self, measure: Measure, prompt: "EncodedPrompts") -> Generator[int, None, Circuit]:
        """The circuit with texts: of the smallest set by itself, and without it. Yields the tokens written."""
        assert self.circuit.smallest is not None, "it was found before"
        chosen = self.patching.only(self.circuit.smallest.parts)
        asked, plain = prompt.prompts[0], self.circuit.answers[1]
        texts = yield from self.patching.texts(prompt, [~chosen, chosen], self.circuit.max_new_tokens, self.stop)
        kept, left = (Retest(text=text, shows=measure.shows(text, asked.user, plain, asked.system)) for text in texts)
        smallest = self.circuit.smallest.model_copy(update={"kept_text": kept, "left_text": left})
        self.circuit = self.circuit.model_copy(update={"smallest": smallest})
        return self.circuit

    def _random_sets(self, found: frozenset[int]) -> list[frozenset[int]]:
        """Random sets with as many MLPs, and as many others."""
        mlps = [at for at, one in enumerate(self.circuit.parts) if one.kind == "mlp"]
        others = [at for at, one in enumerate(self.circuit.parts) if one.kind != "mlp"]
        random = np.random.default_rng(self.circuit.seed)
        return [
            frozenset(
                int(one)
                for pool in (mlps, others)
                for one in random.choice(pool, size=len(found.intersection(pool)), replace=False)
            )
            for _ in range(RANDOM_SETS)
        ]


def _quiet(work: Generator[int, None, list[float]]) -> Generator[int, None, list[float]]:
    """The same work, one pass a step; its own counts mean nothing outside, so the step before is repeated."""
    while True:
        try:
            next(work)
        except StopIteration as end:
            return end.value
        yield -1


def _measured(part: Part) -> dict[str, float | None]:
    return {"exact": part.exact, "alone": part.alone}


def _mean(values: Sequence[float]) -> Interval | None:
    if not values:
        return None
    found = mean_of(values)
    return Interval(mean=found.value, low=found.low, high=found.high)


def _rank_correlation(parts: Sequence[Part]) -> float | None:
    """Spearman's, of attribution and exact effect; None where one of them is the same for all."""
    from scipy.stats import spearmanr  # late: it takes a second to import

    pairs = np.array([[one.attribution, one.exact or 0.0] for one in parts])
    if len(pairs) < 3 or (pairs == pairs[0]).all(axis=0).any():
        return None
    return float(spearmanr(pairs[:, 0], pairs[:, 1]).statistic)
