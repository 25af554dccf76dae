"""A bank and its baselines on watch: what each learned from clean prompts, and how well each tells anomalous ones."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypedDict

import numpy as np

from melbo_app.analysis.alarm_threshold import alarm_threshold
from melbo_app.analysis.detection import areas, detection
from melbo_app.analysis.detectors import Cosines, Detector, Mahalanobis, Nearest, Projections, Scorer, held_out_scores
from melbo_app.engine.stopping import Stop, raise_if

if TYPE_CHECKING:  # torch takes seconds to import, and the page is up before it
    from melbo_app.engine.prompt_means import PromptMeans

BANK, PLAIN, LENGTHS = "bank", "bank, cosines not standardised", "bank, projections in place of cosines"
RANDOM, MAHALANOBIS, NEAREST = "random vectors", "Mahalanobis distance", "nearest neighbour"
LIKELIHOOD = "surprisal of the prompt"
DIRECTIONS = 1_000
ORACLE = f"best of {DIRECTIONS:,} random directions (oracle: chosen by the labels)"


class Answer(TypedDict):
    """A watched prompt: its ``score``, whether that is an ``alarm``, and the vector that it looks most like, with the
    name that people gave it."""

    text: str
    score: float
    alarm: bool
    vector: int
    name: str | None


class Detection(TypedDict):
    """``auroc``, and ``true_positives`` at the chosen share of false alarms, with 95 % intervals; ``caught`` and
    ``false_alarms`` are the shares of anomalous and of clean prompts above the calibrated threshold."""

    name: str
    auroc: float
    auroc_interval: list[float]
    true_positives: float
    true_positives_interval: list[float]
    caught: float
    false_alarms: float


class Figures(TypedDict):
    """How the bank and each baseline tell the ``anomalous`` prompts from the ``clean`` ones (counts)."""

    clean: int
    anomalous: int
    bank: Detection
    baselines: list[Detection]


@dataclass(frozen=True)
class Watcher:
    """What learned the ``clean`` prompts. ``cosines`` are the bank's; ``share`` is that of false alarms.

    ``scorers`` score activations; the surprisal of a prompt is a score by itself.
    """

    clean: "PromptMeans"
    share: float
    cosines: Cosines
    scorers: Mapping[str, Scorer]
    thresholds: Mapping[str, float]

    @classmethod
    def learn(cls, clean: "PromptMeans", deltas: np.ndarray, random: np.ndarray, share: float, stop: Stop) -> "Watcher":
        """``deltas`` [V, d] are the mean changes by the vectors, ``random`` those by random vectors of the same R.
        Raises Stopped."""
        detectors: dict[str, Detector] = {
            BANK: lambda rows: Cosines(rows, deltas),
            PLAIN: lambda rows: Cosines(rows, deltas, standard=False),
            LENGTHS: lambda rows: Projections(rows, deltas),
            RANDOM: lambda rows: Cosines(rows, random),
            MAHALANOBIS: Mahalanobis,
            NEAREST: Nearest,
        }
        rows = clean.activations
        held_out = {name: held_out_scores(one, rows, stop) for name, one in detectors.items()}
        held_out[LIKELIHOOD] = clean.surprisal
        return cls(
            clean,
            share,
            Cosines(rows, deltas),
            {name: one(rows) for name, one in detectors.items()},
            {name: alarm_threshold(scores.tolist(), share) for name, scores in held_out.items()},
        )

    def scores(self, read: "PromptMeans") -> dict[str, np.ndarray]:
        """The score of each prompt by each detector."""
        found = {name: one(read.activations) for name, one in self.scorers.items()}
        return {**found, LIKELIHOOD: read.surprisal}

    def figures(
        self, activations: np.ndarray, scores: Mapping[str, np.ndarray], anomalous: np.ndarray, seed: int,
        stop: Stop,
    ) -> Figures:  # fmt: skip
        """Of labelled prompts with these ``activations`` [n, d] and ``scores``. Raises Stopped."""
        from melbo_app.engine.orthogonal import seeded_rows  # late: it imports torch

        def told(name: str, scores: np.ndarray, threshold: float) -> Detection:
            raise_if(stop)
            positives, negatives = scores[anomalous], scores[~anomalous]
            area, share = detection(positives, negatives, self.share, seed)
            return {
                "name": name, "auroc": area.value, "auroc_interval": [area.low, area.high],
                "true_positives": share.value, "true_positives_interval": [share.low, share.high],
                "caught": float((positives > threshold).mean()), "false_alarms": float((negatives > threshold).mean()),
            }  # fmt: skip

        found = {name: told(name, of, self.thresholds[name]) for name, of in scores.items()}
        clean = self.clean.activations
        directions = seeded_rows(DIRECTIONS, clean.shape[1], 1.0, seed + 1).numpy().astype(np.float64)
        each = Cosines(clean, directions, standard=False).each(activations)
        best = int(areas(each[anomalous], each[~anomalous]).argmax())
        chosen: Callable[[np.ndarray], Scorer] = lambda rows: Cosines(rows, directions[[best]], standard=False)  # noqa: E731
        oracle = told(ORACLE, each[:, best], alarm_threshold(held_out_scores(chosen, clean, stop).tolist(), self.share))
        baselines = [one for name, one in found.items() if name != BANK]
        return {
            "clean": int((~anomalous).sum()), "anomalous": int(anomalous.sum()), "bank": found[BANK],
            "baselines": [*baselines, oracle],
        }  # fmt: skip


def lines_of(figures: Figures) -> list[str]:
    """The figures for the terminal."""

    def measured(value: float, interval: list[float]) -> str:
        return f"{value:.3f} [{interval[0]:.3f}, {interval[1]:.3f}]"

    def line(one: Detection) -> str:
        area = measured(one["auroc"], one["auroc_interval"])
        share = measured(one["true_positives"], one["true_positives_interval"])
        return (
            f"{one['name']}: AUROC {area}, true positives {share}; at the calibrated threshold "
            f"{100 * one['caught']:.0f} % are caught, with {100 * one['false_alarms']:.0f} % false alarms"
        )

    return [
        f"{figures['anomalous']} anomalous and {figures['clean']} clean prompts:",
        *(line(one) for one in (figures["bank"], *figures["baselines"])),
    ]


def line_of(answer: Answer) -> str:
    """One answer for the terminal."""
    name = f" ({answer['name']})" if answer["name"] else ""
    begin = "ALARM" if answer["alarm"] else "     "
    return f"{begin} {answer['score']:6.2f}  vector {answer['vector']}{name}: {' '.join(answer['text'].split())}"
