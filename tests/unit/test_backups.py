"""Copies of the database: checked before they replace anything, and gone back to by a command."""

import os
import shutil
import sqlite3
import threading
import time
from collections import namedtuple
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from test_database import label, store

from melbo_app.errors import BusyError, InputError, StorageError
from melbo_app.library import backups as module
from melbo_app.library import sqlite
from melbo_app.library.backups import KEPT
from melbo_app.library.database import Database
from melbo_app.library.labels import Labels
from melbo_app.library.restoring import restore
from melbo_app.library.server_lock import ServerLock

BANK = "ab" * 32


class Library:
    """A database with labels, and its copies on any day."""

    def __init__(self, folder, monkeypatch):
        self.path, self._patch = folder / "melbo.sqlite", monkeypatch
        self.database = Database(self.path)
        self.backups, self.labels = self.database.backups, Labels(self.database)

    def say(self, vector, name, **facts):
        facts = {"tags": [], "rating": None, "note": ""} | facts
        self.labels.save("b", BANK, vector, name=name, author="me", **facts)

    def copy(self, day=0):
        class Then(datetime):
            @classmethod
            def now(cls, zone=None):
                return datetime(2026, 11, 1, 12) + timedelta(days=day)

        with self._patch.context() as patch:
            patch.setattr(module, "datetime", Then)
            return self.backups.make(self.database)

    def names(self):
        return {vector: one.name for vector, one in self.labels.of_bank(BANK).items()}

    def days(self):
        return [copy.day[-2:] for copy in self.backups.copies()]

    def damage(self, page, until=None):
        """Fill pages of the file with rubbish; all of it is in the file itself then."""
        self.database.compact()
        self.database.close()
        data = bytearray(self.path.read_bytes())
        end = len(data) if until is None else 4096 * until
        data[4096 * page : end] = b"\xff" * (end - 4096 * page)
        self.path.write_bytes(bytes(data))

    def page_of(self, text):
        self.database.compact()
        return self.path.read_bytes().index(text.encode()) // 4096


@pytest.fixture
def library(tmp_path, monkeypatch):
    return Library(tmp_path, monkeypatch)


def test_a_copy_is_the_whole_database_and_made_only_where_something_changed(library):
    assert library.backups.make(library.database) is None and not library.backups.folder.exists()
    library.say(0, "first")
    made = library.copy(0)
    assert made.day == "2026-11-01" and made.faults == ()
    assert {file.name for file in library.backups.folder.iterdir()} == {"melbo-2026-11-01.sqlite"}
    opened = Database(shutil.copy(made.path, library.path.parent / "opened.sqlite"))
    assert Labels(opened).search() == library.labels.search()
    assert library.copy(1) is None
    os.utime(library.path)  # touched, and nothing in it is another
    assert library.copy(2) is None and library.copy(3) is None and library.days() == ["01"]
    library.say(0, "second")
    assert library.copy(4).day == "2026-11-05" and library.days() == ["05", "01"]


def test_of_one_day_there_is_one_copy_and_of_all_seven(library):
    for day in range(12):
        library.say(0, f"day {day}")
        library.copy(day)
        library.say(1, f"evening {day}")
        library.copy(day)
    assert library.days() == [f"{day + 1:02}" for day in range(11, 4, -1)] and len(library.days()) == KEPT
    assert sqlite.count_of(library.backups.copies()[0].path, "label_history") == 24


def test_a_database_that_was_begun_anew_does_not_push_out_the_labels_of_the_old_one(library):
    for number in range(5):
        library.say(number, f"work of {number}")
    library.copy(0)
    library.database.close()
    library.path.unlink()
    for day in range(1, 12):
        library.say(0, f"day {day}") if day < 4 else store(library.database, label(day))
        library.copy(day)
    assert library.days()[-1] == "01" and len(library.days()) == KEPT + 1


