"""Suggested labels: a name for each vector, written by a model, and tested on texts that the model has not seen."""

from collections.abc import Generator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import ClassVar, Literal, Self, TypedDict, cast

from pydantic import Field, InstanceOf

from melbo_app.analysis.auroc import interval
from melbo_app.engine.prompt import Prompt
from melbo_app.engine.stopping import Stop
from melbo_app.errors import InputError
from melbo_app.jobs.bench import Bench
from melbo_app.jobs.generators import part_of
from melbo_app.jobs.progress import Progress
from melbo_app.jobs.study import How, Study
from melbo_app.library.completion import Completion
from melbo_app.library.suggested_labels import SuggestedLabel
from melbo_app.library.tested_label import LEAST_AUROC
from melbo_app.studies.assistants import Assistant, EndpointAssistant, LoadedAssistant
from melbo_app.studies.completing import variants
from melbo_app.studies.filling import filled
from melbo_app.studies.judge_endpoint import Endpoint
from melbo_app.studies.label_readers import AssistantReader, EmbedderReader, Reader
from melbo_app.studies.sampled_texts import (
    LEAST_UNSEEN,
    MOST_UNSEEN,
    TEMPERATURE,
    TOKENS,
    UNSEEN,
    WRITTEN_FROM,
    sampled,
)

NAME_TOKENS, LONGEST_NAME = 16, 80
SAME = 0.75
"""Cosine from which on two labels say the same, so that neither is evidence against the other. Labels of the sample
banks that a reader calls the same have 0.8 to 1, all others at most 0.67."""
AROUND = " \"'“”*.#-:"
"""Characters that do not belong to a name, where they stand around it."""
_QUESTION = "<question>\n{prompt}\n</question>\n"
_WRITE = (
    "Someone asked a language model the same question several times.\n" + _QUESTION + "These are its usual answers:\n"
    "{usual}\nThen one thing in the model was changed. These are its answers since:\n{changed}\n"
    "What do the answers since the change have in common that the usual ones do not have? "
    "Write a title of at most six words for it, and nothing else."
)


@dataclass(frozen=True)
class Suggested:
    """The suggestions of one run, by vector; ``unnamed`` are the vectors for which the model wrote nothing."""

    bank: str
    said: list[SuggestedLabel] = field(default_factory=list)
    unnamed: list[int] = field(default_factory=list)

    @property
    def summary(self) -> str:
        """How many there are, and how many predict."""
        held = sum(one.holds for one in self.said)
        nothing = f" For {len(self.unnamed)} the model wrote nothing." if self.unnamed else ""
        return (
            f"{held} of {len(self.said)} suggestions hold: AUROC {LEAST_AUROC:g} or more on unseen texts, and better "
            f"than the other labels. The rest is not shown.{nothing}"
        )


class SuggestionLine(TypedDict):
    """One suggestion with the figures of its test; ``others`` are the AUROC of other labels on the same texts."""

    vector: int
    name: str
    auroc: float
    low: float
    high: float
    others: list[float]
    unseen: int
    writer: str
    reader: str
    holds: bool


class SuggestedAnswer(TypedDict):
    """The suggestions; for the vectors ``unnamed`` the model wrote nothing."""

    bank: str
    suggestions: list[SuggestionLine]
    unnamed: list[int]
    not_kept: str | None


