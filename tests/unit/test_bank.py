"""The bank's file format: what is written can be read, and nothing else is believed."""

import io
import json
import math
import re
import tracemalloc
from datetime import UTC, datetime

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from safetensors.numpy import load, save

from melbo_app.errors import InputError
from melbo_app.library.bank import Bank, BankRecord, PromptRecord


def record(**changes):
    facts = {
        "name": "first",
        "model": "tiny",
        "model_hash": "ab" * 32,
        "hidden_size": 3,
        "source": 2,
        "target": 5,
        "radius": 5.0,
        "method": "joint",
        "prompts": [PromptRecord(user="Wie geht’s? 🙂", system="kurz", template=True)],
        "created": datetime(2026, 11, 21, 12, tzinfo=UTC),
    }
    return BankRecord(**(facts | changes))


VECTORS = np.array([[3, 4, 0], [0, 3, -4]], dtype=np.float32)
VALID = Bank(record(), VECTORS).to_bytes()


def file_of(header, data=b"", length=None):
    head = header if isinstance(header, bytes) else json.dumps(header).encode()
    return (len(head) if length is None else length).to_bytes(8, "little") + head + data


def file_with(array=None, *, dtype="F32", shape=None, data=None, **changes):
    """One of our files around any tensor, however wrong."""
    data = array.tobytes() if data is None else data
    text = record(**changes).model_dump_json()
    entry = {"dtype": dtype, "shape": list(array.shape) if shape is None else shape, "data_offsets": [0, len(data)]}
    return file_of({"__metadata__": {"melbo": text}, "vectors": entry}, data)


def test_a_bank_survives_its_file():
    bank = Bank.from_bytes(VALID)
    assert bank.record == record()
    assert bank.vectors.dtype == np.float32
    assert bank.vectors.tolist() == VECTORS.tolist()


def test_strengths_and_output_directions_survive_the_file():
    directions = np.array([[1, 0, 0], [0, 0.6, 0.8]], dtype=np.float32)
    facts = record(method="transcoding", strength=[2.5, 1.0], start="jacobian", against=[PromptRecord(user="x")])
    bank = Bank.from_bytes(Bank(facts, VECTORS, directions).to_bytes())
    assert bank.record == facts
    assert bank.output_directions is not None and bank.output_directions.tolist() == directions.tolist()
    assert bank.vectors.tolist() == VECTORS.tolist()
    assert not bank.output_directions.flags.writeable
    renamed = bank.renamed("other")
    assert renamed.output_directions is not None and renamed.hash == bank.hash == Bank(record(), VECTORS).hash
    assert set(load(bank.to_bytes())) == {"vectors", "output_directions"}


@pytest.mark.parametrize(
    ("facts", "whole"),
    [
        ({}, True),  # records of before say nothing but by their note
        ({"note": "Stopped: 2 of 8 vectors, 3 steps."}, False),
        ({"stopped": True, "note": "Stopped: 2 of 8 vectors, 3 steps."}, False),
        ({"stopped": False}, True),
        ({"stopped": False, "note": "Not converged: after 2 passes …", "residual": 0.3}, True),
    ],
)
def test_a_note_does_not_make_of_a_training_a_stopped_one(facts, whole):
    kept = Bank.from_bytes(Bank(record(**facts), VECTORS).to_bytes()).record
    assert kept == record(**facts) and kept.whole is whole


def test_banks_of_before_have_neither():
    bank = Bank.from_bytes(VALID)
    assert bank.output_directions is None
    facts = bank.record
    assert (facts.strength, facts.start, facts.against) == (None, None, [])


@pytest.mark.parametrize(
    ("directions", "changes", "part"),
    [
        (np.ones((1, 3), np.float32), {}, r"“output_directions” has the shape \[1, 3\], its vectors \[2, 3\]"),
        (np.ones((2, 2), np.float32), {}, r"the shape \[2, 2\]"),
        (np.full((2, 3), np.nan, np.float32), {}, "“output_directions” holds numbers that are not finite"),
        (None, {"strength": [1.0]}, "holds 2 vectors but 1 entries of “strength”"),
    ],
)
def test_what_does_not_fit_the_vectors_is_refused(directions, changes, part):
    with pytest.raises(InputError, match=part):
        Bank(record(**changes), VECTORS, directions)


