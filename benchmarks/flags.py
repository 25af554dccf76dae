"""How often flags are right: the rules and a small classifier, on labelled texts of prompts that neither has seen.

The classifier is a logistic regression for each flag, on the sentence embeddings of the text, of its baseline and of
their difference, fitted to the half of the prompts on which the rules were written.

    python -m benchmarks.flags
"""

import json
from pathlib import Path
from typing import Any, get_args

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from melbo_app.analysis.embedding import Embedder, bundled_folder
from melbo_app.analysis.flags import FlagKind, flags
from melbo_app.settings import ROOT

LABELLED = ROOT / "tests" / "real" / "flagged_completions.jsonl"
LEAST = 4
"""Positives in the developed half under which no classifier is fitted."""


def labelled(path: Path = LABELLED) -> list[dict[str, Any]]:
    """The labelled texts, each with its ``baseline`` (None for itself) and what the rules say, ``told``."""
    rows = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
    baselines = {row["user"]: row["text"] for row in rows if row["steered"] == "baseline"}
    for row in rows:
        row["baseline"] = None if row["steered"] == "baseline" else baselines[row["user"]]
        row["told"] = {flag.kind for flag in flags(row["text"], row["user"], row["system"], row["baseline"])}
    return rows


def main() -> None:
    """Print a line for each flag."""
    rows = [row for row in labelled() if row["baseline"] is not None]
    embedder = Embedder(bundled_folder())
    texts, before = (embedder.encode([row[key] for row in rows]) for key in ("text", "baseline"))
    features = np.concatenate([texts, before, texts - before], axis=1)
    held_out = np.array([row["part"] != "developed" for row in rows])
    print("| flag | positives, developed | positives, others | rules | classifier |\n|---|---|---|---|---|")
    for kind in get_args(FlagKind):
        truth = np.array([kind in row["flags"] for row in rows])
        told = np.array([kind in row["told"] for row in rows])
        cells = [str(truth[~held_out].sum()), str(truth[held_out].sum()), _score(truth[held_out], told[held_out])]
        if truth[~held_out].sum() >= LEAST:
            model = make_pipeline(StandardScaler(), LogisticRegression(C=0.01, class_weight="balanced", max_iter=1000))
            model.fit(features[~held_out], truth[~held_out])
            cells.append(_score(truth[held_out], model.predict(features[held_out])))
        else:
            cells.append("too few to fit")
        print(f"| {kind} | {' | '.join(cells)} |")


def _score(truth: np.ndarray, told: np.ndarray) -> str:
    right = int((truth & told).sum())
    return f"precision {right}/{told.sum()}, recall {right}/{truth.sum()}"


if __name__ == "__main__":
    main()
