"""What is damaged in a library is named and left out of its list; the rest of the list is shown, and the page opens."""

import json
import random
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import benches
import hostile_json
import libraries
import numpy as np
import pytest

from melbo_app.analysis.curve import CurvePoint, DiversityCurve
from melbo_app.analysis.curve_figure import curve_figure
from melbo_app.analysis.cusp import cusps
from melbo_app.analysis.diversity import Diversity
from melbo_app.analysis.projection import Projection
from melbo_app.cli import main
from melbo_app.errors import StorageError
from melbo_app.jobs.embedding import embed
from melbo_app.library.atlases import Atlas, AtlasCell
from melbo_app.library.curves import KeptCurve
from melbo_app.library.explorations import Answer, Behaviour, ChosenRadius, Exploration, ExploreSettings
from melbo_app.library.generality import (
    AskedPrompt,
    Baseline,
    Generality,
    GroupShare,
    Share,
    TriedAnswer,
    TriedRandom,
    TriedVector,
)
from melbo_app.library.json_files import Measured
from melbo_app.library.judges import Judgement, Judgements
from melbo_app.library.searches import Search, Tried
from melbo_app.library.tables import Table
from melbo_app.ui.components.exploration import finished
from melbo_app.ui.components.generality import grid, group_table, vector_table
from melbo_app.ui.tabs.layers import _lines
from melbo_app.workbench import Workbench

