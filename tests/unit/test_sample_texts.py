"""What ships beside a sample: put into the database once, and never over what people said or removed."""

import json
from datetime import UTC, datetime

import benches
import pytest
from benches import PROMPT, trained

from melbo_app.engine.decoding import Decoding
from melbo_app.errors import StorageError
from melbo_app.jobs.generators import result_of
from melbo_app.library.label import LabelVersion
from melbo_app.library.samples import AUTHOR, Sample
from melbo_app.library.tables import ComparisonRow
from melbo_app.studies.steer import Steer
from melbo_app.ui.present import bank_choices, made_on
from melbo_app.workbench import Workbench

SHORT = Decoding(max_new_tokens=3)
MOMENT = datetime(2026, 11, 28, tzinfo=UTC)


@pytest.fixture
def shipped(bench, tmp_path, model_folder):
    """Another workbench with a sample bank, its texts and the labels of two of its three vectors."""
    bank = trained(bench, "shy")
    made = result_of(
        bench.run(
            Steer(bank="shy", prompts=[PROMPT], vectors=[0, 1, 2], radii=[6.0], decoding=SHORT, random_control=True)
        )
    )
    [kept] = bench.bench.completions.kept()
    said = [
        LabelVersion(
            bank="shy", bank_hash=bank.hash, vector=vector, name=f"says {vector}", tags=("sample",), rating=3,
            updated=MOMENT, author=AUTHOR,
        )
        for vector in (0, 2)
    ]  # fmt: skip
    marked = kept.model_copy(update={"settings": {**kept.settings, "kind": "sample"}})
    other = Workbench(benches.settings(tmp_path / "other", model_folder))
    folder = other.settings.assets_dir / "banks"
    folder.mkdir(parents=True)
    (folder / "shy.safetensors").write_bytes(bank.to_bytes())
    sample = Sample(bank_hash=bank.hash, comparison=marked, labels=tuple(said))
    (folder / "shy.json").write_text(sample.model_dump_json())
    assert len(made.completions) == 5
    return other


def texts_of(bench, name="shy"):
    found = bench.sample_comparison(name)
    return None if found is None else [(one.vector, one.radius, one.text) for one in found.completions]


def test_texts_and_labels_are_put_in_once(shipped, bench):
    assert shipped.sample_comparison("shy") is None
    assert shipped.put_in_samples() == ["shy"]
    [own] = bench.comparisons()
    assert texts_of(shipped) == [(one.vector, one.radius, one.text) for one in bench.comparison(own.id).completions]
    assert {vector: label.name for vector, label in shipped.bank_labels("shy").items()} == {0: "says 0", 2: "says 2"}
    assert shipped.label_history("shy", 0)[0].author == AUTHOR
    assert shipped.put_in_samples() == []
    assert len(shipped.comparisons("sample")) == 1 and len(shipped.label_history("shy", 0)) == 1


def test_they_are_not_among_what_was_done_here(shipped):
    shipped.put_in_samples()
    assert shipped.comparisons() == []


def test_steering_with_the_same_settings_takes_the_texts_that_shipped(shipped):
    shipped.put_in_samples()
    found = shipped.sample_comparison("shy").completions
    asked = result_of(
        shipped.run(
            Steer(bank="shy", prompts=[PROMPT], vectors=[0, 1, 2], radii=[6.0], decoding=SHORT, random_control=True)
        )
    ).completions
    assert [one.created for one in asked] == [one.created for one in found]


def test_what_a_person_said_before_or_afterwards_stays(shipped):
    shipped.save_label("shy", 2, name="mine", author="ada")
    shipped.put_in_samples()
    shipped.save_label("shy", 0, name="changed", author="ada")
    shipped.put_in_samples()
    assert {vector: label.name for vector, label in shipped.bank_labels("shy").items()} == {0: "changed", 2: "mine"}
    assert [version.author for version in shipped.label_history("shy", 2)] == ["ada"]