@pytest.mark.parametrize("where", ["a table", "an index", "all of it"])
def test_a_damaged_database_never_replaces_a_sound_copy(library, where):
    for number in range(40):
        library.say(number, f"name {number}", note="x" * 1000)
    library.copy(0)
    before = [(copy.path, copy.path.read_bytes()) for copy in library.backups.copies()]
    for number in range(5):
        library.say(number, f"another {number}")
    if where == "an index":  # which a copy makes anew: that one is sound
        with sqlite3.connect(library.path) as connection:
            connection.execute("PRAGMA writable_schema=ON")
            connection.execute("DELETE FROM sqlite_master WHERE name='ix_label_history_bank_hash_vector'")
        connection.close()
        assert library.copy(0).faults == ()
        return
    library.damage(library.page_of("name 30") if where == "a table" else 0)
    with pytest.raises(StorageError):
        library.copy(0)
    assert [(copy.path, copy.path.read_bytes()) for copy in library.backups.copies()] == before
    assert {file.name for file in library.backups.folder.iterdir()} == {"melbo-2026-11-01.sqlite"}


def test_a_copy_that_is_not_sound_replaces_nothing(library, monkeypatch):
    library.say(0, "first")
    before = library.copy(0).path.read_bytes()
    library.say(0, "second")
    real = Database.copy

    def torn(database, out):
        real(database, out)
        out.write_bytes(out.read_bytes()[:-4096])

    monkeypatch.setattr(Database, "copy", torn)
    with pytest.raises(StorageError, match="may be damaged: its copy has faults"):
        library.copy(0)
    assert library.backups.copies()[0].path.read_bytes() == before
    assert len(list(library.backups.folder.iterdir())) == 1


def test_a_full_disk_is_a_sentence(library, monkeypatch):
    library.say(0, "first")
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(module.shutil, "disk_usage", lambda folder: usage(10**9, 10**9 - 10**7, 10**7))
    with pytest.raises(StorageError, match=r"A copy needs 100 MB in .*, and 10 MB are free"):
        library.copy(0)


def test_a_folder_that_cannot_be_made_is_a_sentence(library):
    library.say(0, "first")
    library.backups.folder.write_text("in the way")
    with pytest.raises(StorageError, match="backups” cannot be written to"):
        library.copy(0)


def test_what_a_killed_program_left_of_a_copy_goes(library):
    library.say(0, "first")
    library.backups.folder.mkdir()
    old, young = library.backups.folder / ".aa.part", library.backups.folder / ".bb.part"
    for file in (old, young):
        file.write_text("half")
    os.utime(old, (0, 0))
    library.copy(0)
    assert not old.exists() and young.exists()


def test_requests_go_on_while_a_copy_is_made(library, monkeypatch):
    store(library.database, *(label(number, note="x" * 5000) for number in range(2000)))
    monkeypatch.setattr(sqlite, "BUSY_SECONDS", 0.05)  # a moment passes; whoever stays in the way is seen
    library = Library(library.path.parent, monkeypatch)
    ended, failures, said = threading.Event(), [], []

    def work():
        while not ended.is_set():
            try:
                library.say(5000 + len(said), f"meanwhile {len(said)}")
                said.append(len(library.labels.of_bank(BANK)))
            except StorageError as error:
                failures.append(error)
                return
            time.sleep(0.001)

    thread = threading.Thread(target=work)
    thread.start()
    try:
        for day in range(5):
            library.copy(day)
    finally:
        ended.set()
        thread.join()
    assert failures == [] and len(said) > 3 and all(copy.faults == () for copy in library.backups.copies())


# --- going back ------------------------------------------------------------------------------------------------------


def files(folder):
    return sorted(file.name for file in folder.iterdir() if file.is_file())


