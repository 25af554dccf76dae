"""The catalogue and the files: whichever of the two is behind, nothing is lost, and what is wrong is named."""

import os
import sqlite3
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from sqlalchemy import select

from melbo_app.errors import InputError
from melbo_app.library import banks as module
from melbo_app.library import catalogue, sqlite
from melbo_app.library.bank import Bank, BankRecord, PromptRecord
from melbo_app.library.banks import Banks
from melbo_app.library.catalogue import Catalogue
from melbo_app.library.catalogue import read_file as read_bank_file
from melbo_app.library.completions import Completions
from melbo_app.library.database import Database
from melbo_app.library.inspection import inspect
from melbo_app.library.labels import Labels
from melbo_app.library.search import search
from melbo_app.library.tables import BankPromptRow, ModelRow, PromptRow, RunRow, VectorRow
from melbo_app.library.tensor_file import read_header

DAY = datetime(2026, 11, 21, tzinfo=UTC)
VECTORS = np.array([[3, 4, 0], [0, 3, -4]], dtype=np.float32)


class PowerCut(BaseException):
    """Nothing that comes after it happens."""


class Shelf:
    """A shelf with its catalogue, as one server has it."""

    def __init__(self, folder):
        self.folder, self.samples = folder / "cache" / "banks", folder / "assets"
        self.database = Database(folder / "cache" / "melbo.sqlite")
        self.catalogue = Catalogue(self.database)
        self.banks = Banks(self.folder, self.samples, self.catalogue)
        self.parts = Banks(folder / "cache" / "curves", folder / "none")

    def wrong(self):
        return [str(entry) for entry in self.inspected() if entry.wrong]

    def notes(self):
        return [str(entry) for entry in self.inspected() if not entry.wrong]

    def inspected(self):
        return inspect(self.banks, self.parts, self.catalogue, self.database)

    def entered(self):
        return [entry.name for entry in self.catalogue.entries()]

    def rows(self, table, *columns):
        with self.database.read() as session:
            return sorted(tuple(row) for row in session.execute(select(*(getattr(table, one) for one in columns))))


@pytest.fixture
def shelf(tmp_path):
    return Shelf(tmp_path)


def bank(name, number=1, created=DAY, **changes):
    facts = {
        "model": "tiny", "model_hash": "ab" * 32, "hidden_size": 3, "source": 2, "target": 4,
        "radius": 5.0 * abs(number), "method": "joint",
        "prompts": [PromptRecord(user="Who are you?")], "held_out": [PromptRecord(user="And now?")],
        "objective": [1.5, 2.5], "seed": 7, "steps": 30, "command": "train",
    }  # fmt: skip
    return Bank(BankRecord(name=name, created=created, **(facts | changes)), VECTORS * number)


def test_a_saved_bank_is_in_the_catalogue_with_all_that_made_it(shelf):
    made = bank("first")
    path = shelf.banks.save(made)
    [entry] = shelf.catalogue.entries()
    status = path.stat()
    assert (entry.name, entry.sample, entry.hash) == ("first", False, made.hash)
    assert (entry.size, entry.changed) == (status.st_size, status.st_mtime_ns)
    assert shelf.rows(VectorRow, "number", "norm", "objective") == [(0, 5.0, 1.5), (1, 5.0, 2.5)]
    assert shelf.rows(ModelRow, "name", "hash") == [("tiny", "ab" * 32)]
    assert shelf.rows(PromptRow, "user") == [("And now?",), ("Who are you?",)]
    assert shelf.rows(BankPromptRow, "role") == [("held out",), ("trained",)]
    assert shelf.rows(RunRow, "bank", "bank_hash", "method", "steps", "seed", "command") == [
        ("first", made.hash, "joint", 30, 7, "train")
    ]
    assert shelf.wrong() == []


def test_the_same_vector_has_the_same_hash_in_every_bank(shelf):
    shelf.banks.save(bank("first"))
    shelf.banks.save(bank("other", hidden_size=3, source=1))
    shelf.banks.save(bank("third", number=2))
    hashes = shelf.rows(VectorRow, "hash")
    assert len(hashes) == 6 and len(set(hashes)) == 4


