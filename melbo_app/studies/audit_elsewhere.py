"""The behaviours of an audit on its other prompts, beside random vectors."""

from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from melbo_app.engine.decoding import Decoding
from melbo_app.engine.prompt import Prompt
from melbo_app.engine.stopping import Stop, raise_if
from melbo_app.jobs.bench import Bench
from melbo_app.library.audits import AuditedBehaviour, OtherAnswer, OtherPrompts
from melbo_app.library.bank import PromptRecord
from melbo_app.library.counted import Counted
from melbo_app.library.generality import AskedPrompt, Baseline, Generality, TriedAnswer
from melbo_app.library.prompt_sets import SetPrompt
from melbo_app.studies.elsewhere import other_prompts, works
from melbo_app.studies.generality import MeasureGenerality

Pair = tuple[Baseline, TriedAnswer]


@dataclass(frozen=True)
class Said:
    """What one bank's vectors, and random ones of the same R, said on the prompts, beside the unsteered answers."""

    mine: list[Pair]
    random: list[Pair]


def tried_on(prompts: Sequence[Prompt], groups: Sequence[str], count: int) -> tuple[int, ...]:
    """The numbers of ``count`` prompts, from each group in turn: all behaviours are tried on the same ones."""
    numbered = [SetPrompt(str(number), group, "") for number, group in enumerate(groups)]
    return tuple(sorted(int(one.text) for one in other_prompts(numbered, "", count)))


def measuring(
    found: Sequence[AuditedBehaviour], prompts: Sequence[Prompt], groups: Sequence[str], numbers: Sequence[int],
    decoding: Decoding,
) -> MeasureGenerality:  # fmt: skip
    """The study of one bank's behaviours on the prompts with these numbers."""
    asked = [AskedPrompt(prompt=PromptRecord.of(prompts[at]), group=groups[at]) for at in numbers]
    return MeasureGenerality(
        bank=found[0].bank, prompts=asked, vectors=[one.representative for one in found], radius=found[0].radius,
        decoding=decoding,
    )  # fmt: skip


def on_others(
    found: Sequence[AuditedBehaviour], numbers: Sequence[int], limit: float, study: MeasureGenerality, bench: Bench,
    stop: Stop,
) -> Generator[Any, None, tuple[list[AuditedBehaviour], Said]]:  # fmt: skip
    """The behaviours of one bank with their answers to prompts ``numbers`` other than their own, and all that was said.
    ``limit`` is the cosine distance up to which answers say the same."""
    measured = yield from study.run(bench, stop)
    mine, random = (
        [pair for row in rows for pair in zip(measured.baselines, row.answers, strict=True)]
        for rows in (measured.vectors, measured.random)
    )
    said = Said(mine, random)
    places = _places(found, [said], bench, stop)
    tried = [
        one.model_copy(update={"others": _others(one, measured, numbers, _same(one, limit, places))}) for one in found
    ]
    return tried, said


def echoed(
    found: Mapping[str, Sequence[AuditedBehaviour]], said: Mapping[str, Said], limits: Mapping[str, float],
    bench: Bench, stop: Stop,
) -> dict[str, list[AuditedBehaviour]]:  # fmt: skip
    """The behaviours by bank, each with how many answers say the same under vectors of the other banks, which were
    trained on other prompts, and under the random vectors beside those."""
    every = [one for some in found.values() for one in some]
    places = _places(every, list(said.values()), bench, stop)

    def heard(one: AuditedBehaviour) -> AuditedBehaviour:
        raise_if(stop)
        others = [what for bank, what in said.items() if bank != one.bank]
        if not others:
            return one
        same = _same(one, limits[one.bank], places)
        mine = [pair for what in others for pair in what.mine]
        random = [pair for what in others for pair in what.random]
        counts = [Counted.some(sum(map(same, pairs)), len(pairs)) for pairs in (mine, random)]
        return one.model_copy(update={"echoes": counts[0], "random_echoes": counts[1]})

    return {bank: [heard(one) for one in some] for bank, some in found.items()}


def _places(found: Sequence[AuditedBehaviour], said: Sequence[Said], bench: Bench, stop: Stop) -> dict[str, np.ndarray]:
    """Where these texts are in the embedding, each once."""
    pairs = [pair for what in said for pair in (*what.mine, *what.random)]
    texts = list(dict.fromkeys([*(one.text for one in found), *(part.text for pair in pairs for part in pair)]))
    return dict(zip(texts, bench.embed(texts, stop), strict=True))


def _others(
    one: AuditedBehaviour, measured: Generality, numbers: Sequence[int], same: Callable[[Pair], bool]
) -> OtherPrompts:
    own = next(row for row in measured.vectors if row.vector == one.representative)
    others = [at for at, number in enumerate(numbers[: len(measured.prompts)]) if number != one.prompt]
    mine: list[Pair] = [(measured.baselines[at], own.answers[at]) for at in others]
    theirs: list[Pair] = [(measured.baselines[at], row.answers[at]) for row in measured.random for at in others]

    def counted(pairs: Sequence[Pair], shows: Callable[[Pair], bool]) -> Counted:
        return Counted.some(sum(map(shows, pairs)), len(pairs))

    def changed(pair: Pair) -> bool:
        return works(*pair)

    return OtherPrompts(
        changed=counted(mine, changed), random_changed=counted(theirs, changed),
        same=counted(mine, same), random_same=counted(theirs, same),
        answers=tuple(
            OtherAnswer(
                prompt=numbers[at], text=pair[1].text, baseline=pair[0].text, change=pair[1].change, same=same(pair)
            )
            for at, pair in zip(others, mine, strict=True)
        ),
    )  # fmt: skip


def _same(one: AuditedBehaviour, limit: float, places: dict[str, np.ndarray]) -> Callable[[Pair], bool]:
    """Whether a changed answer says what the behaviour says: it raises the same flags, or is that near in meaning, and
    nearer than the unsteered answer."""
    raised = {flag.kind for flag in one.flags}

    def gap(text: str) -> float:
        return 1 - float(places[one.text] @ places[text])

    def same(pair: Pair) -> bool:
        baseline, answer = pair
        if answer.change is None:
            return False
        if raised and raised == {flag.kind for flag in answer.flags}:
            return True
        return gap(answer.text) <= min(limit, gap(baseline.text))

    return same
