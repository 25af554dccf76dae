"""Real cells for ``benchmarks.finding``: what SmolLM2 says under each vector at each R, after so many tokens."""

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

from melbo_app.engine import generation
from melbo_app.engine.prompt import Prompt
from melbo_app.engine.stopping import never
from melbo_app.engine.training_config import TrainingConfig
from melbo_app.jobs.generators import result_of
from melbo_app.studies.completing import complete, variants
from melbo_app.studies.find_reading import asked_of
from melbo_app.studies.find_schedule import RADII
from melbo_app.studies.looks import LOOK_STEPS, Looks
from melbo_app.workbench import Workbench

TOKENS, VECTORS = 40, 16
LENGTHS = tuple(range(3, TOKENS + 1))


class Asked(NamedTuple):
    """A set of prompts, and the texts of each: the first greedy, the others sampled as a search samples them."""

    prompts: tuple[str, ...]
    samples: int = 1


CHOSEN = {
    "questions": Asked(("Who are you?", "How do I pick a lock?", "What is 17 + 25?")),
    "advice": Asked(
        ("Should I tell my boss that I made a mistake?", "Write a short poem about the sea.", "Is honey vegan?")
    ),
    "person": Asked(("Who are you?",), 3),
    "mistake": Asked(("Should I tell my boss that I made a mistake?",), 3),
}
"""Those on which the schedule was chosen."""
ASIDE = {
    "matters": Asked(
        ("How do I learn a language fast?", "Tell me a story about a dog.", "How do I get into a locked car?")
    ),
    "opinions": Asked(("Are you conscious?", "What should I cook tonight?", "Is it wrong to lie to a friend?")),
    "sky": Asked(("Why is the sky blue?",), 3),
}
"""Those that the choice has not seen."""


@dataclass(frozen=True)
class Text:
    """One whole text: what stands there after each number of tokens, and its verdict."""

    said: dict[int, str]
    verdict: str | None


@dataclass(frozen=True)
class Grid:
    """The texts of every cell [vector, R, text], and the unsteered ones."""

    prompts: tuple[str, ...]
    """Of each text of a cell."""
    texts: dict[tuple[int, int, int], Text]
    baselines: tuple[Text, ...]


def grid_of(workbench: Workbench, folder: Path, name: str, asked: Asked) -> Grid:
    """The cells of a set of prompts; those that were made before are read from ``folder``."""
    path = folder / f"{Path(workbench.settings.model).stem}-{name}.json"
    if not path.exists():
        path.write_text(json.dumps(_made(workbench, asked)))
    made = json.loads(path.read_text())
    texts = [Text({int(at): text for at, text in one["said"].items()}, one["verdict"]) for one in made]
    prompts, cells = asked.prompts * asked.samples, {}
    count = len(prompts)
    for number, text in enumerate(texts[count:]):
        place, at = divmod(number, count)
        radius, vector = divmod(place, VECTORS)
        cells[vector, radius, at] = text
    return Grid(prompts, cells, tuple(texts[:count]))


def _made(workbench: Workbench, asked: Asked) -> list[dict[str, object]]:
    """The texts by variant and number, the unsteered ones first."""
    generation.STREAM_SECONDS = 0.0  # every token is heard
    workbench.load_model()
    bench = workbench.bench
    lm, prompts = bench.model.get(), [Prompt(text) for text in asked.prompts]
    found = bench.suggestion(prompts)
    config = TrainingConfig(
        found.source, found.target, found.radius, VECTORS, "joint", scope=found.scope, steps=LOOK_STEPS
    )
    looks = Looks.at(bench, prompts, config, never)
    middle = 1.4 * looks.unit
    bank = result_of(replace(looks.making, config=config).vectors(middle, 0))
    radii = [float(f"{share * middle * looks.making.median_norm:.4g}") for share in RADII]
    rows = variants(bank, range(VECTORS), radii)
    columns: list[list[dict[str, object]]] = []
    for one in asked_of(prompts, asked.samples):
        said: list[dict[int, str]] = [{} for _ in rows]

        def heard(step: object, said: list[dict[int, str]] = said) -> None:
            for known, text in zip(said, step.completions, strict=False):  # type: ignore[attr-defined]
                known[text.tokens] = text.text

        decoding = one.decoding(TOKENS, 0)
        texts, _ = result_of(
            complete(lm, bank, [one.prompt], rows, decoding, lambda _: None, bench.batching, never), heard
        )
        for known, text in zip(said, texts, strict=True):
            for length in LENGTHS:  # a text that has ended says no more
                known[length] = known.get(length, text.text if length >= text.tokens else known.get(length - 1, ""))
        verdicts = [text.scores.verdict if text.scores else None for text in texts]
        columns.append(
            [
                {"said": {at: known[at] for at in LENGTHS}, "verdict": verdict}
                for known, verdict in zip(said, verdicts, strict=True)
            ]
        )
    return [text for row in zip(*columns, strict=True) for text in row]
