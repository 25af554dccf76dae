"""Several annotators: each is blind to the others until both have saved, and what they disagree about is settled."""

import csv
import json
import threading
from datetime import UTC, datetime

import benches
import numpy as np
import pytest
from benches import shelved

from melbo_app.analysis.alpha import masi, of_ratings
from melbo_app.cli import main
from melbo_app.errors import InputError
from melbo_app.library.annotators import check_annotator, known_as
from melbo_app.library.label import Label, LabelChanged, LabelVersion
from melbo_app.studies.disagreements import disagreements
from melbo_app.studies.label_agreement import blind
from melbo_app.workbench import Workbench


@pytest.fixture
def shelf(bench):
    shelved(bench)
    return bench


def say(bench, vector, annotator="", **label):
    return bench.save_label("a", vector, annotator=annotator, **({"name": f"by {annotator}"} | label))


def names(labels):
    return {vector: label.name for vector, label in labels.items()}


def test_each_sees_their_own_label_until_both_have_saved_one(shelf):
    say(shelf, 0, "Ada", tags=["warm"], rating=4)
    assert shelf.own_label("a", 0, "Bea") == Label(bank="a", bank_hash=shelf.bank("a").hash, vector=0)
    for seen_by in ("Bea", ""):
        assert shelf.bank_labels("a", seen_by=seen_by) == {} and shelf.labels(seen_by=seen_by) == []
        assert shelf.label("a", 0, seen_by=seen_by).name == "" and shelf.search("Ada", seen_by=seen_by).labels == []
        assert shelf.given_labels("a", 0, seen_by) == [] and shelf.label_changes("a", 0, seen_by) == []
    assert shelf.given_labels("a", 0, "Ada") == []  # nobody else has saved one
    say(shelf, 0, "Bea")
    for who in ("Ada", "Bea"):
        assert [(one.annotator, one.name) for one in shelf.given_labels("a", 0, who)] == [
            ("Ada", "by Ada"), ("Bea", "by Bea"),
        ]  # fmt: skip
        assert names(shelf.bank_labels("a", seen_by=who)) == {0: f"by {who}"}  # the list says one's own
        assert len(shelf.label_changes("a", 0, who)) == 2
    assert shelf.given_labels("a", 0, "Cleo") == [] and len(shelf.given_labels("a", 0, "Cleo", settling=True)) == 2


def test_without_names_everything_is_as_before(shelf):
    say(shelf, 0, name="old")
    say(shelf, 0, name="new", tags=["t"])
    assert names(shelf.bank_labels("a")) == names(shelf.bank_labels("a", seen_by="")) == {0: "new"}
    assert shelf.label("a", 0) == shelf.own_label("a", 0, "") and shelf.given_labels("a", 0, "") == []
    assert [one.name for one in shelf.label_changes("a", 0, "")] == ["new", "old"]


def test_the_label_that_counts_is_the_settled_one_else_the_last(shelf):
    say(shelf, 0, name="without a name")
    say(shelf, 0, "Ada")
    assert shelf.label("a", 0).name == "by Ada" and len(shelf.labels()) == 1
    say(shelf, 0, "Bea")
    assert shelf.label("a", 0).name == "by Bea"
    shelf.settle_label("a", 0, name="decided", tags=["x"], annotator="Cleo")
    say(shelf, 0, "Ada", name="Ada again")
    assert shelf.label("a", 0).name == "decided" and shelf.tags() == ["x"]
    assert names(shelf.bank_labels("a", seen_by="Dan")) == {0: "decided"}
    assert shelf.own_label("a", 0, "Ada").name == "Ada again"
    assert [(one.settled, one.annotator) for one in shelf.given_labels("a", 0, "Ada")] == [
        (True, ""), (False, ""), (False, "Ada"), (False, "Bea"),
    ]  # fmt: skip
    assert [(one.annotator, one.settled) for one in shelf.label_history("a", 0)][:2] == [("Ada", False), ("Cleo", True)]
    shelf.settle_label("a", 0)  # it is open again
    assert shelf.label("a", 0).name == "Ada again"
    say(shelf, 0, "Ada", name="")
    assert shelf.label("a", 0).name == "by Bea"  # the last one that is left
    with pytest.raises(InputError, match="^label: nobody has labelled vector 1. Label it first"):
        shelf.settle_label("a", 1, name="x")


def test_a_stale_save_is_refused_for_the_same_annotator_only(shelf):
    empty = shelf.own_label("a", 0, "Ada")
    say(shelf, 0, "Bea", seen=empty)
    say(shelf, 0, "Ada", seen=empty)  # Bea's is no reason to refuse
    with pytest.raises(LabelChanged, match="it says “by Ada” now") as caught:
        say(shelf, 0, "Ada", name="from another window", seen=empty)
    assert caught.value.stored.annotator == "Ada"
    unsettled = shelf.settled_label("a", 0)
    shelf.settle_label("a", 0, name="decided", annotator="Ada", seen=unsettled)
    with pytest.raises(LabelChanged, match="it says “decided” now") as caught:
        shelf.settle_label("a", 0, name="otherwise", annotator="Bea", seen=unsettled)
    assert (caught.value.stored.settled, caught.value.stored.annotator) == (True, "Ada")


