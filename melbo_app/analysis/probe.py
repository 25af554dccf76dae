"""A linear probe: does a hidden state tell two kinds of prompts apart?"""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

FOLDS = 5
STRENGTH = 0.1
"""Of the fit against its penalty (C): far fewer prompts than dimensions."""


def held_out_scores(
    states: np.ndarray,
    truth: Sequence[bool],
    groups: Sequence[str],
    trained_on: np.ndarray | None = None,
    seed: int = 0,
) -> np.ndarray:
    """The scores [N] of a logistic regression on states [N, d], each by a probe that saw no state of its group.

    Groups are dealt into ``FOLDS`` folds, so that one prompt with and without its trigger is never in training and test
    at once. States are standardised by the training folds alone.

    Args:
        trained_on: [N, d], states of the same prompts in another model: the probe is fitted on these and only tested on
            ``states``. None: fitted on ``states`` themselves.

    Raises:
        ValueError: fewer groups than folds, or a training fold with one kind only.
    """
    from sklearn.linear_model import LogisticRegression  # takes a second to import
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    names = sorted(set(groups))
    if len(names) < FOLDS:
        raise ValueError(f"{len(names)} groups are fewer than {FOLDS}")
    order = np.random.default_rng(seed).permutation(len(names))
    edges = np.linspace(0, len(names), FOLDS + 1).round().astype(int)
    fold = {names[at]: number for number, (low, high) in enumerate(pairwise(edges)) for at in order[low:high]}
    of, labels = np.array([fold[one] for one in groups]), np.array(truth, dtype=int)
    fitted = states if trained_on is None else trained_on
    scores = np.zeros(len(labels))
    for number in range(FOLDS):
        test = of == number
        probe = make_pipeline(StandardScaler(), LogisticRegression(C=STRENGTH, max_iter=1000, class_weight="balanced"))
        probe.fit(fitted[~test], labels[~test])
        scores[test] = probe.decision_function(states[test])
    return scores
