"""Labels: they follow the vectors, are kept clean, and can be taken along."""

import csv
import errno
import itertools
import json
import os
import re
import threading
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import event

from melbo_app.errors import InputError, StorageError
from melbo_app.library.bank import PromptRecord
from melbo_app.library.completion import Completion
from melbo_app.library.database import Database
from melbo_app.library.label import Label, LabelChanged
from melbo_app.library.label_file import ABOUT, Grounds, write_labels
from melbo_app.library.labels import Labels


@pytest.fixture
def labels(tmp_path):
    return Labels(Database(tmp_path / "melbo.sqlite"))


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    return Labels(Database(tmp_path_factory.mktemp("shared") / "melbo.sqlite"))


VECTORS = itertools.count()


def write(labels, out, *, grounds=None, **how):
    return write_labels(out, labels.search(), grounds or {}, **how)


def save(labels, vector=0, *, bank="first", bank_hash="h1", name="", tags=(), rating=None, note="", author="", **how):
    said = {"name": name, "tags": tags, "rating": rating, "note": note, "author": author}
    return labels.save(bank, bank_hash, vector, **said, **how)


def test_a_vector_without_a_label_has_an_empty_one(labels):
    assert labels.get("first", "h1", 4) == Label(bank="first", bank_hash="h1", vector=4)
    assert labels.get("first", "h1", 4).updated is None


def test_a_label_is_kept_clean(labels):
    before = datetime.now(UTC)
    kept = save(
        labels, 2, name="  Recipes \n only ", tags=["Food ", "food", " two\twords", "", "Ähre"], rating=5, note=" x\ny "
    )
    assert kept.model_dump(exclude={"updated"}) == {
        "bank": "first",
        "bank_hash": "h1",
        "vector": 2,
        "name": "Recipes only",
        "tags": ("food", "two words", "ähre"),
        "rating": 5,
        "note": "x\ny",
    }
    assert before <= kept.updated <= datetime.now(UTC)
    assert labels.get("first", "h1", 2) == kept


def test_a_second_save_replaces_the_first(labels):
    save(labels, name="old", tags=["a", "b"], rating=1, note="n")
    kept = save(labels, name="new", tags=["b", "c"])
    assert (kept.name, kept.tags, kept.rating, kept.note) == ("new", ("b", "c"), None, "")
    assert labels.search() == [kept] and labels.tags() == ["b", "c"]


def test_a_label_belongs_to_the_vectors_and_not_to_the_name_of_their_bank(labels):
    save(labels, 1, bank="first", bank_hash="h1", name="kept")
    assert labels.get("renamed", "h1", 1).name == "kept"
    assert labels.get("first", "h2", 1).name == ""
    save(labels, 1, bank="renamed", bank_hash="h1", name="kept")
    assert [label.bank for label in labels.search()] == ["renamed"]


def test_a_label_with_nothing_in_it_is_removed(labels):
    save(labels, 1, name="n", tags=["t"])
    empty = save(labels, 1, name="  ", tags=[" "], note="\n")
    assert empty == Label(bank="first", bank_hash="h1", vector=1)
    assert labels.search() == [] and labels.tags() == []
    assert save(labels, 2) == Label(bank="first", bank_hash="h1", vector=2)


def test_every_saving_stays_in_the_history_with_who_and_when(labels):
    assert labels.history("h1", 1) == []
    first = save(labels, 1, name="old", tags=["b", "a"], rating=2, note="n", author="ann")
    second = save(labels, 1, bank="renamed", name="new", author="bob")
    save(labels, 2, name="of another vector")
    found = labels.history("h1", 1)
    assert [(one.author, one.bank, one.name, one.tags, one.rating, one.note) for one in found] == [
        ("bob", "renamed", "new", (), None, ""), ("ann", "first", "old", ("a", "b"), 2, "n"),
    ]  # fmt: skip
    assert [one.updated for one in found] == [second.updated, first.updated]


def test_a_label_that_was_removed_can_be_read_in_the_history(labels):
    save(labels, 1, name="n", tags=["t"])
    save(labels, 1, author="ann")
    save(labels, 1, author="ann")  # nothing is there any more to be removed
    save(labels, 1, name="again")
    assert [(one.name, one.author) for one in labels.history("h1", 1)] == [("again", ""), ("", "ann"), ("n", "")]


def test_saving_the_same_again_is_no_new_version(labels):
    save(labels, 1, name="n", tags=["a"])
    later = save(labels, 1, name=" n", tags=["A "])
    assert len(labels.history("h1", 1)) == 1 and labels.get("first", "h1", 1) == later


