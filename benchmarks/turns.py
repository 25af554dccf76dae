"""Taking turns: the compared sides alternate in one process, so that both meet the same machine load."""

import statistics
import time
from collections.abc import Callable, Mapping


def take_turns(work: Mapping[str, Callable[[], object]], rounds: int) -> dict[str, list[float]]:
    """Seconds of each call over ``rounds`` rounds, after a warm-up round."""
    seconds: dict[str, list[float]] = {name: [] for name in work}
    for turn in range(rounds + 1):
        for name, call in work.items():
            start = time.perf_counter()
            call()
            if turn:
                seconds[name].append(time.perf_counter() - start)
    return seconds


def ratio(slower: list[float], faster: list[float], work: float = 1.0) -> tuple[float, float, float]:
    """Median, smallest and largest of slower/faster over the rounds, times ``work``, how much more ``faster`` did."""
    each = sorted(work * one / other for one, other in zip(slower, faster, strict=True))
    return statistics.median(each), each[0], each[-1]
