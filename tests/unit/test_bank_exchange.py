"""Banks that come and go: import of strangers' files, export of ours."""

import errno
import os
import pickle
from datetime import UTC, datetime

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file

from melbo_app.errors import InputError, StorageError
from melbo_app.library.bank import Bank, BankRecord, ImportHints
from melbo_app.library.banks import Banks

DAY = datetime(2026, 11, 21, tzinfo=UTC)
VECTORS = np.array([[3, 4, 0], [0, 3, -4]], dtype=np.float32)
HINTS = ImportHints(model="tiny", model_hash="ab" * 32, hidden_size=3, blocks=8, source=2, target=5, median_norm=50.0)


def bank(name="first", **changes):
    facts = {"model": "tiny", "model_hash": "ab" * 32, "hidden_size": 3, "source": 2, "radius": 5.0, "method": "joint"}
    return Bank(BankRecord(name=name, created=DAY, **(facts | changes)), VECTORS)


@pytest.fixture
def own(tmp_path):
    return tmp_path / "cache" / "banks"


@pytest.fixture
def banks(own, tmp_path):
    samples = tmp_path / "assets" / "banks"
    samples.mkdir(parents=True)
    (samples / "Sample.safetensors").write_bytes(bank("Sample").to_bytes())
    return Banks(own, samples)


def names(folder):
    return sorted(os.listdir(folder)) if folder.exists() else []


@pytest.mark.parametrize("ending", [".safetensors", ".pt"])
@pytest.mark.parametrize("function", ["fsync", "replace"])
def test_an_export_that_fails_leaves_the_earlier_file_as_it_was(banks, tmp_path, monkeypatch, function, ending):
    banks.save(bank())
    out = tmp_path / "out" / f"file{ending}"
    out.parent.mkdir()
    out.write_bytes(b"earlier")

    def no_space(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, function, no_space)
    with pytest.raises(StorageError, match="nothing was changed"):
        banks.export_file("first", out, overwrite=True)
    assert names(out.parent) == [out.name] and out.read_bytes() == b"earlier"


def test_an_exported_bank_is_the_file_on_the_shelf_bit_for_bit(banks, own, tmp_path):
    banks.save(bank())
    out = banks.export_file("first", tmp_path / "out.safetensors")
    assert out.read_bytes() == (own / "first.safetensors").read_bytes()


def test_an_exported_checkpoint_is_a_bare_float32_tensor(banks, tmp_path):
    banks.save(bank())
    tensor = torch.load(banks.export_file("first", tmp_path / "out.pt"), weights_only=True)
    assert isinstance(tensor, torch.Tensor) and tensor.dtype == torch.float32
    assert tensor.tolist() == VECTORS.tolist()


def test_an_export_overwrites_only_where_that_is_asked_for(banks, tmp_path):
    banks.save(bank())
    out = tmp_path / "out.safetensors"
    out.write_bytes(b"precious")
    with pytest.raises(InputError, match="^file: .* already exists"):
        banks.export_file("first", out)
    assert out.read_bytes() == b"precious"
    banks.export_file("first", out, overwrite=True)
    assert Bank.from_bytes(out.read_bytes()).hash == bank().hash


def test_an_export_needs_a_known_ending_and_a_folder(banks, tmp_path):
    banks.save(bank())
    with pytest.raises(InputError, match=r"^file: .* must end in .safetensors, .pt, .gguf"):
        banks.export_file("first", tmp_path / "out.csv")
    with pytest.raises(StorageError, match="Make the folder"):
        banks.export_file("first", tmp_path / "missing" / "out.pt")


def test_our_own_file_is_imported_with_its_record(banks, tmp_path):
    path = tmp_path / "theirs.safetensors"
    path.write_bytes(bank("other name", seed=7, note="Kept.").to_bytes())
    imported = banks.import_file(path, name=None, hints=ImportHints(hidden_size=3))
    assert imported.record == bank("theirs", seed=7, note="Kept.").record
    assert banks.load("theirs").hash == imported.hash == bank().hash


def test_our_own_file_is_not_made_into_something_else_on_the_way_in(banks, own, tmp_path):
    path = tmp_path / "theirs.safetensors"
    path.write_bytes(bank().to_bytes())
    for hints in (ImportHints(radius=3.0), ImportHints(counted="input")):
        with pytest.raises(InputError, match="^bank file: the file is one of ours and already gives R"):
            banks.import_file(path, name="x", hints=hints)
    assert names(own) == []


def test_a_published_checkpoint_is_imported_with_what_was_said_about_it(banks, tmp_path):
    path = tmp_path / "bombs (v2).pt"
    torch.save(torch.tensor(VECTORS), path)
    record = banks.import_file(path, name=None, hints=HINTS).record
    assert record.name == "bombs -v2-" and record.method == "imported" and record.radius == 5.0
    assert (record.model, record.model_hash, record.hidden_size, record.blocks) == ("tiny", "ab" * 32, 3, 8)
    assert (record.source, record.target, record.median_norm, record.relative_radius) == (2, 5, 50.0, 0.1)
    assert (
        "“bombs (v2).pt”" in record.note and "output of block 2" in record.note and "R = 5 is the norm" in record.note
    )
    assert banks.load(record.name).vectors.tolist() == VECTORS.tolist()