def test_a_label_that_is_refused_is_in_no_history(labels):
    with pytest.raises(InputError):
        save(labels, 1, name="x" * 121)
    assert labels.history("h1", 1) == []


def test_the_history_is_in_order_though_the_clock_was_set_back(labels, monkeypatch):
    class Clock(datetime):
        hour = 23

        @classmethod
        def now(cls, tz=None):
            cls.hour -= 1
            return datetime(2026, 11, 1, cls.hour, tzinfo=tz)

    monkeypatch.setattr("melbo_app.library.labels.datetime", Clock)
    for name in ("first", "second", "third"):
        save(labels, 1, name=name)
    found = labels.history("h1", 1)
    assert [one.name for one in found] == ["third", "second", "first"]
    assert found[0].updated < found[2].updated and labels.get("first", "h1", 1).name == "third"


def test_labels_are_listed_by_bank_and_vector(labels):
    for bank, bank_hash, vector in [("b", "h2", 3), ("a", "h1", 5), ("b", "h2", 1)]:
        save(labels, vector, bank=bank, bank_hash=bank_hash, name="n", tags=[bank])
    assert [(label.bank, label.vector) for label in labels.search()] == [("a", 5), ("b", 1), ("b", 3)]
    assert {vector: label.bank for vector, label in labels.of_bank("h2").items()} == {1: "b", 3: "b"}
    assert labels.of_bank("h3") == {}
    assert labels.tags() == ["a", "b"]


@pytest.mark.parametrize(
    ("facts", "sentence"),
    [
        ({"name": "x" * 121}, "^name: it is 121 characters long. At most 120 fit"),
        ({"note": "x" * 10_001}, "^note: it is 10,001 characters long. At most 10,000 fit"),
        ({"tags": ["ok", "y" * 41]}, "^tags: “y+…” is 41 characters long. At most 40 fit"),
        ({"rating": 0}, "^rating: 0 cannot be used. It is a whole number from 1 to 5"),
        ({"rating": 6}, "^rating: 6 "),
        ({"rating": 2.5}, "^rating: 2.5 "),
        ({"rating": True}, "^rating: True "),
        ({"vector": -1}, "^vector: there is no vector -1"),
        ({"vector": 2**70}, "^vector: there is no vector"),
    ],
)
def test_a_label_that_cannot_be_kept_is_refused_and_the_earlier_one_stays(labels, facts, sentence):
    kept = save(labels, name="earlier")
    with pytest.raises(InputError, match=sentence):
        save(labels, **({"name": "later"} | facts))
    assert labels.search() == [kept]


def test_the_longest_label_fits(labels):
    kept = save(labels, name="x" * 120, note="n" * 10_000, tags=["t" * 40], rating=1)
    assert labels.get("first", "h1", 0) == kept


@given(st.text(st.characters(), max_size=60), st.lists(st.text(st.characters(), max_size=12), max_size=4))
@settings(max_examples=40, deadline=None)
def test_any_text_is_kept_and_saving_it_again_changes_nothing(shared, text, tags):
    labels, vector = shared, next(VECTORS)
    once = save(labels, vector, name=text, tags=tags, note=text, rating=3)
    assert labels.get("first", "h1", vector) == once
    again = save(labels, vector, name=once.name, tags=once.tags, note=once.note, rating=3)
    assert again.model_copy(update={"updated": None}) == once.model_copy(update={"updated": None})


def test_a_csv_export_has_one_column_per_tag(labels, tmp_path):
    first = save(labels, 0, name="Grüße, “du”", tags=["food", "list"], rating=4, note='two\nlines, "quoted"')
    save(labels, 3, tags=["list"])
    out = write(labels, tmp_path / "labels.csv")
    with open(out, encoding="utf-8-sig", newline="") as stream:
        header, *rows = list(csv.reader(stream))
    known = ["bank", "bank_hash", "vector", "name", "rating", "note", "updated"]
    assert header == [*known, *ABOUT, "tag:food", "tag:list"]
    assert rows[0][:6] == ["first", "h1", "0", "Grüße, “du”", "4", 'two\nlines, "quoted"']
    assert datetime.fromisoformat(rows[0][6]) == first.updated
    assert [row[7:] for row in rows] == [["food, list", *[""] * 7, "1", "1"], ["list", *[""] * 7, "0", "1"]]
    assert rows[1][2:6] == ["3", "", "", ""]


def test_a_csv_export_is_shown_by_excel_as_it_was_written(labels, tmp_path):
    save(labels, 0, name="été")
    data = write(labels, tmp_path / "labels.csv").read_bytes()
    # without a mark Excel takes the system's old encoding, in which this would be “Ã©tÃ©”
    assert data.startswith(b"\xef\xbb\xbfbank,") and "été".encode() in data and data.count(b"\xef\xbb\xbf") == 1
    assert not write(labels, tmp_path / "labels.jsonl").read_bytes().startswith(b"\xef\xbb\xbf")


