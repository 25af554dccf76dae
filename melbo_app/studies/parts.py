"""Parts: which heads and MLPs carry what a vector does."""

from collections.abc import Callable, Generator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, ClassVar

import numpy as np
from pydantic import Field

from melbo_app.engine.prompt import Prompt
from melbo_app.engine.stopping import Stop
from melbo_app.errors import InputError, Stopped
from melbo_app.jobs.bench import Bench
from melbo_app.jobs.generators import map_progress
from melbo_app.jobs.progress import Progress
from melbo_app.jobs.study import Study
from melbo_app.library.bank import Bank, PromptRecord
from melbo_app.library.circuits import Circuit
from melbo_app.library.counted import Counted
from melbo_app.limits import check_range
from melbo_app.studies.as_json import beginning
from melbo_app.studies.completing import Variant, variants
from melbo_app.studies.generality import LEAST_RANDOM, MOST_RANDOM
from melbo_app.studies.measure import Measure
from melbo_app.studies.parts_answer import FoundParts, found_parts, lines_of
from melbo_app.studies.parts_asked import Asked, asked
from melbo_app.studies.parts_measuring import Measuring

KEEP, EXACT, RANDOM, TOKENS = 0.8, 32, 16, 24
"""Defaults: the share that is kept, parts patched exactly, random vectors, tokens of an answer."""
LEAST_KEEP, MOST_KEEP = 0.01, 0.99
MOST_EXACT, MOST_ANSWER = 10_000, 512
STAGES = {"answers": 0, "attribution": 10, "exact patching": 15, "smallest set": 55, "texts": 90}
"""Where each stage begins, of 100."""
USUAL_SETS = 250
"""Sets that are measured on the way to the smallest one, roughly."""


@dataclass(frozen=True, kw_only=True)
class PartsProgress(Progress):
    """The progress of a circuit; ``circuit`` is what is measured so far, None before the estimate."""

    circuit: Circuit | None = None