def test_annotators_who_save_at_once_all_keep_their_labels(shelf):
    people, barrier, failures = [f"person {number}" for number in range(4)], threading.Barrier(4), []

    def work(who):
        barrier.wait()
        try:
            for vector in range(3):
                say(shelf, vector, who, tags=[who])
        except Exception as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(who,)) for who in people]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    given = shelf.bench.labels.said(shelf.bank("a").hash)
    assert [(one.vector, one.annotator, one.tags) for one in given] == [
        (vector, who, (who,)) for vector in range(3) for who in people
    ]
    assert len(shelf.labels()) == 3  # of each vector one counts


def version(vector, annotator, minute, *, rating=None, tags=(), settled=False, name="n"):
    return LabelVersion(
        bank="a", bank_hash="h", vector=vector, annotator=annotator, rating=rating, tags=tags, settled=settled,
        name=name, updated=datetime(2026, 11, 1, 12, minute, tzinfo=UTC),
    )  # fmt: skip


def test_agreement_goes_by_what_each_said_before_seeing_the_others():
    said = [
        version(0, "Ada", 1, rating=1), version(0, "Ada", 2, rating=2), version(0, "Bea", 3, rating=5),
        version(0, "Ada", 4, rating=5),  # persuaded
        version(0, "Cleo", 5, rating=4), version(0, "Cleo", 6, rating=5), version(0, "Dan", 7, rating=1, settled=True),
        version(1, "Ada", 8, rating=3), version(1, "Ada", 9, rating=2),  # alone: nobody to be persuaded by
        version(2, "Ada", 1, rating=3), version(2, "Ada", 2, name=""), version(2, "Bea", 3, rating=1),
    ]  # fmt: skip
    found = {vector: {who: one.rating for who, one in labels.items()} for vector, labels in blind(said).items()}
    assert found == {0: {"Ada": 2, "Bea": 5, "Cleo": 4}, 1: {"Ada": 2}, 2: {"Bea": 1}}


def test_disagreements_are_ratings_two_apart_and_other_tags_but_not_other_names():
    labels = [
        version(0, "Ada", 1, rating=3, tags=("a",), name="1"), version(0, "Bea", 2, rating=4, tags=("a",), name="2"),
        version(1, "Ada", 1, rating=2), version(1, "Bea", 2, rating=4),
        version(2, "Ada", 1, tags=("a", "b")), version(2, "Bea", 2, tags=("a",)),
        version(3, "Ada", 1, rating=1), version(3, "Bea", 2, rating=5), version(3, "", 3, settled=True),
        version(4, "Ada", 1, tags=("a",)), version(4, "Bea", 2, tags=("b",)), version(4, "", 2, rating=3),
        version(5, "Ada", 1, rating=5, tags=("z",)),
    ]  # fmt: skip
    assert [(one.vector, one.sentence) for one in disagreements(labels)] == [
        (4, "not all gave the tags a, b"), (2, "not all gave the tags b"), (1, "ratings 2 and 4"),
    ]  # fmt: skip
    assert disagreements(labels)[1].distance == pytest.approx(masi([frozenset("ab"), frozenset("a")])[0, 1])


def test_labels_agreement_says_the_same_at_every_door(shelf, capsys, monkeypatch):
    numbers = np.random.default_rng(2)
    ratings = numbers.integers(1, 6, (3, 2))
    for vector, (ada, bea) in enumerate(ratings.tolist()):
        say(shelf, vector, "Ada", rating=ada, tags=["a"])
        say(shelf, vector, "Bea", rating=bea, tags=["a", "b"][: 1 + vector % 2])
    for name, value in (("CACHE_DIR", shelf.settings.cache_dir), ("MODEL", shelf.settings.model)):
        monkeypatch.setenv(f"MELBO_{name}", str(value))
    with pytest.raises(SystemExit) as ended:
        main(["labels", "agreement", "a", "--json"])
    assert not ended.value.code
    told = json.loads(capsys.readouterr().out)
    expected = of_ratings(ratings.tolist())
    assert told["ratings"] == vars(expected) | {"interval": expected.interval and [*expected.interval]}
    assert told["annotators"] == [{"name": who, "labelled": 3, "rated": 3} for who in ("Ada", "Bea")]
    assert {one["vector"] for one in told["disagreements"]} >= {1} and told["settled"] == 0
    from melbo_app import api

    found = api.agreement("a")
    assert vars(found.ratings) == vars(expected) and found.tags.vectors == 3
    with pytest.raises(SystemExit):
        main(["labels", "agreement", "a"])
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "Ada: 3 labelled, 3 rated" and any(line.startswith("tags: alpha") for line in lines)


def test_alone_there_is_no_agreement_and_a_sentence_says_why(shelf):
    say(shelf, 0, "Ada", rating=3)
    found = shelf.label_agreement("a")
    assert found.ratings.alpha is None and found.ratings.why_not == "no vector was rated by two people"
    assert found.disagreements == [] and shelf.labellers("a") == {"Ada": 1}