def test_csv_is_written_in_one_place_only():
    package = Path(__file__).parents[2] / "melbo_app"
    using = [
        path.name
        for path in package.rglob("*.py")
        if re.search(r"^(import|from) csv|to_csv", path.read_text("utf-8"), re.M)
    ]
    assert using == ["spreadsheet.py"]


def test_a_jsonl_export_has_one_key_per_tag(labels, tmp_path):
    first = save(labels, 0, name="=1+1", tags=["food"], rating=4)
    save(labels, 3, tags=["list"])
    lines = [json.loads(line) for line in write(labels, tmp_path / "l.JSONL").read_text("utf-8").splitlines()]
    assert datetime.fromisoformat(lines[0].pop("updated")) == first.updated
    assert lines[0] == {
        "bank": "first",
        "bank_hash": "h1",
        "vector": 0,
        "name": "=1+1",
        "rating": 4,
        "note": "",
        "tags": ["food"],
        **dict.fromkeys(ABOUT[1:]),
        "readings": [],
        "tag:food": True,
        "tag:list": False,
    }
    assert lines[1]["rating"] is None and lines[1]["tag:list"] is True


@pytest.mark.parametrize("start", ["=", "+", "-", "@"])
def test_no_cell_of_a_csv_export_is_a_formula(labels, tmp_path, start):
    save(labels, bank=f"{start}b", name=f"{start}cmd()", tags=[f"{start}t"], note=f"{start}n")
    with open(write(labels, tmp_path / "labels.csv"), encoding="utf-8-sig", newline="") as stream:
        header, row = list(csv.reader(stream))
    assert (row[0], row[3], row[5]) == (f"'{start}b", f"'{start}cmd()", f"'{start}n")
    assert not [cell for cell in header + row if cell.startswith(("=", "+", "-", "@"))]


def test_an_export_without_labels_has_its_header_only(labels, tmp_path):
    header = "bank,bank_hash,vector,name,rating,note,updated,tags,R,model,prompt,system,text,text_R,readings\r\n"
    assert write(labels, tmp_path / "l.csv").read_bytes() == b"\xef\xbb\xbf" + header.encode()
    assert write(labels, tmp_path / "l.jsonl").read_bytes() == b""


def test_an_export_overwrites_only_where_that_is_asked_for(labels, tmp_path):
    out = tmp_path / "l.csv"
    out.write_bytes(b"precious")
    with pytest.raises(InputError, match="^file: .* already exists"):
        write(labels, out)
    assert out.read_bytes() == b"precious"
    assert write(labels, out, overwrite=True).read_bytes() != b"precious"


def test_an_export_needs_a_known_ending(labels, tmp_path):
    with pytest.raises(
        InputError, match=r"^file: labels cannot be written as “l.xlsx”. Its name must end in .csv or .jsonl"
    ):
        write(labels, tmp_path / "l.xlsx")


@pytest.mark.parametrize("function", ["fsync", "replace"])
def test_an_export_that_fails_leaves_the_earlier_file_as_it_was(labels, tmp_path, monkeypatch, function):
    out = tmp_path / "out" / "l.csv"
    out.parent.mkdir()
    out.write_bytes(b"earlier")

    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, function, full)
    with pytest.raises(StorageError, match="No space left"):
        write(labels, out, overwrite=True)
    assert os.listdir(out.parent) == ["l.csv"] and out.read_bytes() == b"earlier"


def test_threads_that_label_one_bank_at_once_keep_every_label(labels):
    barrier, failures = threading.Barrier(4), []

    def work(number):
        barrier.wait()
        try:
            for turn in range(5):
                save(labels, 10 * number + turn, name=f"{number}.{turn}", tags=["all", f"t{number}"])
                save(labels, 99, name=f"shared {number}", tags=["all", f"t{number}"])  # a vector that all want
        except Exception as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    kept = labels.of_bank("h1")
    shared = kept.pop(99)
    assert shared.tags == ("all", f"t{shared.name[-1]}")  # one of them whole, not a mixture
    assert {vector: label.name for vector, label in kept.items()} == {
        10 * number + turn: f"{number}.{turn}" for number in range(4) for turn in range(5)
    }
    assert labels.tags() == ["all", "t0", "t1", "t2", "t3"]