def test_rows_of_different_norms_give_the_median_and_a_note(banks, tmp_path):
    path = tmp_path / "mixed.pt"
    torch.save(torch.tensor([[1.0, 0, 0], [0, 2.0, 0], [0, 0, 8.0]]), path)
    record = banks.import_file(path, name="m", hints=ImportHints(model="tiny", source=0)).record
    assert record.radius == 2.0
    assert "R = 2 is the median norm of its rows, which run from 1 to 8." in record.note
    assert "hash of the model's weights is not known" in record.note and record.model_hash == ""


@pytest.mark.parametrize(
    "tensors",
    [
        {"vectors": VECTORS, "other": np.ones((4, 4), np.float32)},
        {"anything": VECTORS, "norms": np.ones(2, np.float32)},
        {"anything": VECTORS.astype(np.float64)},
    ],
)
def test_a_foreign_safetensors_file_gives_its_vectors_or_its_only_table(banks, tmp_path, tensors):
    path = tmp_path / "foreign.safetensors"
    save_file(tensors, path)
    imported = banks.import_file(path, name="f", hints=HINTS)
    assert imported.vectors.tolist() == VECTORS.tolist() and imported.record.method == "imported"


def test_a_foreign_safetensors_file_with_several_tables_is_refused(banks, tmp_path):
    path = tmp_path / "foreign.safetensors"
    save_file({"a": VECTORS, "b": VECTORS}, path)
    with pytest.raises(InputError, match="no tensor “vectors”, but 2 others with two dimensions"):
        banks.import_file(path, name="f", hints=HINTS)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"model": None}, "^model: .*--model"),
        ({"source": None}, "^source layer: .*--source"),
        ({"source": 8}, "^source layer: there is no block 8. The model's blocks are 0 to 7"),
        ({"source": -1}, "^source layer: there is no block -1"),
        ({"target": 2}, "^target layer: 2 cannot be used. It must be above the source layer 2 and at most 7"),
        ({"target": 8}, "^target layer: 8 cannot be used"),
        ({"median_norm": 0.0}, "^median norm: 0.0 cannot be used"),
        ({"hidden_size": 576}, "^bank file: its vectors have 3 numbers each, the model's hidden size is 576. Load"),
        ({"hidden_size": 2}, "hidden size is 2. It holds one vector per column: give its format as dct"),
    ],
)
def test_a_fact_that_is_missing_or_wrong_is_named_and_nothing_is_stored(banks, own, tmp_path, changes, sentence):
    path = tmp_path / "x.pt"
    torch.save(torch.tensor(VECTORS), path)
    with pytest.raises(InputError, match=sentence):
        banks.import_file(path, name="x", hints=ImportHints(**(HINTS.__dict__ | changes)))
    assert names(own) == []


def test_the_width_of_our_own_files_is_checked_too(banks, tmp_path):
    path = tmp_path / "x.safetensors"
    path.write_bytes(bank().to_bytes())
    with pytest.raises(InputError, match="have 3 numbers each, the model's hidden size is 4"):
        banks.import_file(path, name="x", hints=ImportHints(hidden_size=4))


def test_a_malicious_checkpoint_is_refused_and_does_nothing(banks, own, tmp_path):
    target = tmp_path / "touched"

    class Malice:
        def __reduce__(self):
            return (open, (str(target), "w"))

    for name, write in {
        "torch.pt": torch.save,
        "bare.bin": lambda it, path: path.write_bytes(pickle.dumps(it)),
    }.items():
        write(Malice(), tmp_path / name)
        with pytest.raises(InputError, match="^bank file: "):
            banks.import_file(tmp_path / name, name="x", hints=HINTS)
    assert not target.exists() and names(own) == []


def test_a_file_that_cannot_be_imported_is_refused_with_a_sentence(banks, tmp_path):
    (tmp_path / "x.csv").write_bytes(b"1, 2")
    (tmp_path / "nan.pt").write_bytes(b"")
    torch.save(torch.tensor([[1.0, 0, 0], [0, float("nan"), 0]]), tmp_path / "nan.pt")
    (tmp_path / "folder.pt").mkdir()
    for name, sentence in {
        "x.csv": "^bank file: the format of “x.csv” is unknown. Files that end in .safetensors, .pt",
        "missing.pt": "^file: there is no file",
        "nan.pt": "^bank file: row 1 holds NaN",
    }.items():
        with pytest.raises(InputError, match=sentence):
            banks.import_file(tmp_path / name, name="x", hints=HINTS)
    with pytest.raises(StorageError, match="could not be read"):
        banks.import_file(tmp_path / "folder.pt", name="x", hints=HINTS)


def test_an_import_cannot_take_a_name_that_is_there(banks, tmp_path):
    path = tmp_path / "sample.pt"
    torch.save(torch.tensor(VECTORS), path)
    with pytest.raises(InputError, match="^name: a bank called “[Ss]ample” already exists"):
        banks.import_file(path, name=None, hints=HINTS)
