"""The steps from format to format: every earlier file is brought up to date, and nothing in it is lost."""

import sqlite3
import threading
from datetime import UTC, datetime
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import text

from melbo_app.errors import StorageError
from melbo_app.library import migrations, tables
from melbo_app.library.bank import PromptRecord
from melbo_app.library.completion import Completion, Scores
from melbo_app.library.completions import Completions
from melbo_app.library.database import Database, Table
from melbo_app.library.labels import Labels

KEPT = Path(__file__).with_name("schema_2.sql")  # written out by the last version that knew no Alembic
SAME = {  # what the second format has in common with the newest
    "comparisons": "id, created, settings",
    "completions": "id, comparison_id, position, key, kind, bank, bank_hash, vector, radius, source, prompt_index,"
    " text, tokens, finished, dtype, max_new_tokens, temperature, top_p, seed, created",
    "labels": "id, bank, bank_hash, vector, name, rating, note, updated",
    "tags": "label_id, tag",
}
SCORES = Scores(
    logprob=-1.25, loss=0.1, kl_prompt=2.0, kl_text=None, repetition=1 / 3, dictionary_words=None, language="en",
    readability=0.75, verdict="readable", runaway=0.125,
)  # fmt: skip


@pytest.fixture
def path(tmp_path):
    """A file as the last version made it that knew no Alembic."""
    file = tmp_path / "melbo.sqlite"
    made = sqlite3.connect(file)
    made.executescript(KEPT.read_text("utf-8"))
    made.close()
    return file


def ask(path, sql):
    connection = sqlite3.connect(path)
    try:
        return connection.execute(sql).fetchall()
    finally:
        connection.close()


def differences(database):
    with database.read() as session:
        return compare_metadata(MigrationContext.configure(session.connection()), Table.metadata)


def test_the_steps_make_the_tables_that_the_program_describes(tmp_path):
    assert tables.BankRow.metadata is Table.metadata
    database = Database(tmp_path / "melbo.sqlite")
    assert differences(database) == []
    with database.write() as session:
        session.execute(text("DROP INDEX ix_completions_key"))
        session.execute(text("ALTER TABLE labels ADD COLUMN mood TEXT"))
    assert len(differences(database)) == 2  # and the comparison sees what differs


def test_a_file_of_the_second_format_keeps_every_row(path):
    before = {name: ask(path, f"SELECT {columns} FROM {name} ORDER BY 1, 2") for name, columns in SAME.items()}
    old = ask(path, "SELECT id, prompt, model, model_hash, scores FROM completions ORDER BY id")
    database = Database(path)
    completions = Completions(database)
    assert [(line.id, line.settings, line.completions) for line in completions.recent()] == [
        (3, {}, 1), (2, {"kind": "map"}, 2), (1, {"kind": "steer", "radii": [8.5]}, 4),
    ]  # fmt: skip
    assert [line.id for line in completions.recent(kind="map")] == [2]
    for id, prompt, model, model_hash, scores in old:
        found = completions.get(id)
        assert found.prompt == PromptRecord.model_validate_json(prompt)
        assert (found.model, found.model_hash) == (model, model_hash)
        assert found.scores == (None if scores is None else SCORES)
    for name, columns in SAME.items():
        assert ask(path, f"SELECT {columns} FROM {name} ORDER BY 1, 2") == before[name] != []
    assert differences(database) == [] and database.faults() == []
    assert ask(path, "PRAGMA user_version") == [(migrations.NEWEST,)]  # which an earlier version refuses


def test_a_text_of_the_second_format_is_still_found_by_its_key(path):
    completions = Completions(Database(path))
    asked = Completion(
        bank="renamed", bank_hash="cd" * 32, vector=3, radius=-8.5, source=7, prompt_hash="p", text="", tokens=0,
        prompt=PromptRecord(user="How?", system="Be kind."), finished=False, model="tiny", model_hash="ab" * 32,
        dtype="float32", max_new_tokens=40, temperature=0.7, top_p=0.9, seed=2**40, created=datetime.now(UTC),
    )  # fmt: skip
    found = completions.find(asked)
    assert found is not None and found.id == 3 and found.text == "Like this: 🙂\n"
    assert completions.find(asked.model_copy(update={"seed": 1})) is None


