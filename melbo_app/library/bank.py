"""A bank: vectors trained or imported together, the record of their origin, and the file that holds both."""

import hashlib
import io
import json
import math
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cached_property
from typing import Any, BinaryIO, Literal, Self

import numpy as np
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    FiniteFloat,
    SerializerFunctionWrapHandler,
    ValidationError,
    model_serializer,
    model_validator,
)

from melbo_app.engine.prompt import Prompt
from melbo_app.engine.training_config import Method, Start
from melbo_app.errors import InputError
from melbo_app.library.bank_vectors import FIELD, MAX_ELEMENTS, OUTPUTS, check_directions, check_radius, check_vectors
from melbo_app.library.damage import fault
from melbo_app.library.facts import Count, Digest, Layer, ModelName, Moment, Norm, Word
from melbo_app.library.frozen import Frozen
from melbo_app.library.tensor_file import CONTENTS, MAX_HEADER, Header, check_seal, contents_digest, read_header, sealed
from melbo_app.quoting import readable

FORMAT, VERSION = "melbo-bank", "1"
UNTRAINED = ("imported", "combined")
_CHANGED = "One of the two changed after it was saved: fetch or export it again"
_TRUE_RADIUS = "R must be the norm of every row, or the median norm of a “combined” or “imported” bank"
_BEFORE_CHECKSUMS = frozenset({"format", "version", "hash", "melbo"})


