"""A file of labels comes back as it went, through spreadsheets too; what is wrong with it is named, nothing is kept."""

import codecs
import csv
import io
import itertools
import json
from datetime import UTC, datetime, timedelta

import pytest
from benches import shelved
from hypothesis import given, settings
from hypothesis import strategies as st

from melbo_app.cli import main
from melbo_app.errors import InputError
from melbo_app.library.database import Database
from melbo_app.library.label_file import write_labels
from melbo_app.library.label_import import LabelsRefused, LabelsWanted, import_labels
from melbo_app.library.label_lines import read_lines
from melbo_app.library.labels import Labels

HASH = "ab" * 32
NUMBERS = itertools.count()
OLD, NEW = datetime(2026, 1, 1, tzinfo=UTC), datetime(2027, 1, 1, tzinfo=UTC)


def library(folder) -> Labels:
    return Labels(Database(folder / f"{next(NUMBERS)}.sqlite"))


def take(labels: Labels, path, **how):
    facts = {"name": path.name, "bank": "b", "bank_hash": HASH, "vectors": 9}
    return import_labels(labels._database, read_lines(path), LabelsWanted(**facts | how))


def every(labels: Labels, digest: str | None = None) -> list[dict]:
    return [one.model_dump(exclude={"author"}) for one in labels.said(digest)]


def as_excel_saves_it(path, *, marked: bool = True, numbers: str = "{}") -> None:
    """With semicolons, as it does where the comma stands in numbers; line breaks in cells stay in quotes."""
    rows = list(csv.reader(io.StringIO(path.read_bytes().decode("utf-8-sig"), newline="")))
    rows = [rows[0], *([numbers.format(cell) if cell.isdigit() else cell for cell in row] for row in rows[1:])]
    stream = io.StringIO(newline="")
    csv.writer(stream, delimiter=";", lineterminator="\r\n").writerows([*rows, [""] * len(rows[0])])
    path.write_bytes(codecs.BOM_UTF8 * marked + stream.getvalue().encode())


SIGNS = ["'", "=", "+1", "-", "@", ";", ",", '"', "\n", "\r\n", "\r", "\u2028", "\x85", "é", "tag:"]
hostile = st.text(st.characters(), max_size=30) | st.lists(st.sampled_from(SIGNS), max_size=8).map("".join)
who = st.sampled_from(["", "Ada", "=Bea", "'+Cleo", "Dé; a"])
said = st.fixed_dictionaries({
    "vector": st.integers(0, 8), "name": hostile, "tags": st.lists(hostile, max_size=4), "note": hostile,
    "rating": st.none() | st.integers(1, 5), "annotator": who, "settled": st.booleans(),
})  # fmt: skip


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    folder = tmp_path_factory.mktemp("import")
    return library(folder), library(folder), folder


@given(st.lists(said, min_size=1, max_size=6), st.sampled_from([".csv", ".jsonl", "excel"]))
@settings(max_examples=60, deadline=None)
def test_whatever_was_said_comes_back_the_same(two, given_labels, ending):
    (here, there, folder), number = two, next(NUMBERS)
    digest, path = f"{number:064x}", folder / f"{number}{'.csv' if ending == 'excel' else ending}"
    for one in given_labels:
        here.save("'=b", digest, **one)
    before = every(here, digest)
    write_labels(path, here.said(digest), {}, each=True)
    if ending == "excel":
        as_excel_saves_it(path)
    how = {"bank": "'=b", "bank_hash": digest, "each": True}
    made = take(there, path, **how)
    assert every(there, digest) == before and made.new == len(before) and not made.left_out
    again = take(there, path, **how)
    assert (again.new, again.changed, again.same) == (0, 0, made.new) and len(there.versions([digest])) == made.new


@pytest.fixture
def labels(tmp_path):
    return library(tmp_path)


def filed(tmp_path, text: str, name: str = "l.csv"):
    path = tmp_path / name
    path.write_text(text, "utf-8", newline="")
    return path


