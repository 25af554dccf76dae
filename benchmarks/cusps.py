"""``python -m benchmarks.cusps``: which detector finds the R that a person chooses.

``texts`` measures the diversity curves of eight prompts and prints the completions at each R without any figure. A
reader chose R from them and wrote it down in hand_chosen_radii.json before any detector ran. ``prompts`` compares the
detectors with these choices, ``synthetic`` with the known cusps of synthetic curves. Existing texts and vectors are
looked up.
"""

import json
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from benchmarks import made_up_curves
from melbo_app.analysis.curve import DiversityCurve
from melbo_app.analysis.cusp import DETECTORS, cusps, find_cusp
from melbo_app.engine.prompt import Prompt
from melbo_app.engine.suggestion import RELATIVE_RADIUS
from melbo_app.engine.training_config import SATURATION, TrainingConfig
from melbo_app.jobs.generators import result_of
from melbo_app.settings import Settings
from melbo_app.studies.curve import CURVE_STEPS, MeasureCurve
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
Budget = Annotated[float, typer.Option("--effect-budget", help="Effect budget f of the trainings.")]
QUARTER = float(np.log(1.25))
HAND = Path(__file__).with_name("hand_chosen_radii.json")

app = typer.Typer(add_completion=False)


def curve(workbench: Workbench, prompt: str, budget: float, *, rescaled: bool) -> DiversityCurve:
    """The curve of one prompt, measured or looked up."""
    prompts = [Prompt(prompt)]
    place = workbench.suggestion(prompts)
    training = TrainingConfig(
        place.source, place.target, place.radius, steps=CURVE_STEPS, scope=place.scope, saturation=budget
    )
    return result_of(workbench.run(MeasureCurve(prompts=prompts, training=training, rescaled=rescaled)))


@app.command()
def texts(
    only: Annotated[str, typer.Option(help="Names of prompts, comma-separated.")] = ",".join(PROMPTS),
    rescaled: Annotated[bool, typer.Option("--rescaled", help="Rescale one bank; do not train at each R.")] = False,
    budget: Budget = SATURATION,
) -> None:
    """Measure the curves and print only the completions of the vectors at each R."""
    workbench = Workbench(Settings())
    for name in only.split(","):
        found = curve(workbench, PROMPTS[name], budget, rescaled=rescaled)
        print(f"## {name}: {PROMPTS[name]}", flush=True)
        for at, point in enumerate(found.points):
            completions = workbench.comparison(point.comparisons[0]).completions
            if at == 0:
                print(f"unsteered: {json.dumps(completions[0].text, ensure_ascii=False)}")
            print(f"R = {point.relative_radius:g}")
            for one in completions[1:]:
                print(f"  {one.vector}: {json.dumps(one.text, ensure_ascii=False)}", flush=True)


@app.command()
def prompts(
    rescaled: Annotated[bool, typer.Option("--rescaled", help="Rescale one bank; do not train at each R.")] = False,
    budget: Budget = SATURATION,
) -> None:
    """Print each detector's R beside the one chosen by hand, for each prompt, and how far apart they are."""
    hand = json.loads(HAND.read_text())["prompts"]
    workbench = Workbench(Settings())
    chosen = {name: one["radius"] for name, one in hand.items()}
    found: dict[str, dict[str, float | None]] = {detector: {} for detector in DETECTORS}
    print("| prompt | R | summed variance | random | D | readable | loss |\n|---|---|---|---|---|---|---|")
    for name in chosen:
        measured = curve(workbench, PROMPTS[name], budget, rescaled=rescaled)
        for point in measured.points:
            one, control = point.vectors, point.control
            cells = [f"{one.summed_variance:.2f} ± {one.error or 0:.2f}", f"{control.summed_variance:.2f}"]
            cells += [f"{one.readable_diversity:.2f}", f"{one.readable:.0%}", f"{one.loss or 0:.2f}"]
            print(f"| {name} | {point.relative_radius:g} | " + " | ".join(cells) + " |", flush=True)
        for cusp in cusps(measured.arrays()):
            found[cusp.detector][name] = cusp.radius
            if cusp.radius is None:
                print(f"{name}, {cusp.detector}: {cusp.reason}")
    # two R that ignore the prompt, for comparison: the default, and the mean of the choices for the other prompts
    logs = {name: np.log(radius) for name, radius in chosen.items() if radius is not None}
    found["always 0.07"] = dict.fromkeys(chosen, RELATIVE_RADIUS)
    found["mean of the others"] = {
        name: float(np.exp(np.mean([value for other, value in logs.items() if other != name]))) for name in chosen
    }
    print("\n| prompt | by hand | " + " | ".join(found) + " |\n|" + "---|" * (len(found) + 2))
    for name in chosen:
        cells = [_radius(chosen[name]), *(_radius(of[name]) for of in found.values())]
        print(f"| {name} | " + " | ".join(cells) + " |")
    head = ("detector", "found", "mean error in log R", "mean distance in log R", "in the range by hand")
    print("\n| " + " | ".join(head) + " |\n|" + "---|" * len(head))
    for detector, of in found.items():
        errors = np.array([np.log(radius / chosen[name]) for name, radius in of.items() if radius and chosen[name]])
        ranges = [(radius, hand[name]["low"], hand[name]["high"]) for name, radius in of.items() if chosen[name]]
        held = sum(radius is not None and low <= radius <= high for radius, low, high in ranges)
        told = f"{errors.mean():+.2f} | {np.abs(errors).mean():.2f}" if len(errors) else " | "
        print(f"| {detector} | {len(errors)} of {len(logs)} | {told} | {held} of {len(ranges)} |")


def _radius(radius: float | None) -> str:
    return "none" if radius is None else f"{radius:.3f}"


@app.command()
def synthetic(count: Annotated[int, typer.Option(help="Curves of each kind.")] = 300) -> None:
    """Print each detector's error in log R on synthetic curves, and how often it misses or invents a cusp."""
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
    print()
    for kind in made_up_curves.KINDS[:3]:
        made = [made_up_curves.make(kind, number) for number in range(count)]
        bounds = [(find_cusp(one.curve, "break"), one.cusp) for one in made]
        held = [cusp.low <= true <= cusp.high for cusp, true in bounds if cusp.low and cusp.high and true]
        print(f"The break point's 95 % interval contains the cusp in {np.mean(held):.0%} of {len(held)}: {kind}.")


if __name__ == "__main__":
    app()
