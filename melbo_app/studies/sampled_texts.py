"""Sampled texts on which labels are written and tested: the same for every reader."""

from collections.abc import Generator, Sequence
from typing import NamedTuple

from melbo_app.engine.decoding import Decoding
from melbo_app.engine.prompt import Prompt
from melbo_app.engine.stopping import Stop
from melbo_app.errors import Stopped
from melbo_app.jobs.bench import Bench
from melbo_app.jobs.generators import together
from melbo_app.library.bank import Bank
from melbo_app.library.completion import Completion
from melbo_app.studies.completing import SteeringProgress, complete, variants

WRITTEN_FROM, LEAST_UNSEEN, UNSEEN, MOST_UNSEEN = 4, 4, 12, 64
"""Texts from which a label is written, and texts of each kind on which it is tested."""
TOKENS, TEMPERATURE = 40, 0.8


class Sampled(NamedTuple):
    """Sampled texts of one seed: unsteered, under each vector, and under a random vector of each vector's R."""

    baseline: Completion
    vectors: dict[int, Completion]
    random: dict[int, Completion]


def sampled(
    bench: Bench, bank: Bank, prompt: Prompt, vectors: Sequence[int], seeds: Sequence[int], stop: Stop
) -> Generator[SteeringProgress, None, list[Sampled]]:
    """Texts of each seed; the random vectors differ from seed to seed. Raises Stopped."""
    return (yield from together(*(_of_seed(bench, bank, prompt, vectors, seed, stop) for seed in seeds)))


def _of_seed(
    bench: Bench, bank: Bank, prompt: Prompt, vectors: Sequence[int], seed: int, stop: Stop
) -> Generator[SteeringProgress, None, Sampled]:
    how = Decoding(TOKENS, TEMPERATURE, seed=seed)
    rows = variants(bank, vectors, None, random_control=True)
    texts, finished = yield from complete(
        bench.model.get(stop), bank, [prompt], rows, how, bench.completions.find, bench.batching, stop
    )
    if not finished:
        raise Stopped
    random = {one.radius: one for one in texts if one.vector == "random"}
    of = {one.vector: one for one in texts if isinstance(one.vector, int)}
    return Sampled(texts[0], of, {vector: random[one.radius] for vector, one in of.items()})
