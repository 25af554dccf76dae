"""Adapters trained together: the record of their origin and texts, and the folders in which each is a LoRA."""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

from pydantic import Field, FiniteFloat

from melbo_app.analysis.change import ChangeKind
from melbo_app.analysis.readability import Verdict
from melbo_app.library.bank import PromptRecord
from melbo_app.library.facts import Count, Digest, Index, Layer, ModelName, Moment, Norm, Text, Word
from melbo_app.library.frozen import Frozen
from melbo_app.library.new_folder import write_new

RECORD = "adapters.json"


class AdapterText(Frozen):
    """What a model says with an adapter. ``distance`` is the cosine distance from its answer without one, ``change``
    how it differs (``analysis/change.py``), and ``flags`` what it shows and the other does not."""

    prompt: Index
    text: Text
    verdict: Verdict | None
    distance: FiniteFloat
    change: ChangeKind | None
    flags: tuple[Word, ...]


class AdapterFacts(Frozen):
    """One adapter. ``share`` is the mean change of the target layer as a share of a token's norm, ``strength`` its α
    (docs/adapters.md), and ``hash`` the sha256 of its weights file. A random one has neither strength nor hash."""

    adapter: Index
    share: FiniteFloat
    strength: FiniteFloat | None = None
    hash: Digest = ""
    texts: tuple[AdapterText, ...]


class AdapterSet(Frozen):
    """Adapters on the layers called ``module`` of the blocks after ``source`` up to ``target``, with ‖ΔW‖ = ``radius``
    in each, and as many random ones."""

    model: ModelName
    model_hash: Digest
    dtype: Word
    prompts: tuple[PromptRecord, ...]
    source: Layer
    target: Layer
    module: Word
    radius: Norm
    steps: Count
    scope: Word
    seed: Count
    max_new_tokens: Count
    baselines: tuple[Text, ...]
    adapters: tuple[AdapterFacts, ...]
    random: tuple[AdapterFacts, ...]
    seconds: Annotated[FiniteFloat, Field(ge=0)]
    created: Moment
    versions: dict[str, str]


def digest(weights: bytes) -> str:
    """The hash of an adapter's weights file."""
    return hashlib.sha256(weights).hexdigest()


def save(out: Path, record: AdapterSet, files: Sequence[dict[str, bytes]]) -> None:
    """Write the new folder ``out``, all or nothing: the record, and a folder for each adapter by its number. Raises
    InputError if it exists, and StorageError."""
    each = {f"{number}/{name}": data for number, one in enumerate(files) for name, data in one.items()}
    write_new(out, {**each, RECORD: record.model_dump_json(indent=1).encode()})
