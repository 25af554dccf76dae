"""Files from strangers: whatever is in them, they become vectors or one sentence, and take no more memory than they are
large."""

import io
import json
import os
import pickle
import random
import struct
import tracemalloc
import zipfile
from datetime import UTC, datetime

import numpy as np
import pytest
import torch
from safetensors.numpy import save

from melbo_app.errors import InputError
from melbo_app.library.bank import Bank, BankRecord, ImportHints
from melbo_app.library.formats import card
from melbo_app.library.formats.format import Contents, Format, Given, Parcel
from melbo_app.library.formats.known import DCT, FORMATS, GGUF, MELBO, OURS, SVEC
from melbo_app.library.formats.rows import settled

WIDTH = 8
ROWS = np.random.default_rng(0).normal(size=(2, WIDTH)).astype(np.float32)
ROWS /= np.linalg.norm(ROWS, axis=1, keepdims=True)
LONG = "a model whose name is so long that changes meet it, " * 3
RECORD = BankRecord(
    name="x", model=LONG, model_hash="ab", hidden_size=WIDTH, source=2, radius=1, method="joint",
    created=datetime(2026, 11, 21, tzinfo=UTC),
)  # fmt: skip
BANK = Bank(RECORD, ROWS, ROWS)


def dct_files() -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(DCT.write(Parcel(BANK, "x")))) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def dict_of_layers() -> bytes:
    stream = io.BytesIO()
    rows = {"layer_1": torch.from_numpy(ROWS[0]), 2: ROWS[1], "layer": np.int64(1), "note": ["x", None]}
    torch.save(rows, stream)
    return stream.getvalue()


PLAIN = "safetensors of others"


def save_plain():
    return save({"vectors": BANK.vectors, "layer.3": BANK.vectors[0]}, {"note": "hand-made"})


VALID = {
    format.key: {f"x{format.writes[0]}": format.write(Parcel(bank, "x"))}
    for format, bank in ((OURS, BANK), (MELBO, BANK), (GGUF, card.single(BANK, 0)), (SVEC, card.single(BANK, 0)))
} | {DCT.key: dct_files(), "melbo, a dict": {"x.pt": dict_of_layers()}, PLAIN: {"x.safetensors": save_plain()}}
MAIN = {key: next(name for name in files if name in ("x_V.pt", f"x{name[1:]}")) for key, files in VALID.items()}
READ = {format.key: format for format in FORMATS if format.read} | {"melbo, a dict": MELBO, PLAIN: OURS}

HUGE = [struct.pack("<Q", number) for number in (0, 1, 2**31, 2**32 - 1, 2**40, 2**63 - 1, 2**64 - 1)]
WORDS = [
    b"[",
    b"]",
    b"{",
    b"}",
    b'"',
    b",",
    b":",
    b"\\ud800",
    b"NaN",
    b"-",
    b"1e999",
    b"9" * 400,
    b"null",
    b"[" * 50,
    b"\n",
    b"\0",
    b"\x1b[31m",
]
OPCODES = [
    b"cos\nsystem\n",
    b"R",
    b"(",
    b"t",
    b"Q",
    b".",
    b"\x80\x04",
    b"r\xff\xff\xff\xff",
    b"N",
    b"\x94",
    b"\x8a\xff",
]
PIECES = [*HUGE, *(number[:4] for number in HUGE), *WORDS, *OPCODES, *(bytes([value]) for value in range(0, 256, 5))]
# Three changes of four bytes each, and two bytes for the rest.
PLAN = struct.Struct("<HBBHBBHBBBB")


def read(format: Format, files: dict[str, bytes], main: str) -> Contents | InputError:
    """What comes of the file: contents that could be put on the shelf, or an InputError; all else passes through."""
    assert format.read is not None
    given = Given(main, files[main], {name: data for name, data in files.items() if name != main})
    try:
        found = settled(format.read(given), ImportHints(blocks=12, source=1))
    except InputError as error:
        refused = error
    else:
        return checked(found)
    assert "\n" not in str(refused) and str(refused).encode()
    return refused


def checked(found: Contents) -> Contents:
    assert all(layer is None or layer >= 0 for layer in found.layers)
    assert all(rows.dtype == np.float32 and np.isfinite(rows).all() for rows in found.layers.values())
    assert all(text.isprintable() and text.encode() for text in found.says)
    return found