class FindParts(Study[Circuit]):
    """Which attention heads and MLPs carry what a vector does on a prompt?

    Their outputs are patched between the steered and the unsteered run: all by attribution patching, the best exactly,
    and then the smallest set that keeps most of the effect is looked for, and tested by itself and without it. Stopping
    keeps the parts that are patched; the same request goes on from there.
    """

    kind: ClassVar[str] = "parts"

    bank: str = Field(description="name of the bank")
    vector: int = Field(description="number of the vector")
    prompt: Prompt = Field(description="user text")
    measure: str = Field(
        description="what the vector changes: logits:A,B (log-odds of two answers), flag:NAME, words:ONE,TWO, "
        "regex:PATTERN or language:CODE"
    )
    radius: float | None = Field(
        None, description="R, negative for the opposite direction; left out: the vector's own norm"
    )
    keep: float = Field(KEEP, description="share of the effect that the smallest set keeps")
    exact: int = Field(EXACT, description="parts that are patched exactly, those with the largest estimates")
    random: int = Field(RANDOM, description="random vectors of the same R")
    max_new_tokens: int = Field(TOKENS, description="longest answer of a measure of texts, in tokens")
    seed: int = Field(0, description="seed of random vectors and random sets")

    @property
    def title(self) -> str:
        return f"Parts of “{self.bank}” {self.vector} on “{beginning(self.prompt)}”"

    def check(self, bench: Bench) -> None:
        Measure.parse(self.measure)
        self._own(bench.banks.load(self.bank))
        check_range("keep", self.keep, LEAST_KEEP, MOST_KEEP)
        check_range("exact", self.exact, 1, MOST_EXACT)
        check_range("random vectors", self.random, LEAST_RANDOM, MOST_RANDOM)
        check_range("max new tokens", self.max_new_tokens, 1, MOST_ANSWER)

    def _own(self, bank: Bank) -> Variant:
        """The vector at its R. Raises InputError."""
        if self.radius == 0:
            raise InputError("R", "0 changes nothing", "Choose another R, or leave it out")
        if bank.record.blocks is not None and bank.record.source >= bank.record.blocks - 1:
            problem = f"“{bank.record.name}” adds its vectors to the last block, so no head or MLP comes after them"
            raise InputError("bank", problem, "Choose a bank with a lower source layer")
        return variants(bank, [self.vector], None if self.radius is None else [self.radius])[1]

    def run(self, bench: Bench, stop: Stop) -> Generator[Progress, None, Circuit]:
        """Raises Stopped for a stop before the first estimate."""
        from melbo_app.engine.encoding import encode
        from melbo_app.engine.patching import Patching
        from melbo_app.engine.patching_memory import memory_of
        from melbo_app.engine.steering import random_vector

        lm = bench.model.get(stop)
        bank = bench.bank_for(lm, self.bank)
        own, measure, source = self._own(bank), Measure.parse(self.measure), bank.record.source
        row = bank.vectors[self.vector].astype(np.float32)
        if self.radius is not None:
            row = (self.radius * row / np.linalg.norm(row)).astype(np.float32)
        others = [random_vector(lm.hidden_size, abs(own.radius), self.seed + one) for one in range(self.random)]
        thetas = np.stack([row, *(one.numpy() for one in others)])
        encoded = encode(lm, [self.prompt], stop)
        writing = asked(lm, self.prompt, source, thetas, measure, self.max_new_tokens, stop)
        question = yield from map_progress(bench.compute.steps(writing), _stage("answers", self.max_new_tokens))
        patching = Patching(lm, question.question, source, thetas[0])
        with bench.compute.hold():
            note, runs = memory_of(patching, encoded, bench.model.memory_gb)
        yield PartsProgress("answers", STAGES["answers"], 100, note)
        odds: list[float] = []
        for start in range(0, len(thetas), runs):
            with bench.compute.hold():
                found = patching.plain(thetas[start : start + runs], stop).tolist()
            odds += found[1:] if odds else found
            yield PartsProgress("random vectors", STAGES["answers"], 100)
        circuit = self._begun(bench, lm, bank, own, question, patching.tokens, odds)
        known = bench.circuits.find(circuit.key)
        if known is not None and known.finished:
            return known
        if circuit.as_random:
            circuit = circuit.model_copy(update={"finished": True})
            bench.circuits.keep(circuit)
            return circuit
        if known is not None:
            circuit = circuit.model_copy(update={"parts": known.parts})
        return (yield from self._measured(bench, Measuring(patching, circuit, runs, stop), measure, encoded))

    def _measured(
        self, bench: Bench, work: Measuring, measure: Measure, encoded: Any
    ) -> Generator[Progress, None, Circuit]:
        """All that is measured of the parts. After the estimate, a stop ends it, and what was measured is kept."""

        def stage(name: str, of: int) -> Callable[[int], PartsProgress]:
            begun = _stage(name, of)
            return lambda done: replace(begun(done), circuit=work.circuit)

        steps = bench.compute.steps
        yield from map_progress(steps(work.estimated()), _stage("attribution", 1))
        bench.circuits.keep(work.circuit)
        try:
            many = min(self.exact, len(work.circuit.parts))
            yield from map_progress(steps(work.exactly(bench.circuits.keep)), stage("exact patching", many))
            yield from map_progress(steps(work.smallest()), stage("smallest set", USUAL_SETS))
            if measure.is_of_texts:
                texts = work.retested(measure, encoded)
                yield from map_progress(steps(texts), stage("texts", self.max_new_tokens))
        except Stopped:
            return work.circuit
        done = work.circuit.model_copy(update={"finished": True, "created": datetime.now(UTC)})
        bench.circuits.keep(done)
        yield PartsProgress("done", 100, 100, circuit=done)
        return done

    def _begun(
        self, bench: Bench, lm: Any, bank: Bank, own: Variant, asked: Asked, tokens: int, odds: list[float]
    ) -> Circuit:
        """The circuit before anything is known of its parts."""
        return Circuit(
            model=lm.name,
            spec=bench.model.spec,
            model_hash=lm.weights_hash,
            dtype=str(lm.dtype).removeprefix("torch."),
            bank=bank.record.name,
            bank_hash=bank.hash,
            vector=self.vector,
            radius=own.radius,
            own_radius=self.radius is None,
            source=bank.record.source,
            prompt=PromptRecord.of(self.prompt),
            measure=str(Measure.parse(self.measure)),
            keep=self.keep,
            exact=self.exact,
            random=self.random,
            max_new_tokens=self.max_new_tokens,
            seed=self.seed,
            tokens=tokens,
            answers=asked.answers,
            unsteered=odds[0],
            steered=odds[1],
            random_effects=tuple(one - odds[0] for one in odds[2:]),
            random_shows=None if asked.random_shows is None else Counted.of(asked.random_shows),
            created=datetime.now(UTC),
        )

    def answer(self, result: Circuit, not_kept: str | None) -> FoundParts:
        return found_parts(result, not_kept)

    def lines(self, result: Circuit) -> list[str]:
        return lines_of(result)


def _stage(name: str, of: int) -> Callable[[int], PartsProgress]:
    """Progress within a stage, from how much of it is done; a negative number repeats the one before."""
    begins = STAGES[name]
    ends = min([100, *(one for one in STAGES.values() if one > begins)])
    before = 0

    def tell(done: int) -> PartsProgress:
        nonlocal before
        before = max(before, done)
        return PartsProgress(name, round(begins + min(1.0, before / of) * (ends - begins)), 100)

    return tell