def test_the_file_is_what_the_safetensors_library_reads():
    assert load(VALID)["vectors"].tolist() == VECTORS.tolist()


def test_the_library_may_have_written_the_file():
    text = record().model_dump_json()
    data = save({"vectors": VECTORS}, metadata={"format": "melbo-bank", "version": "1", "melbo": text})
    assert Bank.from_bytes(data).record == record()


def test_the_same_bank_gives_the_same_bytes_with_aligned_data():
    assert Bank(record(), VECTORS.copy()).to_bytes() == VALID
    assert int.from_bytes(VALID[:8], "little") % 8 == 0


def test_the_hash_follows_the_vectors_the_source_and_the_weights_but_not_the_name():
    bank = Bank(record(), VECTORS)
    assert bank.hash == bank.renamed("other").hash == Bank.from_bytes(VALID).hash
    others = [
        Bank(record(source=1), VECTORS),
        Bank(record(model_hash="cd" * 32), VECTORS),
        Bank(record(), VECTORS * 2),
        Bank(record(hidden_size=6), VECTORS.reshape(1, 6)),
        Bank(record(hidden_size=2), VECTORS.reshape(3, 2) + np.float32(1)),
    ]
    assert len({bank.hash, *(other.hash for other in others)}) == 6
    assert len(bank.hash) == 64


def test_vectors_are_a_copy_that_nobody_can_change():
    mine = VECTORS.copy()
    bank = Bank(record(), mine)
    mine[:] = 7
    assert bank.vectors.tolist() == VECTORS.tolist()
    with pytest.raises(ValueError, match="read-only"):
        bank.vectors[0, 0] = 1


@pytest.mark.parametrize(("dtype", "stored"), [("F16", np.float16), ("F32", np.float32), ("F64", np.float64)])
def test_every_float_type_becomes_float32(dtype, stored):
    bank = Bank.from_bytes(file_with(VECTORS.astype(stored), dtype=dtype))
    assert bank.vectors.dtype == np.float32
    assert bank.vectors.tolist() == VECTORS.tolist()


def test_bfloat16_is_the_upper_half_of_a_float32():
    values = np.array([[1.0, -2.5, 0.15625]], dtype=np.float32)  # exact in bfloat16
    upper = (values.view(np.uint32) >> 16).astype(np.uint16)
    bank = Bank.from_bytes(file_with(upper, dtype="BF16", radius=float(np.linalg.norm(values))))
    assert bank.vectors.tolist() == values.tolist()


def test_curves_that_are_not_finite_are_kept():
    bank = Bank(record(curves=[[1.0, math.inf], [math.nan, 2.0]], objective=[1.0, 2.0]), VECTORS)
    curves = Bank.from_bytes(bank.to_bytes()).record.curves
    assert curves is not None and curves[0] == [1.0, math.inf]
    assert math.isnan(curves[1][0]) and curves[1][1] == 2.0


def test_curves_too_long_for_a_header_are_left_out_and_the_note_says_so():
    long = [[0.1234567890123] * 150_000] * 2
    bank = Bank.from_bytes(Bank(record(curves=long, note="Trained at night."), VECTORS).to_bytes())
    assert bank.record.curves is None
    assert bank.record.note == "Trained at night. The objective curves were too long to be stored."


def test_a_record_too_long_for_a_header_is_refused_before_anything_is_written():
    with pytest.raises(InputError, match=r"^prompts: the bank's record takes .* bytes"):
        Bank(record(prompts=[PromptRecord(user="x" * (17 << 20))]), VECTORS).to_bytes()


def test_a_field_from_a_later_version_is_ignored():
    text = json.dumps(json.loads(record().model_dump_json()) | {"mood": "good"})
    entry = {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]}
    data = file_of({"__metadata__": {"melbo": text}, "vectors": entry}, VECTORS.tobytes())
    assert Bank.from_bytes(data).record == record()