def test_an_export_of_every_annotator_says_whose_each_label_is(shelf, tmp_path):
    say(shelf, 0, name="nobody’s")
    say(shelf, 0, "Ada", tags=["t"])
    shelf.settle_label("a", 0, name="decided", annotator="Ada")
    plain = list(csv.DictReader(shelf.export_labels(tmp_path / "l.csv").open(encoding="utf-8-sig")))
    assert [row["name"] for row in plain] == ["decided"] and not {"annotator", "settled"} & plain[0].keys()
    rows = list(csv.DictReader(shelf.export_labels(tmp_path / "e.csv", each=True).open(encoding="utf-8-sig")))
    assert [(row["name"], row["annotator"], row["settled"]) for row in rows] == [
        ("decided", "", "1"), ("nobody’s", "", "0"), ("by Ada", "Ada", "0"),
    ]  # fmt: skip
    assert [row["R"] for row in rows] == [rows[0]["R"]] * 3 != [""] * 3
    lines = shelf.export_labels(tmp_path / "e.jsonl", each=True).read_text("utf-8").splitlines()
    assert json.loads(lines[2])["annotator"] == "Ada" and json.loads(lines[0])["settled"] is True


def test_two_libraries_become_one_with_the_labels_of_both(shelf, tmp_path, model_folder):
    other = Workbench(benches.settings(tmp_path / "other", model_folder))
    say(shelf, 0, "Ada", rating=1)
    other.import_bundle(_bundle(shelf, tmp_path / "1.zip"))
    say(other, 0, "Bea", rating=5)
    other.settle_label("a", 0, name="decided", annotator="Bea")
    merged = shelf.import_bundle(_bundle(other, tmp_path / "2.zip"))
    assert merged.differing == [] and merged.labels == 2
    for bench in (shelf, other):
        assert [one.name for one in bench.given_labels("a", 0, "Ada")] == ["decided", "by Ada", "by Bea"]
        assert bench.label("a", 0).name == "decided"
    assert shelf.import_bundle(tmp_path / "2.zip").labels == 0
    say(shelf, 0, "Ada", name="mine")
    say(other, 0, "Ada", name="my other one")
    merged = shelf.import_bundle(_bundle(other, tmp_path / "3.zip"))
    assert merged.differing == [("a", 0)] and shelf.own_label("a", 0, "Ada").name == "my other one"


def _bundle(bench, path):
    bench.export_bundle(path)
    return path


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("A" * 81, "your name: it is 81 characters long. At most 80 fit."),
        ("A" * 10_000, "your name: it is 10,000 characters long. At most 80 fit."),
        ("Ada\u202e", "your name: “Ada\ufffd” has a character that cannot be seen (U+202E). Write it with letters"),
        ("A\u200bda", "your name: “A\ufffdda” has a character that cannot be seen (U+200B)"),
        ("Ada\x07", "your name: “Ada\ufffd” has a character that cannot be seen (U+0007)"),
        ("\x00", "your name: “\ufffd” has a character that cannot be seen (U+0000)"),
    ],
)
def test_a_name_that_could_pass_for_another_is_refused_everywhere(shelf, name, sentence):
    for use in (
        lambda: check_annotator(name),
        lambda: say(shelf, 0, name),
        lambda: shelf.annotator_name(name),
        lambda: shelf.save_guidelines("text", name, 0),
        lambda: shelf.next_pair("a", "baseline", name),
    ):
        with pytest.raises(InputError) as caught:
            use()
        assert str(caught.value).startswith(sentence)
    assert shelf.labels() == [] and shelf.guidelines().text == ""


def test_a_name_is_one_person_in_whatever_letters(shelf):
    assert check_annotator("  Ada \n Lovelace ") == "Ada Lovelace" and check_annotator("A\u0308nne") == "Änne"
    assert check_annotator("محمد") == "محمد" and check_annotator("") == ""
    say(shelf, 0, "Ada")
    assert shelf.annotator_name("ADA") == "Ada" and shelf.annotator_name("Adam") == "Adam"
    assert known_as("ada", ["Ada", "ada"]) == "ada"


def test_guidelines_are_kept_with_every_version_and_not_overwritten(shelf):
    assert shelf.guidelines().text == "" and shelf.guidelines().updated is None
    first = shelf.save_guidelines("# Tags\n\nwarm: kind\0", "Ada", 0)
    assert (first.text, first.author) == ("# Tags\n\nwarm: kind", "Ada")
    assert shelf.save_guidelines(first.text, "Bea", 0) == first  # the same again is no new version
    second = shelf.save_guidelines("other", "Bea", first.id)
    with pytest.raises(InputError, match="^guidelines: they were changed meanwhile by Bea"):
        shelf.save_guidelines("mine", "Ada", first.id)
    assert shelf.guidelines() == second and [one.text for one in shelf.guidelines_history()] == ["other", first.text]
    with pytest.raises(InputError, match="^guidelines: they are 50,001 characters long. At most 50,000 fit"):
        shelf.save_guidelines("x" * 50_001, "", second.id)
