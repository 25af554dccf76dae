"""What people found who tested a label stands wherever the label is shown or exported, and only with that label."""

import csv
import json
from datetime import UTC, datetime
from typing import Any

import pytest
from benches import PROMPT, shelved

from melbo_app.cli import main
from melbo_app.engine.decoding import Decoding
from melbo_app.jobs.generators import result_of
from melbo_app.library.bank import PromptRecord
from melbo_app.library.label_readings import MEANING, LabelReading, ReadText
from melbo_app.studies.report import MakeReport, Report
from melbo_app.studies.report_page import report_page
from melbo_app.studies.report_table import csv_table, dataset_files, json_lines
from melbo_app.studies.steer import Steer
from melbo_app.ui.verbs.library import LibraryVerbs
from melbo_app.workbench import Workbench

FOUND = {"auroc": 0.875, "low": 0.7, "high": 0.954, "unseen": 2}
WORDS = "0.88 (0.70 to 0.95)"


def read(bench: Workbench, vector: int, name: str, who: str, auroc: float = FOUND["auroc"]) -> None:
    held = bench.bank("a")
    texts = tuple(ReadText(text="…", steered=bool(at % 2), fits=3) for at in range(4))
    reading = LabelReading(
        vector=vector, name=name, who=who, texts=texts, auroc=auroc, low=0.7, high=0.954, radius=held.norms[vector],
        prompt=PromptRecord(user="Who?"), temperature=0.8, max_new_tokens=4, first_seed=4, created=datetime.now(UTC),
    )  # fmt: skip
    bench.bench.label_readings.add(held.record.model_hash, held.hash, reading)


@pytest.fixture
def tested(bench: Workbench) -> Workbench:
    """Vector 1 has a label that Ada tested; others tested another name of it, and the same name of another vector."""
    shelved(bench)
    result_of(bench.run(Steer(bank="a", prompts=(PROMPT,), decoding=Decoding(4), radii=[9.0], vectors=(0, 1))))
    bench.save_label("a", 0, name="the sun", annotator="Ada")
    bench.save_label("a", 1, name="the moon", annotator="Ada")
    read(bench, 1, "the moon", "Ada", 0.5)
    read(bench, 1, "the moon", "Ada")  # the newest of each person counts
    read(bench, 1, "a cheese", "Bea", 0.111)
    read(bench, 2, "the moon", "Bea", 0.222)
    return bench


def report(bench: Workbench) -> Report:
    return result_of(bench.run(MakeReport(bank="a", only_texts=True)))


def test_a_report_shows_it_beside_the_label(tested):
    page = report_page(report(tested))
    [row] = [line for line in page.splitlines() if '<th scope="row">1</th>' in line and "the moon" in line]
    assert f"<td>{WORDS}</td>" in row and "People’s AUROC</th>" in page and MEANING.replace("'", "&#39;") in page
    assert "0.11" not in page and "0.22" not in page and "Ada" not in page, "a report names nobody"
    tested.save_label("a", 1, name="the tide", annotator="Ada")
    assert "AUROC" not in report_page(report(tested)), "another label was not tested"


def test_the_texts_of_a_report_have_it_as_numbers(tested):
    found = report(tested)
    lines = [json.loads(line) for line in json_lines(found).decode().splitlines()]
    assert {(one["vector"], json.dumps(one["readings"])) for one in lines} == {
        (None, "[]"), (0, "[]"), (1, json.dumps([FOUND])),
    }  # fmt: skip
    rows = csv.DictReader(csv_table(found).decode("utf-8-sig").splitlines())
    assert {(one["vector"], one["readings"]) for one in rows} == {("", ""), ("0", ""), ("1", WORDS)}
    assert MEANING in dataset_files(found)["README.md"].decode()


@pytest.mark.parametrize("each", [False, True])
def test_an_export_of_labels_has_it_and_comes_back(tested, tmp_path, each):
    lines = tested.export_labels(tmp_path / "l.jsonl", each=each)
    said = [json.loads(line)["readings"] for line in lines.read_text("utf-8").splitlines()]
    assert said == [[], [{"who": "Ada"} | FOUND] if each else [FOUND]]
    table = tested.export_labels(tmp_path / "l.csv", each=each)
    rows = list(csv.DictReader(table.open(encoding="utf-8-sig", newline="")))
    assert [one["readings"] for one in rows] == ["", f"Ada {WORDS}" if each else WORDS]
    for path in (lines, table):
        how: dict[str, Any] = {"each": True} if each else {"annotator": "Ada"}
        assert tested.import_labels("a", path, **how).same == 2
    columns = [name for name in rows[0] if name != "readings"]
    with (tmp_path / "earlier.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([columns, *([one[name] for name in columns] for one in rows)])
    assert tested.import_labels("a", tmp_path / "earlier.csv", **how).same == 2


def test_a_model_card_has_it_where_a_label_was_tested(tested, tmp_path):
    def card(name: str, **how: Any) -> str:
        return (tested.export_bank("a", tmp_path / name, **how) / "README.md").read_text("utf-8")

    whole = card("whole")
    assert "| vector | label | tags | rating | people’s AUROC | norm |" in whole and MEANING in whole
    assert rf"| 1 | the moon |  |  | {WORDS.replace('(', chr(92) + '(').replace(')', chr(92) + ')')} |" in whole
    assert "| 0 | the sun |  |  |  |" in whole and "0.22" not in whole
    assert "| 0 | the moon |  |  | 0.88" in card("one", vector=1)
    assert "AUROC" not in card("other", vector=0) and "AUROC" not in card("far", vector=1, radius=50.0)


def test_a_list_of_labels_has_it(tested, capsys, monkeypatch):
    for name, value in (("CACHE_DIR", tested.settings.cache_dir), ("MODEL", tested.settings.model)):
        monkeypatch.setenv(f"MELBO_{name}", str(value))
    with pytest.raises(SystemExit):
        main(["labels"])
    assert capsys.readouterr().out == f"a 0: the sun []\na 1: the moon [], people’s AUROC {WORDS}\n"
    with pytest.raises(SystemExit):
        main(["labels", "--json"])
    listed = json.loads(capsys.readouterr().out)
    assert [one["readings"] for one in listed["labels"]] == [[], [FOUND]]
    assert LibraryVerbs(tested).labels("a") == listed