def test_only_a_training_is_a_run_and_it_outlives_its_bank(shelf):
    shelf.banks.save(bank("first"))
    shelf.banks.save(bank("copied", number=3, method="imported"))
    shelf.banks.delete("first")
    assert shelf.entered() == ["copied"] and shelf.rows(RunRow, "bank") == [("first",)]
    shelf.catalogue.rebuild(shelf.banks.files())
    assert shelf.rows(RunRow, "bank") == [("first",)]


def test_a_lost_database_gives_back_all_that_the_files_know(shelf, tmp_path):
    shelf.samples.mkdir()
    (shelf.samples / "sample.safetensors").write_bytes(bank("sample", number=5).to_bytes())
    for number, name in enumerate(["c", "a", "b"], start=1):
        shelf.banks.save(bank(name, number, DAY + timedelta(hours=number)))

    def everything():
        return [
            shelf.entered(),
            shelf.rows(VectorRow, "number", "hash", "norm", "objective", "strength"),
            shelf.rows(ModelRow, "name", "hash"),
            shelf.rows(PromptRow, "hash", "user"),
            shelf.rows(RunRow, "bank", "bank_hash", "seed", "created"),
        ]

    before = everything()
    for file in (tmp_path / "cache").glob("melbo.sqlite*"):
        file.unlink()
    assert [line.name for line in shelf.banks.list()] == ["b", "a", "c", "sample"]  # the files are enough
    assert len(shelf.wrong()) == 3  # a sample is entered when it is needed
    made = shelf.catalogue.rebuild(shelf.banks.files())
    assert (made.banks, made.vectors, made.runs, made.models, made.prompts) == (4, 8, 4, 1, 2)
    assert sorted(before[0]) == sorted(everything()[0]) and everything()[1:] == before[1:]
    assert [line.name for line in shelf.banks.list()] == ["b", "a", "c", "sample"] and shelf.wrong() == []


def test_rebuilding_twice_changes_nothing_and_keeps_labels(shelf):
    shelf.banks.save(bank("first"))
    labels = Labels(shelf.database)
    kept = labels.save("first", bank("first").hash, 1, name="kept", tags=[], rating=None, note="")
    assert shelf.catalogue.rebuild(shelf.banks.files()) == shelf.catalogue.rebuild(shelf.banks.files())
    assert labels.search() == [kept]


# --- power cuts ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("heal", ["the next bank", "a rebuild", "a search"])
def test_a_power_cut_between_the_file_and_its_row_loses_nothing(shelf, monkeypatch, heal):
    def cut(*_):
        raise PowerCut

    with monkeypatch.context() as patch:
        patch.setattr(Database, "write", cut)
        with pytest.raises(PowerCut):
            shelf.banks.save(bank("first"))
    assert shelf.banks.load("first").hash == bank("first").hash and shelf.entered() == []
    assert [line.name for line in shelf.banks.list()] == ["first"]
    assert shelf.wrong() == [
        "bank “first”: its file is not in the database yet. Run: python -m melbo_app library rebuild."
    ]
    if heal == "the next bank":
        shelf.banks.save(bank("second", 2, DAY + timedelta(hours=1)))
    elif heal == "a rebuild":
        shelf.catalogue.rebuild(shelf.banks.files())
    else:
        parts = shelf.banks, shelf.catalogue, Labels(shelf.database), Completions(shelf.database)
        assert [line.name for line in search("who are", *parts, 5).banks] == ["first"]
    assert shelf.entered()[0] == "first" and shelf.wrong() == []


def test_a_power_cut_in_the_middle_of_a_file_leaves_no_bank(shelf, monkeypatch):
    def cut(*_):
        raise PowerCut

    with monkeypatch.context() as patch:
        patch.setattr(os, "link", cut)
        patch.setattr(os, "unlink", lambda *_, **__: None)
        with pytest.raises(PowerCut):
            shelf.banks.save(bank("first"))
    assert len(os.listdir(shelf.folder)) == 1 and shelf.banks.list() == [] and shelf.wrong() == []
    shelf.banks.save(bank("first"))
    assert shelf.entered() == ["first"]


