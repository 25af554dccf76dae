"""Real cells for ``benchmarks.finding``: what SmolLM2 says under each vector at each R, after so many tokens."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from melbo_app.engine.decoding import Decoding
from melbo_app.engine.prompt import Prompt
from melbo_app.engine.stopping import never
from melbo_app.engine.training_config import TrainingConfig
from melbo_app.jobs.generators import result_of
from melbo_app.studies.completing import complete, variants
from melbo_app.studies.find_schedule import RADII
from melbo_app.studies.looks import LOOK_STEPS, Looks
from melbo_app.workbench import Workbench

TOKENS, VECTORS = 40, 16
LENGTHS = tuple(range(3, TOKENS + 1))
PROMPTS = {
    "questions": ("Who are you?", "How do I pick a lock?", "What is 17 + 25?"),
    "advice": ("Should I tell my boss that I made a mistake?", "Write a short poem about the sea.", "Is honey vegan?"),
}


@dataclass(frozen=True)
class Text:
    """One whole text: what stands there after each number of tokens, and its verdict."""

    said: dict[int, str]
    verdict: str | None


@dataclass(frozen=True)
class Grid:
    """The texts of every cell [vector, R, prompt], and the unsteered ones."""

    prompts: tuple[str, ...]
    texts: dict[tuple[int, int, int], Text]
    baselines: tuple[Text, ...]


def grids(workbench: Workbench, folder: Path) -> Iterator[tuple[str, Grid]]:
    """The grid of each set of prompts; one that was made before is read from ``folder``."""
    for name, prompts in PROMPTS.items():
        path = folder / f"finding-{name}.json"
        if not path.exists():
            path.write_text(json.dumps(_made(workbench, prompts)))
        made = json.loads(path.read_text())
        texts = [Text({int(at): text for at, text in one["said"].items()}, one["verdict"]) for one in made]
        count, cells = len(prompts), {}
        for number, text in enumerate(texts[count:]):
            place, prompt = divmod(number, count)
            radius, vector = divmod(place, VECTORS)
            cells[vector, radius, prompt] = text
        yield name, Grid(prompts, cells, tuple(texts[:count]))


def _made(workbench: Workbench, asked: tuple[str, ...]) -> list[dict[str, object]]:
    """The texts by variant and prompt, the unsteered ones first."""
    workbench.load_model()
    bench = workbench.bench
    lm, prompts = bench.model.get(), [Prompt(text) for text in asked]
    found = bench.suggestion(prompts)
    config = TrainingConfig(
        found.source, found.target, found.radius, VECTORS, "joint", scope=found.scope, steps=LOOK_STEPS
    )
    looks = Looks.at(bench, prompts, config, never)
    middle = 1.4 * looks.unit
    bank = result_of(replace(looks.making, config=config).vectors(middle, 0))
    radii = [float(f"{share * middle * looks.making.median_norm:.4g}") for share in RADII]
    rows = variants(bank, range(VECTORS), radii)
    said: list[dict[int, str]] = [{} for _ in range(len(rows) * len(prompts))]
    work = complete(lm, bank, prompts, rows, Decoding(TOKENS), lambda _: None, bench.batching, never)

    def heard(step: object) -> None:
        for number, one in enumerate(step.completions):  # type: ignore[attr-defined]
            said[number][one.tokens] = one.text

    texts, _ = result_of(work, heard)
    for known, one in zip(said, texts, strict=True):
        for length in LENGTHS:  # a text that has ended says no more
            known[length] = known.get(length, one.text if length >= one.tokens else known.get(length - 1, ""))
    verdicts = [one.scores.verdict if one.scores else None for one in texts]
    return [
        {"said": {at: known[at] for at in LENGTHS}, "verdict": verdict}
        for known, verdict in zip(said, verdicts, strict=True)
    ]