def test_what_spreadsheets_and_people_write_is_read(labels, tmp_path):
    take(labels, filed(tmp_path, "sep=;\r\nvector;rating;tags;settled\r\n3.0;4.0; Warm , warm,cold;0\r\n"))
    take(labels, filed(tmp_path, "vector\tname\n\n5\t'=not a formula\n6\t'quoted'\n"))
    (tmp_path / "utf16.csv").write_bytes("vector\tname\n7\tété\n".encode("utf-16"))
    take(labels, tmp_path / "utf16.csv")
    take(labels, filed(tmp_path, '\ufeff{"vector": 8, "tags": ["a, b"], "rating": null}\n\n', "l.jsonl"))
    assert {at: (one.name, one.tags, one.rating) for at, one in labels.of_bank(HASH).items()} == {
        3: ("", ("cold", "warm"), 4), 5: ("=not a formula", (), None), 6: ("'quoted'", (), None), 7: ("été", (), None),
        8: ("", ("a, b",), None),
    }  # fmt: skip


def test_columns_that_are_left_out_stay_and_lines_that_say_nothing_remove_nothing(labels, tmp_path):
    labels.save("b", HASH, 1, name="old", tags=["t"], rating=2, note="n")
    labels.save("b", HASH, 2, name="stays", tags=[], rating=None, note="")
    made = take(labels, filed(tmp_path, "vector,name,updated\n1,new,2027-01-01\n3,,\n"))
    assert (made.changed, made.nothing) == (1, 1)
    made = take(labels, filed(tmp_path, "vector,name,tags,rating,note\n2,,,,\n"))
    assert made.nothing == 1 and labels.get("b", HASH, 2).name == "stays"
    one = labels.get("b", HASH, 1)
    assert (one.name, one.tags, one.rating, one.note) == ("new", ("t",), 2, "n")
    assert [version.name for version in labels.history(HASH, 1)] == ["new", "old"]
    assert one.updated <= datetime.now(UTC), "a change has today's date"


WRONG = [
    ("vector,name\n9,x", "Line 2, vector: “b” has no vector 9. It has 0 to 8."),
    ("vector,name\n-1,x", "Line 2, vector: “-1” is not a whole number."),
    ("vector,name\n,x", "Line 2, vector: it is empty."),
    ("vector,rating\n1,6", "Line 2, rating: 6 cannot be used. It is a whole number from 1 to 5, or empty."),
    ("vector,rating\n1,2.5", "Line 2, rating: “2.5” is not a whole number."),
    ("vector,tags\n1,\"{}\"".format(",".join(f"t{n}" for n in range(51))), "Line 2, tags: there are 51."),
    ("vector,name\n1,{}".format("x" * 121), "Line 2, name: it is 121 characters long."),
    ("vector,nmae\n1,x", "Line 1, nmae: there is no such column. Choose from bank, bank_hash, vector, name,"),
    ("vector,name\n1,x,y", "Line 2, column 3: there is no such column."),
    ("vector,name\n1,x\n2,y\n1,z", "Line 4, vector: the label for vector 1 is in line 2, too."),
    (f"bank,bank_hash,vector,name\nb,{'cd' * 32},1,x", "Line 2, bank_hash: it is of other vectors than “b” has here."),
    (f"bank,bank_hash,vector,name\nc,{'cd' * 32},1,x", "Line 2, bank_hash: it is of “c”, as are all lines, and not of"),
    ("bank,vector,name\nc,1,x", "Line 2, bank: it is of “c”, as are all lines, and not of “b”."),
    ("vector,name,annotator\n1,x,Bea", "Line 2, annotator: the label is that of “Bea”, and only those of people with"),
    ("vector,name,annotator\n1,x,A\u202e", "Line 2, annotator: “A�” has a character that cannot be seen (U+202E)."),
    ("vector,name,settled\n1,x,1", "Line 2, settled: the label is a settled one, and only those of people without"),
    ("vector,name,settled\n1,x,maybe", "Line 2, settled: “maybe” is neither yes nor no."),
    ("vector,tag:a,tags\n1,1,b", "Line 2, tags: it says “b”, and the columns tag:… say “a”. Change both,"),
    ("vector,updated\n1,yesterday", "Line 2, updated: “yesterday” is not a date and time."),
    ("name\nx", "file: its first line has no column “vector”."),
    ("vector,name,name\n1,x,y", "file: its column “name” is there twice."),
    ('vector,name\n1,x\n2,"x', "file: it breaks off in the line after 2,"),
]  # fmt: skip
LINES = [
    ({"vector": "1"}, "Line 1, vector: “1” is not a whole number."),
    ({"vector": True}, "Line 1, vector: True is not a whole number."),
    ({"vector": 2**70}, "Line 1, vector: there is no vector 1180591620717411303424."),
    ({"vector": 1, "name": 3}, "Line 1, name: 3 is not a text."),
    ({"vector": 1, "tags": "a"}, "Line 1, tags: “a” is not a list of texts."),
    ({"vector": 1, "tags": ["a"], "tag:b": True}, "Line 1, tags: it says “a”, and the columns tag:… say “b”."),
    ({"vector": 1, "tag:b": "yes"}, "Line 1, tag:b: “yes” is neither yes nor no."),
    ({"vector": 1, "updated": 7}, "Line 1, updated: 7 is not a date and time."),
    ({"vector": 1, "nmae": "x"}, "Line 1, nmae: there is no such column."),
    ([1], "Line 1, line: it is not a JSON object."),
]