@pytest.mark.parametrize(
    "changes",
    [
        {"source": 5, "target": 5},
        {"blocks": 5, "target": 5},
        {"blocks": 2, "target": None},
        {"radius": 0},
        {"radius": math.nan},
        {"median_norm": -1.0},
        {"created": datetime(2026, 11, 21)},
    ],
)
def test_a_record_that_cannot_be_true_is_refused(changes):
    with pytest.raises(ValidationError):
        record(**changes)


def test_the_relative_radius_is_known_only_with_the_median_norm():
    assert record().relative_radius is None
    assert record(radius=5.0, median_norm=100.0).relative_radius == 0.05


def altered(row, value):
    vectors = np.ones((5, 3), dtype=np.float32)
    vectors[row] = value
    return file_with(vectors)


REFUSALS = [
    (b"", "cut short or not a safetensors file"),
    (VALID[:9], "cut short or not a safetensors file"),
    (VALID[:-1], "lies outside the file"),
    (file_of(b"{}", length=2**63), "cut short"),
    (file_of(b"{}" + b" " * (17 << 20)), "header is 17,825,794 bytes long. At most 16,777,216"),
    (file_of(b"nonsense"), "not valid JSON"),
    (file_of(b"\xff\xfe{}"), "not valid JSON"),
    (file_of(b"[" * 100_000), "not valid JSON"),
    (file_of(b'{"__metadata__": {"melbo": "\\ud800"}}'), "not valid JSON"),
    (file_of(b"[1, 2]"), "not a JSON object"),
    (file_of({"__metadata__": {"melbo": 1}}), "metadata are not strings"),
    (file_of({"__metadata__": {"melbo": "{"}}), "record is damaged"),
    (file_of({"__metadata__": {"melbo": "[" * 10_000}}), "record is damaged"),
    (file_of({"__metadata__": {"melbo": "{}", "version": "2"}}), "format version is “2”, not 1. Update"),
    (file_of({"__metadata__": {"melbo": record().model_dump_json()}}), "do not match its record"),
    (file_of({"vectors": {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]}}), "no MELBO Explorer record"),
    (file_of({"vectors": {"dtype": "F32", "shape": [True, 3], "data_offsets": [0, 12]}}, b"." * 12), "wrongly"),
    (file_of({"vectors": {"dtype": "F32", "shape": [-1, 3], "data_offsets": [0, 12]}}, b"." * 12), "wrongly"),
    (file_of({"vectors": {"dtype": "F32", "shape": [1, 3], "data_offsets": [0]}}), "wrongly"),
    (file_of({"vectors": 3}), "wrongly"),
    (file_of({"vectors": {"dtype": "F32", "shape": [1, 3], "data_offsets": [8, 4]}}, b"." * 12), "outside the file"),
    (file_with(VECTORS, shape=[4096, 3]), "does not have the size of its shape"),
    (file_with(VECTORS, shape=[6]), "do not match its record"),
    (file_with(VECTORS.astype(np.int32), dtype="I32"), "is of type I32. It must be one of F16, BF16, F32, F64"),
    (file_with(VECTORS, hidden_size=4), "do not match its record"),
    (file_with(VECTORS, objective=[1.0]), "holds 2 vectors but 1 entries of “objective”"),
    (
        file_with(VECTORS, held_out_effect={"objective": [1, 2], "change": [1, 2], "agreement": [1]}),
        "holds 2 vectors, but its effects have another number of entries",
    ),
    (file_with(np.zeros((0, 3), np.float32)), "tensor is empty: 0 × 3"),
    (file_with(np.ones((4097, 3), np.float32)), "holds 4,097 vectors. At most 4,096"),
    (altered(3, math.nan), "row 3 holds NaN"),
    (altered(4, -math.inf), "row 4 holds infinity"),
    (altered(1, 0), "row 1 is all zeros. Every vector needs a direction"),
    (altered(2, 1e-30), "row 2 has the norm 1.73e-30. Every vector needs a norm between 1e-09 and 1e+09"),
    (altered(0, 1e20), "row 0 has the norm 1.73e+20"),
    (file_with(np.full((1, 3), 1e300), dtype="F64"), "row 0 holds infinity. Every number must be finite in float32"),
]


