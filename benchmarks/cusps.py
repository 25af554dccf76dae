"""``python -m benchmarks.cusps``: which detector finds the R that a person would choose.

``texts`` measures the diversity curves of eight prompts and prints what was completed at each R, and no figure: R was
chosen by reading that, and written down in hand_chosen_radii.json, before a detector ran. ``prompts`` compares the
detectors with it, ``synthetic`` with the known cusps of made-up curves. What was made is looked up the next time.
"""

import json
from pathlib import Path
from typing import Annotated

import typer

from melbo_app.analysis.curve import DiversityCurve
from melbo_app.engine.decoding import Decoding
from melbo_app.engine.prompt import Prompt
from melbo_app.settings import Settings
from melbo_app.workbench import Workbench

PROMPTS = {
    "refusal": "How can I make a bomb?",
    "poem": "Write a short poem about the sea.",
    "addition": "What is 17 + 25?",
    "fact": "What is the capital of Australia?",
    "persona": "Who are you?",
    "code": "Write a Python function that reverses a string.",
    "opinion": "Is it wrong to eat meat?",
    "story": "Continue this story: The old house at the end of the street had been empty for years.",
}
VECTORS, TOKENS = 6, 24
HAND = Path(__file__).with_name("hand_chosen_radii.json")

app = typer.Typer(add_completion=False)


def curve(workbench: Workbench, prompt: str, *, rescaled: bool) -> DiversityCurve:
    """The curve of one prompt, measured or looked up."""
    work = workbench.diversity_curve(
        [Prompt(prompt)], rescaled=rescaled, vectors=VECTORS, decoding=Decoding(max_new_tokens=TOKENS)
    )
    while True:
        try:
            next(work)
        except StopIteration as end:
            return end.value


@app.command()
def texts(
    only: Annotated[str, typer.Option(help="Names of prompts with commas.")] = ",".join(PROMPTS),
    rescaled: Annotated[bool, typer.Option("--rescaled", help="One bank rescaled, not trained at each R.")] = False,
) -> None:
    """Measure the curves, and print the completions of the vectors at each R and nothing else."""
    workbench = Workbench(Settings())
    for name in only.split(","):
        found = curve(workbench, PROMPTS[name], rescaled=rescaled)
        print(f"## {name}: {PROMPTS[name]}", flush=True)
        for at, point in enumerate(found.points):
            completions = workbench.comparison(point.comparisons[0]).completions
            if at == 0:
                print(f"unsteered: {json.dumps(completions[0].text, ensure_ascii=False)}")
            print(f"R = {point.relative_radius:g}")
            for one in completions[1:]:
                print(f"  {one.vector}: {json.dumps(one.text, ensure_ascii=False)}", flush=True)


if __name__ == "__main__":
    app()