def changed(data: bytes, changes: list[tuple[int, bytes, bool]], keep: int | None) -> bytes:
    """``data`` with pieces put over or between its bytes, and cut."""
    for place, piece, between in changes:
        place %= len(data) + 1
        data = data[:place] + piece + data[place + (0 if between else len(piece)) :]
    return data if keep is None else data[: keep % (len(data) + 1)]


def with_program(data: bytes, changes: list[tuple[int, bytes, bool]]) -> bytes:
    """A file of torch.save in which only the program is changed: checksums and all else are right."""
    stream = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(stream, "w") as new:
        for member in old.infolist():
            body = old.read(member)
            new.writestr(member.filename, changed(body, changes, None) if member.filename.endswith(".pkl") else body)
    return stream.getvalue()


@pytest.mark.parametrize("key", VALID)
def test_the_files_that_are_changed_below_can_be_read(key):
    found = read(READ[key], VALID[key], MAIN[key])
    assert isinstance(found, Contents)
    assert np.allclose(next(iter(found.layers.values()))[0], ROWS[0], atol=1e-6)


SEED = 17
CASES = {
    "safetensors": 2500,
    PLAIN: 2500,
    "gguf": 3000,
    "svec": 2500,
    "melbo": 1000,
    "dct": 1000,
    "melbo, a dict": 1000,
}


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
@pytest.mark.parametrize("key", CASES)
def test_any_file_is_vectors_or_an_input_error(key):
    files, torch_file = VALID[key], key in ("melbo", "dct", "melbo, a dict")
    seen = {Contents: 0, InputError: 0}
    for case in range(CASES[key]):
        plan = random.Random(f"{SEED} {key} {case}").randbytes(PLAN.size)
        *numbers, kind, cut = PLAN.unpack(plan)
        changes = [
            (place, PIECES[piece % len(PIECES)], mode % 2 == 1)
            for place, piece, mode in zip(numbers[::3], numbers[1::3], numbers[2::3], strict=True)
        ][: kind % 3 + 1]
        name = sorted(files)[cut % len(files)]
        if kind % 8 == 0:
            data = files[name][:4] * (cut % 2) + plan
        elif torch_file and kind % 8 < 4:
            data = with_program(files[name], changes)
        else:
            data = changed(files[name], changes, numbers[0] if kind % 8 == 7 else None)
        seen[type(read(READ[key], files | {name: data}, MAIN[key]))] += 1
    assert seen[InputError] >= 5  # neither refused at the door every time, nor never
    assert seen[Contents] >= (0 if key == OURS.key else 5)  # our own carry checksums over all that is in them


class Attack:
    def __init__(self, folder):
        self.folder = folder

    def __reduce__(self):
        return os.mkdir, (str(self.folder),)


@pytest.mark.parametrize("name", sorted(VALID["dct"]))
def test_a_program_in_any_of_the_dct_files_is_not_run(tmp_path, name):
    stream = io.BytesIO()
    torch.save(Attack(tmp_path / "made"), stream)
    assert isinstance(read(DCT, VALID["dct"] | {name: stream.getvalue()}, "x_V.pt"), InputError)
    assert not (tmp_path / "made").exists()
    pickle.loads(pickle.dumps(Attack(tmp_path / "made")))
    assert (tmp_path / "made").exists()  # the attack is a real one


def gguf_header(tensors: int = 0, pairs: int = 0, rest: bytes = b"") -> bytes:
    return b"GGUF" + struct.pack("<IQQ", 3, tensors, pairs) + rest


def text(words: bytes) -> bytes:
    return struct.pack("<Q", len(words)) + words


PAIR = text(b"general.architecture") + struct.pack("<I", 8) + text(b"controlvector")
ENDLESS = io.BytesIO()
torch.save(torch.zeros(1).expand(1 << 20, 1 << 10), ENDLESS)


def tensor_of(*shape: int, kind: int = 0, offset: int = 0) -> bytes:
    return text(b"direction.1") + struct.pack(f"<I{len(shape)}QIQ", len(shape), *shape, kind, offset)


