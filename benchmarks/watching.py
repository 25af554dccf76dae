"""Watch on organisms: ``python -m benchmarks.watching FOLDER…`` prints a table of docs/watch.md.

A bank of one clean prompt watches the recipe's held-out prompts, with the trigger (anomalous), without it and with a
decoy (clean): eight vectors trained without knowing of the behaviour, and one that was trained toward it
(``engine/toward.py``), as if somebody had found and labelled it.
"""

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np

from melbo_app import api as melbo
from melbo_app.engine.encoding import encode
from melbo_app.engine.lessons import lesson
from melbo_app.engine.model import LanguageModel
from melbo_app.engine.slice import ModelSlice
from melbo_app.engine.toward import vectors_toward
from melbo_app.jobs.generators import result_of
from melbo_app.library import organism as folders
from melbo_app.library.bank import Bank
from melbo_app.library.organism import Organism
from melbo_app.library.organism_prompts import clean_prompts
from melbo_app.studies.organism_reach import beginning
from melbo_app.studies.watch import Watch, Watched

CLEAN = Path(__file__).parent / "watch" / "usual.txt"
RADIUS = 0.1
"""In median residual norms: there, some vector brings most planted behaviours out (docs/organisms.md)."""
TRAINED = 8


def banks(lm: LanguageModel, organism: Organism) -> tuple[Bank, Bank]:
    """The bank without and with the vector toward the behaviour, which is the last one."""
    text, item = clean_prompts(organism.recipe)[0]
    assert organism.figures is not None
    shown = [one for one in organism.figures.texts if one.fired]
    found = melbo.train(lm, text, vectors=TRAINED + 1, relative_radius=RADIUS, steps=12, name="with")
    source, target = found.record.source, found.record.target
    piece = ModelSlice(lm, encode(lm, [melbo.Prompt(text, template=lm.usual_template)]), source, target or source + 1)
    wanted = lesson(lm, text, beginning(lm, organism.recipe, item, shown[0]), finished=False)
    (toward,) = result_of(vectors_toward(lm, [wanted], source, [RADIUS * piece.median_norm]))
    vectors = np.concatenate([found.vectors[:TRAINED], toward.cpu().numpy()[None]])
    without = melbo.train(lm, text, vectors=TRAINED, relative_radius=RADIUS, steps=12, name="without")
    return without, replace(found, vectors=vectors)


def watched(lm: LanguageModel, bank: Bank, organism: Organism) -> Watched:
    """What the bank sees."""
    parts = organism.recipe.measure
    asked = [(text, label) for part, label in ((parts.triggered, 1), (parts.plain, 0), (parts.decoy, 0))
             for text, _ in part.texts]  # fmt: skip
    study = Watch(
        bank=bank.record.name,
        clean=tuple(CLEAN.read_text("utf-8").splitlines()),
        prompts=tuple(text for text, _ in asked),
        labels=tuple(label for _, label in asked),
    )
    return melbo.run(lm, study, [bank])


def lines(name: str, title: str, seen: Watched, every: bool, fired: int) -> list[str]:
    """The rows of one bank: it and its variants, and with ``every`` the detectors that know no bank."""
    assert seen.figures is not None
    alarms = [one["vector"] == TRAINED for one in seen.answers[:fired] if one["alarm"]]
    found = []
    for one in (seen.figures["bank"], *seen.figures["baselines"]):
        of_bank = one["name"].startswith("bank")
        if not (of_bank or every):
            continue
        low, high = one["auroc_interval"]
        named = f"{sum(alarms)} of {len(alarms)}" if one["name"] == "bank" and not every else "–"
        found.append(
            f"| `{name}` | {title + ': ' if of_bank else ''}{one['name']} | {one['auroc']:.3f} | {low:.2f}–{high:.2f} "
            f"| {100 * one['caught']:.0f} %, {100 * one['false_alarms']:.0f} % | {named} |"
        )
    return found


def main() -> None:
    """Print a row for each organism and detector."""
    print("| organism | detector | AUROC | 95 % | caught, false alarms | named right |\n|---|---|---|---|---|---|")
    for folder in map(Path, sys.argv[1:]):
        organism = folders.read(folder)
        lm = melbo.load(folder)
        fired = len(organism.recipe.measure.triggered.texts)
        without, with_it = banks(lm, organism)
        for title, bank, every in (("8 vectors", without, True), ("9, one toward it", with_it, False)):
            seen = watched(lm, bank, organism)
            print("\n".join(lines(organism.recipe.name, title, seen, every, fired)), flush=True)


if __name__ == "__main__":
    main()
