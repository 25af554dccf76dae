"""Files of ours of which a bit changed: reading refuses them, or the check of the library names them."""

import json
from datetime import UTC, datetime

import numpy as np
import pytest
import safetensors
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import load, save

from melbo_app.errors import InputError
from melbo_app.library.bank import Bank, BankRecord, PromptRecord
from melbo_app.library.banks import Banks
from melbo_app.library.catalogue import Catalogue
from melbo_app.library.checkpoints import Checkpoints
from melbo_app.library.database import Database
from melbo_app.library.formats.format import Contents, Given
from melbo_app.library.formats.known import OURS
from melbo_app.library.inspection import inspect

VECTORS = np.array([[3, 4, 0], [0, 3, -4]], dtype=np.float32) * np.float32(1.64)
DIRECTIONS = np.array([[1, 0, 0], [0, 0.6, 0.8]], dtype=np.float32)
RECORD = BankRecord(
    name="first", model="tiny", model_hash="ab" * 32, hidden_size=3, source=2, target=5, radius=8.2,
    method="transcoding", prompts=[PromptRecord(user="Wie geht’s?\n\x1b“é”", system="kurz")], strength=[2.5, 1.0],
    created=datetime(2026, 11, 21, 12, tzinfo=UTC),
)  # fmt: skip
BANK = Bank(RECORD, VECTORS, DIRECTIONS)
FILE = BANK.to_bytes()
PLAIN = {"format": "melbo-bank", "version": "1", "hash": BANK.hash, "melbo": RECORD.model_dump_json()}


def flipped(data, place, bit):
    changed = bytearray(data)
    changed[place] ^= 1 << bit
    return bytes(changed)


def file_of(header, data=b""):
    head = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(head).to_bytes(8, "little") + head + data


def entry(begin, end, shape=(1, 3), dtype="F32", **more):
    return {"dtype": dtype, "shape": list(shape), "data_offsets": [begin, end], **more}


def test_every_flipped_bit_of_a_bank_is_refused_or_named_by_the_check(tmp_path):
    database = Database(tmp_path / "melbo.sqlite")
    catalogue = Catalogue(database)
    banks = Banks(tmp_path / "banks", tmp_path / "samples", catalogue)
    path = banks.save(BANK)
    assert path.read_bytes() == FILE
    read = []
    for place in range(len(FILE)):
        for bit in range(8):
            try:
                bank = Bank.from_bytes(flipped(FILE, place, bit))
            except InputError:
                continue
            assert (bank.record, bank.hash) == (RECORD, BANK.hash)  # \\u00E9 is \\u00e9
            read.append((place, bit))
    assert len(read) < 20
    for place, bit in read:
        path.write_bytes(flipped(FILE, place, bit))
        [found] = inspect(banks, Banks(tmp_path / "parts", tmp_path / "none"), catalogue, database)
        assert found.wrong and "its file holds another record than when it was entered" in found.problem


@pytest.mark.parametrize("told", ['"radius":8.2', "Wie geht", '"source":2', "2.5", "2026", '"method"'])
def test_a_record_that_changed_is_listed_as_damaged(tmp_path, told):
    banks = Banks(tmp_path, tmp_path / "samples")
    path = banks.save(BANK)
    old = json.dumps(told)[1:-1].encode()
    assert FILE.count(old) >= 1
    place = FILE.index(old) + len(old) - 1
    path.write_bytes(flipped(FILE, place, 0))
    [line] = banks.list()
    assert line.damaged is not None and "bank file: its " in line.damaged
    with pytest.raises(InputError, match="“first” cannot be read"):
        banks.load("first")


def test_banks_of_before_can_be_read_and_stay_as_they_are(tmp_path):
    old = save({"vectors": VECTORS, "output_directions": DIRECTIONS}, PLAIN)
    path = tmp_path / "first.safetensors"
    path.write_bytes(old)
    banks = Banks(tmp_path, tmp_path / "samples")
    assert banks.load("first").record == RECORD and path.read_bytes() == old
    assert banks.export_file("first", tmp_path / "copy.safetensors").read_bytes() == old
    assert banks.load("copy").hash == BANK.hash