def bomb() -> bytes:
    """A zip of a few kilobytes that unfolds to a hundred megabytes."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", VALID["melbo"]["x.pt"][:100])
        archive.writestr("archive/data/0", bytes(100 << 20))
    return stream.getvalue()


def twice(count: int) -> bytes:
    """A zip whose table of contents names the same bytes again and again."""
    data = VALID["melbo"]["x.pt"]
    begin = data.index(b"PK\1\2")
    one = data[begin : data.index(b"PK\1\2", begin + 1)]
    table = one * count
    end = struct.pack("<IHHHHIIH", 0x06054B50, 0, 0, count & 0xFFFF, count & 0xFFFF, len(table), begin, 0)
    return data[:begin] + table + end


HOSTILE = {
    "safetensors: an endless header": (OURS, (1 << 62).to_bytes(8, "little") + b"{}"),
    "safetensors: a shape of anything": (
        OURS,
        (lambda head: len(head).to_bytes(8, "little") + head)(
            b'{"vectors":{"dtype":"F32","shape":[4096,1073741824],"data_offsets":[0,0]}}'
        ),
    ),
    "gguf: endless pairs": (GGUF, gguf_header(0, 2**64 - 1, PAIR)),
    "gguf: endless tensors": (GGUF, gguf_header(2**64 - 1, 1, PAIR)),
    "gguf: an endless key": (GGUF, gguf_header(0, 1, struct.pack("<Q", 2**63))),
    "gguf: an endless array": (GGUF, gguf_header(0, 1, text(b"a") + struct.pack("<IIQ", 9, 8, 2**62))),
    "gguf: an array of arrays": (GGUF, gguf_header(0, 1, text(b"a") + struct.pack("<IIQ", 9, 9, 2**62))),
    "gguf: a row of anything": (GGUF, gguf_header(1, 1, PAIR + tensor_of(2**62))),
    "gguf: a row beyond the end": (GGUF, gguf_header(1, 1, PAIR + tensor_of(8, offset=2**63))),
    "gguf: many dimensions": (GGUF, gguf_header(1, 1, PAIR + text(b"direction.1") + struct.pack("<I", 2**32 - 1))),
    "svec: deep lists": (SVEC, b'{"directions":' + b"[" * 100_000),
    "svec: deep objects": (SVEC, b'{"directions":' * 60_000),
    "svec: a long number": (SVEC, b'{"directions":{"1":[' + b"9" * 100_000 + b"]}}"),
    "svec: a large number": (SVEC, b'{"directions":{"1":[1' + b"0" * 400 + b"]}}"),
    "pt: a bomb": (MELBO, bomb()),
    "pt: a table that repeats itself": (MELBO, twice(50_000)),
    "pt: a tensor of anything": (MELBO, ENDLESS.getvalue()),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_no_claim_makes_a_file_take_more_memory_than_its_size(name):
    format, data = HOSTILE[name]
    main = "x" + format.writes[0]
    read(format, {main: data}, main)  # what is imported at the first time does not count
    tracemalloc.start()
    try:
        assert isinstance(read(format, {main: data}, main), InputError)
        assert tracemalloc.get_traced_memory()[1] < 4 * len(data) + (1 << 16)
    finally:
        tracemalloc.stop()


LARGE = {
    "svec: numbers": (SVEC, b'{"directions":{"1":[' + b"1e9," * 30_000 + b"1]}}"),
    "svec: numbers as text": (SVEC, b'{"directions":{"1":["' + b'1","' * 40_000 + b'"]}}'),
    "svec: lists": (SVEC, b'{"directions":{"1":[' + b"[]," * 20_000 + b"[]]}}"),
    "svec: names": (SVEC, json.dumps({"directions": {str(key): 0 for key in range(40_000)}}).encode()),
    "gguf: empty names": (GGUF, gguf_header(1000, 1, PAIR + text(b"a" * 100_000) + bytes(160_000))),
    "gguf: empty texts": (GGUF, gguf_header(0, 1, text(b"a") + struct.pack("<IIQ", 9, 8, 20_000) + bytes(160_000))),
    "safetensors: names": (
        OURS,
        (lambda head: len(head).to_bytes(8, "little") + head)(
            json.dumps(
                {f"{key}": {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]} for key in range(2000)}
            ).encode()
        ),
    ),
}


@pytest.mark.parametrize("name", LARGE)
def test_what_a_large_file_takes_is_a_small_multiple_of_its_size(name):
    format, data = LARGE[name]
    main = "x" + format.writes[0]
    tracemalloc.start()
    try:
        read(format, {main: data}, main)
        assert tracemalloc.get_traced_memory()[1] < 24 * len(data) + (1 << 20)
    finally:
        tracemalloc.stop()