@pytest.mark.parametrize(("text", "sentence"), [*WRONG, *((json.dumps(line), said) for line, said in LINES)])
def test_what_is_wrong_is_named_by_line_and_column_and_nothing_is_kept(labels, tmp_path, text, sentence):
    path = filed(tmp_path, text, "l.jsonl" if text[0] in "{[" else "l.csv")
    with pytest.raises(InputError) as refused:
        take(labels, path)
    told = refused.value.faults[0] if isinstance(refused.value, LabelsRefused) else str(refused.value)
    assert told.startswith(sentence)
    assert labels.said() == [] and labels.versions() == []


def test_each_fault_has_a_sentence_and_the_right_lines_can_be_taken_alone(labels, tmp_path):
    text = "vector,name,rating\n1,one,7\n2,two,2\n30,three,3\n4,four,x\n2,again,1\n"
    path = filed(tmp_path, text)
    with pytest.raises(
        LabelsRefused, match="^“l.csv”: nothing was imported. Line 2, rating: 7 cannot be used"
    ) as refused:
        take(labels, path)
    assert [one.split(":")[0] for one in refused.value.faults] == [
        "Line 2, rating", "Line 4, vector", "Line 5, rating", "Line 6, vector",
    ]  # fmt: skip
    made = take(labels, path, partly=True)
    assert made.left_out == refused.value.faults and made.new == 1
    assert {at: one.name for at, one in labels.of_bank(HASH).items()} == {2: "two"}
    with pytest.raises(LabelsRefused) as many:
        take(labels, filed(tmp_path, "vector,rating\n" + "\n".join(f"{n},9" for n in range(5000))))
    assert len(many.value.faults) == 21 and many.value.faults[-1] == "4,980 more cannot be taken."


def test_lines_of_other_banks_are_counted_and_left_there(labels, tmp_path):
    text = f"bank,bank_hash,vector,name\nb,{HASH},1,ours\nrenamed,{HASH},2,ours too\nc,{'cd' * 32},1,theirs\n"
    made = take(labels, filed(tmp_path, text))
    assert made.new == 2 and made.elsewhere == ["Of another bank, “c”, by bank_hash: 1, the first in line 4."]
    assert {one.bank for one in labels.said()} == {"b"}


