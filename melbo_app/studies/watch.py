"""Watch: mechanistic anomaly detection with a bank. Does an incoming prompt look like what a vector does?"""

from collections.abc import Generator, Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar, TypedDict

import numpy as np
from pydantic import Field

from melbo_app.analysis.alarm_threshold import threshold_sentence
from melbo_app.engine.prompt import Prompt
from melbo_app.engine.scope import TokenScope
from melbo_app.engine.stopping import Stop, deaf
from melbo_app.engine.suggestion import default_scope
from melbo_app.errors import InputError, Stopped
from melbo_app.jobs.bench import Bench
from melbo_app.jobs.generators import map_progress
from melbo_app.jobs.progress import Progress
from melbo_app.jobs.slices import pair_of
from melbo_app.jobs.study import How, Study
from melbo_app.library.bank import Bank
from melbo_app.library.labelled_prompts import LabelledPrompt
from melbo_app.studies.generality import random_bank
from melbo_app.studies.similarity import prompts_of
from melbo_app.studies.usual_prompts import FALSE_ALARMS, check_usual, check_watched
from melbo_app.studies.watcher import BANK, Answer, Figures, Watcher, line_of, lines_of

if TYPE_CHECKING:  # torch takes seconds to import, and the page is up before it
    from melbo_app.engine.model import LanguageModel
    from melbo_app.engine.prompt_means import PromptMeans, PromptPoints

AT_ONCE = 16
"""Incoming prompts that are read, and answered, together."""


@dataclass(frozen=True, kw_only=True)
class WatchProgress(Progress):
    """The progress of a watch: its ``threshold``, the ``answers`` since the last one, and ``every`` one so far, a list
    that goes on growing."""

    threshold: float
    answers: tuple[Answer, ...] = ()
    every: Sequence[Answer] = ()


@dataclass(frozen=True)
class Watched:
    """What a watch saw; ``clean`` counts the prompts that it learned, ``false_alarms`` is the share that it allows."""

    bank: str
    clean: int
    false_alarms: float
    threshold: float
    answers: tuple[Answer, ...]
    figures: Figures | None
    """None without labels."""


class Watching(TypedDict):
    """The answers in the order of the prompts; ``figures`` is null without labels."""

    bank: str
    clean: int
    false_alarms: float
    threshold: float
    answers: list[Answer]
    figures: Figures | None


@dataclass
class _Seen:
    """What is known of the prompts so far; of labelled ones what the figures need."""

    answers: list[Answer] = field(default_factory=list)
    anomalous: list[bool] = field(default_factory=list)
    activations: list[np.ndarray] = field(default_factory=list)
    scores: list[dict[str, np.ndarray]] = field(default_factory=list)


@dataclass(frozen=True)
class _Post:
    """Where a bank watches: the model's points, what reads them, and how prompts go in."""

    lm: "LanguageModel"
    points: "PromptPoints"
    watcher: Watcher
    like: Prompt
    names: dict[int, str]


@dataclass(frozen=True)
class _Learned:
    """What does not depend on the prompts to watch; ``beginning`` counts the tokens that all clean prompts begin with.
    Without the model, so that it can be kept."""

    watcher: Watcher
    beginning: int