def test_what_was_removed_does_not_come_back(shipped):
    shipped.put_in_samples()
    for vector in (0, 2):
        shipped.save_label("shy", vector, name="")
    with shipped.bench.database.write() as session:
        for row in session.query(ComparisonRow):
            session.delete(row)
    assert shipped.put_in_samples() == []
    assert shipped.bank_labels("shy") == {} and shipped.sample_comparison("shy") is None


def test_pruning_leaves_them_and_nothing_is_wrong_with_the_library(shipped):
    shipped.put_in_samples()
    for number in range(3):
        result_of(shipped.run(Steer(bank="shy", prompts=[PROMPT], vectors=[1], radii=[4.0 + number], decoding=SHORT)))
    before = texts_of(shipped)
    shipped.prune_library(0)
    assert texts_of(shipped) == before and len(shipped.bank_labels("shy")) == 2
    assert shipped.check_library() == []
    shipped.rebuild_library()
    assert texts_of(shipped) == before and shipped.put_in_samples() == []


def test_an_interrupted_start_is_finished_by_the_next_one(shipped, monkeypatch):
    def refuse(*_):
        raise StorageError("the disk is full")

    with monkeypatch.context() as patch:
        patch.setattr("melbo_app.library.samples.merge_labels", refuse)
        with pytest.raises(StorageError):
            shipped.put_in_samples()
    assert shipped.comparisons("sample") == []
    assert shipped.put_in_samples() == ["shy"]
    assert len(shipped.comparisons("sample")) == 1 and len(shipped.bank_labels("shy")) == 2


def spoil_hash(facts):
    facts["bank_hash"] = "0" * 64


def spoil_label(facts):
    facts["labels"][0]["bank_hash"] = "0" * 64


def spoil_author(facts):
    facts["labels"][0]["author"] = "ada"


def spoil_kind(facts):
    facts["comparison"]["settings"]["kind"] = "steer"


def spoil_texts(facts):
    facts["comparison"]["completions"] = []


@pytest.mark.parametrize("spoil", [spoil_hash, spoil_label, spoil_author, spoil_kind, spoil_texts, None])
def test_a_file_that_cannot_be_used_is_left_out(shipped, spoil):
    path = shipped.settings.assets_dir / "banks" / "shy.json"
    if spoil is None:
        path.write_text(path.read_text()[:-20])
    else:
        facts = json.loads(path.read_text())
        spoil(facts)
        path.write_text(json.dumps(facts))
    assert shipped.put_in_samples() == []
    assert shipped.sample_comparison("shy") is None and shipped.labels() == []


def test_another_bank_of_that_name_gets_nothing(shipped):
    path = shipped.settings.assets_dir / "banks" / "shy.safetensors"
    path.unlink()
    trained(shipped, "shy")
    assert shipped.put_in_samples() == [] and shipped.sample_comparison("shy") is None


def test_samples_of_the_loaded_model_come_first(shipped):
    folder = shipped.settings.assets_dir / "banks"
    bank = shipped.bank("shy")
    for name, model, weights in (("another", "qwen2.5-0.5b", "1d96"), ("zebra", bank.record.model, None)):
        changes = {"name": name, "model": model, "model_hash": weights or bank.record.model_hash}
        changed = type(bank)(bank.record.model_copy(update=changes), bank.vectors)
        (folder / f"{name}.safetensors").write_bytes(changed.to_bytes())
    assert [line.name for line in shipped.banks()] == ["shy", "zebra", "another"]  # before a model is there, too
    shipped.load_model()
    assert [line.name for line in shipped.banks()] == ["shy", "zebra", "another"]
    assert bank_choices(shipped.banks())[2] == ("another (sample, qwen2.5-0.5b)", "another")


def test_the_line_above_a_sample_says_what_it_was_made_on(shipped):
    shipped.put_in_samples()
    comparison = shipped.sample_comparison("shy")
    made = "Made on tiny, R = 6: “hello there”"
    assert made_on(comparison, None) == f"{made} – load that model to steer with other settings"
    assert made_on(comparison, comparison.completions[0].model_hash) == made
    asked = result_of(shipped.run(Steer(bank="shy", prompts=[PROMPT], vectors=[0], radii=[6.0], decoding=SHORT)))
    assert made_on(asked, None) == ""