def test_labels_that_came_after_the_copy_are_saved_from_a_damaged_database(library):
    for number in range(60):
        library.say(number, f"name {number}", note="x" * 1000, tags=["old"])
    library.copy(0)
    library.say(3, "changed", tags=["new", "good"], rating=5)
    library.say(400, "came later")
    library.say(7, "")  # removed
    page = library.page_of("name 30")
    library.damage(page, page + 1)
    with pytest.raises(StorageError, match=r"is damaged. Stop .* library restore. It restores the copy of 2026-11-01"):
        [library.labels.search(), library.labels.versions()]
    done = restore(library.database, None)
    assert (done.copy, done.labels, done.whole) == ("2026-11-01", 3, False)
    names = library.names()
    assert (names[3], names[400], names[30], 7 in names) == ("changed", "came later", "name 30", False)
    assert library.labels.of_bank(BANK)[3].tags == ("good", "new") and len(names) == 60
    assert [one.name for one in library.labels.history(BANK, 3)] == ["changed", "name 3"]
    assert [one.author for one in library.labels.history(BANK, 3)] == ["me", "me"]
    assert library.database.faults() == []
    [aside] = [name for name in files(library.path.parent) if name.startswith("melbo-damaged-") and name.endswith("e")]
    assert done.aside == str(library.path.with_name(aside))
    assert any("3 newer labels were saved from the damaged file" in line for line in done.lines())
    library.say(9, "and on it goes")
    assert library.copy(1) is not None


def test_what_is_still_in_the_log_is_saved_as_well(library):
    library.say(0, "before")
    library.database.compact()
    library.copy(0)
    library.say(1, "in the log alone")
    path = library.path
    kept = library.path.parent / "kept"
    kept.mkdir()
    for file in sqlite.files_of(path):  # as a power cut leaves it
        shutil.copy(file, kept / file.name)
    shutil.copytree(library.backups.folder, kept / "backups")
    data = bytearray((kept / path.name).read_bytes())
    root = library.page_of("ix_embeddings") if b"ix_embeddings" in data else None
    assert root is None
    with sqlite3.connect(path) as connection:
        [[page]] = connection.execute("SELECT rootpage FROM sqlite_master WHERE name='jobs'").fetchall()
    connection.close()
    data[4096 * (page - 1) : 4096 * page] = b"\xff" * 4096
    (kept / path.name).write_bytes(bytes(data))
    database = Database(kept / path.name)
    done = restore(database, None)
    assert done.labels == 1 and done.whole is True
    assert {one.name for one in Labels(database).search()} == {"before", "in the log alone"}
    assert not list(kept.glob(".*")) and database.faults() == []


@pytest.mark.parametrize("lost", ["label_history", "labels"])
def test_either_table_of_labels_is_enough(library, lost):
    library.say(0, "before")
    library.copy(0)
    library.say(0, "after", tags=["t"])
    library.database.compact()
    with sqlite3.connect(library.path) as connection:
        [[page]] = connection.execute("SELECT rootpage FROM sqlite_master WHERE name=?", (lost,)).fetchall()
    connection.close()
    library.damage(page - 1, page)
    done = restore(library.database, None)
    assert (done.labels, done.whole) == (1, False)
    assert library.names() == {0: "after"} and library.labels.of_bank(BANK)[0].tags == ("t",)
    assert [one.name for one in library.labels.history(BANK, 0)] == ["after", "before"]


def test_a_file_that_is_no_database_at_all_is_set_aside(library):
    library.say(0, "before")
    library.copy(0)
    library.database.close()
    for file in sqlite.files_of(library.path):
        file.unlink()
    library.path.write_bytes(b"my diary" * 1000)
    done = restore(library.database, None)
    assert (done.labels, done.whole) == (0, False) and library.names() == {0: "before"}
    assert Path(done.aside).read_bytes() == b"my diary" * 1000
    assert any("No newer labels were saved" in line for line in done.lines())


def test_without_a_copy_a_new_database_is_begun_with_what_can_be_read(library):
    for number in range(50):
        library.say(number, f"name {number}", note="x" * 200)
    library.database.compact()
    with sqlite3.connect(library.path) as connection:
        [[page]] = connection.execute("SELECT rootpage FROM sqlite_master WHERE name='jobs'").fetchall()
    connection.close()
    library.damage(page - 1, page)
    with pytest.raises(StorageError, match="since no copy exists"), library.database.read() as session:
        session.connection().exec_driver_sql("SELECT * FROM jobs").all()
    done = restore(library.database, None)
    assert (done.copy, done.labels) == (None, 50) and library.names()[49] == "name 49"


def test_a_lost_database_comes_back_from_its_copy(library):
    library.say(0, "before")
    library.copy(0)
    library.database.close()
    library.path.unlink()
    done = restore(library.database, None)
    assert (done.copy, done.aside) == ("2026-11-01", None) and library.names() == {0: "before"}


