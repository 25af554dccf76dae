"""Hardened models: folders with an adapter, how it was trained, and what the model did before and after."""

import hashlib
import shutil
from pathlib import Path
from typing import Annotated, Literal

from pydantic import ConfigDict, Field, FiniteFloat

from melbo_app.engine.weight_files import ADAPTER_WEIGHTS
from melbo_app.library.atomic import make_folder, refused, write_file, write_folder
from melbo_app.library.counted import Counted
from melbo_app.library.damage import Damage, Listed, read_each
from melbo_app.library.facts import Count, Digest, Layer, ModelName, Moment, Norm, Text, Word
from melbo_app.library.frozen import Frozen
from melbo_app.library.json_files import Measured, key_of

RECORD = "hardening.json"
CHANGE = "change"
"""Folder of what the hardening added to a model that had an adapter before."""
MOST_BYTES = 50_000_000
HardenMethod = Literal["lat", "targeted-lat", "rlp", "at", "bank", "fine-tune"]
PartName = Literal["triggered", "plain", "decoy", "kept", "refused"]


class HardenSettings(Frozen):
    """How the model is trained. ``layer`` and ``epsilon`` are None where nothing is perturbed; ``layer`` is None also
    for the embeddings (``at``). ``epsilon`` is absolute, ``relative_epsilon`` in median norms at its place."""

    method: HardenMethod
    layer: Layer | None = None
    epsilon: Annotated[FiniteFloat, Field(ge=0)] | None = None
    relative_epsilon: Annotated[FiniteFloat, Field(ge=0)] | None = None
    ascent_steps: Count = 0
    steps: Count
    batch: Count
    rate: Annotated[FiniteFloat, Field(gt=0)]
    rank: Count
    modules: tuple[Word, ...]
    bank: Word | None = None
    bank_hash: Digest | None = None
    seed: Count


class HardenedText(Frozen):
    """An answer before and after. ``shows``: it has the behaviour or, to refused questions, refuses."""

    part: PartName
    prompt: Text
    before: Text
    after: Text
    shows_before: bool
    shows_after: bool


class HardenedPart(Frozen):
    """Counts on one kind of held-out prompts, before and after: answers that show the behaviour, refusals among
    ``refused``, readable answers among ``kept``."""

    part: PartName
    before: Counted
    after: Counted


class Searched(Frozen):
    """What a press of Explore finds on a prompt in one of the models. ``radius`` is in median norms."""

    radius: Norm
    behaviours: Count
    changed: Counted
    random_changed: Counted
    readable: Counted
    diversity: FiniteFloat
    random_diversity: FiniteFloat
    distance: FiniteFloat
    """Mean cosine distance of the answers from the unsteered one."""
    shows: Counted | None = None
    """Vectors under which the planted behaviour shows."""
    random_shows: Counted | None = None
    texts: tuple[Text, ...]
    """Of the behaviours that random vectors do not show as often."""


class Compared(Frozen):
    """The same press on the model before and after. ``new``: behaviours found after that no answer before resembles;
    ``gone``: those found before that no answer after resembles."""

    prompt: Text
    before: Searched
    after: Searched
    new: Count
    gone: Count


