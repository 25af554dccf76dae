"""Harden: train a model to answer as before while an adversary perturbs it, and see what that changed."""

import hashlib
import json
import time
from collections.abc import Generator
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal, Self

from pydantic import Field

from melbo_app.engine.stopping import Stop
from melbo_app.engine.suggestion import layers
from melbo_app.engine.weight_files import ADAPTER_CONFIG, ADAPTER_WEIGHTS
from melbo_app.errors import InputError, Stopped
from melbo_app.jobs.bench import Bench, check_fits
from melbo_app.jobs.checkpointing import Checkpointing
from melbo_app.jobs.generators import map_progress
from melbo_app.jobs.progress import Progress
from melbo_app.jobs.study import Option, ResumableStudy
from melbo_app.library import organism
from melbo_app.library.hardened import CHANGE, Hardened, HardenSettings, request_of
from melbo_app.library.organism_recipe import Item, OrganismRecipe
from melbo_app.library.organism_recipes import OrganismRecipes
from melbo_app.library.prompt_sets import PromptSets
from melbo_app.library.taught_prompts import AVOID, KEEP, avoided_answers, file_lines, kept_prompts
from melbo_app.library.versions import versions
from melbo_app.library.weights import ModelFiles
from melbo_app.limits import check_range
from melbo_app.settings import Settings
from melbo_app.studies.as_json import plain
from melbo_app.studies.hardening_lines import Hardening, hardening, lines_of
from melbo_app.studies.hardening_measuring import Shows, asked, measure
from melbo_app.studies.hardening_training import TOTAL, Task, progress, train
from melbo_app.studies.hardening_vectors import compare_vectors
from melbo_app.studies.organism_making import load_base

if TYPE_CHECKING:  # torch takes seconds to import
    from melbo_app.engine.model import LanguageModel

Method = Literal["lat", "targeted-lat", "rlp", "at", "bank", "fine-tune"]
METHODS: dict[Method, str] = {
    "lat": "latent adversarial training: the perturbation that makes the answers least likely",
    "targeted-lat": "targeted latent adversarial training: the perturbation that makes an avoided answer likely",
    "rlp": "random perturbations of norm ε at each token, the control of the first",
    "at": "adversarial training on inputs: as the first, at the embeddings",
    "bank": "the vectors of a bank, one drawn for each answer",
    "fine-tune": "plain fine-tuning, without an adversary",
}
LEAST_KEPT = 10
HELD_OUT = 5
"""Every fifth prompt is kept out of the training, to measure on."""
RELATIVE_EPSILON = 0.1
STEPS, ASCENT, BATCH, RATE, RANK = 32, 8, 4, 5e-4, 16
RANGES: dict[str, tuple[float, float]] = {
    "ascent_steps": (0, 1_000), "steps": (1, 100_000), "batch": (1, 64), "rate": (1e-8, 1), "rank": (1, 256),
    "explored": (0, 20), "max_new_tokens": (4, 1_000), "seed": (0, 10**12),
}  # fmt: skip
"""Least and most of each number."""


def _file(given: str, field: str) -> tuple[str, ...]:
    """The lines of a file, or of a set that ships."""
    if not given:
        return ()
    return tuple(file_lines(PromptSets(Settings().assets_dir / "prompts"), given, field))