def test_a_sound_database_is_replaced_only_by_a_copy_that_is_named(library):
    library.say(0, "one")
    library.copy(0)
    library.say(0, "two")
    library.copy(1)
    library.say(0, "three")
    with pytest.raises(InputError, match=r"the database is sound.*name it \(2026-11-02, 2026-11-01\)"):
        restore(library.database, None)
    assert library.names() == {0: "three"}
    done = restore(library.database, "2026-11-01")
    assert (done.whole, done.labels) == (None, 0) and library.names() == {0: "one"}  # not undone by what came later
    assert "which was sound" in " ".join(done.lines()) and "melbo-replaced-" in done.aside
    with pytest.raises(InputError, match=r"“2026-11-09” does not exist. Choose one of 2026-11-02, 2026-11-01"):
        restore(library.database, "2026-11-09")


def test_a_damaged_copy_is_passed_over_and_refused(library):
    library.say(0, "one")
    library.copy(0)
    library.say(0, "two")
    newest = library.copy(1)
    newest.path.write_bytes(newest.path.read_bytes()[:8192] + b"\xff" * 8192)
    assert library.backups.newest_sound().day == "2026-11-01"
    library.damage(0)
    with pytest.raises(InputError, match="the copy of 2026-11-02 is damaged"):
        restore(library.database, "2026-11-02")
    assert restore(library.database, None).copy == "2026-11-01"


def test_a_disk_that_refuses_leaves_everything_as_it_was(library, monkeypatch):
    library.say(0, "before")
    library.copy(0)
    library.damage(1)
    before = library.path.read_bytes()

    def refuse(*_):
        raise OSError(28, "No space left on device")

    for name in ("copyfile", "replace"):
        with monkeypatch.context() as patch:
            patch.setattr(shutil if name == "copyfile" else os, name, refuse)
            with pytest.raises(StorageError, match=r"No space left on device\); nothing changed"):
                restore(library.database, None)
        assert library.path.read_bytes() == before
        assert {name.split("-")[0] for name in files(library.path.parent)} == {"melbo.sqlite"}


def test_a_database_on_a_server_has_its_own_backups(tmp_path, monkeypatch):
    from sqlalchemy import create_engine

    monkeypatch.setattr("melbo_app.library.database._server_engine", lambda address: create_engine("sqlite://"))
    database = Database(tmp_path / "melbo.sqlite", "postgresql+psycopg://me:secret@there/melbo")
    assert database.backups.make(database) is None and database.backups.copies() == []
    with pytest.raises(InputError, match=r"on a server \(postgresql.*\*\*\*.*that server's own backups"):
        restore(database, None)


def test_nothing_is_restored_under_a_running_server(bench):
    lock = ServerLock(bench.settings.cache_dir)
    lock.take("http://127.0.0.1:7860")
    try:
        with pytest.raises(BusyError, match=r"uses this database: http://127.0.0.1:7860 .*Stop it"):
            bench.restore_library()
    finally:
        lock.release()


def test_a_server_copies_once_a_day_and_says_what_it_cannot(bench, monkeypatch):
    from melbo_app.workbench import upkeep

    said, now = [], [1000.0]
    monkeypatch.setattr(upkeep.time, "monotonic", lambda: now[0])
    bench.labels()
    bench.do_what_is_due(said.append)
    [copy] = bench.bench.database.backups.copies()
    copy.path.unlink()
    bench.do_what_is_due(said.append)
    assert bench.bench.database.backups.copies() == []  # not yet
    now[0] += upkeep.COPY_EVERY
    bench.do_what_is_due(said.append)
    assert len(bench.bench.database.backups.copies()) == 1 and said == []
    copy.path.unlink()
    bench.bench.database.backups.folder.rmdir()
    bench.bench.database.backups.folder.write_text("in the way")
    now[0] += upkeep.COPY_EVERY
    bench.do_what_is_due(said.append)
    bench.do_what_is_due(said.append)
    assert len(said) == 1 and said[0].startswith("The database was not copied: ")