@pytest.mark.parametrize("how", ["a file that vanished", "a power cut while it was deleted"])
def test_a_row_without_its_file_is_named_and_crashes_nothing(shelf, monkeypatch, how):
    shelf.banks.save(bank("first"))
    shelf.banks.save(bank("second", 2))
    Labels(shelf.database).save("first", bank("first").hash, 0, name="kept", tags=[], rating=None, note="")
    if how == "a file that vanished":
        (shelf.folder / "first.safetensors").unlink()
    else:

        def cut(*_):
            raise PowerCut

        with monkeypatch.context() as patch:
            patch.setattr(Database, "write", cut)
            with pytest.raises(PowerCut):
                shelf.banks.delete("first")
    [told] = shelf.wrong()
    assert told.startswith(f"bank “first”: its file is missing; it held the vectors {bank('first').hash[:16]}")
    assert [line.name for line in shelf.banks.list()] == ["second"]
    parts = shelf.banks, shelf.catalogue, Labels(shelf.database), Completions(shelf.database)
    assert [line.name for line in search("who", *parts, 5).banks] == ["second"]
    assert shelf.catalogue.rebuild(shelf.banks.files()).removed == ["first"]
    assert shelf.wrong() == [] and len(shelf.notes()) == 1
    shelf.banks.save(bank("renamed"))  # the vectors come back under another name, and their label with them
    assert shelf.notes() == []


def test_a_start_repairs_what_a_kill_left_behind_without_reading_all_files(shelf, monkeypatch):
    for number, name in enumerate(["same", "touched", "gone", "changed", "damaged"], start=1):
        shelf.banks.save(bank(name, number))

    def cut(*_):
        raise PowerCut

    with monkeypatch.context() as patch:
        patch.setattr(Database, "write", cut)
        with pytest.raises(PowerCut):
            shelf.banks.save(bank("new", 6))
    (shelf.folder / "gone.safetensors").unlink()
    os.utime(shelf.folder / "touched.safetensors", ns=(5, 5))
    (shelf.folder / "changed.safetensors").write_bytes(bank("changed", 7, note="longer").to_bytes())
    (shelf.folder / "damaged.safetensors").write_bytes(bank("damaged", 5).to_bytes()[:-3])
    opened = []
    monkeypatch.setattr(catalogue, "read_file", lambda file: opened.append(file.name) or read_bank_file(file))
    done = shelf.catalogue.repair(shelf.banks.files(), shelf.banks.folder)
    assert "same" not in opened
    assert (done.entered, done.forgotten, done.changed) == (["new"], ["gone"], ["changed"])
    assert list(done.damaged) == ["damaged"] and len(done.lines()) == 4
    assert sorted(shelf.entered()) == ["changed", "damaged", "new", "same", "touched"]
    assert [told.split(":")[0] for told in shelf.wrong()] == ["bank “damaged”", "bank “changed”"]
    again = shelf.catalogue.repair(shelf.banks.files(), shelf.banks.folder)
    assert (again.entered, again.forgotten, again.changed) == ([], [], ["changed"])  # until somebody looks at it


def test_a_folder_that_is_not_there_makes_no_start_forget_its_banks(shelf):
    shelf.banks.save(bank("first"))
    shelf.folder.rename(shelf.folder.with_name("unplugged"))
    assert shelf.catalogue.repair(shelf.banks.files(), shelf.banks.folder).lines() == []
    assert shelf.entered() == ["first"] and len(shelf.wrong()) == 1


def test_a_start_says_what_it_repaired(bench):
    bench.bench.banks.save(bank("first"))
    bench.bench.catalogue.remove("first")
    assert bench.repair_catalogue().lines() == ["“first” was missing from the catalogue and has been added."]
    assert bench.repair_catalogue().lines() == []


