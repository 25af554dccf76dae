"""``python -m benchmarks.explorations``: what one press of Explore finds for eight prompts.

``measure`` explores each with everything left at what it is without a choice, and keeps the result with the seconds
that it took in a JSON file; what is there is not measured again. ``tables`` writes what docs/explore.md shows: R beside
the one that was chosen by hand, the figures, and the answers of the first five vectors, whatever they are.
"""

import json
import os
import time
from pathlib import Path
from typing import Annotated, Any

import typer

from benchmarks.cusps import HAND, PROMPTS
from melbo_app.engine.prompt import Prompt
from melbo_app.jobs.work import result_of
from melbo_app.library.explorations import Exploration
from melbo_app.settings import Settings
from melbo_app.workbench import Workbench

OUT = Path("cache/explorations.json")
SHOWN = 5

app = typer.Typer(add_completion=False)


@app.command()
def measure(
    only: Annotated[str, typer.Option(help="Names of prompts with commas.")] = ",".join(PROMPTS),
    out: Annotated[Path, typer.Option(help="Where the results are kept.")] = OUT,
) -> None:
    """Explore every prompt, and keep each result."""
    rows: dict[str, Any] = json.loads(out.read_text()) if out.exists() else {}
    workbench = Workbench(Settings())
    workbench.warm_up()
    for name in only.split(","):
        if name in rows:
            continue
        begin, used = time.perf_counter(), time.process_time()
        found = result_of(workbench.explore(Prompt(PROMPTS[name])))
        wall, processor = time.perf_counter() - begin, time.process_time() - used
        rows[name] = {"wall": wall, "processor": processor, "found": found.model_dump(mode="json")}
        spare = out.with_suffix(".new")
        spare.write_text(json.dumps(rows, indent=0))
        os.replace(spare, out)
        print(f"{name}: {wall:.0f} s, {processor:.0f} s of processor. {found.sentence}", flush=True)


@app.command()
def tables(out: Annotated[Path, typer.Option(help="Where the results are kept.")] = OUT) -> None:
    """The tables of docs/explore.md."""
    rows = json.loads(out.read_text())
    hand = json.loads(HAND.read_text())["prompts"] if HAND.exists() else {}
    found = {name: Exploration.model_validate(rows[name]["found"]) for name in PROMPTS if name in rows}
    head = (
        "prompt",
        "R",
        "by hand",
        "D (random)",
        "readable",
        "behaviours",
        "changed (random)",
        "set aside",
        "seconds",
    )
    print("| " + " | ".join([*head, "of processor"]) + " |\n" + "|---" * (len(head) + 1) + "|")
    for name, one in found.items():
        own = hand.get(name, {})
        by_hand = f"{own['radius']:.3g} ({own['low']:.3g}–{own['high']:.3g})" if own.get("radius") else "–"
        changed, control = (sum(answer.changed for answer in answers) for answers in (one.answers, one.control))
        cells = [name, f"{one.radius.relative_radius:.3f}", by_hand]
        cells += [f"{one.readable_diversity:.2f} ({one.control_readable_diversity:.2f})", f"{one.readable:.0%}"]
        cells += [str(sum(not behaviour.unsteered for behaviour in one.behaviours))]
        cells += [f"{changed} of {len(one.answers)} ({control} of {len(one.control)})", str(len(one.aside))]
        cells += [f"{rows[name]['wall']:.0f}", f"{rows[name]['processor']:.0f}"]
        print("| " + " | ".join(cells) + " |")
    for name, one in found.items():
        print(f"\n### {name}: “{one.prompt.user}”\n\n{one.sentence}\n")
        print(
            f"| | what it says | verdict | distance | put |\n|---|---|---|---|---|\n| – | {_cell(one.baseline)} | | | |"
        )
        for answer in one.answers[:SHOWN]:
            cells = [str(answer.vector), _cell(answer.text), answer.verdict or "–", f"{answer.distance:.2f}"]
            print("| " + " | ".join([*cells, _place(one, answer.vector)]) + " |")


def _place(found: Exploration, vector: int) -> str:
    """Where a vector was put: into a behaviour, or aside."""
    for behaviour in found.behaviours:
        if vector in behaviour.vectors:
            return _cell(behaviour.name)
    return next("set aside: " + one.reason.split(":")[0] for one in found.aside if one.vector == vector)


def _cell(text: str) -> str:
    """A text as a cell of a Markdown table: nothing of it is left out, and nothing of it is markup."""
    flat = " ".join(text.split()).replace("\\", "\\\\")
    for sign in "|*_`<>[]#$":
        flat = flat.replace(sign, "\\" + sign)
    return flat


if __name__ == "__main__":
    app()