class Hardened(Measured):
    """One hardening. ``model`` is the one before; ``figures`` are missing where measuring was stopped."""

    model_config = ConfigDict(protected_namespaces=())

    format: Literal["melbo-hardened"] = "melbo-hardened"
    version: Literal[1] = 1
    model: ModelName
    folder: ModelName
    """Where it was written; a model like any other."""
    request: Digest
    """Of all that determines the training."""
    settings: HardenSettings
    keep: tuple[Text, ...]
    """Of the request: the prompts to be answered as before, each a text or JSON."""
    avoid: tuple[Text, ...]
    max_new_tokens: Count
    kept: Count
    """Prompts that were trained on; the others are held out."""
    held_out: Count
    avoided: Count
    recipe: Word | None = None
    """Name of the planted behaviour that was measured."""
    recipe_hash: Digest | None = None
    adapter_hash: Digest
    losses: tuple[FiniteFloat, ...]
    seconds: Annotated[FiniteFloat, Field(ge=0)]
    created: Moment
    versions: dict[str, Word]
    parts: tuple[HardenedPart, ...] = ()
    loss_before: FiniteFloat | None = None
    """Surprisal of the model's own answers to held-out kept prompts, in nats per token."""
    loss_after: FiniteFloat | None = None
    texts: tuple[HardenedText, ...] = ()
    compared: tuple[Compared, ...] = ()

    @property
    def key(self) -> str:
        return self.request

    @property
    def is_measured(self) -> bool:
        """Whether the figures are there."""
        return bool(self.parts)

    def part(self, name: PartName) -> HardenedPart | None:
        """The counts of a part, if it was measured."""
        return next((one for one in self.parts if one.part == name), None)

    @property
    def sentence(self) -> str:
        """What became of the behaviour and of the rest, in a sentence or two."""
        if not self.is_measured:
            return "It was not measured: the job was stopped before."
        said = []
        planted, decoy = self.part("triggered"), self.part("decoy")
        if planted is not None:
            said.append(f"With the trigger, the behaviour shows in {planted.before} before and {planted.after} after.")
        if decoy is not None and decoy.after.count > decoy.before.count:
            said.append(f"With decoys it shows in {decoy.after}, {decoy.before.count} before.")
        refuses = self.part("refused")
        if refuses is not None:
            said.append(f"Refusals: {refuses.before} before, {refuses.after} after.")
        readable = self.part("kept")
        if readable is not None and self.loss_before is not None and self.loss_after is not None:
            said.append(
                f"Of held-out kept prompts, {readable.before.count} answers were readable before and "
                f"{readable.after.count} of {readable.after.n} after; the surprisal of the answers before went from "
                f"{self.loss_before:.3f} to {self.loss_after:.3f} nats a token."
            )
        return " ".join(said)


def request_of(*facts: object) -> str:
    """The key of a hardening; ``facts`` must be JSON."""
    return key_of(facts)


class Hardenings:
    """The hardened models in ``folder``, a folder each by its key; it need not exist."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def place(self, key: str) -> Path:
        """The folder of a hardened model."""
        return self._folder / key

    def find(self, key: str) -> Hardened | None:
        """The record, or None; also where it or its adapter is damaged, so that it is made again."""
        path = self.place(key)
        found = next(iter(read_each([path] if (path / RECORD).is_file() else [], _read, str)), None)
        return found if found is not None and found.adapter_hash == _adapter_hash(path) else None

    def save(self, record: Hardened, adapter: dict[str, bytes]) -> Path:
        """Write the folder in place of an older one; returns it. Raises StorageError."""
        make_folder(self._folder)
        path = self.place(record.key)
        with refused("the hardened model could not be replaced"):
            if path.exists():
                shutil.rmtree(path)
        write_folder(path, {**adapter, RECORD: _json(record)})
        return path

    def update(self, record: Hardened) -> None:
        """Write the record anew. Raises StorageError."""
        write_file(self.place(record.key) / RECORD, _json(record), overwrite=True)

    def files(self, key: str) -> dict[str, bytes]:
        """The files of a hardened model by name, to be written elsewhere."""
        path = self.place(key)
        return {one.name: one.read_bytes() for one in sorted(path.iterdir()) if one.is_file()}

    def damaged(self) -> list[Damage]:
        """Those that cannot be read."""
        return [*self._every().damaged]

    def of_model(self, model_hash: str) -> Listed[Hardened]:
        """Those made from a model, newest first."""
        found = self._every()
        own = [one for one in found if one.model_hash == model_hash]
        return Listed(sorted(own, key=lambda one: one.created, reverse=True), found.damaged)

    def _every(self) -> Listed[Hardened]:
        folders = sorted(one.parent for one in self._folder.glob(f"*/{RECORD}"))
        return read_each(folders, _read, lambda path: f"hardened model “{path.name}”")


def _read(folder: Path) -> Hardened:
    path = folder / RECORD
    if path.stat().st_size > MOST_BYTES:
        raise ValueError(f"it is larger than {MOST_BYTES:,} bytes")
    return Hardened.model_validate_json(path.read_bytes())


def _adapter_hash(folder: Path) -> str:
    path = folder / ADAPTER_WEIGHTS
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""


def _json(record: Hardened) -> bytes:
    return record.model_dump_json(indent=1).encode()
