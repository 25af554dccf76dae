"""The database: made on first use, whole or not at all, and every refusal is a sentence."""

import gc
import shutil
import sqlite3
import subprocess
import sys
import threading
from datetime import UTC, datetime, timedelta, timezone

import pytest
from sqlalchemy import select, text
from sqlalchemy.exc import IntegrityError

from melbo_app.errors import StorageError
from melbo_app.library import sqlite
from melbo_app.library.database import Database
from melbo_app.library.migrations import NEWEST
from melbo_app.library.tables import ComparisonRow, CompletionRow, LabelRow, TagRow

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "cache" / "melbo.sqlite"


def label(vector, **changes):
    facts = {"bank": "b", "bank_hash": "h", "name": "n", "rating": None, "note": "", "updated": NOW}
    return LabelRow(vector=vector, **(facts | changes))


def store(database, *rows, first="SELECT 1"):
    with database.write() as session:
        session.execute(text(first))
        session.add_all(rows)


def count(database, table=LabelRow):
    with database.read() as session:
        return len(session.scalars(select(table)).all())


def test_nothing_is_made_before_the_first_session(path):
    database = Database(path)
    assert not path.parent.exists()
    assert count(database) == 0
    assert path.exists()


def test_what_is_written_is_there_for_the_next_database(path):
    with Database(path).write() as session:
        session.add(label(3))
    assert count(Database(path)) == 1


def test_an_error_undoes_the_whole_session(path):
    database = Database(path)

    def fail():
        with database.write() as session:
            session.add(label(1))
            session.flush()
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert count(database) == 0


def test_the_file_is_in_wal_mode_and_checks_references(path):
    database = Database(path)
    with database.read() as session:
        assert session.execute(text("PRAGMA journal_mode")).scalar_one() == "wal"
    with pytest.raises(IntegrityError):
        store(database, TagRow(label_id=99, tag="t"))


def test_a_vector_has_one_label(path):
    database = Database(path)
    with pytest.raises(IntegrityError):
        store(database, label(1), label(1))
    assert count(database) == 0


def test_a_deleted_label_takes_its_tags_along(path):
    database = Database(path)
    with database.write() as session:
        session.add(label(1))
        session.flush()
        session.add_all([TagRow(label_id=1, tag="a"), TagRow(label_id=1, tag="b")])
    with database.write() as session:
        session.delete(session.scalars(select(LabelRow)).one())
    assert count(database, TagRow) == 0


def test_moments_come_back_in_utc_whatever_zone_they_had(path):
    database = Database(path)
    with database.write() as session:
        session.add(label(1, updated=NOW.astimezone(timezone(timedelta(hours=5)))))
    with database.read() as session:
        updated = session.scalars(select(LabelRow.updated)).one()
    assert updated == NOW and updated.tzinfo is UTC


def test_completions_are_looked_up_by_an_index(path):
    with Database(path).read() as session:
        plan = session.execute(text("EXPLAIN QUERY PLAN SELECT * FROM completions WHERE key = 'x'")).all()
    assert "USING INDEX ix_completions_key" in str(plan)
    assert CompletionRow.__table__.c.key.index and ComparisonRow.__tablename__ == "comparisons"


def test_a_cache_that_is_emptied_under_a_running_app_is_made_again(path):
    database = Database(path)
    with database.write() as session:
        session.add(label(1))
    for file in path.parent.iterdir():
        file.unlink()
    with database.write() as session:
        session.add(label(2))
    assert count(database) == count(Database(path)) == 1


def test_the_log_stays_beside_the_file_while_it_is_in_use_and_is_whole_at_any_moment(path, tmp_path):
    database = Database(path)
    store(database, label(1))
    store(database, label(2))
    names = {"melbo.sqlite", "melbo.sqlite-wal", "melbo.sqlite-shm"}
    assert {file.name for file in path.parent.iterdir()} == names
    copied = tmp_path / "copied"
    shutil.copytree(path.parent, copied)  # what a power cut would leave
    assert count(Database(copied / "melbo.sqlite")) == count(database) == 2


def test_a_file_that_is_gone_is_not_written_back_over_its_successor(path):
    database = Database(path)
    store(database, label(1))
    for file in path.parent.iterdir():
        file.unlink()
    successor = Database(path)
    store(successor, label(2), label(3))
    store(database, label(4))  # lets go of the old file
    del database
    gc.collect()
    assert count(successor) == 3 and successor.faults() == []


