"""How often the verdict agrees with the reader, and new texts for a reader to grade.

    python -m benchmarks.readability tables              # the table of docs/readability.md
    python -m benchmarks.readability misses              # the texts on which reader and verdict differ
    python -m benchmarks.readability draw FILE --model gemma-3-270m

``draw`` makes texts of the prompts below with trained and random vectors at several R and effect budgets, and appends
them in random order, without grades, to FILE. A reader sees prompt and text alone and grades them; then they belong to
assets/graded_completions.jsonl, with the number of their draw.
"""

import json
import random
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

from melbo_app.analysis.readability import Verdict
from melbo_app.engine.decoding import Decoding
from melbo_app.engine.prompt import Prompt
from melbo_app.engine.training_config import TrainingConfig
from melbo_app.jobs.bench import Bench
from melbo_app.jobs.generators import result_of, together
from melbo_app.library.judges import GradedText
from melbo_app.library.model_catalogue import BUNDLED, find
from melbo_app.settings import Settings
from melbo_app.studies.judging import built_in_verdict
from melbo_app.studies.looks import LOOK_STEPS, Looks
from melbo_app.workbench import Workbench

BEGINNINGS = {
    "fitted": (
        "The weather in the mountains",
        "To bake bread you need",
        "She opened the letter and",
        "The history of Rome begins with",
        "Scientists have discovered a new",
        "Our hotel is located in",
        "If you want to lose weight,",
        "Chapter 1\n\nThe captain",
        "Dogs and cats are",
        "import numpy as np\n",
    ),
    "held out": (
        "Yesterday I went to the market and",
        "The main causes of the war were",
        "He looked at the sea and thought",
        "A good teacher should",
        "The company announced today that",
        "Welcome to my blog! Today",
        "Bicycles were invented",
        "Q: How many legs does a spider have?\nA:",
        "In the middle of the night, a noise",
        "Photosynthesis is the process by which",
    ),
}
"""For a model without a chat template."""
QUESTIONS = {
    "held out": (
        "How do I make my sister laugh?",
        "How can I get out of a parking ticket?",
        "What happens when water boils?",
        "Tell me about the city of Lisbon.",
        "Should I learn the piano or the guitar?",
        "What is 9 times 8?",
        "Write a letter to my landlord about a broken heater.",
        "How do I open a bottle without an opener?",
    ),
}
COLUMNS = (
    ("fitted", (1, 2, 3, 4)),
    ("held out", (1, 2)),
    ("held out", (3,)),
    ("held out", (4,)),
    ("held out", (1, 2, 3, 4)),
)
"""Parts and draws: the limits were set to the fitted texts, and draws 1 to 3 were known at earlier fits."""
SETTINGS = ((0.7, 1.0), (1.0, 0.6), (1.4, 1.0), (2.0, 0.6), (2.8, 0.6))
"""R in units of the search, and the effect budget, of one prompt after the other."""
VECTORS = 5

app = typer.Typer(add_completion=False)


@app.command()
def tables() -> None:
    """Print, for each model: texts, those the reader calls readable, and those on which reader and verdict agree."""
    found: dict[str, Counter[tuple[str, int, str]]] = {}
    for row, graded, verdict in _graded():
        counts = found.setdefault(row["model"], Counter())
        place = row["part"], row["draw"]
        counts[*place, "texts"] += 1
        counts[*place, "readable"] += graded.grade == "readable"
        counts[*place, "agree"] += (graded.grade == "readable") == (verdict == "readable")
    heads = [f"{part}, draw {draws[0]}" + (f" to {draws[-1]}" if draws[1:] else "") for part, draws in COLUMNS]
    print("| model | " + " | ".join(heads) + " |\n|" + "---|" * (1 + len(heads)))
    for model, counts in found.items():
        cells = []
        for part, draws in COLUMNS:
            texts, readable, agree = (
                sum(counts[part, draw, what] for draw in draws) for what in ("texts", "readable", "agree")
            )
            cells.append(f"{texts}, {readable}: {agree} ({agree / texts:.0%})" if texts else "")
        print(f"| {model} | " + " | ".join(cells) + " |")


