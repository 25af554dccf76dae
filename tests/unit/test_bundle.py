"""Bundles: a library in one file, merged into another without losing what either side said."""

import contextlib
import io
import json
import os
import zipfile
from datetime import UTC, datetime

import benches
import pytest
from benches import PROMPT, shelved, trained
from hypothesis import given
from hypothesis import strategies as st

from melbo_app.engine.decoding import Decoding
from melbo_app.engine.stopping import never
from melbo_app.engine.training_config import TrainingConfig
from melbo_app.errors import InputError, StorageError
from melbo_app.jobs.batching import Batching
from melbo_app.jobs.generators import result_of
from melbo_app.library.bank import PromptRecord
from melbo_app.library.preferences import Preference
from melbo_app.studies.label_trial import Trial
from melbo_app.studies.steer import Steer
from melbo_app.workbench import Workbench

SHORT = Decoding(max_new_tokens=4)


@pytest.fixture
def other(tmp_path, model_folder):
    """Somebody else's workbench, with the same model and an empty cache."""
    return Workbench(benches.settings(tmp_path / "other", model_folder))


def filled(bench):
    """With a bank, two comparisons (a map among them), and a label that was changed once."""
    shelved(bench)
    result_of(
        bench.run(Steer(bank="a", prompts=[PROMPT], vectors=[0, 1], radii=[6.0], decoding=SHORT, random_control=True))
    )
    study = Steer(bank="a", prompts=[PROMPT], vectors=[2], radii=[3.0, 6.0], decoding=SHORT)
    result_of(study.completed(bench.bench, never, "map"))
    bench.save_label("a", 0, name="first thought", tags=["maybe"], author="ada")
    bench.save_label("a", 0, name="greets", tags=["tone", "warm"], rating=4, note="often", author="ada")
    bench.save_label("a", 1, name="shouts")
    return bench


@pytest.fixture
def full(bench):
    return filled(bench)


@pytest.fixture(scope="module")
def sent(tmp_path_factory, model_folder):
    """The bundle of such a library, as bytes."""
    folder = tmp_path_factory.mktemp("sent")
    filled(Workbench(benches.settings(folder / "cache", model_folder))).export_bundle(folder / "all.zip")
    return (folder / "all.zip").read_bytes()


@pytest.fixture
def stranger(sent, tmp_path):
    """That bundle alone."""
    path = tmp_path / "all.zip"
    path.write_bytes(sent)
    return path


@pytest.fixture
def bundle(full, tmp_path):
    path = tmp_path / "all.zip"
    made = full.export_bundle(path)
    assert (made.banks, made.labels, made.comparisons) == (1, 2, 2)
    return path


def test_everything_is_there_again_in_an_empty_library(full, bundle, other):
    merged = other.import_bundle(bundle)
    assert (merged.banks, merged.renamed, merged.differing) == (["a"], {}, [])
    assert (merged.labels, merged.comparisons, merged.completions) == (3, 2, 7)
    assert other.bank("a").hash == full.bank("a").hash
    assert other.bank("a").record == full.bank("a").record
    assert other.labels() == full.labels()
    assert other.label_history("a", 0) == full.label_history("a", 0)
    for kind in ("steer", "map"):
        [mine], [theirs] = full.comparisons(kind), other.comparisons(kind)
        assert (theirs.created, theirs.settings, theirs.bank) == (mine.created, mine.settings, mine.bank)
        texts = [
            [one.model_copy(update={"id": None}) for one in bench.comparison(line.id).completions]
            for bench, line in ((full, mine), (other, theirs))
        ]
        assert texts[0] == texts[1]


def test_its_texts_are_looked_up_and_not_generated_again(stranger, other, monkeypatch):
    other.import_bundle(stranger)
    monkeypatch.setattr(Batching, "generate", lambda *_: pytest.fail("generated again"))
    again = result_of(
        other.run(Steer(bank="a", prompts=[PROMPT], vectors=[0, 1], radii=[6.0], decoding=SHORT, random_control=True))
    )
    assert len(again.completions) == 4