def test_a_locked_database_is_a_sentence(path, monkeypatch):
    monkeypatch.setattr(sqlite, "BUSY_SECONDS", 0.1)
    database = Database(path)
    assert count(database) == 0
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(
        StorageError, match=r"^The database “.*melbo.sqlite” has been in use by another program.* try again"
    ):
        store(database, label(1))
    assert count(database) == 0  # and reading goes on
    other.execute("ROLLBACK")
    other.close()
    with database.write() as session:
        session.add(label(1))
    assert count(database) == 1


def test_a_locked_database_cannot_be_compacted_and_that_is_a_sentence(path, monkeypatch):
    monkeypatch.setattr(sqlite, "BUSY_SECONDS", 0.1)
    database = Database(path)
    store(database, label(1))
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(StorageError, match="in use by another program"):
        database.compact()
    other.execute("ROLLBACK")
    other.close()
    database.compact()
    assert count(database) == 1


def test_a_full_disk_is_a_sentence_and_nothing_is_stored(path):
    database = Database(path)
    assert count(database) == 0
    with database.read() as session:
        pages = session.execute(text("PRAGMA page_count")).scalar_one()
    with pytest.raises(StorageError, match="the disk is full; nothing was stored. Make room"):
        store(database, label(1, note="x" * 100_000), first=f"PRAGMA max_page_count={pages}")
    assert count(database) == 0


def test_a_database_that_may_only_be_read_is_a_sentence(path):
    database = Database(path)
    with pytest.raises(StorageError, match="cannot be written to; nothing was stored.*MELBO_CACHE_DIR"):
        store(database, label(1), first="PRAGMA query_only=ON")


def test_a_file_that_is_no_database_is_a_sentence_and_is_left_alone(path):
    path.parent.mkdir()
    path.write_bytes(b"my diary" * 1000)
    with pytest.raises(StorageError, match="is not a SQLite database. Stop the server and run: .* library restore"):
        count(Database(path))
    assert path.read_bytes() == b"my diary" * 1000


def test_a_torn_database_is_a_sentence(path):
    database = Database(path)
    with database.write() as session:
        session.add_all([label(number, note="x" * 3000) for number in range(20)])
    database.compact()  # all of it is in the file itself now
    data = bytearray(path.read_bytes())
    data[4096:] = b"\xff" * (len(data) - 4096)
    path.write_bytes(bytes(data))
    with pytest.raises(StorageError, match="is damaged. Stop the server and run: .* library restore"):
        count(Database(path))


def test_a_folder_in_place_of_the_file_is_a_sentence(path):
    path.mkdir(parents=True)
    with pytest.raises(StorageError, match="cannot be opened"):
        count(Database(path))


def test_a_cache_folder_that_cannot_be_made_is_a_sentence(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StorageError, match="The folder “.*” could not be made"):
        count(Database(tmp_path / "file" / "melbo.sqlite"))


def test_a_database_of_another_version_is_a_sentence_and_is_left_alone(path):
    path.parent.mkdir()
    other = sqlite3.connect(path)
    other.execute("PRAGMA user_version=99")
    other.close()
    with pytest.raises(StorageError, match=rf"another version of MELBO Explorer \(format 99, here {NEWEST}\)"):
        count(Database(path))


def test_threads_that_read_and_then_write_wait_for_each_other(path):
    database, barrier, failures = Database(path), threading.Barrier(4), []

    def work(number):
        barrier.wait()
        try:
            for turn in range(10):
                with database.write() as session:
                    seen = len(session.scalars(select(LabelRow)).all())
                    session.add(label(100 * number + turn, name=str(seen)))
        except Exception as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    with database.read() as session:  # each writer saw every earlier one
        assert sorted(int(row.name) for row in session.scalars(select(LabelRow))) == list(range(40))


def test_processes_that_make_the_database_at_once_agree(path):
    program = (
        "import sys; from pathlib import Path; from datetime import UTC, datetime\n"
        "from melbo_app.library.database import Database\n"
        "from melbo_app.library.tables import LabelRow\n"
        "print('ready', flush=True)\n"
        "sys.stdin.read()\n"
        "with Database(Path(sys.argv[1])).write() as session:\n"
        "    session.add(LabelRow(bank='b', bank_hash='h', vector=int(sys.argv[2]), name='n', note='',"
        " updated=datetime.now(UTC)))\n"
    )
    workers = [
        subprocess.Popen(
            [sys.executable, "-c", program, str(path), str(number)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        for number in range(2)
    ]
    for worker in workers:
        assert worker.stdout is not None and worker.stdout.readline() == b"ready\n"
    for worker in workers:  # all begin at once
        assert worker.stdin is not None
        worker.stdin.close()
    assert [worker.wait(60) for worker in workers] == [0, 0]
    assert count(Database(path)) == 2
