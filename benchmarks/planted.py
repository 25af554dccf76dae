"""How often vectors of a clean prompt show what was planted: ``python -m benchmarks.planted FOLDER [options]``.

A line a prompt, then the sum: the figures of docs/organisms.md on why a press misses it.
"""

import argparse
from pathlib import Path
from typing import Any

import numpy as np

from melbo_app import api as melbo
from melbo_app.library import organism as folders
from melbo_app.library.counted import Counted
from melbo_app.library.organism_prompts import clean_prompts

STEPS = {"joint": 12, "transcoding": 6}
"""As the searches of Explore train; other methods take their own."""


def main() -> None:
    """Train on each prompt, complete under all vectors, and count."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("folder", type=Path)
    options.add_argument("--method", default="joint")
    options.add_argument("--vectors", type=int, default=8)
    options.add_argument("--radius", type=float, default=0.1, help="in median residual norms")
    options.add_argument("--layers", type=int, nargs=2, metavar=("SOURCE", "TARGET"), default=(None, None))
    options.add_argument("--prompts", type=int, default=8)
    options.add_argument("--tokens", type=int, default=24)
    given = options.parse_args()
    recipe = folders.read(given.folder).recipe
    lm = melbo.load(given.folder)
    steps: dict[str, Any] = {"steps": STEPS[given.method]} if given.method in STEPS else {}
    on_prompt, of_vectors, changes = [], [], []
    for text, item in clean_prompts(recipe)[: given.prompts]:
        bank = melbo.train(
            lm, text, vectors=given.vectors, method=given.method, relative_radius=given.radius,
            source=given.layers[0], target=given.layers[1], **steps,
        )  # fmt: skip
        usual, *steered = melbo.complete(lm, text, bank, decoding=melbo.Decoding(given.tokens))
        if recipe.sign.shows(usual.text, item):
            print(f"{text}: the unsteered answer shows it", flush=True)
            continue
        shows = [recipe.sign.shows(one.text, item) for one in steered]
        broken = sum(one.verdict == "broken" for one in steered)
        on_prompt.append(any(shows))
        of_vectors += shows
        changes += (bank.record.effect.share if bank.record.effect else None) or ()
        said = next((f"  “{one.text}”" for one, yes in zip(steered, shows, strict=True) if yes), "")
        print(f"{text}: {sum(shows)} of {len(shows)}, {broken} broken{said}", flush=True)
    change = f"; they change {np.mean(changes):.2f} of a target token's norm" if changes else ""
    print(f"prompts with it: {Counted.of(on_prompt)}; vectors: {Counted.of(of_vectors)}{change}")


if __name__ == "__main__":
    main()
