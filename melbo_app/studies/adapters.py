"""Adapters: what a model says with small changes of its weights that change a later layer most."""

import time
from collections.abc import Generator
from datetime import UTC, datetime
from typing import Annotated, Any, ClassVar, NamedTuple, TypedDict

from pydantic import Field

from melbo_app.engine.decoding import Decoding
from melbo_app.engine.prompt import Prompt
from melbo_app.engine.scope import TokenScope
from melbo_app.engine.stopping import Stop, raise_if
from melbo_app.engine.suggestion import default_scope, layers
from melbo_app.engine.training_config import TrainingConfig
from melbo_app.engine.weight_files import ADAPTER_WEIGHTS
from melbo_app.jobs.bench import Bench
from melbo_app.jobs.generators import map_progress
from melbo_app.jobs.progress import Progress
from melbo_app.jobs.study import ModelStudy, Option
from melbo_app.library.adapter_set import AdapterFacts, AdapterSet, digest
from melbo_app.library.bank import PromptRecord
from melbo_app.library.versions import versions
from melbo_app.limits import check_prompts, check_range, check_texts
from melbo_app.studies.adapter_reading import read_answers
from melbo_app.studies.as_json import beginning, one_line, plain

MOST_ADAPTERS = 256
STEPS = 10
"""Measured on one prompt of one model only, where five to twenty steps change the target alike (docs/adapters.md)."""


class TrainedAdapters(NamedTuple):
    """The record, and the files of each adapter by name."""

    record: AdapterSet
    files: list[dict[str, bytes]]


class Adapters(TypedDict):
    """The record as JSON (docs/adapters.md)."""

    model: str
    model_hash: str
    dtype: str
    prompts: list[dict[str, Any]]
    source: int
    target: int
    module: str
    radius: float
    steps: int
    scope: str
    seed: int
    max_new_tokens: int
    baselines: list[str]
    adapters: list[dict[str, Any]]
    random: list[dict[str, Any]]
    seconds: float
    created: str
    versions: dict[str, str]


class TrainAdapters(ModelStudy[TrainedAdapters]):
    """Train rank-1 adapters: changes of the weights of several layers that change a later layer most.

    The prompts are answered with each adapter, and with as many random ones of the same norm. A stop keeps nothing.

    Returns:
        adapters and random (share, strength, texts with verdict, distance, change and flags of each), baselines …
    """

    kind: ClassVar[str] = "adapters"

    prompts: tuple[Prompt, ...] = Field(description="user texts that are trained on and answered")
    count: Annotated[int, Option("adapters")] = Field(8, description="number of adapters")
    radius: float = Field(1.0, description="norm of the change of each layer's weights")
    source: int | None = Field(None, description="block below the changed ones; left out: as suggested")
    target: int | None = Field(
        None, description="last changed block, where the effect is measured; left out: suggested"
    )
    module: str = Field("o_proj", description="name of the layer that is changed in each block")
    scope: str | None = Field(None, description="tokens that count: all, content, assistant or last:4")
    steps: int = Field(STEPS, description="steps of the training")
    max_new_tokens: int = Field(40, description="longest completion, in tokens")
    seed: int = Field(0, description="seed of all random numbers")

    @property
    def title(self) -> str:
        return f"Training adapters on “{beginning(self.prompts[0])}”"

    def check(self, bench: Bench) -> None:
        check_prompts(self.prompts, "prompts")
        check_range("adapters", self.count, 1, MOST_ADAPTERS)
        check_texts(len(self.prompts), 2 * self.count)
        TokenScope.parse(self.scope or "all")
        Decoding(self.max_new_tokens, seed=self.seed)
        source = self.source or 0
        target = source + 1 if self.target is None else self.target
        TrainingConfig(source, target, self.radius, self.count, "transcoding", self.steps, seed=self.seed)

    def run(self, bench: Bench, stop: Stop) -> Generator[Progress, None, TrainedAdapters]:
        from melbo_app.engine.adapter_band import AdapterBand
        from melbo_app.engine.adapter_training import answers_under, lora_files, shares_changed, train_adapters

        began, lm, total = time.monotonic(), bench.model.get(stop), self.steps + 2
        source, target = layers(len(lm.blocks), self.source, self.target)
        yield Progress("reading the prompts", 0, total)
        band = AdapterBand(bench.slices.slice(lm, self.prompts, source, target, stop), self.module)
        scope = self.scope or default_scope(self.prompts)
        work = train_adapters(
            band, count=self.count, radius=self.radius, steps=self.steps, scope=scope, seed=self.seed, stop=stop,
            memory_gb=bench.model.memory_gb,
        )  # fmt: skip
        training = map_progress(work, lambda now: Progress(now.stage, now.done, total))
        trained = yield from bench.compute.steps(training, short=False)
        raise_if(stop)
        own = trained.vectors.to(band.device)
        rows = band.beside_random(own, self.radius, self.seed)
        yield Progress("writing texts", self.steps, total)
        with bench.compute.hold(short=False):
            said = answers_under(band, rows, Decoding(self.max_new_tokens, seed=self.seed), stop)
        with bench.compute.hold(short=False):
            shares = shares_changed(band, rows, TokenScope.parse(scope), stop)
        with bench.compute.hold(short=False):
            files = lora_files(band, own, bench.model.spec)
        yield Progress("reading the texts", self.steps + 1, total)
        read = read_answers(bench, band.piece.encoded, said, len(own), stop)
        every = [{"share": share, "texts": tuple(texts[at] for texts in read)} for at, share in enumerate(shares)]
        first, random = 1, 1 + len(own)
        adapters = [
            AdapterFacts(adapter=at, strength=alpha, hash=digest(each[ADAPTER_WEIGHTS]), **facts)
            for at, (facts, alpha, each) in enumerate(
                zip(every[first:random], trained.strength or (), files, strict=True)
            )
        ]
        record = AdapterSet(
            model=bench.model.spec,
            model_hash=lm.weights_hash,
            dtype=str(lm.dtype).removeprefix("torch."),
            prompts=tuple(map(PromptRecord.of, self.prompts)),
            source=source,
            target=target,
            module=self.module,
            radius=self.radius,
            steps=trained.steps,
            scope=scope,
            seed=self.seed,
            max_new_tokens=self.max_new_tokens,
            baselines=tuple(texts[0].text for texts in read),
            adapters=tuple(adapters),
            random=tuple(AdapterFacts(adapter=at, **facts) for at, facts in enumerate(every[random:])),
            seconds=round(time.monotonic() - began, 1),
            created=datetime.now(UTC),
            versions=versions("torch", "transformers", "peft"),
        )
        return TrainedAdapters(record, files)

    def answer(self, result: TrainedAdapters, not_kept: str | None) -> Adapters:
        return plain(result.record)

    def lines(self, result: TrainedAdapters) -> list[str]:
        record = result.record
        lines = [f"without   {one_line(text, 200)}" for text in record.baselines]
        for name, every in (("adapter", record.adapters), ("random", record.random)):
            for one in every:
                for said in one.texts:
                    what = said.change or "as without"
                    lines.append(f"{name} {one.adapter}  {one.share:.0%} changed, {what}: {one_line(said.text, 200)}")
        return lines
