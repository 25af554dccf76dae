"""Eight people pressing Steer at the same moment, against the same eight one after another."""

import statistics
import tempfile
import threading
import time
from pathlib import Path

from benchmarks.turns import ratio, take_turns
from melbo_app.engine.decoding import Decoding
from melbo_app.engine.prompt import Prompt
from melbo_app.settings import Settings
from melbo_app.studies.steer import Steer
from melbo_app.workbench import Workbench

PROMPTS = (
    "Tell me a long story about a lighthouse.",
    "How do I bake bread?",
    "What is the capital of France? Tell me a little about it, and about the river that runs through it.",
    "Write a letter to an old friend.",
    "Why is the sky blue in the morning and red in the evening?",
    "Describe a walk through an old forest after rain.",
    "Who are you?",
    "Explain how a sailing boat can go against the wind.",
)
BANK, RADIUS, TOKENS = "weekend", 8.0, 40


def measure(rounds: int, dtype: str = "auto") -> dict[str, float]:
    """Each of the eight asks for the baseline and one vector with their own prompt and vector; 40 tokens a text.

    Returns how many times as long eight in a row take, with the smallest and largest over the rounds; the share of
    texts that are equal both ways; and the seconds from the press to the first token, for one person alone and for the
    first, middle and last of eight at once.
    """
    with tempfile.TemporaryDirectory() as folder:
        people = _People(Path(folder), dtype)
        firsts: dict[str, list[list[float]]] = {"in a row": [], "at once": []}
        seconds = take_turns(
            {
                "in a row": lambda: firsts["in a row"].append(people.in_a_row()),
                "at once": lambda: firsts["at once"].append(people.at_once()),
            },
            rounds,
        )
    found = dict(zip(("ratio", "low", "high"), ratio(seconds["in a row"], seconds["at once"]), strict=True))
    found["same"] = people.same()
    found["alone"] = statistics.median(one for each in firsts["in a row"][1:] for one in each)
    ordered = [sorted(each) for each in firsts["at once"][1:]]
    for name, at in (("first", 0), ("middle", len(PROMPTS) // 2), ("last", -1)):
        found[name] = statistics.median(each[at] for each in ordered)
    return found


class _People:
    """Eight of them. Each time they find a cache without any texts, so that none is merely looked up."""

    def __init__(self, folder: Path, dtype: str) -> None:
        self._folder, self._count, self._dtype = folder, 0, dtype
        (folder / "models").symlink_to(Settings().cache_dir.resolve() / "models")
        self._first = self._workbench(folder)
        self._first.load_model()
        self._texts: dict[int, list[list[str]]] = {at: [] for at in range(len(PROMPTS))}

    def in_a_row(self) -> list[float]:
        """Seconds from each press to its first token."""
        workbench = self._fresh()
        return [self._ask(workbench, at) for at in range(len(PROMPTS))]

    def at_once(self) -> list[float]:
        """The same, each in a thread."""
        workbench, found, ready = self._fresh(), [0.0] * len(PROMPTS), threading.Barrier(len(PROMPTS))

        def ask(at: int) -> None:
            ready.wait()
            found[at] = self._ask(workbench, at)

        threads = [threading.Thread(target=ask, args=(at,)) for at in range(len(PROMPTS))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return found

    def same(self) -> float:
        """The share of texts that equal those of the first time."""
        pairs = [
            (one, each[0][row]) for each in self._texts.values() for texts in each for row, one in enumerate(texts)
        ]
        return statistics.mean(one == other for one, other in pairs)

    def _workbench(self, cache: Path) -> Workbench:
        return Workbench(Settings(cache_dir=cache, dtype=self._dtype))

    def _fresh(self) -> Workbench:
        self._count += 1
        workbench = self._workbench(self._folder / str(self._count))
        workbench.bench.model = self._first.bench.model
        return workbench

    def _ask(self, workbench: Workbench, at: int) -> float:
        begin, first = time.perf_counter(), 0.0
        for progress in workbench.run(
            Steer(bank=BANK, prompts=[Prompt(PROMPTS[at])], vectors=[at], radii=[RADIUS], decoding=Decoding(TOKENS))
        ):
            if progress.completions:
                first = first or time.perf_counter() - begin
                texts = [entry.text for entry in progress.completions]
        self._texts[at].append(texts)
        return first