@pytest.mark.parametrize(
    ("radius", "sentence"), [(9.2, "its record says R = 9.2, and row 0 has the norm 8.2"), (8.2001, None), (8.16, None)]
)
def test_the_r_of_a_bank_of_before_is_compared_with_its_rows(radius, sentence):
    text = RECORD.model_copy(update={"radius": radius}).model_dump_json()
    old = save({"vectors": VECTORS}, {**PLAIN, "melbo": text})
    if sentence is None:
        assert Bank.from_bytes(old).record.radius == radius
        return
    with pytest.raises(InputError, match=sentence):
        Bank.from_bytes(old)


@pytest.mark.parametrize("method", ["imported", "combined"])
def test_unequal_norms_are_right_where_the_record_gives_their_median(method):
    rows = VECTORS * np.array([[1], [3]], dtype=np.float32)
    record = RECORD.model_copy(update={"method": method, "radius": 16.4, "strength": None})
    assert Bank.from_bytes(Bank(record, rows).to_bytes()).norms == pytest.approx((8.2, 24.6))
    old = save({"vectors": rows}, {**PLAIN, "melbo": record.model_dump_json(), "hash": Bank(record, rows).hash})
    assert Bank.from_bytes(old).record.radius == 16.4
    wrong = record.model_copy(update={"radius": 26.4}).model_dump_json()
    with pytest.raises(InputError, match=r"R = 26\.4, and the median norm of its rows is 16\.4"):
        Bank.from_bytes(save({"vectors": rows}, {**PLAIN, "melbo": wrong, "hash": Bank(record, rows).hash}))


@pytest.mark.parametrize("dtype", ["F16", "BF16"])
def test_half_precision_keeps_the_r_of_a_bank(dtype):
    rows = np.random.default_rng(0).normal(size=(4, 64)).astype(np.float32)
    rows *= np.float32(8.2) / np.linalg.norm(rows, axis=1, keepdims=True)
    half = rows.astype("<f2") if dtype == "F16" else (rows.view("<u4") >> 16).astype("<u2")  # cut, which loses most
    text = RECORD.model_copy(update={"hidden_size": 64, "strength": None}).model_dump_json()
    data = half.tobytes()
    head = {"__metadata__": {"melbo": text}, "vectors": entry(0, len(data), (4, 64), dtype)}
    assert Bank.from_bytes(file_of(head, data)).norms == pytest.approx([8.2] * 4, rel=0.01)


def test_a_bank_whose_r_is_not_that_of_its_rows_is_not_written():
    with pytest.raises(InputError, match=r"R = 9\.2, and row 0"):
        Bank(RECORD.model_copy(update={"radius": 9.2}), VECTORS).to_bytes()


def test_another_programs_copy_of_a_bank_is_one_whatever_the_order_of_its_header():
    with_library = save(load(FILE), json.loads(FILE[8 : FILE.rindex(b"}") + 1])["__metadata__"])
    assert Bank.from_bytes(with_library).record == RECORD
    renamed = Bank.from_bytes(BANK.renamed("other").to_bytes())
    assert (renamed.record.name, renamed.hash) == ("other", BANK.hash)


def test_every_flipped_bit_of_a_checkpoint_is_damage(tmp_path):
    arrays = {"theta": VECTORS, "steps": np.arange(3, dtype=np.int64)}
    kept = Checkpoints(tmp_path)
    kept.save(1, arrays, {"identity": {"seed": 7}, "state": {"step": 12}})
    path = tmp_path / "1.safetensors"
    data = path.read_bytes()
    for place in range(len(data)):
        for bit in range(8):
            path.write_bytes(flipped(data, place, bit))
            try:
                found = kept.load(1)
            except InputError:
                continue
            assert found is not None and found[1] == {"identity": {"seed": 7}, "state": {"step": 12}}
            assert all(np.array_equal(found[0][name], arrays[name]) for name in arrays)