def test_a_newer_label_is_replaced_only_when_asked_for(labels, tmp_path):
    for vector in (1, 2):
        labels.save("b", HASH, vector, name="here", tags=["t"], rating=None, note="")
    later = (datetime.now(UTC) + timedelta(days=1)).isoformat()
    path = filed(
        tmp_path, f"vector,name,updated\n1,there,{OLD.isoformat()}\n2,there,{later}\n3,new,{OLD.isoformat()}\n"
    )
    with pytest.raises(LabelsRefused) as refused:
        take(labels, path)
    [told] = refused.value.faults
    assert told.startswith("Line 2, name: vector 1 says “here” here, since ") and "“there” in the older file" in told
    assert {one.name for one in labels.said()} == {"here"}
    made = take(labels, path, partly=True)
    assert (made.new, made.changed, made.left_out) == (1, 1, [told])
    assert labels.get("b", HASH, 3).updated == OLD and labels.get("b", HASH, 2).updated > OLD
    made = take(labels, path, replace=True)
    assert (made.changed, made.same) == (1, 2)
    assert [one.name for one in labels.history(HASH, 1)] == ["there", "here"]
    with pytest.raises(
        LabelsRefused, match="Line 2, rating: vector 1 says nothing here, since .* 4 in the file, which"
    ):
        take(labels, filed(tmp_path, "vector,rating\n1,4\n"))
    at = labels.get("b", HASH, 1).updated.isoformat()  # edited in a spreadsheet: the same date, other words
    assert take(labels, filed(tmp_path, f"vector,name,updated\n1,edited,{at}\n")).changed == 1


def test_names_of_annotators_are_honoured_where_each_is_wanted(labels, tmp_path):
    text = "vector,name,annotator,settled\n1,hers,Ada,0\n1,his,Bob,0\n1,theirs,,1\n2,hers,Ada,0\n"
    path = filed(tmp_path, text)
    with pytest.raises(LabelsRefused) as refused:
        take(labels, path, annotator="Ada")
    assert [one.split(",")[0] for one in refused.value.faults] == ["Line 3", "Line 4"]
    assert take(labels, path, each=True).new == 4
    found = {(one.vector, one.annotator, one.settled): one.name for one in labels.said()}
    assert found == {(1, "Ada", 0): "hers", (1, "Bob", 0): "his", (1, "", 1): "theirs", (2, "Ada", 0): "hers"}
    assert labels.get("b", HASH, 1).name == "theirs"
    plain = filed(tmp_path, "vector,name\n2,hers\n3,mine\n")  # an export of those that count: nothing new about 2
    made = take(labels, plain, annotator="Cleo")
    assert (made.new, made.same) == (1, 1) and labels.own("b", HASH, 3, "Cleo").name == "mine"


@pytest.mark.parametrize("data", [b"\xff\xfe\x00", b"vector,name\n1,\xe9", b"\x00\x01\x02"])
def test_files_that_are_no_text_are_refused(labels, tmp_path, data):
    (tmp_path / "l.csv").write_bytes(data)
    with pytest.raises(InputError, match="is not text in UTF-8|has no column “vector”"):
        take(labels, tmp_path / "l.csv")


def test_the_command_imports_what_export_wrote(bench, tmp_path, capsys, monkeypatch):
    shelved(bench)
    monkeypatch.setenv("MELBO_CACHE_DIR", str(bench.settings.cache_dir))
    bench.save_label("a", 1, name="=cmd()", tags=["x, y"], rating=4, note="two\nlines", annotator="Ada")
    bench.save_label("a", 1, name="other", annotator="Bea")
    before = every(bench.bench.labels)
    out = bench.export_labels(tmp_path / "l.csv", each=True)

    def command(*words: object) -> str:
        with pytest.raises(SystemExit) as ended:
            main(["labels", "import", "a", str(out), *map(str, words)])
        told = capsys.readouterr()
        return told.out if ended.value.code == 0 else told.err

    assert "Line 2, annotator: the label is that of “Ada”" in command()
    for who in ("Ada", "Bea"):
        bench.save_label("a", 1, annotator=who)
    assert command("--each") == "Labels of “a”: 2 new, 0 changed, 0 the same as before.\n"
    assert every(bench.bench.labels) == before
    assert json.loads(command("--each", "--json"))["same"] == 2
    assert bench.label_history("a", 1)[0].author == bench._account
    assert "there is no file" in main_refused(capsys, "labels", "import", "a", str(tmp_path / "none.csv"))
    assert "cannot be read from “x.xlsx”" in main_refused(capsys, "labels", "import", "a", str(tmp_path / "x.xlsx"))
    assert "there is no bank called “z”" in main_refused(capsys, "labels", "import", "z", str(out))


def main_refused(capsys, *words: str) -> str:
    with pytest.raises(SystemExit) as ended:
        main([*words])
    assert ended.value.code == 2
    return capsys.readouterr().err
