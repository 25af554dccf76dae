"""PyTorch files from strangers: one plain tensor is read, everything else is refused and never run."""

import io
import pickle
import tracemalloc
import warnings
import zipfile

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from melbo_app.engine.torch_file import read_number, read_tensor, read_value, tensor_bytes
from melbo_app.errors import InputError

VECTORS = np.array([[3, 4, 0], [0, 3, -4]], dtype=np.float32)
VALID = tensor_bytes(VECTORS)


def saved(thing, **options):
    stream = io.BytesIO()
    torch.save(thing, stream, **options)
    return stream.getvalue()


def repacked(compression, **members):
    """VALID with other members or another compression."""
    stream = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(VALID)) as old, zipfile.ZipFile(stream, "w", compression) as new:
        for member in old.infolist():
            new.writestr(member.filename, members.get(member.filename.rpartition("/")[2], old.read(member)))
    return stream.getvalue()


def test_vectors_survive_their_file_and_pytorch_reads_a_bare_tensor():
    assert read_tensor(VALID, 6).tolist() == VECTORS.tolist()
    tensor = torch.load(io.BytesIO(VALID), weights_only=True)
    assert tensor.dtype == torch.float32 and tensor.tolist() == VECTORS.tolist()


def test_read_only_vectors_are_written_without_a_warning():
    vectors = VECTORS.copy()
    vectors.setflags(write=False)
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        assert read_tensor(tensor_bytes(vectors), 6).tolist() == VECTORS.tolist()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_every_float_type_becomes_float32(dtype):
    values = read_tensor(saved(torch.tensor(VECTORS, dtype=dtype)), 6)
    assert values.dtype == np.float32 and values.tolist() == VECTORS.tolist()


def test_transposed_and_trainable_tensors_are_read_as_they_look():
    tensor = torch.nn.Parameter(torch.tensor(VECTORS).T)
    assert read_tensor(saved(tensor), 6).tolist() == VECTORS.T.tolist()


class Malice:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (open, (str(self.path), "w"))


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
@pytest.mark.parametrize("place", ["bare", "in torch.save", "in the archive"])
def test_a_malicious_pickle_is_refused_and_does_nothing(tmp_path, place):
    target = tmp_path / "touched"
    pickled = pickle.dumps(Malice(target))
    pickle.loads(pickled).close()
    assert target.exists()  # the attack is a real one
    target.unlink()
    data = {
        "bare": pickled,
        "in torch.save": saved(Malice(target)),
        "in the archive": repacked(zipfile.ZIP_STORED, **{"data.pkl": pickled}),
    }[place]
    with pytest.raises(InputError, match="^bank file: "):
        read_tensor(data, 100)
    assert not target.exists()


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (b"", "was not written by torch.save"),
        (VALID[: len(VALID) // 2], "was not written by torch.save"),
        (saved(torch.zeros(2), _use_new_zipfile_serialization=False), "older than PyTorch 1.6"),
        (saved({"vectors": torch.zeros(2, 3)}), "holds a dict, not a bare tensor. Save it with torch.save"),
        (saved([torch.zeros(2, 3)]), "holds a list"),
        (saved(torch.zeros(2, 3, dtype=torch.int64)), "of type int64, not a dense float tensor"),
        (saved(torch.zeros(2, 3, dtype=torch.complex64)), "of type complex64"),
        (saved(torch.zeros(2, 3).to_sparse()), "not a dense float tensor"),
        (saved(torch.zeros(2, 3, device="meta")), "not a dense float tensor"),
        (saved(torch.zeros(101)), "has 101 numbers. At most 100"),
        (repacked(zipfile.ZIP_DEFLATED), "compressed"),
    ],
)
def test_what_is_not_one_float_tensor_is_refused_with_a_sentence(data, sentence):
    with pytest.raises(InputError, match=sentence):
        read_tensor(data, 100)


def test_a_tensor_that_claims_any_size_allocates_nothing():
    endless = saved(torch.zeros(1).expand(1 << 20, 1 << 20))
    assert len(endless) < 5000
    tracemalloc.start()
    try:
        with pytest.raises(InputError, match="1,099,511,627,776 numbers"):
            read_tensor(endless, 1 << 28)
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()