def test_the_labels_of_the_second_format_begin_their_history(path):
    labels = Labels(Database(path))
    [version] = labels.history("cd" * 32, 3)
    assert (version.name, version.tags, version.rating, version.author) == ("kind", ("a", "b"), 4, "")
    labels.save("first", "cd" * 32, 3, name="kinder", tags=["a"], rating=5, note="", author="me")
    assert [entry.name for entry in labels.history("cd" * 32, 3)] == ["kinder", "kind"]


def test_the_labels_of_the_second_format_count_and_are_those_of_the_annotator_without_a_name(path):
    labels = Labels(Database(path))
    before = labels.get("first", "cd" * 32, 3)
    assert before == labels.own("first", "cd" * 32, 3, "") and (before.name, before.tags) == ("kind", ("a", "b"))
    assert labels.of_bank("cd" * 32) == labels.of_bank("cd" * 32, seen_by="") and len(labels.of_bank("cd" * 32)) == 2
    said = {"tags": [], "rating": None, "note": ""}
    labels.save("first", "cd" * 32, 3, name="another’s", annotator="Ada", **said)
    assert labels.own("first", "cd" * 32, 3, "") == before and labels.get("first", "cd" * 32, 3).name == "another’s"


def test_a_file_of_the_first_format_is_brought_up_to_date_and_keeps_its_rows(path):
    made = sqlite3.connect(path)
    made.execute("ALTER TABLE completions DROP COLUMN scores")
    made.execute("PRAGMA user_version=1")
    made.commit()
    made.close()
    completions = Completions(Database(path))
    assert [completions.get(id).scores for id in range(1, 8)] == [None] * 7
    assert completions.get(1).text == "Like this: 🙂\n" and differences(Database(path)) == []


def test_two_that_bring_one_file_up_to_date_at_once_agree(path):
    barrier, failures = threading.Barrier(2), []

    def work():
        database = Database(path)
        barrier.wait()
        try:
            assert len(Completions(database).recent()) == 3
        except Exception as error:
            failures.append(error)

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == [] and differences(Database(path)) == []


def test_an_upgrade_that_fails_in_the_middle_leaves_the_file_as_it_was(path, monkeypatch):
    before = ask(path, "SELECT * FROM completions ORDER BY id")
    with monkeypatch.context() as patch:
        real = migrations.upgrade

        def torn(connection, made=0):
            real(connection, made)
            connection.execute(text("PRAGMA max_page_count=1"))
            connection.execute(text("CREATE TABLE one_too_many AS SELECT zeroblob(100000)"))

        patch.setattr(migrations, "upgrade", torn)
        with pytest.raises(StorageError, match="the disk is full; nothing was stored"):
            Completions(Database(path)).recent()
    assert ask(path, "SELECT * FROM completions ORDER BY id") == before
    assert ask(path, "PRAGMA user_version") == [(2,)]
    assert len(Completions(Database(path)).recent()) == 3  # once there is room


@pytest.mark.parametrize("mark", ["4711", "ae1027a6acf"])
def test_a_file_of_a_newer_version_is_a_sentence_and_is_left_alone(path, mark):
    Completions(Database(path)).recent()
    made = sqlite3.connect(path)
    made.execute("UPDATE alembic_version SET version_num = ?", [mark])
    made.commit()
    made.close()
    sentence = rf"made by another version of MELBO Explorer \(format {mark}, here {migrations.NEWEST}\)"
    with pytest.raises(StorageError, match=sentence):
        Completions(Database(path)).recent()
    assert ask(path, "SELECT version_num FROM alembic_version") == [(mark,)]