class SuggestLabels(Study[Suggested]):
    """Let a model write a label for each vector from its texts, and test each label on texts from which it was not
    written: does it tell the vector's texts from those of random vectors of the same R, better than other labels do?

    Returns:
        bank, suggestions: vector, name, auroc with its 95 % interval (low, high), others (the AUROC of other labels on
        the same texts), unseen (texts of each kind), and holds: whether the AUROC is at least 0.7 and above the others
    """

    kind: ClassVar[str] = "suggest-labels"
    how: ClassVar[How] = "compute"
    hidden: ClassVar[frozenset[str]] = frozenset({"endpoint"})

    bank: str = Field(description="name of the bank")
    vectors: tuple[int, ...] | None = Field(None, description="numbers of the vectors; left out: all")
    prompts: tuple[Prompt, ...] = Field((), description="the first is used; left out: the bank's first training prompt")
    unseen: int = Field(UNSEEN, description="texts of each kind on which a label is tested")
    reader: Literal["embedder", "writer"] = Field(
        "embedder", description="who tests them: the sentence embedder, or the model that wrote them"
    )
    seed: int = Field(0, description="of the first text; the others follow")
    endpoint: InstanceOf[Endpoint] | None = None

    def bound(self, bench: Bench) -> Self:
        return filled(super().bound(bench), bench)

    def check(self, bench: Bench) -> None:
        if not LEAST_UNSEEN <= self.unseen <= MOST_UNSEEN:
            remedy = f"Choose {LEAST_UNSEEN} to {MOST_UNSEEN}"
            raise InputError("unseen texts", f"{self.unseen} cannot be used", remedy)
        variants(bench.banks.load(self.bank), self.vectors or (), None)

    def run(self, bench: Bench, stop: Stop) -> Generator[Progress, None, Suggested]:
        lm = bench.model.get(stop)
        bank = bench.bank_for(lm, self.bank)
        ours = LoadedAssistant(lm, bench.batching, stop)
        writer: Assistant = EndpointAssistant(self.endpoint, stop) if self.endpoint else ours
        prompt, wanted = self.prompts[0], tuple(self.vectors or ())
        reader = AssistantReader(writer, prompt) if self.reader == "writer" else EmbedderReader(bench.embed, stop)
        seeds = range(self.seed, self.seed + WRITTEN_FROM + self.unseen)
        total = len(seeds) + 2 * len(wanted)
        sampling = sampled(bench, bank, prompt, wanted, seeds, stop)
        drawn = yield from part_of(Progress("sampling texts", 0, total), sampling, len(seeds))
        seen, unseen = drawn[:WRITTEN_FROM], drawn[WRITTEN_FROM:]
        usual = [one.baseline for one in seen]
        names, done = dict[int, str](), len(seeds)
        for vector in wanted:
            yield Progress(f"vector {vector}: writing a label", done, total)
            random = [one.random[vector] for one in seen]
            names[vector] = written(writer, prompt, [*usual, *random], [one.vectors[vector] for one in seen])
            done += 1
        none = written(writer, prompt, usual, [one.random[wanted[0]] for one in seen]) if wanted else ""
        said_else = saying_else(bench, [name for name in names.values() if name], stop)
        found = Suggested(self.bank)
        for vector in wanted:
            name = names[vector]
            if not name:
                found.unnamed.append(vector)
                continue
            yield Progress(f"vector {vector}: testing “{name}”", done, total)
            rivals = _rivals(none, said_else[name], reader.most)
            texts = [one.vectors[vector].text for one in unseen], [one.random[vector].text for one in unseen]
            area, areas = area_of(reader, [name, *rivals], *texts)
            low, high = interval(area, len(unseen), len(unseen))
            said = SuggestedLabel(
                vector=vector, name=name, writer=writer.model, reader=reader.name, auroc=area, low=low, high=high,
                others=areas, unseen=len(unseen), radius=seen[0].vectors[vector].radius,
                prompt=seen[0].baseline.prompt, temperature=TEMPERATURE, max_new_tokens=TOKENS,
                first_seed=self.seed, created=datetime.now(UTC),
                parameter_count=writer.parameter_count,
            )  # fmt: skip
            bench.suggested_labels.add(bank.record.model_hash, bank.hash, said)
            found.said.append(said)
            done += 1
        return found

    def answer(self, result: Suggested, not_kept: str | None) -> SuggestedAnswer:
        keys = {"vector", "name", "auroc", "low", "high", "others", "unseen", "writer", "reader"}
        said = [cast(SuggestionLine, one.model_dump(include=keys) | {"holds": one.holds}) for one in result.said]
        return {"bank": result.bank, "suggestions": said, "unnamed": result.unnamed, "not_kept": not_kept}

    def lines(self, result: Suggested) -> list[str]:
        return [
            *(
                f"{one.vector}: {one.name}, AUROC {one.figures}" + ("" if one.holds else ", does not hold")
                for one in result.said
            ),
            result.summary,
        ]


def written(assistant: Assistant, prompt: Prompt, usual: Sequence[Completion], changed: Sequence[Completion]) -> str:
    """A name for what the ``changed`` texts have in common that the ``usual`` ones have not; "" if nothing came."""
    question = _WRITE.format(prompt=prompt.user, usual=_listed(usual), changed=_listed(changed))
    answer = assistant.write(question, NAME_TOKENS)
    line = next((one for one in answer.splitlines() if one.strip(AROUND)), "")
    return "".join(one for one in line if one.isprintable()).strip(AROUND)[:LONGEST_NAME]


def area_of(
    reader: Reader, names: Sequence[str], steered: Sequence[str], random: Sequence[str]
) -> tuple[float, tuple[float, ...]]:
    """The AUROC with which the first of ``names`` tells ``steered`` texts from ``random`` ones; those of the others.

    A name scores a text by how much better it fits than the others do on average: a reader who says yes more often to
    broken texts, whatever the name, would otherwise confirm any. And a name is only good where the others are not.
    """
    from melbo_app.analysis.auroc import auroc

    fits = reader.fits(names, [*steered, *random])
    if len(names) > 1:
        fits = fits - (fits.sum(0) - fits) / (len(names) - 1)
    areas = [auroc(row[: len(steered)].tolist(), row[len(steered) :].tolist()) for row in fits]
    return areas[0], tuple(areas[1:])


def saying_else(bench: Bench, names: Sequence[str], stop: Stop) -> dict[str, list[str]]:
    """For each name, those that do not say the same; those that read otherwise, if the embedder's weights are
    missing."""
    if not names:
        return {}
    try:
        places = bench.embed(names, stop)
    except InputError:
        return {own: [name for name in names if name.casefold() != own.casefold()] for own in names}
    rows = dict(zip(names, places, strict=True))
    return {own: [name for name in names if rows[own] @ rows[name] < SAME] for own in names}


def _rivals(control: str, others: Sequence[str], most: int) -> list[str]:
    """Names to compete with: that of random vectors, even if it says the same, and the others, each once, spread evenly
    if there are too many."""
    first = [control] if control else []
    distinct = list({name.casefold(): name for name in others if name.casefold() != control.casefold()}.values())
    most = min(most - len(first), len(distinct))
    step = max(1.0, len(distinct) / max(1, most))
    return [*first, *(distinct[int(at * step)] for at in range(most))]


def _listed(texts: Sequence[Completion]) -> str:
    return "\n".join(f"- {' '.join(one.text.split())}" for one in texts)
