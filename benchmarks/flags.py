"""How often flags are right: the rules and a small classifier, on labelled texts of prompts new to both.

The classifier is a logistic regression per flag (penalty by cross-validation) on the sentence embeddings of the text,
its baseline and their difference, fitted to the prompts on which the rules were developed. docs/flags.md has the
figures.

    python -m benchmarks.flags
"""

import json
from pathlib import Path
from typing import Any, get_args

import numpy as np
from sklearn.linear_model import LogisticRegressionCV

from melbo_app.analysis.embedding import Embedder
from melbo_app.analysis.flags import FlagKind, flags
from melbo_app.library.bundled import embedder_folder
from melbo_app.settings import ROOT, Settings

LABELLED = ROOT / "tests" / "real" / "flagged_completions.jsonl"
LEAST = 4
"""Positives in the development part below which no classifier is fitted."""


def labelled(path: Path = LABELLED) -> list[dict[str, Any]]:
    """The labelled texts, each with its ``baseline`` (None for the baseline itself) and the flags that the rules raise,
    ``told``."""
    rows = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
    baselines = {row["user"]: row["text"] for row in rows if row["steered"] == "baseline"}
    for row in rows:
        row["baseline"] = None if row["steered"] == "baseline" else baselines[row["user"]]
        row["told"] = {flag.kind for flag in flags(row["text"], row["user"], row["system"], row["baseline"])}
    return rows


def main() -> None:
    """Print a row for each flag."""
    rows = labelled()
    embedder = Embedder(embedder_folder(Settings().cache_dir))
    texts, before = (embedder.encode([row[key] or "" for row in rows]) for key in ("text", "baseline"))
    features = np.concatenate([texts, before, texts - before], axis=1)
    parts = np.array([row["part"] for row in rows])
    fitted = parts == "developed"
    print("| flag | development | held out | fresh | held out and fresh | classifier |\n|---|---|---|---|---|---|")
    for kind in get_args(FlagKind):
        truth = np.array([kind in row["flags"] for row in rows])
        told = np.array([kind in row["told"] for row in rows])
        cells = [_score(truth[parts == part], told[parts == part]) for part in ("developed", "held out", "fresh")]
        cells.append(_score(truth[~fitted], told[~fitted]))
        if truth[fitted].sum() >= LEAST:
            model = LogisticRegressionCV(
                Cs=[0.1, 1, 10, 100], cv=3, scoring="f1", class_weight="balanced", max_iter=2000, l1_ratios=(0,),
                use_legacy_attributes=False,
            )  # fmt: skip
            model.fit(features[fitted], truth[fitted])
            cells.append(_score(truth[~fitted], model.predict(features[~fitted])))
        else:
            cells.append("too few to fit")
        print(f"| {kind} | {' | '.join(cells)} |")


def _score(truth: np.ndarray, told: np.ndarray) -> str:
    """Precision, recall."""
    right = int((truth & told).sum())
    return f"{right} of {told.sum()}, {right} of {truth.sum()}"


if __name__ == "__main__":
    main()
