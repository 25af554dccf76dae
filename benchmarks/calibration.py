"""``python -m benchmarks.calibration``: how well the calibrated R predicts the R that a person chooses.

``measure`` calibrates R, where Δ leaves the linear regime, for eight prompts between the usual layers, over random
directions of several seeds and over the leading singular vectors of the Jacobian, and keeps R and the seconds in a JSON
file. ``compare`` compares it with the R that a reader chose from completions before anything was calibrated.
"""

import json
import os
import time
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, stdev
from typing import Annotated, Any

import numpy as np
import typer
from scipy.stats import spearmanr

from benchmarks.cusps import HAND, PROMPTS
from melbo_app.engine.calibration import calibrate, random_directions
from melbo_app.engine.encoding import encode
from melbo_app.engine.model import load
from melbo_app.engine.prompt import Prompt
from melbo_app.engine.scope import TokenScope
from melbo_app.engine.slice import ModelSlice
from melbo_app.engine.suggestion import RELATIVE_RADIUS, layers
from melbo_app.engine.training import batch_size, train
from melbo_app.engine.training_config import TrainingConfig
from melbo_app.jobs.generators import result_of
from melbo_app.library.weights import DEFAULT_MODEL, resolve
from melbo_app.settings import Settings
from melbo_app.studies.calibrate import LEAST, MOST

SEEDS = 3
LEADING = 8
OUT = Path("cache/calibration.json")

app = typer.Typer(add_completion=False)


@dataclass(frozen=True)
class Found:
    """R as a multiple of the median norm, and the seconds it took."""

    relative: float | None
    wall: float
    processor: float


@app.command()
def measure(
    scopes: Annotated[str, typer.Option(help="Token scopes.")] = "assistant,content",
    out: Annotated[Path, typer.Option(help="File for the rows.")] = OUT,
) -> None:
    """Calibrate on every prompt and keep each row; existing rows are not measured again."""
    rows = json.loads(out.read_text()) if out.exists() else []
    known = {(row["prompt"], row["scope"]) for row in rows}
    files = resolve(DEFAULT_MODEL, Settings().cache_dir)
    lm = load(files.path, files.name, files.weights_hash or "", "cpu", "auto")
    source, target = layers(len(lm.blocks))
    for name, text in PROMPTS.items():
        for scope in scopes.split(","):
            if (name, scope) in known:
                continue
            begin, used = time.perf_counter(), time.process_time()
            piece = ModelSlice(lm, encode(lm, [Prompt(text)]), source, target)
            batch = batch_size(piece)
            ready, before = time.perf_counter() - begin, time.process_time() - used
            mask, bracket = piece.mask(TokenScope.parse(scope)), (LEAST * piece.median_norm, MOST * piece.median_norm)

            def find(
                directions: Any, piece: Any = piece, mask: Any = mask, bracket: Any = bracket, batch: int = batch
            ) -> Found:
                begin, used = time.perf_counter(), time.process_time()
                found = result_of(calibrate(piece, mask, directions, bracket, batch)).radius
                relative = None if found is None else found / piece.median_norm
                return Found(relative, time.perf_counter() - begin, time.process_time() - used)

            seeds = [find(random_directions(piece.width, seed)) for seed in range(SEEDS)]
            config = TrainingConfig(source, target, 1.0, LEADING, "jacobian", scope=scope)
            leading = find(result_of(train(piece, config)).vectors)
            row = {
                "prompt": name,
                "scope": scope,
                "norm": piece.median_norm,
                "random": [one.relative for one in seeds],
                "leading": leading.relative,
                "wall": ready + fmean(one.wall for one in seeds),
                "processor": before + fmean(one.processor for one in seeds),
            }
            rows.append(row)
            spare = out.with_suffix(".new")
            spare.write_text(json.dumps(rows, indent=0))
            os.replace(spare, out)
            print(json.dumps(row), flush=True)


@app.command()
def compare(
    out: Annotated[Path, typer.Option(help="File for the rows.")] = OUT,
    hand: Annotated[Path, typer.Option(help="R chosen by hand, as multiples of the median norm.")] = HAND,
) -> None:
    """Print the measurements, and how well they predict the R chosen by hand."""
    rows = json.loads(out.read_text())
    chosen = json.loads(hand.read_text())["prompts"] if hand.exists() else {}
    print(
        "| prompt | scope | R, random (seeds) | R, leading | by hand | seconds | processor seconds |\n"
        + "|---" * 7
        + "|"
    )
    for row in rows:
        seeds = " ".join(f"{one:.3f}" for one in row["random"])
        own = chosen.get(row["prompt"], {})
        said = f"{own['radius']:.3f} ({own['low']:.3f}–{own['high']:.3f})" if own.get("radius") else "none"
        cells = [row["prompt"], row["scope"], seeds, f"{row['leading']:.3f}", said]
        print("| " + " | ".join([*cells, f"{row['wall']:.1f}", f"{row['processor']:.1f}"]) + " |")
    for scope in dict.fromkeys(row["scope"] for row in rows):
        for kind in ("random", "leading"):
            own = {row["prompt"]: _mean(row[kind]) for row in rows if row["scope"] == scope}
            pairs = [(own[name], chosen[name]) for name in own if chosen.get(name, {}).get("radius")]
            if len(pairs) > 2:
                _say(f"{kind}, scope {scope}", pairs)


def _mean(value: float | list[float]) -> float:
    return float(np.exp(np.mean(np.log(value))))


def _say(title: str, pairs: list[tuple[float, dict[str, float]]]) -> None:
    """Print the rank correlation, and the error in log R of a constant factor, a constant R and the default."""
    calibrated = np.log([one for one, _ in pairs])
    by_hand = np.log([own["radius"] for _, own in pairs])
    rank = spearmanr(calibrated, by_hand)
    ratios = by_hand - calibrated
    told = {
        "factor": calibrated + _others(ratios),
        "constant": _others(by_hand),
        f"always {RELATIVE_RADIUS}": np.full(len(pairs), np.log(RELATIVE_RADIUS)),
        "as calibrated": calibrated,
    }
    print(f"\n{title}: {len(pairs)} prompts, rank correlation {rank.statistic:+.2f} (p = {rank.pvalue:.2f}); ", end="")
    print(f"by hand / calibrated {np.exp(ratios.mean()):.2f}, spread of its logarithm {stdev(ratios):.2f}")
    low, high = (np.log([own[end] for _, own in pairs]) for end in ("low", "high"))
    for name, logs in told.items():
        inside = int(((logs >= low) & (logs <= high)).sum())
        print(
            f"  {name}: mean |error in log R| {np.abs(logs - by_hand).mean():.2f}, in the range {inside}/{len(pairs)}"
        )


def _others(values: np.ndarray) -> np.ndarray:
    """The mean of the other values, for each value."""
    return (values.sum() - values) / (len(values) - 1)


if __name__ == "__main__":
    app()