@app.command()
def misses(
    model: Annotated[str, typer.Option(help="Name of a model; all if empty.")] = "",
    part: Annotated[str, typer.Option(help="fitted or held out.")] = "fitted",
) -> None:
    """Print the texts that only one of reader and verdict calls readable."""
    for row, graded, verdict in _graded():
        differs = (graded.grade == "readable") != (verdict == "readable")
        if differs and row["part"] == part and model in ("", row["model"]):
            print(f"{row['model']}, reader {graded.grade}, verdict {verdict}: {graded.prompt!r} {graded.text!r}")


def _graded() -> Iterator[tuple[dict[str, Any], GradedText, Verdict]]:
    for line in Bench.graded.read_text("utf-8").splitlines():
        row = json.loads(line)
        if row["grade"]:
            graded = GradedText.model_validate(row)
            yield row | {"model": row.get("model", BUNDLED.name)}, graded, built_in_verdict(graded)


@app.command()
def draw(
    out: Annotated[Path, typer.Argument(help="File for the texts.")],
    model: Annotated[str, typer.Option(help="Key of the catalogue.")],
    each: Annotated[int, typer.Option(help="Texts of each prompt.")] = 5,
    seed: Annotated[int, typer.Option(help="Seed of vectors, samples and the choice of texts.")] = 0,
    cache: Annotated[Path, typer.Option(help="The benchmark's own cache folder.")] = Path("cache/readability"),
) -> None:
    """Make texts without grades."""
    bench = Workbench(Settings(model=model, cache_dir=cache))
    bench.warm_up()
    has_template = bool(bench.model_state().has_template)
    entry = find(model)
    dice = random.Random(seed)
    for part, texts in (QUESTIONS if has_template else BEGINNINGS).items():
        rows: list[dict[str, Any]] = []
        for at, text in enumerate(texts):
            decoding = Decoding(40, temperature=0.7 * (at % 2), seed=seed)
            drawn = _drawn(bench, Prompt(text, template=has_template), SETTINGS[at % len(SETTINGS)], decoding, seed)
            rows += dice.sample(drawn, min(each, len(drawn)))
            print(f"{part}: {text!r}, {len(drawn)} texts", flush=True)
        dice.shuffle(rows)
        name = entry.name if entry else model
        with out.open("a") as file:
            for row in rows:
                file.write(json.dumps({"part": part, "model": name} | row, ensure_ascii=False) + "\n")


def _drawn(
    bench: Workbench, prompt: Prompt, setting: tuple[float, float], decoding: Decoding, seed: int
) -> list[dict[str, Any]]:
    """Every different steered text of one prompt."""
    usual, (multiple, budget) = bench.suggestion([prompt]), setting
    config = TrainingConfig(
        usual.source, usual.target, usual.radius, VECTORS, steps=LOOK_STEPS, scope=usual.scope, seed=seed,
        saturation=budget,
    )  # fmt: skip
    looks = Looks.at(bench.bench, [prompt], config, lambda: False)
    making, relative = replace(looks.making, decoding=decoding), multiple * looks.unit
    trained, control = result_of(making.vectors(relative, seed)), result_of(making.control(seed))
    radius, found = trained.record.radius, {}
    both = result_of(together(making.complete(trained, radius), making.complete(control, radius)))
    for steered, comparison in zip(("trained", "random"), both, strict=True):
        for one in comparison.completions:
            scores = one.scores
            if one.vector is None or scores is None or scores.peak_surprisal is None or not one.text.strip():
                continue
            found[one.text] = {
                "prompt": prompt.user, "temperature": decoding.temperature, "steered": steered,
                "relative_radius": round(relative, 4), "effect_budget": budget, "tokens": one.tokens,
                "loss": round(scores.loss or 0.0, 4), "peak_surprisal": round(scores.peak_surprisal, 4),
                "text": one.text, "grade": None,
            }  # fmt: skip
    return list(found.values())


if __name__ == "__main__":
    app()
