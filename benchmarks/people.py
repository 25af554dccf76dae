"""``python -m benchmarks.people``: twenty people steering at once against one: tokens a second and waits.

Each asks for five texts of 16 tokens, the baseline and four vectors. One person and twenty take turns in one process,
and each ratio compares neighbouring runs; absolute figures hold only for this machine at this hour.
"""

import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import typer

from benchmarks.turns import ratio
from melbo_app.engine.decoding import Decoding
from melbo_app.engine.prompt import Prompt
from melbo_app.library.bank import Bank
from melbo_app.settings import Settings
from melbo_app.studies.steer import Steer
from melbo_app.workbench import Workbench

USERS, ROUNDS, PRESSES = 20, 3, 1
BANK, OTHER_BANK, DEEPER = "weekend", "who-are-you", "deeper"
VECTORS, TOKENS = (0, 1, 2, 3), 16
ASKED = (
    "Tell me a story about a lighthouse", "How do I bake bread", "What is the capital of France", "Who are you",
    "Write a letter to an old friend", "Why is the sky blue", "Describe a walk through a forest", "What is a fugue",
    "How does a sailing boat go against the wind", "Name three rivers", "What should I cook tonight", "Sing a song",
    "Explain what a magnet does", "How do bees find their way", "Plan a day in Rome", "What is a good death",
    "Tell me about your childhood", "How old is the moon", "Is it right to lie", "What do you do at the weekend",
)  # fmt: skip
LONG = " Begin with what everybody knows, go on with what few people know, and end with what nobody has asked yet."
HEAD = (
    "| prompts | tokens/s of 1, of all | ratio | by processor time | first token: median (max), of 1 | "
    "all: median (max), of 1 |\n|---|---|---|---|---|---|"
)


@dataclass(frozen=True)
class Press:
    """One person's request."""

    prompt: Prompt
    radius: float
    bank: str = BANK
    vectors: tuple[int, ...] = VECTORS
    tokens: int = TOKENS


@dataclass(frozen=True)
class Answer:
    """The outcome of one press: seconds to the first token and to the last score, and the number of tokens."""

    first: float
    full: float
    tokens: int


@dataclass
class Heard:
    """The outcome for everybody: seconds to the first token and to the last score, and the number of tokens."""

    first: list[float] = field(default_factory=list)
    full: list[float] = field(default_factory=list)
    tokens: int = 0
    seconds: float = 0.0
    processor: float = 0.0
    """Seconds of processor time, which other programs on the machine do not affect."""


def same(user: int, turn: int) -> Press:
    """Everybody has the same prompt, each at another R, so that no text can be looked up."""
    return Press(Prompt(f"{ASKED[0]}, number {turn}."), 6.0 + 0.01 * user)


def different(user: int, turn: int) -> Press:
    """Everybody has their own prompt."""
    return Press(Prompt(f"{ASKED[user]}? This is question {turn}."), 6.0)


def mixed(user: int, turn: int) -> Press:
    """Prompts of some 40 to 250 tokens, three banks with two source layers, one to four vectors, 8 to 32 tokens."""
    return Press(
        Prompt(f"{ASKED[user]}? This is question {turn}.{LONG * (0, 1, 3, 9)[user % 4]}"),
        6.0,
        (BANK, OTHER_BANK, DEEPER)[user % 3],
        VECTORS[: 1 + user % 4],
        (8, 16, 16, 32, 16)[user % 5],
    )


KINDS: dict[str, Callable[[int, int], Press]] = {"same": same, "different": different, "mixed": mixed}