HOSTILE: list[Any] = [
    None,
    b"\xff\xfe",
    "x",
    "",
    '{"a":',
    "[1]",
    9e99,
    2**62,
    -1,
    "2026-13-45",
    "[" * 5000,
    '"\\ud800"',
]
MODEL, NOW, PROMPT = libraries.MODEL, libraries.NOW, libraries.PROMPT


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory, model_folder: Path) -> Workbench:
    """A library with every kind of entry, a job and a layout among them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("os.fsync", lambda handle: None)
        bench = Workbench(benches.settings(tmp_path_factory.mktemp("full") / "cache", model_folder))
        libraries.fill(bench)
    record = bench.queue._records.add("training", "Training “x”", {"name": "x"}, "ada")
    step = {"stage": "step 1", "done": 1, "total": 4, "seconds_left": 2.0}
    log = [{"at": NOW, "text": "begun"}]
    bench.queue._records.save(record.model_validate({**record.model_dump(), "progress": step, "log": log}))
    bench.bench.embeddings.add("e", {"a": np.ones(4, np.float32), "b": np.ones(4, np.float32)})
    bench.bench.embeddings.add_projection("e", ["a", "b"], Projection(np.ones((2, 2), np.float32), "PCA", "note"))
    return bench


@pytest.fixture(scope="module")
def page(full: Workbench) -> libraries.Shown:
    return libraries.Shown(full)


def cells() -> list[tuple[str, str]]:
    """Every column of every table that a list reads."""
    return [
        (table.name, column.name)
        for table in Table.metadata.sorted_tables
        for column in table.columns
        if not (column.primary_key and column.name == "id")
    ]


@pytest.mark.parametrize(("table", "column"), cells()[::3])
def test_a_damaged_cell_is_never_the_end_of_a_list(full, page, table, column, monkeypatch):
    told: list[Any] = []
    monkeypatch.setattr("gradio.Warning", lambda *words, **_: told.append(words))
    path = full.bench.database.path
    with closing(sqlite3.connect(path)) as file, closing(sqlite3.connect(":memory:")) as before:
        file.backup(before)
        before.row_factory = sqlite3.Row
        [(last,)] = before.execute(f'SELECT max(rowid) FROM "{table}"')
        file.execute("PRAGMA foreign_keys=OFF")
        file.execute("PRAGMA ignore_check_constraints=ON")
        for value in HOSTILE[cells().index((table, column)) % len(HOSTILE) :][:1]:
            try:
                file.execute(f'UPDATE "{table}" SET "{column}"=? WHERE rowid=?', (value, last))
            except sqlite3.IntegrityError:  # it cannot be that
                file.rollback()
                continue
            file.commit()
            assert [*libraries.lists(full)], value
            assert page.open(), value
            assert all(str(one).isprintable() for one in (*full.damaged(), *full.check_library())), value
            before.backup(file)
    assert not any("rror" in str(words[0]) for words in told)


def damage(bench: Workbench, statement: str, *values: Any) -> None:
    with closing(sqlite3.connect(bench.bench.database.path)) as file:
        file.execute(statement, values)
        file.commit()


@pytest.fixture
def own(bench):
    libraries.fill(bench)
    return bench


def test_a_comparison_with_settings_of_another_type_is_named_and_the_page_opens(own, monkeypatch):
    """Issue 17, A5: such a row came with a bundle, and from then on nobody saw a page."""
    told: list[str] = []
    monkeypatch.setattr("gradio.Warning", lambda words, **_: told.append(words))
    poison = json.dumps({"kind": "map", "radii": ["x"], "bank": "ships"})
    damage(own, "UPDATE comparisons SET settings=? WHERE kind='map'", poison)
    damage(own, "UPDATE comparisons SET settings='{' WHERE kind='steer'")
    [wrong] = own.comparisons("map").damaged
    assert str(wrong).startswith("comparison 4: settings.radii[0]: input should be a valid number")
    assert [one.subject for one in own.comparisons(None).damaged] == ["comparison 5", "comparison 4"]
    assert len(own.comparisons(None)) == 3
    with pytest.raises(StorageError, match=r"comparison 4: settings.radii\[0\]: .*Every list leaves it out"):
        own.comparison(4)
    assert libraries.Shown(own).open()
    assert any("Comparison 5: settings" in words for words in told), told
    found = [str(one) for one in own.check_library()]
    assert any(line.startswith("comparison 4: settings.radii[0]: ") for line in found), found


def test_a_damaged_text_is_left_out_of_its_comparison_alone(own, tmp_path):
    [steered] = own.comparisons("steer")
    before = own.comparison(steered.id).completions
    damage(own, "UPDATE completions SET text=? WHERE id=?", b"\xff", before[1].id)
    now = own.comparison(steered.id)
    assert now.completions == (before[0], *before[2:])
    assert [str(one) for one in now.damaged] == [
        f"completion {before[1].id} of comparison {steered.id}: text: input should be a valid string, unable to parse "
        "raw data as a unicode string"
    ]
    made = own.export_bundle(tmp_path / "x.zip")
    assert made.comparisons == 5 and len(made.damaged) == 1


def test_what_lists_leave_out_is_named_on_the_command_line(own, tmp_path, monkeypatch, capsys):
    damage(own, "UPDATE labels SET rating=9")
    own.queue._records.add("map", "Map", {}, "ada")
    damage(own, "UPDATE jobs SET state='dancing'")
    monkeypatch.setenv("MELBO_CACHE_DIR", str(own.settings.cache_dir))
    monkeypatch.setenv("MELBO_ASSETS_DIR", str(own.settings.assets_dir))
    for words, sentence in (
        (["labels"], "Left out: label of vector 0 of “ships”: rating: input should be less than or equal to 5."),
        (["jobs"], "Left out: job 1: state: input should be 'waiting', "),
    ):
        with pytest.raises(SystemExit) as ended:
            main(words)
        assert not ended.value.code
        assert sentence in capsys.readouterr().err
    with pytest.raises(SystemExit) as ended:
        main(["library", "check"])
    assert ended.value.code == 1
    out = capsys.readouterr().out
    assert "label of vector 0 of “ships”: rating" in out and "job 1: state" in out


def test_a_save_replaces_a_damaged_label(own):
    damage(own, "UPDATE labels SET rating='x'")
    assert own.labels() == [] and len(own.labels().damaged) == 1
    own.save_label("ships", 0, name="again")
    assert [label.name for label in own.labels()] == ["again"] and own.labels().damaged == ()


def test_a_bank_whose_vectors_are_damaged_does_not_keep_the_page_from_opening(own):
    path = own.settings.cache_dir / "banks" / "ships.safetensors"
    data = bytearray(path.read_bytes())
    data[-3] ^= 1
    path.write_bytes(data)
    shown = libraries.Shown(own)
    values = [*shown.page._open(None).values()]
    assert len(values) > 10
    [note] = [value for value in values if isinstance(value, dict) and value.get("tone") == "warning"]
    assert "“ships” cannot be read: its contents changed after it was saved" in note["lines"][0]


def test_damaged_places_on_maps_are_made_again(full):
    embedder, texts = benches.StubEmbedder(), ["a text", "another"]
    rows = embed(texts, embedder, full.bench.embeddings)
    damage(
        full,
        "UPDATE embeddings SET vector=? WHERE embedder='stub' AND rowid=(SELECT max(rowid) FROM embeddings)",
        b"123",
    )
    assert np.array_equal(embed(texts, embedder, full.bench.embeddings), rows)
    damage(
        full,
        "UPDATE embeddings SET vector=? WHERE embedder='stub' AND rowid=(SELECT max(rowid) FROM embeddings)",
        bytes(8),
    )
    assert np.array_equal(embed(texts, embedder, full.bench.embeddings), rows)
    damage(full, "UPDATE projections SET places=?", bytes(4))
    assert full.bench.embeddings.find_projection("e", ["a", "b"]) is None


def test_one_damaged_judgement_does_not_hide_the_others(tmp_path):
    kept = Judgements(tmp_path / "judgements.json")
    kept.keep({"a" * 64: Judgement(judge="j", model="m", verdict="broken", behaviour="")})
    file = json.loads((tmp_path / "judgements.json").read_text("utf-8"))
    file["b" * 64] = {"judge": 3}
    (tmp_path / "judgements.json").write_text(json.dumps(file), "utf-8")
    assert [*kept._all()] == ["a" * 64]
    assert [one.subject for one in kept.damaged()] == [f"“{'b' * 64}” in “judgements.json”"]


# --- files -----------------------------------------------------------------------------------------------------------

FIGURES = Diversity(1.0, 0.1, 0.2, 3.0, 4.0, 0.5, 1.0, 0.3, 0.4)
POINTS = tuple(
    CurvePoint(radius / 10, radius, FIGURES, FIGURES, (FIGURES,), (FIGURES,), (1, 2)) for radius in (1.0, 2.0, 4.0)
)
CURVE = DiversityCurve("trained", None, 1, 3, "content", 10.0, (0,), POINTS, True)
TRIED = Tried(
    source=1, target=3, radius=2.0, relative_radius=0.2, effect_budget=0.6, change=0.1, texts=4, readable=3, new=2,
    lifted=0, random_texts=4, random_new=1, random_lifted=0, diversity=0.3, random_diversity=0.1, example="x",
    seconds=1.0,
)  # fmt: skip
ANSWERS = tuple(
    Answer(vector=at, completion=at, text="t", verdict="readable", distance=0.5, changed=True) for at in (0, 1)
)
SAYS = Behaviour(
    name="greets", words=("a",), vectors=(0, 1), representative=1, distance=0.5, control=0, unsteered=False
)  # fmt: skip
CHOSEN = ChosenRadius(radius=2.0, relative_radius=0.2, median_norm=10.0, how="search", reason="r", effect_budget=0.6)
TOLD = TriedAnswer(text="t", verdict="readable", flags=(), distance=0.1, threshold=0.2, change=None)
SHARES = (GroupShare(changed=0, answers=1, interval=(0.0, 0.5), name="g"),)
NONE = Share(changed=0, answers=1, interval=(0.0, 0.5))
OF = {"model": "tiny", "model_hash": MODEL, "dtype": "float32"}
RECORDS: dict[str, Measured] = {
    "atlases": Atlas(
        **OF, prompts=(PROMPT,), scope="content", baseline="b", changed=NOW,
        cells=(
            AtlasCell(
                source=1, target=3, values=(2.0,), median_norm=10.0, radius=2.0, texts=("t",), verdicts=("readable",)
            ),
        ),
    ),
    "curves": KeptCurve(model_hash=MODEL, prompts=(PROMPT,), curve=CURVE, changed=NOW),
    "explorations": Exploration(
        **OF, prompt=PROMPT, settings=ExploreSettings(), source=1, target=3, scope="content", radius=CHOSEN,
        bank="ships", bank_hash="cd" * 32, comparison=1, control_comparison=2, baseline="b",
        answers=ANSWERS, control=ANSWERS,
        behaviours=(SAYS,), aside=(), threshold=0.4, readable_diversity=0.3, control_readable_diversity=0.1,
        tried=(TRIED,), seconds={"Train": 1.0}, created=NOW,
    ),
    "generalities": Generality(
        **OF, bank="ships", bank_hash="cd" * 32, radius=2.0, max_new_tokens=8, seed=0, created=NOW,
        prompts=(AskedPrompt(prompt=PROMPT, group="g", set="s"),), asked=(AskedPrompt(prompt=PROMPT),),
        baselines=(Baseline(text="b", verdict="readable", refuses=True),),
        vectors=(
            TriedVector(
                vector=0, radius=2.0, share=NONE, random=NONE, random_range=(0.0, 0.1), groups=SHARES, sets=SHARES,
                answers=(TOLD,),
            ),
        ),
        random=(TriedRandom(number=0, radius=2.0, share=NONE, groups=SHARES, sets=SHARES, answers=(TOLD,)),),
    ),
    "searches": Search(
        **OF, prompts=(PROMPT,), source=1, target=3, scope="content", median_norm=10.0, method="joint", vectors=2,
        steps=4, seed=0, tried=(TRIED,), chosen=0, reason="r", created=NOW,
    ),
}  # fmt: skip


def show(record: Any) -> None:
    """What the page makes of it."""
    if isinstance(record, Exploration):
        finished(record, {})
    elif isinstance(record, Generality):
        assert grid(record, {}) and vector_table(record, {}) and group_table(record) and record.refused >= 0
    elif isinstance(record, Atlas):
        assert all(_lines(cell, record) for cell in record.cells)
    elif isinstance(record, KeptCurve):
        curve_figure(record.curve, cusps(record.curve.arrays()), "summed variance", "t")
    else:
        assert record.best.sentence and record.best.score is not None
    json.dumps(record.model_dump(mode="json"))


@pytest.mark.parametrize("store", RECORDS)
def test_a_file_that_somebody_changed_is_named_or_can_be_shown(store, bench):
    files, record = getattr(bench.bench, store), RECORDS[store]
    files.save(record)
    assert files.of_model(MODEL) == [record] and files.damaged() == []
    show(record)
    path = next(files._folder.glob("*.json"))
    whole, seen = json.loads(path.read_text("utf-8")), {True: 0, False: 0}
    for case in range(60):
        path.write_text(json.dumps(hostile_json.changed(whole, random.Random(f"{store} {case}"))), "utf-8")
        found, damaged = files._every(), files.damaged()
        assert len(found) + len(damaged) == 1, case
        assert all(one.subject == f"{files.noun} “{path.name}”" and str(one).isprintable() for one in damaged), case
        for one in found:
            show(one)
        seen[bool(found)] += 1
    assert min(seen.values()) > 0
    path.write_bytes(b"{")
    assert files.of_model(MODEL) == [] and len(files.of_model(MODEL).damaged) == 1
    assert any(files.noun in str(one) for one in bench.check_library())