class PromptRecord(Frozen):
    """A prompt as a person gave it; ``template`` says whether, or how, it went into the model's chat template.

    ``rendered`` is the template's output, which depends on the model and may depend on the day; None without a
    template, or in records of older versions.
    """

    user: str
    system: str | None = None
    template: bool | str = True
    rendered: str | None = None

    @model_serializer(mode="wrap")
    def _without_gap(self, write: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Leaves out ``rendered`` if None, so that keys computed from prompts are the same as in older versions."""
        return {name: value for name, value in write(self).items() if (name, value) != ("rendered", None)}

    @classmethod
    def of(cls, prompt: Prompt, rendered: str | None = None) -> Self:
        """The record of ``prompt``."""
        return cls(user=prompt.user, system=prompt.system, template=prompt.template, rendered=rendered)

    @property
    def asked(self) -> Prompt:
        """The prompt as the engine takes it."""
        return Prompt(self.user, self.system, self.template)


class EffectRecord(BaseModel):
    """The effect of each vector on a set of prompts."""

    model_config = ConfigDict(frozen=True, ser_json_inf_nan="constants")

    objective: list[float] = Field(description="J per prompt.")
    change: list[float] = Field(description="Mean norm of Δ at the target layer, over the tokens in scope.")
    agreement: list[float] | None = Field(description="Mean cosine between the Δ of two prompts; None for one prompt.")
    share: list[float] | None = Field(None, description="Mean ‖Δ‖ / ‖Z(0)‖ over the same tokens.")
    runaway: list[FiniteFloat] | None = Field(None, description="Largest share of a prompt's tokens turned into sinks.")


class BankRecord(BaseModel):
    """Everything needed to use a bank and to reproduce it. Blocks are counted from 0, norms are absolute."""

    model_config = ConfigDict(frozen=True, ser_json_inf_nan="constants")

    name: str = Field(max_length=200)
    model: ModelName
    model_hash: Digest = Field(description="sha256 of the weights; empty if an imported file did not say.")
    hidden_size: int = Field(ge=1, le=MAX_ELEMENTS)
    blocks: int | None = Field(None, ge=1, le=10_000)
    source: Layer
    target: Layer | None = None
    scope: Word | None = None
    radius: Norm = Field(description="Norm of the rows; their median in imported and combined banks.")
    median_norm: Norm | None = Field(None, description="Median residual norm at the source.")
    method: Method | Literal["imported", "combined"]
    prompts: list[PromptRecord] = []
    against: list[PromptRecord] = Field([], description="Contrast prompts.")
    start: Start | None = None
    p: float | None = None
    q: float | None = None
    steps: Count | None = None
    seed: Count | None = None
    objective: list[float] | None = Field(
        None, description="Final J of each vector; if stopped, before the last step (jacobian: None)."
    )
    curves: list[list[float]] | None = Field(None, description="J of each vector at each step; jacobian: R σ per pass.")
    strength: list[FiniteFloat] | None = Field(None, description="Score for ranking the vectors (docs/methods.md).")
    residual: FiniteFloat | None = Field(
        None, description="For jacobian: the largest ‖JᵀJ v − σ² v‖ / σ₁² of its vectors; 0 for exact singular vectors."
    )
    stopped: bool | None = Field(None, description="Whether somebody stopped the training; None: unknown.")
    saturation: float | None = Field(
        None, description="Effect budget: share of a token's norm at which its change counts most; 0: no limit."
    )
    orthogonality: float | None = Field(None, description="Weight of the soft methods' cosine penalty.")
    agreement: float | None = Field(None, description="Weight of the agreement between prompts.")
    agreement_form: Literal["numerator", "contrastive"] | None = None
    temperature: float | None = Field(None, description="τ of agreement.")
    held_out: list[PromptRecord] = []
    effect: EffectRecord | None = Field(None, description="On the training prompts.")
    held_out_effect: EffectRecord | None = Field(None, description="On the held-out prompts.")
    seconds: FiniteFloat | None = None
    dtype: Word | None = None
    device: Word | None = None
    tokenizer: str | None = None
    template_hash: Digest | None = None
    versions: dict[Word, Word] = {}
    created: Moment
    command: str | None = None
    formula: str | None = Field(None, description="The formula of a combined bank.")
    parts: dict[str, str] | None = Field(None, description="Hashes of the banks in the formula, by name.")
    note: str | None = None

    @model_validator(mode="after")
    def _layers_in_order(self) -> Self:
        if self.target is not None and self.target <= self.source:
            raise ValueError(f"the target layer {self.target} must be above the source layer {self.source}")
        if self.blocks is not None and max(self.source, self.target or 0) >= self.blocks:
            raise ValueError(f"a model of {self.blocks} blocks has no block {max(self.source, self.target or 0)}")
        return self

    @property
    def whole(self) -> bool:
        """Whether the training finished. Older records do not say; they have a note if it was stopped."""
        return self.note is None if self.stopped is None else not self.stopped

    @property
    def relative_radius(self) -> float | None:
        """R as a multiple of the median residual norm at the source; None if that norm is unknown."""
        return None if self.median_norm is None else self.radius / self.median_norm


@dataclass(frozen=True)
class ImportHints:
    """Facts that a person adds to an imported file.

    ``source`` is the layer as the file counts it; ``counted`` says whether layer L means the "output" or the "input"
    of block L (None: the format's convention). ``radius`` rescales all vectors to this norm. ``rows`` says whether the
    rows of a table are one per layer ("layers") or "vectors" of one block. ``position`` picks one of several token
    positions, from the end if negative; None: the last.
    """

    model: str | None = None
    model_hash: str | None = None
    hidden_size: int | None = None
    blocks: int | None = None
    source: int | None = None
    target: int | None = None
    median_norm: float | None = None
    counted: str | None = None
    radius: float | None = None
    rows: str | None = None
    position: int | None = None


@dataclass(frozen=True)
class BankSummary:
    """One line of the shelf, read from a file's header. ``record`` and ``hash`` are None if the file is ``damaged``."""

    name: str
    sample: bool
    vectors: int
    size: int  # bytes of the file
    changed: datetime
    record: BankRecord | None
    hash: str | None
    damaged: str | None = None


@dataclass(frozen=True, eq=False)
class Bank:
    """Vectors [V, d] float32, read-only, with their record. Raises InputError if the two do not match.

    ``output_directions`` [V, d] are the unit vectors along which the vectors move the target layer (transcoding only).
    """

    record: BankRecord
    vectors: np.ndarray
    output_directions: np.ndarray | None = None

    def __post_init__(self) -> None:
        vectors = check_vectors(self.vectors)
        count, width = vectors.shape
        if width != self.record.hidden_size:
            problem = f"its vectors have {width} numbers each, its record says {self.record.hidden_size}"
            raise InputError(FIELD, problem, "Both must be the model's hidden size")
        if self.output_directions is not None:
            object.__setattr__(self, "output_directions", check_directions(self.output_directions, vectors.shape))
        _check_lists(self.record, count)
        object.__setattr__(self, "vectors", vectors)

    @cached_property
    def hash(self) -> str:
        """Identity of the vectors, independent of the bank's name: sha256 of vectors, source and weights' hash."""
        count, width = self.vectors.shape
        digest = hashlib.sha256(f"{FORMAT} {self.record.model_hash} {self.record.source} {count}x{width}\n".encode())
        digest.update(np.ascontiguousarray(self.vectors, dtype="<f4").data)
        return digest.hexdigest()

    @cached_property
    def norms(self) -> tuple[float, ...]:
        """The norm of each vector: the record's R if they agree to 0.1 %, else six digits of its own."""
        norms = np.linalg.norm(self.vectors.astype(np.float64), axis=1).tolist()
        radius = self.record.radius
        return tuple(radius if math.isclose(norm, radius, rel_tol=1e-3) else float(f"{norm:.6g}") for norm in norms)

    def renamed(self, name: str) -> "Bank":
        """The same bank under another name."""
        return replace(self, record=self.record.model_copy(update={"name": name}))

    def to_bytes(self) -> bytes:
        """The bank as a safetensors file, byte for byte the same each time (safetensors would shuffle the metadata)."""
        record = self.record
        check_radius(self.vectors, record.radius, _TRUE_RADIUS, equal=record.method not in UNTRAINED)
        text = record.model_dump_json()
        if len(text.encode()) > MAX_HEADER // 4:
            note = " ".join(filter(None, (record.note, "The objective curves were too long to be stored.")))
            record = record.model_copy(update={"curves": None, "note": note})
            text = record.model_dump_json()
        tensors = {"vectors": np.ascontiguousarray(self.vectors, dtype="<f4")}
        if self.output_directions is not None:
            tensors[OUTPUTS] = np.ascontiguousarray(self.output_directions, dtype="<f4")
        metadata = {"format": FORMAT, "version": VERSION, "hash": self.hash, "melbo": text}
        header: dict[str, Any] = {"__metadata__": sealed({**metadata, CONTENTS: contents_digest(tensors)})}
        end = 0
        for name, tensor in tensors.items():
            begin, end = end, end + tensor.nbytes
            header[name] = {"dtype": "F32", "shape": list(tensor.shape), "data_offsets": [begin, end]}
        head = json.dumps(header, separators=(",", ":")).encode()
        head += b" " * (-len(head) % 8)
        if len(head) > MAX_HEADER:
            raise InputError("prompts", f"the bank's record takes {len(head):,} bytes", f"At most {MAX_HEADER:,} fit")
        data = [tensor.tobytes() for tensor in tensors.values()]
        return b"".join([len(head).to_bytes(8, "little"), head, *data])

    @classmethod
    def from_bytes(cls, data: bytes) -> "Bank":
        """The bank in the bytes of one of our files. Raises InputError for anything else, even hostile files."""
        return cls.read(io.BytesIO(data), len(data))

    @classmethod
    def read(cls, stream: BinaryIO, size: int) -> "Bank":
        """The bank in a stream of ``size`` bytes. Raises InputError; OSError passes through."""
        header = read_header(stream, size)
        record, _, digest = bank_facts(header)
        header.check_contents(stream)
        outputs = header.read_tensor(stream, OUTPUTS) if OUTPUTS in header.tensors else None
        bank = cls(record, header.read_tensor(stream, "vectors"), outputs)
        check_radius(bank.vectors, record.radius, _CHANGED, equal=record.method not in UNTRAINED)
        if digest is not None and digest != bank.hash:
            raise InputError(FIELD, "its contents changed after it was saved", "Fetch or export it again")
        return bank


def _check_lists(record: BankRecord, count: int) -> None:
    """Refuse a record whose lists do not have one entry per vector."""
    for field in ("objective", "curves", "strength"):
        values = getattr(record, field)
        if values is not None and len(values) != count:
            raise InputError(FIELD, f"it holds {count} vectors but {len(values)} entries of “{field}”")
    for effect in filter(None, (record.effect, record.held_out_effect)):
        lists = (effect.objective, effect.change, effect.agreement, effect.share, effect.runaway)
        if any(values is not None and len(values) != count for values in lists):
            raise InputError(FIELD, f"it holds {count} vectors, but its effects have another number of entries")


def bank_facts(header: Header) -> tuple[BankRecord, int, str | None]:
    """The record, the number of vectors and their hash, without reading the vectors. Raises InputError for a damaged
    file, or one that is not ours."""
    text, entry = header.metadata.get("melbo"), header.tensors.get("vectors")
    if text is None:
        raise InputError(FIELD, "it has no MELBO Explorer record", "Import it with its model and source layer")
    if (version := header.metadata.get("version", VERSION)) != VERSION:
        problem = f"its format version is “{readable(version, 20)}”, not {VERSION}"
        raise InputError(FIELD, problem, "Update MELBO Explorer")
    check_seal(header.metadata, _BEFORE_CHECKSUMS)
    try:
        record = BankRecord.model_validate_json(text, strict=True)
    except ValidationError as error:
        raise InputError(FIELD, f"its record is damaged ({fault(error)})") from error

    if entry is None or len(entry.shape) != 2 or entry.shape[1] != record.hidden_size:
        raise InputError(FIELD, "its vectors do not match its record", "Copy or download it again")
    _check_lists(record, entry.shape[0])
    return record, entry.shape[0], header.metadata.get("hash")