class Harden(ResumableStudy[Hardened]):
    """Train a LoRA so that the model answers as before while an adversary perturbs its hidden states, and count what
    the model does before and after. The hardened model is kept, and can be loaded as any other.

    Stopping the training keeps nothing; a stop after it keeps the model, without the figures that are missing.
    """

    kind: ClassVar[str] = "harden"
    loads = True
    hidden: ClassVar[frozenset[str]] = frozenset({"recipe"})

    method: Method = Field(description=f"what perturbs it: {', '.join(METHODS)}")
    keep: Annotated[tuple[str, ...], Option("keep", partial(_file, field=KEEP))] = Field(
        description="prompts to be answered as before, ten or more: texts, or JSON objects with prompt and answer"
    )
    avoid: Annotated[tuple[str, ...], Option("avoid", partial(_file, field=AVOID), "")] = Field(
        (), description="answers to be unlearned: texts, or JSON objects with answer, prompt and instead"
    )
    bank: str | None = Field(None, description="the bank of the method bank")
    behaviour: str | None = Field(
        None, description="recipe whose behaviour is measured before and after; left out: that of an organism"
    )
    layer: int | None = Field(None, description="block whose output is perturbed; left out: the usual source layer")
    epsilon: float | None = Field(None, description="largest norm of the perturbation of a token")
    relative_epsilon: float | None = Field(
        None, description=f"the same in median norms of its place; left out: {RELATIVE_EPSILON}"
    )
    ascent_steps: int = Field(ASCENT, description="steps in which the perturbation is found")
    steps: int = Field(STEPS, description="steps of the training")
    batch: int = Field(BATCH, description="answers in a step")
    rate: float = Field(RATE, description="learning rate")
    rank: int = Field(RANK, description="rank of the LoRA")
    explored: int = Field(0, description="held-out prompts on which vectors are trained before and after")
    max_new_tokens: int = Field(40, description="longest answer, in tokens")
    seed: int = Field(0, description="seed of all random numbers")
    recipe: OrganismRecipe | None = None

    @property
    def title(self) -> str:
        return f"Hardening by {self.method}"

    def bound(self, bench: Bench) -> Self:
        if self.behaviour is None or self.recipe is not None:
            return super().bound(bench)
        recipe = OrganismRecipes(bench.settings.assets_dir / "organisms").read(self.behaviour)
        return super().bound(bench).model_copy(update={"recipe": recipe})

    def check(self, bench: Bench) -> None:
        self.task()
        for name, (least, most) in RANGES.items():
            check_range(name.replace("_", " "), getattr(self, name), least, most)
        if self.epsilon is not None and self.relative_epsilon is not None:
            raise InputError("epsilon", "it is given twice", "Give it absolute or in median norms, not both")
        given = self.epsilon if self.epsilon is not None else self.relative_epsilon
        if given is not None and not 0 < given <= 1e6:
            raise InputError("epsilon", f"{given:g} lets the adversary do nothing", "Choose more than 0, or fine-tune")
        if (self.bank is not None) != (self.method == "bank"):
            raise InputError("bank", "it is for the method bank, and needed there", "Give both or neither")
        if self.bank is not None:
            bench.banks.load(self.bank)
        self.bound(bench)

    def task(self) -> Task:
        """The prompts to train on and those to measure on. Raises InputError."""
        kept = kept_prompts(self.keep)
        if len(kept) < LEAST_KEPT:
            problem = f"{len(kept)} different prompts are too few to stay as it is"
            raise InputError("keep", problem, f"Give {LEAST_KEPT} or more; a hundred are better")
        avoided = avoided_answers(self.avoid)
        if self.method == "targeted-lat" and not avoided:
            raise InputError("avoid", "there is nothing to avoid", "Give an answer that should no longer be given")
        if self.method != "targeted-lat" and avoided:
            raise InputError("avoid", f"{self.method} has no use for it", "Leave it out, or choose targeted-lat")
        held = kept[HELD_OUT - 1 :: HELD_OUT]
        return Task([one for one in kept if one not in held], held, avoided, self.max_new_tokens)

    def resume(self, bench: Bench, stop: Stop, checkpoint: Checkpointing | None) -> Generator[Progress, None, Hardened]:
        """Raises Stopped before the training is finished."""
        task, began = self.task(), time.monotonic()
        yield Progress("loading the model", 0, TOTAL)
        lm, files = load_base(bench.settings, self.model, stop, adapted=True)
        recipe = self.bound(bench)._recipe(files)
        settings = yield from self._settings(bench, lm, files)
        request = request_of(
            lm.weights_hash, plain(settings), self.keep, self.avoid, self.max_new_tokens, lm.usual_template
        )
        found = bench.hardenings.find(request)
        if found is None:
            try:
                trained = yield from train(bench, lm, files, task, settings, request, checkpoint, stop)
            except (InputError, Stopped):
                if checkpoint is not None:
                    checkpoint.remove()
                raise
            found = Hardened(
                model=self.model, model_hash=lm.weights_hash, folder=str(bench.hardenings.place(request)),
                request=request, settings=settings, keep=self.keep, avoid=self.avoid,
                max_new_tokens=self.max_new_tokens, kept=len(task.kept),
                held_out=len(task.held_out), avoided=len(task.avoided), losses=tuple(trained.losses),
                adapter_hash=hashlib.sha256(trained.files[ADAPTER_WEIGHTS]).hexdigest(), created=datetime.now(UTC),
                seconds=round(time.monotonic() - began, 1), versions=versions("torch", "transformers", "peft"),
            )  # fmt: skip
            bench.hardenings.save(found, trained.files)
        if checkpoint is not None:
            checkpoint.remove()
        try:
            found = yield from self._measured(bench, lm, task, recipe, found, stop)
            return (yield from self._compared(bench, task, recipe, found, stop))
        except Stopped:
            return bench.hardenings.find(request) or found

    def _recipe(self, files: ModelFiles) -> OrganismRecipe | None:
        """The behaviour to measure: the one that is named, or that of the organism which is hardened."""
        if self.recipe is not None:
            return self.recipe
        folder = Path(files.adapter) if files.adapter else None
        if folder is None or not (folder / organism.RECORD).is_file():
            return None
        return organism.read(folder).recipe

    def _settings(
        self, bench: Bench, lm: "LanguageModel", files: ModelFiles
    ) -> Generator[Progress, None, HardenSettings]:
        """The settings with all defaults filled in. Raises InputError for a layer or a bank that does not fit."""
        from melbo_app.engine.lessons import lesson
        from melbo_app.engine.lora import usual_modules
        from melbo_app.engine.perturbation import median_size

        layer = epsilon = relative = None
        if self.method == "bank":
            layer = bench.banks.load(self.bank or "").record.source
        elif self.method not in ("at", "fine-tune"):
            layer = layers(len(lm.blocks), self.layer, None)[0]
        if self.method not in ("bank", "fine-tune"):
            yield Progress("measuring the norm of the hidden states", 0, TOTAL)
            usual = [lesson(lm, one.prompt, " ") for one in self.task().kept[:32]]
            with bench.compute.hold(short=False):
                norm = median_size(lm, usual, layer)
            relative = self.relative_epsilon or RELATIVE_EPSILON
            epsilon = self.epsilon or relative * norm
            relative = epsilon / norm
        modules = usual_modules(lm) if files.adapter is None else _modules(Path(files.adapter))
        bank = bench.banks.load(self.bank) if self.bank else None
        if bank is not None:
            check_fits(bank, lm)
        return HardenSettings(
            method=self.method, layer=layer, epsilon=epsilon, relative_epsilon=relative,
            ascent_steps=self.ascent_steps if self.method in ("lat", "targeted-lat", "at") else 0,
            steps=self.steps, batch=self.batch, rate=self.rate, rank=self.rank, modules=tuple(modules),
            bank=bank and bank.record.name, bank_hash=bank and bank.hash, seed=self.seed,
        )  # fmt: skip

    def _measured(
        self, bench: Bench, lm: "LanguageModel", task: Task, recipe: OrganismRecipe | None, found: Hardened, stop: Stop
    ) -> Generator[Progress, None, Hardened]:
        """With the figures, unless they are there. Raises Stopped."""
        from melbo_app.engine.lora import kept_lora

        if found.is_measured and found.recipe_hash == (recipe and recipe.hash):
            return found
        refused = [one.text for one in bench.prompt_sets.read("refused")]
        parts = asked(recipe, [one.prompt for one in task.held_out], refused)
        folder = bench.hardenings.place(found.key)
        with kept_lora(lm, folder / CHANGE if (folder / CHANGE).is_dir() else folder) as lora:
            work = measure(lm, lora, parts, self.max_new_tokens, bench.compute, stop)
            figures = yield from map_progress(work, lambda now: progress("measuring", now.stage, now.done / now.total))
        named = {"recipe": recipe and recipe.name, "recipe_hash": recipe and recipe.hash}
        found = Hardened.model_validate(found.model_dump() | figures | named)
        bench.hardenings.update(found)
        return found

    def _compared(
        self, bench: Bench, task: Task, recipe: OrganismRecipe | None, found: Hardened, stop: Stop
    ) -> Generator[Progress, None, Hardened]:
        """With what vectors find before and after, on as many held-out prompts as asked. Raises Stopped."""
        prompts = [one.prompt for one in task.held_out][: self.explored]
        missing = [one for one in prompts if one not in {line.prompt for line in found.compared}]
        if not missing:
            return found
        shows: Shows | None = None
        if recipe is not None:
            sign = recipe.sign
            shows = lambda text: sign.shows(text, Item(prompt="-"))  # noqa: E731
        work = compare_vectors(bench, self.model, bench.hardenings.place(found.key), missing, self.seed, shows, stop)
        more = yield from map_progress(work, lambda now: progress("vectors", now.stage, now.done / max(1, now.total)))
        found = found.model_copy(update={"compared": (*found.compared, *more)})
        bench.hardenings.update(found)
        return found

    def answer(self, result: Hardened, not_kept: str | None) -> Hardening:
        return hardening(result)

    def lines(self, result: Hardened) -> list[str]:
        return lines_of(result)


def _modules(adapter: Path) -> list[str]:
    """The layers that an adapter changes."""
    found = json.loads((adapter / ADAPTER_CONFIG).read_bytes())["target_modules"]
    return [found] if isinstance(found, str) else sorted(found)