def test_nothing_comes_twice(bundle, other, full):
    other.import_bundle(bundle)
    for bench in (other, full):
        before = (len(bench.banks()), bench.labels(), bench.label_history("a", 0), len(bench.comparisons()))
        again = bench.import_bundle(bundle)
        assert (again.banks, again.labels, again.comparisons, again.completions) == ([], 0, 0, 0)
        assert (len(bench.banks()), bench.labels(), bench.label_history("a", 0), len(bench.comparisons())) == before


def test_of_two_labels_the_newer_counts_and_the_other_is_in_the_history(full, bundle, other, tmp_path):
    other.import_bundle(bundle)
    other.save_label("a", 0, name="hers", note="later", author="bea")
    full.save_label("a", 1, name="his", author="ada")
    other.save_label("a", 1, name="hers, later still", author="bea")
    for sender, receiver, name in ((full, other, "1.zip"), (other, full, "2.zip")):
        sender.export_bundle(tmp_path / name)
        merged = receiver.import_bundle(tmp_path / name)
        assert ("a", 1) in merged.differing
    for bench in (full, other):
        assert [bench.label("a", vector).name for vector in (0, 1)] == ["hers", "hers, later still"]
        for vector, names in ((0, {"first thought", "greets", "hers"}), (1, {"shouts", "his", "hers, later still"})):
            history = bench.label_history("a", vector)
            assert {version.name for version in history} == names
            assert history[0].name == bench.label("a", vector).name


def test_a_label_survives_that_the_other_side_removed(full, bundle, other):
    other.import_bundle(bundle)
    other.save_label("a", 0)
    assert other.label("a", 0).name == ""
    other.import_bundle(bundle)  # its versions are known
    assert other.label("a", 0).name == ""
    full.save_label("a", 0, name="kept in use")
    full.export_bundle(bundle, overwrite=True)
    other.save_label("a", 0, name="x")
    other.save_label("a", 0)
    other.import_bundle(bundle)
    assert other.label("a", 0).name == "kept in use"


def test_a_bank_whose_name_is_taken_comes_under_another_one(full, bundle, other):
    own = trained(other, config=TrainingConfig(source=1, target=3, radius=5.0, vectors=2, steps=2))
    other.save_label("a", 0, name="own")
    merged = other.import_bundle(bundle)
    assert merged.renamed == {"a": "a-2"}
    assert (other.bank("a").hash, other.bank("a-2").hash) == (own.hash, full.bank("a").hash)
    assert other.label("a", 0).name == "own" and other.label("a-2", 0).name == "greets"
    [steered] = other.comparisons("steer")
    assert {one.bank for one in other.comparison(steered.id).completions} == {None, "a-2"}


def test_only_what_belongs_to_the_chosen_banks_goes_in(full, tmp_path, other):
    trained(full, "b", TrainingConfig(source=1, target=3, radius=5.0, vectors=2, steps=2))
    full.save_label("b", 1, name="of b")
    result_of(full.run(Steer(bank="b", prompts=[PROMPT], vectors=[0], radii=[5.0], decoding=SHORT)))
    made = full.export_bundle(tmp_path / "b.zip", ["b"])
    assert (made.banks, made.labels, made.comparisons) == (1, 1, 1)
    other.import_bundle(tmp_path / "b.zip")
    assert [line.name for line in other.banks()] == ["b"] and [label.name for label in other.labels()] == ["of b"]


def test_what_cannot_be_written_is_said(full, bundle, tmp_path, monkeypatch):
    with pytest.raises(InputError, match=r"must end in \.zip"):
        full.export_bundle(tmp_path / "all.tar")
    with pytest.raises(InputError, match="already exists"):
        full.export_bundle(bundle)
    with pytest.raises(InputError, match="no bank called “nobody”"):
        full.export_bundle(tmp_path / "none.zip", ["nobody"])

    def refuse(*args):
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr(os, "fsync", refuse)
    before = sorted(tmp_path.iterdir())
    with pytest.raises(StorageError, match="No space left.*free on this disk. Make room and try again"):
        full.export_bundle(tmp_path / "full.zip")
    assert sorted(tmp_path.iterdir()) == before