class Server:
    """Makes workbenches with an empty library that share one model."""

    def __init__(self, folder: Path) -> None:
        (folder / "models").symlink_to(Settings().cache_dir.resolve() / "models")
        self._folder, self._count, self._turn = folder, 0, 0
        self._first = Workbench(Settings(cache_dir=folder))
        self.lm = self._first.load_model() and self._first.bench.model.get()

    def fresh(self) -> Workbench:
        """The next workbench."""
        self._count += 1
        made = Workbench(Settings(cache_dir=self._folder / str(self._count)))
        made._model = self._first.bench.model
        like = made.bank(BANK)
        changed = {"name": DEEPER, "source": 9, "objective": None, "curves": None, "effect": None}
        vectors = np.roll(like.vectors, 1, axis=1)
        made.bench.banks.save(Bank(like.record.model_copy(update=changed), vectors))
        return made

    def load(self, kind: Callable[[int, int], Press], users: int, presses: int) -> Heard:
        """``users`` people press Steer at the same moment, and again as soon as they have their texts."""
        workbench = self.fresh()
        self._turn += 1
        begun = 100 * self._turn

        def person(user: int) -> Iterator[Answer]:
            for press in range(presses):
                asked = kind(user, begun + press)
                begin, first, texts = time.perf_counter(), None, ()
                for progress in workbench.run(
                    Steer(
                        bank=asked.bank,
                        prompts=[asked.prompt],
                        vectors=asked.vectors,
                        radii=[asked.radius],
                        decoding=Decoding(asked.tokens),
                    )
                ):
                    if progress.completions and first is None:
                        first = time.perf_counter() - begin
                    texts = progress.completions
                yield Answer(first or 0.0, time.perf_counter() - begin, sum(text.tokens for text in texts))

        return at_once(users, person, time.process_time)


def at_once(users: int, visit: Callable[[int], Iterable[Answer]], processor: Callable[[], float]) -> Heard:
    """The outcome for people who start at the same moment; ``processor`` returns the processor seconds used so far."""
    heard, ready, lock = Heard(), threading.Barrier(users + 1), threading.Lock()

    def person(user: int) -> None:
        ready.wait()
        for answer in visit(user):
            with lock:
                heard.first.append(answer.first)
                heard.full.append(answer.full)
                heard.tokens += answer.tokens

    threads = [threading.Thread(target=person, args=(user,)) for user in range(users)]
    for thread in threads:
        thread.start()
    ready.wait()
    begin, used = time.perf_counter(), processor()
    for thread in threads:
        thread.join()
    heard.seconds, heard.processor = time.perf_counter() - begin, processor() - used
    return heard


def measure(
    rounds: int, kinds: Sequence[str] = (*KINDS,), users: int = USERS, presses: int = PRESSES
) -> Iterator[dict]:
    """The ``figures`` of ``users`` people and one, taking turns, for each kind of prompts."""
    with tempfile.TemporaryDirectory() as folder:
        server = Server(Path(folder))
        server.load(different, 2, 1)  # warms up
        for name in kinds:
            sides: tuple[list[Heard], list[Heard]] = ([], [])
            for _ in range(rounds):
                for side, count in zip(sides, (1, users), strict=True):
                    side.append(server.load(KINDS[name], count, presses))
            yield figures(name, *sides)


def figures(name: str, alone: list[Heard], everybody: list[Heard]) -> dict:
    """Tokens a second of everybody over those of one, by the clock (``ratio``) and by ``processor`` time: median,
    smallest and largest over the rounds, with both medians (``… of``). Seconds to the ``first`` token and to the
    ``full`` answer: median and largest of everybody, median of one."""
    sides, found = (alone, everybody), {"name": name}
    for key, clock in (("ratio", "seconds"), ("processor", "processor")):
        one, all_ = ([heard.tokens / getattr(heard, clock) for heard in side] for side in sides)
        found[key] = ratio(all_, one)
        found[f"{key} of"] = statistics.median(one), statistics.median(all_)
    for what in ("first", "full"):
        one, all_ = ([each for heard in side for each in getattr(heard, what)] for side in sides)
        found[what] = statistics.median(all_), max(all_), statistics.median(one)
    return found


def row(found: dict) -> str:
    """A row of the table."""
    ratios = [f"{middle:.1f} ({low:.1f} to {high:.1f})" for middle, low, high in (found["ratio"], found["processor"])]
    waits = [f"{middle:.1f} s ({most:.1f}), {one:.1f}" for middle, most, one in (found["first"], found["full"])]
    one, all_ = found["ratio of"]
    return f"| {found['name']} | {one:.0f}, {all_:.0f} | {' | '.join(ratios + waits)} |"


def main(kinds: str = ",".join(KINDS), users: int = USERS, rounds: int = ROUNDS, presses: int = PRESSES) -> None:
    """Measure one person and many, taking turns."""
    print(f"{users} people, {presses} presses each, {rounds} rounds\n{HEAD}", flush=True)
    for found in measure(rounds, kinds.split(","), users, presses):
        print(row(found), flush=True)


if __name__ == "__main__":
    typer.run(main)