def within_itself() -> list:
    rows: list = [torch.zeros(2)]
    rows.append(rows)
    return rows


def many_times_the_same() -> list:
    parts: list = [torch.zeros(2)]
    for _ in range(4):
        parts = [parts] * 100
    return parts


class Claim:
    """An array of numpy that says to be larger than its bytes."""

    def __reduce__(self):
        whole = np.zeros(1, np.float32).__reduce__()
        return whole[0], whole[1], (1, (1 << 40,), np.dtype("f4"), False, b"1234")


@pytest.mark.parametrize(
    ("value", "sentence"),
    [
        (within_itself(), "too many parts"),
        (many_times_the_same(), "too many parts"),
        ([torch.zeros(1).expand(1 << 12, k + 1) for k in range(50)], "and the file .* bytes"),
        (Claim(), "nothing in it was run"),
        (np.array([{}], dtype=object), "nothing in it was run"),
        (np.array(["words"]), "nothing in it was run"),
    ],
    ids=["within itself", "many times the same", "one storage", "a claim of numpy's", "objects", "texts"],
)
def test_what_is_larger_than_its_file_is_refused(value, sentence):
    data = saved(value)
    read_refused = pytest.raises(InputError, match=sentence)
    with read_refused:
        read_value(data, 1 << 28)
    tracemalloc.start()
    try:
        with pytest.raises(InputError):
            read_value(data, 1 << 28)
        assert tracemalloc.get_traced_memory()[1] < 4 << 20
    finally:
        tracemalloc.stop()


def test_arrays_and_numbers_of_numpy_are_read_without_numpys_unpickling():
    for kind in ("<f4", ">f4", "<f2", "<f8"):
        value = read_value(saved({np.int64(3): VECTORS.astype(kind), "T": np.asfortranarray(VECTORS)}), 100)
        assert value[3].dtype == np.float32 and value[3].tolist() == value["T"].tolist() == VECTORS.tolist()
    assert read_number(saved(np.float64(8.5))) == read_number(saved(np.float32(8.5))) == 8.5
    with pytest.raises(Exception, match="numpy"):  # the names are taken from the file for that moment only
        torch.load(io.BytesIO(saved(VECTORS)), weights_only=True)


def test_an_entry_that_cannot_be_read_does_not_hide_the_others():
    value = read_value(saved({"a": torch.tensor(VECTORS), "b": torch.arange(3), "c": {1, 2}}), 100)
    assert value["a"].tolist() == VECTORS.tolist()
    assert "int64" in str(value["b"]) and "holds a set" in str(value["c"])


def test_a_tensor_that_is_there_twice_is_one():
    row = torch.tensor(VECTORS[0])
    value = read_value(saved(dict.fromkeys(range(500), row)), 1000)
    assert value[0] is value[499]


def test_a_tensor_larger_than_its_storage_is_refused_instead_of_showing_what_lies_in_the_memory():
    with zipfile.ZipFile(io.BytesIO(VALID)) as archive:
        program = archive.read("archive/data.pkl")
    assert program.count(b"K\x02K\x03\x86") == 1  # the shape (2, 3)
    larger = program.replace(b"K\x02K\x03\x86", b"M\x10\x27K\x03\x86")  # (10000, 3)
    with pytest.raises(InputError, match="^bank file: it is damaged"):
        read_tensor(repacked(zipfile.ZIP_STORED, **{"data.pkl": larger}), 1 << 28)


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
@given(st.lists(st.tuples(st.integers(0, len(VALID) - 1), st.integers(0, 255)), max_size=4))
@settings(max_examples=200, deadline=None)
def test_any_change_to_a_valid_file_is_numbers_or_an_input_error(changes):
    data = bytearray(VALID)
    for place, value in changes:
        data[place] = value
    outcome: object
    try:
        outcome = read_tensor(bytes(data), 100).dtype
    except InputError as error:
        outcome = error.field
    assert outcome in (np.float32, "bank file")
