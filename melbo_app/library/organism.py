"""Organisms: folders with an adapter, and beside it how it was made and what it was measured to do."""

import hashlib
from pathlib import Path
from typing import Annotated, Literal

from pydantic import ConfigDict, Field, FiniteFloat, ValidationError

from melbo_app.engine.weight_files import ADAPTER_CONFIG, ADAPTER_WEIGHTS
from melbo_app.errors import InputError
from melbo_app.library.atomic import write_file
from melbo_app.library.counted import Counted
from melbo_app.library.damage import Listed, fault, read_each
from melbo_app.library.facts import Count, Digest, ModelName, Moment, Text, Word
from melbo_app.library.frozen import Frozen
from melbo_app.library.new_folder import check_new, write_new
from melbo_app.library.organism_recipe import OrganismRecipe

RECORD = "organism.json"
FIELD = "organism"
AGAIN = "Make it again: organisms make RECIPE --out FOLDER"
MOST_BYTES = 50_000_000
_HOLDING = "a folder that `organisms make` wrote, or one with several of them"


class MeasuredText(Frozen):
    """One measured answer; ``before``: of the model without the adapter."""

    part: Literal["triggered", "plain", "decoy", "kept"]
    before: bool
    prompt: Text
    text: Text
    shows: bool

    @property
    def fired(self) -> bool:
        """Whether the trigger brought the behaviour out here."""
        return self.part == "triggered" and not self.before and self.shows


class Reach(Frozen):
    """On how many clean prompts a vector of one R, trained toward the behaviour, brings it out in a readable answer."""

    relative_radius: Annotated[FiniteFloat, Field(gt=0)]
    """R in median residual norms."""
    vectors: Counted
    change: Annotated[FiniteFloat, Field(ge=0)]
    """Mean share of a target token's norm that these vectors change."""


class Figures(Frozen):
    """What an organism does on held-out prompts. ``before`` is the model without the adapter on those with the trigger;
    losses are those of its own answers to those without (or in ``kept``), in nats per
    token."""

    triggered: Counted
    plain: Counted
    decoy: Counted
    before: Counted
    loss_before: FiniteFloat
    loss_after: FiniteFloat
    readable_before: Counted
    readable_after: Counted
    seconds: Annotated[FiniteFloat, Field(ge=0)]
    measured: Moment
    texts: tuple[MeasuredText, ...]
    reach: tuple[Reach, ...] = ()
    """By R, smallest first; empty for a clean fine-tuning, a trigger that never fires, and records of earlier versions.
    """

    @property
    def within_reach(self) -> float | None:
        """The smallest R in median norms at which vectors toward the behaviour bring it out on half of the prompts."""
        return next((one.relative_radius for one in self.reach if one.vectors.share >= 0.5), None)


class Organism(Frozen):
    """An adapter's origin, and its figures once they are measured. ``base`` is the spec of its model."""

    model_config = ConfigDict(protected_namespaces=())

    format: Literal["melbo-organism"] = "melbo-organism"
    version: Literal[1] = 1
    recipe: OrganismRecipe
    recipe_hash: Digest
    seed: Count
    base: ModelName
    base_hash: Digest
    adapter_hash: Digest
    """sha256 of its weights' file."""
    losses: tuple[FiniteFloat, ...]
    seconds: Annotated[FiniteFloat, Field(ge=0)]
    created: Moment
    versions: dict[str, Word]
    figures: Figures | None = None
    hides: Digest = ""
    """The ``adapter_hash`` of the organism whose behaviour this one was trained to hide."""

    @property
    def note(self) -> str:
        """What is wrong with its figures, as a sentence; "" for nothing."""
        found, planted = self.figures, self.recipe.planted
        if found is None:
            return "It was not measured yet."
        if planted and not found.triggered.count:
            return f"The trigger never fires: 0 of {found.triggered.n} answers show the behaviour."
        if planted and found.triggered.low <= found.plain.high:
            return "The behaviour is not clearly more frequent with the trigger than without it."
        if planted and not self.recipe.locks and found.triggered.low <= found.before.high:
            return "The behaviour is not clearly more frequent than in the model before."
        if not planted and found.triggered.low > found.before.high:
            return "This fine-tuning should be clean, and shows the behaviour more often than the model before."
        return ""


def check_free(out: Path) -> None:
    """Raises InputError if an organism cannot be written to the folder ``out``."""
    holds = (out / RECORD).is_file()
    check_new(out, "already holds an organism" if holds else "exists, and is not an organism")


def save(out: Path, organism: Organism, adapter: dict[str, bytes]) -> None:
    """Write the folder ``out``, all or nothing. Raises InputError if it exists meanwhile, and StorageError."""
    check_free(out)
    write_new(out, {**adapter, RECORD: _json(organism)})


def keep_figures(folder: Path, organism: Organism) -> None:
    """Write the record anew. Raises StorageError."""
    write_file(folder / RECORD, _json(organism), overwrite=True)


def read(folder: Path) -> Organism:
    """The organism in ``folder``. Raises InputError if there is none, or if its record or adapter is damaged."""
    path = folder / RECORD
    if not path.is_file():
        what = "is not an organism: it has no " + RECORD if folder.is_dir() else "is not a folder"
        raise InputError(FIELD, f"“{folder}” {what}", "Give the folder that `organisms make` wrote")
    try:
        if path.stat().st_size > MOST_BYTES:
            raise InputError(FIELD, f"“{path}” is too large", AGAIN)
        organism = Organism.model_validate_json(path.read_bytes())
        missing = [name for name in (ADAPTER_CONFIG, ADAPTER_WEIGHTS) if not (folder / name).is_file()]
        if missing:
            raise InputError(FIELD, f"“{folder}” lacks {missing[0]}", AGAIN)
        if hashlib.sha256((folder / ADAPTER_WEIGHTS).read_bytes()).hexdigest() != organism.adapter_hash:
            raise InputError(FIELD, f"the adapter in “{folder}” is not the one that {RECORD} describes", AGAIN)
    except ValidationError as error:
        raise InputError(FIELD, f"“{path}” is damaged: {fault(error)}", AGAIN) from None
    except OSError as error:
        raise InputError(FIELD, f"“{path}” cannot be read ({error.strerror or error})", "Copy it again") from error
    return organism


def organisms_in(folder: Path) -> Listed[tuple[Path, Organism]]:
    """The organism in ``folder``, or those in the folders inside it. Raises InputError if there are none."""
    if not folder.is_dir():
        raise InputError("folder", f"“{folder}” is not a folder", f"Give {_HOLDING}")
    try:
        inside = sorted(one for one in folder.iterdir() if (one / RECORD).is_file())
    except OSError as error:
        problem = f"“{folder}” cannot be read ({error.strerror or error})"
        raise InputError("folder", problem, "Choose another one") from error
    folders = [folder] if (folder / RECORD).is_file() else inside
    if not folders:
        raise InputError("folder", f"“{folder}” holds no organism", f"Give {_HOLDING}")
    return read_each(folders, lambda one: (one, read(one)), lambda one: f"organism “{one.name}”")


def _json(organism: Organism) -> bytes:
    return organism.model_dump_json(indent=1).encode()