def rewritten(path, change):
    """The bundle with its files changed by ``change``, {name: bytes} to the same."""
    with zipfile.ZipFile(path) as archive:
        files = change({entry.filename: archive.read(entry) for entry in archive.infolist()})
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return path


def compressed(path):
    with zipfile.ZipFile(path) as archive:
        files = {entry.filename: archive.read(entry) for entry in archive.infolist()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)


def changed_line(name, field, value):
    def change(files):
        line = json.loads(files[name].splitlines()[0])
        return files | {name: json.dumps(line | {field: value}).encode()}

    return lambda path: rewritten(path, change)


def test_lines_that_an_editor_saved_with_a_byte_order_mark_are_read(bundle, other):
    marked = ("labels.jsonl", "comparisons.jsonl", "bundle.json")
    rewritten(bundle, lambda files: files | {name: b"\xef\xbb\xbf" + files[name] for name in marked})
    told = other.import_bundle(bundle)
    assert (len(told.banks), told.labels, told.comparisons) == (1, 3, 2)


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (lambda path: path.write_bytes(b""), "is damaged or not a zip file"),
        (lambda path: path.write_bytes(path.read_bytes()[:-40]), "is damaged or not a zip file"),
        (lambda path: path.unlink(), "there is no file"),
        (lambda path: rewritten(path, lambda files: {"x": b"y"}), "is not a bundle. Choose a .zip file that MELBO"),
        (lambda path: rewritten(path, lambda files: files | {"bundle.json": b"["}), "is not a bundle"),
        (
            lambda path: rewritten(path, lambda f: f | {"bundle.json": f["bundle.json"].replace(b": 1,", b": 9,")}),
            "made by another version",
        ),
        (
            lambda path: rewritten(path, lambda f: f | {"banks/a.safetensors": b"\1" * 90}),
            "its bank “a” cannot be read",
        ),
        (
            lambda path: rewritten(path, lambda f: f | {"labels.jsonl": b"{}\n"}),
            r"label 1 of “all.zip” cannot be read \(bank: field required\). Nothing was merged",
        ),
        (
            changed_line("labels.jsonl", "rating", 9),
            r"label 1 of “all.zip” cannot be read \(rating: input should be less than or equal to 5",
        ),
        (
            changed_line("comparisons.jsonl", "completions", []),
            r"comparison 1 of “all.zip” cannot be read \(completions: ",
        ),
        (compressed, "its files are compressed"),
    ],
)
def test_what_is_no_bundle_is_refused_and_nothing_is_kept(stranger, other, spoil, told):
    spoil(stranger)
    with pytest.raises(InputError, match=told):
        other.import_bundle(stranger)
    assert (other.labels(), other.comparisons()) == ([], [])


def relabelled(path, change):
    """The bundle with ``change`` applied to each of its labels."""

    def changed(files):
        lines = [change(json.loads(line)) for line in files["labels.jsonl"].splitlines()]
        return files | {"labels.jsonl": "".join(json.dumps(line) + "\n" for line in lines).encode()}

    return rewritten(path, changed)


def test_labels_of_vectors_that_are_not_there_are_refused_before_anything_is_kept(stranger, other):
    relabelled(stranger, lambda line: line | {"vector": line["vector"] + 7})
    sentence = "bundle: 2 labels of “a” are of vectors that it does not have: it has 3. Nothing was merged; export the"
    with pytest.raises(InputError, match=f"^{sentence}"):
        other.import_bundle(stranger)
    assert (other.banks(), other.labels(), other.comparisons()) == ([], [], [])


def test_labels_of_a_bank_that_is_not_there_wait_for_it_and_that_is_said(stranger, other):
    relabelled(stranger, lambda line: line | {"bank_hash": "e" * 64, "bank": "gone"})
    merged = other.import_bundle(stranger)
    assert merged.waiting == {"gone": 2} and merged.banks == ["a"]
    assert merged.lines()[-1] == "2 labels of “gone” wait: no bank here has its vectors"
    assert {label.bank for label in other.labels()} == {"gone"} and other.bank_labels("a") == {}