class Watch(Study[Watched]):
    """Raise an alarm for prompts on which the model's activations look like what a vector of the bank does.

    The score is the largest cosine between the activations, less their mean over clean prompts, and a vector's change,
    in standard deviations over the clean prompts. With labels, the bank is compared with detectors that know no bank.

    Returns:
        answers (text, score, alarm, vector, name of each prompt), threshold, and figures: AUROC and true positives of
        the bank and of each baseline, with 95 % intervals
    """

    kind: ClassVar[str] = "watch"
    how: ClassVar[How] = "compute"
    doors = frozenset({"http"})

    bank: str = Field(description="name of the bank")
    clean: tuple[str, ...] = Field(description="ordinary user texts, ten or more, better a hundred")
    prompts: tuple[str, ...] = Field(description="user texts to watch")
    labels: tuple[int, ...] | None = Field(
        None, description="for each of them 1 if it is anomalous, 0 if not; gives figures"
    )
    false_alarms: float = Field(FALSE_ALARMS, description="share of clean prompts that may raise an alarm")
    system: str | None = Field(None, description="system text for all prompts; left out: the bank's")
    template: bool | str | None = Field(
        None, description="the model's chat template: true, false or as for --template; left out: as the bank has it"
    )
    seed: int = Field(0, description="of random vectors, random directions and bootstrap draws")

    def check(self, bench: Bench) -> None:
        self.check_clean(bench)
        if not self.prompts:
            raise InputError("prompts", "there are none to watch", "Give one or more")
        check_watched(self.prompts, "prompts")
        if self.labels is None:
            return
        if len(self.labels) != len(self.prompts):
            problem = f"there are {len(self.labels)} for {len(self.prompts)} prompts"
            raise InputError("labels", problem, "Give one for each prompt")
        if {*self.labels} - {0, 1}:
            raise InputError("labels", "there is one that is neither 0 nor 1", "Give 1 for an anomalous prompt, else 0")
        if len({*self.labels}) == 1:
            all_are = "anomalous" if self.labels[0] else "clean"
            remedy = "Label some of the other kind too, or none at all"
            raise InputError("labels", f"all prompts are {all_are}, so there is nothing to tell apart", remedy)

    def check_clean(self, bench: Bench) -> None:
        """The part of ``check`` that does not look at the prompts to watch."""
        bench.banks.load(self.bank)
        check_usual(self.clean, self.false_alarms)

    def run(self, bench: Bench, stop: Stop) -> Generator[Progress, None, Watched]:
        labels: Sequence[bool | None] = [None] * len(self.prompts)
        if self.labels is not None:
            labels = [label == 1 for label in self.labels]
        incoming = [LabelledPrompt(text, label) for text, label in zip(self.prompts, labels, strict=True)]
        parts = [incoming[at : at + AT_ONCE] for at in range(0, len(incoming), AT_ONCE)]
        return self.over(bench, parts, stop)

    def over(
        self, bench: Bench, incoming: Iterable[Sequence[LabelledPrompt]], stop: Stop
    ) -> Generator[Progress, None, Watched]:
        """Watch prompts as they come, those of a part together; ``prompts`` and ``labels`` do not count.

        Raises:
            Stopped: ``stop()`` became true before the first answer.
        """
        from melbo_app.engine.encoding import encode

        self.check_clean(bench)
        post = yield from self._learned(bench, stop)
        if self.prompts:  # an error comes before the first answer, with the number that the prompt has among all
            encode(post.lm, [_as(post.like, text) for text in self.prompts], stop)
        seen, threshold = _Seen(), post.watcher.thresholds[BANK]
        total = max(len(self.prompts), 1)
        yield WatchProgress("watching", 0, total, self.how_found(threshold), threshold=threshold)
        for part in incoming:
            try:
                new = self._answered(bench, post, part, seen, stop)
            except Stopped:
                break
            done = len(seen.answers)
            yield WatchProgress("watching", done, total, threshold=threshold, answers=new, every=seen.answers)
        if not seen.answers and stop():
            raise Stopped
        labelled = np.array(seen.anomalous, dtype=bool)
        figures: Figures | None = None
        if 0 < labelled.sum() < len(labelled):
            scores = {name: np.concatenate([one[name] for one in seen.scores]) for name in seen.scores[0]}
            patient = deaf(bench.compute.giving_way(stop))  # also those of a watch that was stopped
            with bench.compute.hold():
                figures = post.watcher.figures(np.concatenate(seen.activations), scores, labelled, self.seed, patient)
        return Watched(self.bank, len({*self.clean}), self.false_alarms, threshold, tuple(seen.answers), figures)

    def _learned(self, bench: Bench, stop: Stop) -> Generator[Progress, None, _Post]:
        """What clean prompts look like, and what the vectors do."""
        from melbo_app.engine.encoding import encode
        from melbo_app.engine.memory import refuse_prompts
        from melbo_app.engine.prompt_means import PromptPoints, common_beginning, mean_deltas

        lm = bench.model.get(stop)
        bank = bench.bank_for(lm, self.bank)
        source, target = pair_of(lm, bank.record.source, bank.record.target)
        asked = prompts_of(bank, lm)
        scope = TokenScope.parse(bank.record.scope or default_scope(asked))
        like = Prompt(
            "",
            asked[0].system if self.system is None else self.system or None,
            asked[0].template if self.template is None else self.template,
        )
        texts = tuple(dict.fromkeys(self.clean))
        what = (bank.hash, source, target, str(scope), tuple(asked), like, texts, self.false_alarms, self.seed)
        key = (lm.weights_hash, str(lm.dtype), *what)
        learned: _Learned | None = bench.learned.get(key)
        if learned is None:
            clean = encode(lm, [_as(like, text) for text in texts], stop)
            refuse_prompts(lm, clean)
            beginning = common_beginning(clean)
            points = PromptPoints(lm, source, target, scope, beginning)
            count, waiting = len(bank.vectors), bench.compute.giving_way(stop)
            total = len(clean.prompts) + 2 * count
            yield Progress("reading the clean prompts", 0, total)
            read: PromptMeans = yield from map_progress(
                bench.compute.steps(points.read(clean, waiting)),
                lambda done: Progress("reading the clean prompts", done, total),
            )
            piece = bench.slices.slice(lm, asked, source, target, stop)
            both = np.concatenate([bank.vectors, _random_rows(bank, self.seed)])
            deltas = yield from map_progress(
                bench.compute.steps(mean_deltas(piece, both, scope, waiting)),
                lambda done: Progress("changes by the vectors", len(clean.prompts) + done, total),
            )
            yield Progress("learning what is usual", total, total)
            with bench.compute.hold():
                watcher = Watcher.learn(read, deltas[:count], deltas[count:], self.false_alarms, waiting)
            bench.learned.put(key, learned := _Learned(watcher, beginning))
        points = PromptPoints(lm, source, target, scope, learned.beginning)
        names = {vector: label.name for vector, label in bench.labels.of_bank(bank.hash).items() if label.name}
        return _Post(lm, points, learned.watcher, like, names)

    def _answered(
        self, bench: Bench, post: _Post, part: Sequence[LabelledPrompt], seen: _Seen, stop: Stop
    ) -> tuple[Answer, ...]:
        from melbo_app.engine.encoding import encode

        encoded = encode(post.lm, [_as(post.like, one.text) for one in part], stop)
        read = bench.compute.result(post.points.read(encoded, bench.compute.giving_way(stop)))
        each, threshold = post.watcher.cosines.each(read.activations), post.watcher.thresholds[BANK]
        found: list[Answer] = []
        for one, row in zip(part, each, strict=True):
            vector = int(row.argmax())
            score = float(row[vector])
            found.append(
                {
                    "text": one.text, "score": score, "alarm": score > threshold, "vector": vector,
                    "name": post.names.get(vector),
                }
            )  # fmt: skip
        seen.answers += found
        known = [at for at, one in enumerate(part) if one.anomalous is not None]
        if known:
            seen.anomalous += [bool(part[at].anomalous) for at in known]
            seen.activations.append(read.activations[known])
            seen.scores.append({name: scores[known] for name, scores in post.watcher.scores(read).items()})
        return tuple(found)

    def how_found(self, threshold: float) -> str:
        """What the threshold is and where it comes from, in a sentence."""
        return threshold_sentence(threshold, self.false_alarms, len({*self.clean}))

    def answer(self, result: Watched, not_kept: str | None) -> Watching:
        return {
            "bank": result.bank, "clean": result.clean, "false_alarms": result.false_alarms,
            "threshold": result.threshold, "answers": list(result.answers), "figures": result.figures,
        }  # fmt: skip

    def lines(self, result: Watched) -> list[str]:
        return [*map(line_of, result.answers), *(lines_of(result.figures) if result.figures else ())]


def _as(like: Prompt, text: str) -> Prompt:
    return Prompt(text, like.system, like.template)


def _random_rows(bank: Bank, seed: int) -> np.ndarray:
    """As many random vectors, each with the norm of one of the bank's."""
    rows = random_bank(bank, len(bank.vectors), seed).vectors
    return (rows * np.linalg.norm(bank.vectors, axis=1, keepdims=True)).astype(np.float32)