def test_a_checkpoint_of_before_goes_on(tmp_path):
    kept = Checkpoints(tmp_path)
    kept.save(1, {"theta": VECTORS}, {"step": 12})
    path = tmp_path / "1.safetensors"
    with safetensors.safe_open(path, "np") as file:
        metadata = {name: value for name, value in file.metadata().items() if name != "checksum"}
    path.write_bytes(save({"theta": VECTORS}, metadata))
    found = kept.load(1)
    assert found is not None and found[1] == {"step": 12}


FAULTY = [
    ({"a": entry(0, 12), "b": entry(8, 20)}, 20, "“b” overlaps another one"),
    ({"a": entry(0, 12), "b": entry(0, 12)}, 12, "“b” overlaps another one"),
    ({"a": entry(0, 12), "b": entry(16, 28)}, 28, "“b” leaves 4 bytes before it unused"),
    ({"a": entry(4, 16)}, 16, "“a” leaves 4 bytes before it unused"),
    ({"a": entry(0, 12)}, 20, "8 bytes after its tensors are unused"),
    ({}, 8, "8 bytes after its tensors"),
    ({"a": entry(12, 0)}, 12, "lies outside the file"),
    ({"a": entry(-4, 8)}, 12, "describes the tensor “a” wrongly"),
    ({"a": entry(0, 12, (1, 4))}, 12, "does not have the size of its shape"),
    ({"a": entry(0, 12, dtype="F16")}, 12, "does not have the size"),
    ({"a": entry(0, 12, dtype="Q32")}, 12, "has the unknown type “Q32”"),
    ({"a": entry(0, 1, (1,), dtype="F4")}, 1, "does not have the size"),
    (b'{"a":{"dtype":"F32","shape":[0],"data_offsets":[0,0]},"a":{"dtype":"F32","shape":[0],"data_offsets":[0,0]}}', 0,
     "its header names “a” twice"),
    (b'{"a":{"dtype":"F32","dtype":"F32","shape":[0],"data_offsets":[0,0]}}', 0, "names “dtype” twice"),
    (b'{"__metadata__":{"x":"1","x":"2"}}', 0, "names “x” twice"),
    (b'{"a":{"dtype":"F32","shape":[NaN],"data_offsets":[0,0]}}', 0, "not valid JSON"),
    (b'{"a\xff":{"dtype":"F32","shape":[0],"data_offsets":[0,0]}}', 0, "not valid JSON"),
    (b'{"a":{"dtype":"F32","shape":[0],"data_offsets":[0,0]}}\x00\x00', 0, "not valid JSON"),
]  # fmt: skip


@pytest.mark.parametrize(("header", "size", "sentence"), FAULTY)
def test_what_the_safetensors_library_refuses_is_refused(header, size, sentence):
    data = file_of(header, bytes(size))
    with pytest.raises(InputError, match=sentence):
        OURS.read(Given("x.safetensors", data))
    if "twice" not in sentence:  # the library takes one of the two
        with pytest.raises(safetensors.SafetensorError):
            safetensors.deserialize(data)


@pytest.mark.parametrize("pad", [b"", b"       "])
def test_padding_and_tensors_of_nothing_are_allowed(pad):
    header = json.dumps({"vectors": entry(0, 12), "note": entry(12, 12, (0, 3))}).encode() + pad
    data = file_of(header, np.ones(3, "<f4").tobytes())
    assert isinstance(OURS.read(Given("x.safetensors", data)), Contents)
    assert len(safetensors.deserialize(data)) == 2


@given(st.data())
def test_what_we_take_of_others_the_library_takes_as_well(data):
    plain = save({"vectors": VECTORS, "b": DIRECTIONS, "c": np.zeros((0, 2), "<f2")}, {"note": "x"})
    changed = bytearray(plain)
    for _ in range(data.draw(st.integers(1, 3))):
        changed[data.draw(st.integers(0, len(plain) - 1))] = data.draw(st.integers(0, 255))
    try:
        OURS.read(Given("x.safetensors", bytes(changed)))
    except InputError:
        return
    safetensors.deserialize(bytes(changed))