@pytest.mark.parametrize(("data", "sentence"), REFUSALS)
def test_a_file_that_cannot_be_used_is_refused_with_a_sentence(data, sentence):
    with pytest.raises(InputError, match=re.escape(sentence)) as caught:
        Bank.from_bytes(data)
    assert str(caught.value).startswith("bank file: ")
    assert len(str(caught.value)) < 300


def test_an_empty_hidden_size_is_refused():
    with pytest.raises(InputError, match="tensor is empty: 2 × 0"):
        Bank(record(), np.zeros((2, 0), np.float32))


def test_vectors_that_changed_after_saving_are_noticed():
    flipped = bytearray(VALID)
    flipped[-2] ^= 1
    with pytest.raises(InputError, match="changed after it was saved"):
        Bank.from_bytes(bytes(flipped))


def test_claims_about_size_allocate_nothing():
    huge = {"dtype": "F32", "shape": [4096, 1 << 18], "data_offsets": [0, 1 << 32]}
    claims = [
        file_of(b"{}", length=(1 << 64) - 1),
        file_of(b"{}", length=15 << 20),
        file_of({"__metadata__": {"melbo": record().model_dump_json()}, "vectors": huge}, b"." * 100),
        file_with(VECTORS, shape=[1 << 29, 3]),
    ]
    tracemalloc.start()
    try:
        for data in claims:
            with pytest.raises(InputError):
                Bank.from_bytes(data)
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()


def test_a_file_beyond_the_limit_is_refused_unread():
    class Unreadable(io.BytesIO):
        def read(self, size=-1):
            raise AssertionError("was read")

    with pytest.raises(InputError, match="bytes long. At most 1,073,741,824"):
        Bank.read(Unreadable(), 2 << 30)


def is_a_bank_or_an_input_error(data):
    try:
        bank = Bank.from_bytes(data)
    except InputError as error:
        str(error).encode()
    else:
        assert bank.vectors.dtype == np.float32 and np.isfinite(bank.vectors).all()


@given(st.binary(max_size=400))
@settings(max_examples=200, deadline=None)
def test_any_bytes_are_a_bank_or_an_input_error(data):
    is_a_bank_or_an_input_error(data)


@given(st.binary(max_size=300), st.binary(max_size=60))
@settings(max_examples=200, deadline=None)
def test_any_header_is_a_bank_or_an_input_error(head, data):
    is_a_bank_or_an_input_error(file_of(head, data))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
ENTRY = st.fixed_dictionaries(
    {"dtype": st.sampled_from(["F32", "BF16", "F64", "I8"]) | JSON, "shape": JSON, "data_offsets": JSON}
)


@given(
    ENTRY | JSON, st.dictionaries(st.sampled_from(["melbo", "hash", "version", "x"]), st.text(max_size=9) | JSON) | JSON
)
@settings(max_examples=300, deadline=None)
def test_any_json_in_the_header_is_a_bank_or_an_input_error(entry, metadata):
    is_a_bank_or_an_input_error(file_of({"__metadata__": metadata, "vectors": entry}, VECTORS.tobytes()))


@given(st.lists(st.tuples(st.integers(0, len(VALID) - 1), st.integers(0, 255)), max_size=6), st.integers(0, len(VALID)))
@settings(max_examples=400, deadline=None)
def test_any_change_to_a_valid_file_is_a_bank_or_an_input_error(changes, end):
    data = bytearray(VALID)
    for place, value in changes:
        data[place] = value
    is_a_bank_or_an_input_error(bytes(data))
    is_a_bank_or_an_input_error(bytes(data[:end]))


@given(st.sampled_from(sorted(BankRecord.model_fields)), JSON)
@settings(max_examples=300, deadline=None)
def test_any_value_in_the_record_is_a_bank_or_an_input_error(field, value):
    text = json.dumps(json.loads(record().model_dump_json()) | {field: value})
    entry = {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]}
    is_a_bank_or_an_input_error(file_of({"__metadata__": {"melbo": text}, "vectors": entry}, VECTORS.tobytes()))