def test_tags_have_a_number_and_a_length(labels):
    assert len(save(labels, tags=[f"t{n}" for n in range(50)]).tags) == 50
    for tags, sentence in (
        ([f"t{n}" for n in range(51)], "tags: there are 51. A label can have at most 50."),
        ([f"t{n}" for n in range(100_000)], "tags: there are 100,000. A label can have at most 50."),
        (["x" * 41], f"tags: “{'x' * 40}…” is 41 characters long. At most 40 fit."),
    ):
        with pytest.raises(InputError, match=f"^{re.escape(sentence)}"):
            save(labels, vector=1, tags=tags)
    assert [label.vector for label in labels.search()] == [0]


def test_a_save_asks_as_little_of_a_large_library_as_of_a_small_one(labels):
    """100,000 tags once made every later save take six seconds: they were read to be replaced."""
    asked: list[str] = []

    def statements() -> int:
        asked.clear()
        save(labels, vector=9999, name=f"again {len(asked)}", tags=["a", "b"])
        return len(asked)

    save(labels, vector=9999, name="first", tags=["a"])
    with labels._database.read() as session:
        engine = session.get_bind()
    event.listen(engine, "before_cursor_execute", lambda *given: asked.append(given[2]))
    few = statements()
    for vector in range(100):
        save(labels, vector=vector, tags=[f"{vector} {n}" for n in range(20)])
    many = statements()
    assert many <= few


def test_a_label_that_was_changed_meanwhile_is_not_overwritten(labels):
    empty = labels.get("first", "h1", 1)
    theirs = save(labels, 1, name="theirs", tags=["a"], author="ann")
    with pytest.raises(LabelChanged, match="^label: it was changed meanwhile: it says “theirs” now") as caught:
        save(labels, 1, name="mine", seen=empty)
    assert (caught.value.stored.name, caught.value.stored.author) == ("theirs", "ann")
    assert caught.value.stored.updated == theirs.updated
    assert labels.get("first", "h1", 1) == theirs and len(labels.history("h1", 1)) == 1
    assert save(labels, 1, name="mine", seen=theirs).name == "mine"
    save(labels, 1, author="ann")
    with pytest.raises(LabelChanged, match="it has been removed"):
        save(labels, 1, name="mine again", seen=theirs)


def test_what_both_say_is_no_clash(labels):
    empty = labels.get("first", "h1", 1)
    save(labels, 1, name="same", tags=["a"])
    assert save(labels, 1, name=" same", tags=["A"], seen=empty).name == "same"
    save(labels, 1, name="other")
    save(labels, 1, name="same", tags=["a"])
    assert save(labels, 1, name="new", seen=Label(bank="b", bank_hash="h1", vector=1, name="same", tags=("a",))).name


def test_of_threads_that_saw_the_same_label_one_wins_and_the_others_are_told(labels):
    barrier, kept, told = threading.Barrier(4), [], []
    empty = labels.get("first", "h1", 1)

    def work(number):
        barrier.wait()
        try:
            kept.append(save(labels, 1, name=f"by {number}", seen=empty).name)
        except LabelChanged as changed:
            told.append(changed.stored.name)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(kept) == 1 and told == kept * 3 and labels.get("first", "h1", 1).name == kept[0]


def test_an_export_says_what_each_label_is_about(labels, tmp_path):
    save(labels, 0, name="=cmd()", tags=["b", "a"])
    save(labels, 1, name="of a bank that is gone")
    text = Completion(
        bank="first", bank_hash="h1", vector=0, radius=8.5, source=7, text="+two", tokens=2, finished=True,
        prompt=PromptRecord(user="=1+1", system="Be kind."), model="tiny", model_hash="m", max_new_tokens=4,
        temperature=0, top_p=1, seed=0, created=datetime.now(UTC),
    )  # fmt: skip
    grounds = {("h1", 0): Grounds(9.0, "tiny", text), ("h1", 1): Grounds(None, "", None)}
    rows = list(csv.DictReader(write(labels, tmp_path / "l.csv", grounds=grounds).open(encoding="utf-8-sig")))
    about = {"tags": "a, b", "R": "9.0", "model": "tiny", "prompt": "'=1+1", "system": "Be kind.", "text": "'+two"}
    assert {name: rows[0][name] for name in ABOUT} == about | {"text_R": "8.5", "readings": ""}
    assert [rows[1][name] for name in ABOUT] == [""] * 8
    lines = [json.loads(line) for line in write(labels, tmp_path / "l.jsonl", grounds=grounds).read_text().splitlines()]
    assert lines[0]["prompt"] == "=1+1" and lines[0]["R"] == 9 and lines[0]["tags"] == ["a", "b"]
    assert lines[1]["text"] is None and lines[1]["model"] is None