def test_a_bank_is_kept_while_the_database_is_locked(shelf, monkeypatch):
    monkeypatch.setattr(sqlite, "BUSY_SECONDS", 0.05)
    shelf = Shelf(shelf.folder.parent.parent)
    shelf.banks.save(bank("first"))
    other = sqlite3.connect(shelf.database.path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    shelf.banks.save(bank("second", 2))
    assert {line.name for line in shelf.banks.list()} == {"first", "second"}
    other.execute("ROLLBACK")
    other.close()
    assert shelf.entered() == ["first"] and len(shelf.wrong()) == 1
    shelf.banks.save(bank("third", 3))
    assert sorted(shelf.entered()) == ["first", "second", "third"] and shelf.wrong() == []


# --- damage ----------------------------------------------------------------------------------------------------------


def flip(path, place):
    data = bytearray(path.read_bytes())
    data[place] ^= 1
    path.write_bytes(bytes(data))


def test_a_bank_whose_vectors_were_damaged_is_named_and_the_others_are_rebuilt(shelf):
    path = shelf.banks.save(bank("first"))
    shelf.banks.save(bank("second", 2))
    flip(path, -1)
    assert shelf.wrong() == ["bank “first”: its file is damaged: its contents changed after it was saved."]
    made = shelf.catalogue.rebuild(shelf.banks.files())
    assert list(made.damaged) == ["first"] and "contents changed" in made.damaged["first"]
    assert sorted(shelf.entered()) == ["first", "second"]  # what was known of it is not thrown away
    with pytest.raises(InputError, match="“first” cannot be read"):
        shelf.banks.load("first")


def test_a_record_that_was_changed_is_named_until_it_is_accepted(shelf):
    path = shelf.banks.save(bank("first", note="a plain word"))
    path.write_bytes(bank("first", note="a fancy word").to_bytes())
    [told] = shelf.wrong()
    assert told.startswith(
        "bank “first”: its file holds another record than when it was entered. If that is right: Run"
    )
    shelf.catalogue.rebuild(shelf.banks.files())
    assert shelf.wrong() == [] and shelf.catalogue.search("fancy") == ["first"]


def test_another_bank_put_in_place_of_one_is_named(shelf):
    path = shelf.banks.save(bank("first"))
    path.write_bytes(bank("first", 2).to_bytes())
    assert [told.split(".")[0] for told in shelf.wrong()] == [
        "bank “first”: its file holds other vectors than when it was entered"
    ]


def test_a_damaged_database_is_named_beside_the_files(shelf):
    path = shelf.banks.save(bank("first"))
    file = shelf.database.path
    shelf.database.compact()  # all of it is in the file itself now
    file.write_bytes(file.read_bytes()[:4096] + b"\xff" * (file.stat().st_size - 4096))
    flip(path, -1)
    told = " ".join(shelf.wrong())
    assert "its file is damaged" in told and "library restore" in told
    file.unlink()
    shelf.banks.save(bank("second", 2))  # goes on with a new one
    assert shelf.entered() == ["second"]


def test_a_broken_reference_in_the_database_is_named(shelf):
    shelf.banks.save(bank("first"))
    other = sqlite3.connect(shelf.database.path)
    other.execute("DELETE FROM models")
    other.commit()
    other.close()
    assert any("of banks refers to a missing row of models" in told for told in shelf.wrong())


# --- the clock -------------------------------------------------------------------------------------------------------


def test_the_newest_bank_is_listed_first_though_the_clock_was_set_back(shelf):
    for hours, name in ((5, "first"), (2, "second"), (-900, "third")):
        shelf.banks.save(bank(name, hours, DAY + timedelta(hours=hours)))
    assert [line.name for line in shelf.banks.list()] == ["third", "second", "first"]
    shelf.catalogue.rebuild(shelf.banks.files())
    assert [line.name for line in shelf.banks.list()] == ["third", "second", "first"]


def test_a_header_is_read_again_only_where_the_file_changed(shelf, monkeypatch):
    path = shelf.banks.save(bank("first", note="before"))
    shelf.banks.save(bank("second", 2))
    shelf.banks.list()
    path.write_bytes(bank("first", note="after it").to_bytes())
    opened = []

    def read(*given):
        opened.append(given)
        return read_header(*given)

    monkeypatch.setattr(module, "read_header", read)
    lines = {line.name: line for line in shelf.banks.list()}
    assert lines["first"].record.note == "after it" and len(opened) == 1
