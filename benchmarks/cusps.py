"""``python -m benchmarks.cusps``: which detector finds the R that a person would choose.

``texts`` measures the diversity curves of eight prompts and prints what was completed at each R, and no figure: R was
chosen by reading that, and written down in hand_chosen_radii.json, before a detector ran. ``prompts`` compares the
detectors with it, ``synthetic`` with the known cusps of made-up curves. What was made is looked up the next time.
"""

import json
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from benchmarks import made_up_curves
from melbo_app.analysis.curve import DiversityCurve
from melbo_app.analysis.cusp import DETECTORS, break_point, find_cusp, no_cusp
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
QUARTER = float(np.log(1.25))
HAND = Path(__file__).with_name("hand_chosen_radii.json")

app = typer.Typer(add_completion=False)


def curve(workbench: Workbench, prompt: str, *, rescaled: bool) -> DiversityCurve:
    """The curve of one prompt, measured or looked up."""
    work = workbench.diversity_curve([Prompt(prompt)], rescaled=rescaled)
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


@app.command()
def synthetic(count: Annotated[int, typer.Option(help="Curves of each kind.")] = 300) -> None:
    """Made-up curves with known cusps: the error of each detector in log R, and how often it misses or makes one up."""
    print("| curves | detector | found | error in log R | spread | within a quarter |\n|---|---|---|---|---|---|")
    for kind in made_up_curves.KINDS:
        made = [made_up_curves.make(kind, number) for number in range(count)]
        for detector in DETECTORS:
            found = [(find_cusp(one.curve, detector), one.cusp) for one in made]
            errors = np.array([np.log(cusp.radius / true) for cusp, true in found if cusp.radius and true])
            cells = [kind, detector, f"{np.mean([cusp.radius is not None for cusp, _ in found]):.0%}"]
            if len(errors):
                near = (np.abs(errors) <= QUARTER).mean()
                cells += [f"{errors.mean():+.2f}", f"{errors.std():.2f}", f"{near:.0%}"]
            print("| " + " | ".join([*cells, *[""] * (6 - len(cells))]) + " |", flush=True)
    made = [made_up_curves.make(made_up_curves.KINDS[0], number) for number in range(count)]
    bounds = [(break_point(one.curve), one.cusp) for one in made if no_cusp(one.curve) is None]
    held = [cusp.low <= true <= cusp.high for cusp, true in bounds if cusp.low and cusp.high and true]
    print(f"\nThe break point's 95 % interval holds the cusp in {np.mean(held):.0%} of the first kind.")


if __name__ == "__main__":
    app()