def test_files_that_overlap_are_refused_before_they_are_read(bundle, other):
    """A zip bomb without compression: many names for the same bytes."""
    data = bundle.read_bytes()
    with zipfile.ZipFile(bundle) as archive:
        largest = max(archive.infolist(), key=lambda entry: entry.file_size)
        entries, start = archive.infolist(), archive.start_dir
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        stream.write(data[:start])
        archive.start_dir = start
        archive.filelist = [*entries, *[largest] * 50]
        archive._didModify = True
    bundle.write_bytes(stream.getvalue())
    with pytest.raises(InputError, match="its files claim to be larger"):
        other.import_bundle(bundle)


@given(place=st.floats(0, 1), junk=st.binary(min_size=1, max_size=12))
def test_a_damaged_bundle_is_a_sentence_and_never_a_crash(tmp_path_factory, whole_bundle, place, junk):
    bench, data = whole_bundle
    at = int(place * (len(data) - len(junk)))
    path = tmp_path_factory.mktemp("damaged") / "x.zip"
    path.write_bytes(data[:at] + junk + data[at + len(junk) :])
    with contextlib.suppress(InputError):
        bench.import_bundle(path)
    assert bench.label("a", 0).name == "greets"


@pytest.fixture(scope="module")
def whole_bundle(tmp_path_factory, model_folder):
    folder = tmp_path_factory.mktemp("whole")
    bench = Workbench(benches.settings(folder / "cache", model_folder))
    shelved(bench)
    result_of(bench.run(Steer(bank="a", prompts=[PROMPT], vectors=[0], radii=[6.0], decoding=SHORT)))
    bench.save_label("a", 0, name="greets")
    bench.export_bundle(folder / "x.zip")
    return bench, (folder / "x.zip").read_bytes()


def test_preferences_go_along_and_of_two_by_one_person_the_later_counts(full, other, tmp_path):
    said = full.bank("a")

    def prefer(bench, who, choice, minute):
        text = {"prompt": PromptRecord(user="hello there"), "text": "A", "other": "B", "radius": 6.0}
        made = datetime(2026, 11, 1, 12, minute, tzinfo=UTC)
        one = Preference(vector=0, against="baseline", choice=choice, who=who, created=made, **text)
        bench.bench.preferences.add(said.record.model_hash, said.hash, one)

    prefer(full, "Ada", "vector", 1)
    prefer(full, "Bea", "other", 2)
    assert full.export_bundle(tmp_path / "1.zip").preferences == 2
    assert other.import_bundle(tmp_path / "1.zip").preferences == 2
    assert other.import_bundle(tmp_path / "1.zip").lines() == ["This library already had everything in it."]
    prefer(other, "Ada", "tie", 5)
    prefer(full, "Bea", "both bad", 0)  # an older one does not take the place of what is there
    full.export_bundle(tmp_path / "2.zip")
    assert other.import_bundle(tmp_path / "2.zip").preferences == 0
    other.export_bundle(tmp_path / "3.zip", ["a"])
    merged = full.import_bundle(tmp_path / "3.zip")
    assert merged.preferences == 2 and merged.lines() == ["New: 0 banks, 0 labels, 0 comparisons, 2 preferences"]
    for bench in (full, other):
        found = bench.bench.preferences.of_bank(said.hash)
        assert [(one.who, one.choice) for one in found] == [("Bea", "other"), ("Ada", "tie")]


def test_readings_of_labels_go_along(full, other, tmp_path):
    said = full.bank("a")
    reading = Trial(
        "a", said.hash, 0, "greets", "Ada", (("hi", True), ("tree", False)), 6.0, PromptRecord(user="hello"), 4
    )  # fmt: skip
    kept = full.keep_reading(reading, [5, 1])
    assert full.export_bundle(tmp_path / "1.zip").readings == 1
    merged = other.import_bundle(tmp_path / "1.zip")
    assert merged.readings == 1 and merged.lines()[0].endswith(", 1 readings")
    assert other.label_readings("a") == (kept,)
    assert other.import_bundle(tmp_path / "1.zip").lines() == ["This library already had everything in it."]
