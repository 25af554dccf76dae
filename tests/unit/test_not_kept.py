"""What was made and cannot be stored is shown, waits in memory, and is stored when that is possible again."""

import json
import sqlite3
import threading

import gradio as gr
import pytest
from benches import PROMPT, shelved
from test_cli import Ask, ask, cache, environment  # noqa: F401
from test_completions import steered

from melbo_app.doors.parameters import parameters
from melbo_app.engine.decoding import Decoding
from melbo_app.errors import InputError, StorageError
from melbo_app.jobs.generators import result_of
from melbo_app.library import sqlite
from melbo_app.library.completions import Completions
from melbo_app.library.database import Database
from melbo_app.library.explorations import ExploreSettings
from melbo_app.library.judges import Judgement
from melbo_app.library.patient_completions import MOST_TEXTS, PatientCompletions
from melbo_app.studies.atlas import MeasureAtlas
from melbo_app.studies.curve import MeasureCurve
from melbo_app.studies.explore import Explore
from melbo_app.studies.map import DrawMap, Map, MapOf
from melbo_app.studies.steer import Steer
from melbo_app.studies.sweep import Sweep
from melbo_app.ui.not_kept import NotKeptLine
from melbo_app.ui.session import Session
from melbo_app.ui.tabs.completions import CompletionsTab
from melbo_app.ui.tabs.labels import LabelsTab
from melbo_app.ui.verbs.generality import GeneralityVerbs
from melbo_app.ui.verbs.study_verb import study_verb
from melbo_app.workbench import Workbench

FULL = "The disk is full; nothing was stored."
FEW = Decoding(3)


@pytest.fixture
def full(monkeypatch):
    """A disk that is full until ``full.undo()``: the database and files refuse to be written, reading goes on."""
    with pytest.MonkeyPatch.context() as patch:

        def refuse(*_, **__):
            raise StorageError(FULL)

        def fill():
            patch.setattr(Database, "write", refuse)
            patch.setattr("melbo_app.library.json_files.write_file", refuse)
            patch.setattr("melbo_app.library.judges.write_file", refuse)

        fill.undo = patch.undo
        yield fill


def files_of(bench):
    return Completions(Database(bench.settings.cache_dir / "melbo.sqlite"))


def test_texts_that_the_database_refuses_are_shown_found_and_stored_later(bench, full):
    shelved(bench)
    kept = result_of(bench.run(Steer(bank="a", prompts=[PROMPT], vectors=[0], radii=None, decoding=FEW)))
    full()
    made = result_of(bench.run(Steer(bank="a", prompts=[PROMPT], vectors=[0, 1], radii=None, decoding=FEW)))
    assert made.not_kept == FULL and made.id < 0 and [one.tokens for one in made.completions] == [3, 3, 3]
    told = Steer(bank="a").answer(made, None)
    assert (told["comparison"], told["not_kept"]) == (None, FULL)
    assert [one["id"] for one in told["completions"]] == [None] * 3
    assert bench.comparison(made.id) == made and bench.comparisons()[0].id == made.id
    text = made.completions[2]
    assert bench.completion(text.id) == text and bench.comparison_of(text.id) == made.id
    assert bench.evidence("a", 1).texts == (text,)
    assert bench.not_kept() == [f"Not kept yet: 3 texts. {FULL}"]
    with pytest.raises(StorageError, match="full"):
        bench.save_waiting()
    drawn = result_of(bench.run(MapOf(comparison=made.id)))
    assert isinstance(drawn, Map) and MapOf(comparison=1).answer(drawn, None)["not_kept"] == FULL
    assert [one["id"] for one in MapOf(comparison=1).answer(drawn, None)["points"]] == [None] * 3
    full.undo()
    assert bench.save_waiting() == 1 and bench.not_kept() == [] and bench.save_waiting() == 0
    stored = bench.comparison(made.id)  # a page still asks by the number that it was given
    assert stored.id == kept.id + 1 and [one.text for one in stored.completions] == [o.text for o in made.completions]
    assert bench.completion(text.id).text == text.text and bench.completion(text.id).id > 0
    assert [one.text for one in files_of(bench).comparison(stored.id).completions] == [o.text for o in made.completions]
    assert files_of(bench).find(text.model_copy()) is not None  # under its key
    assert Steer(bank="a").answer(stored, None)["not_kept"] is None


def test_the_next_texts_that_are_stored_take_those_along_that_wait(bench, full):
    shelved(bench)
    full()
    result_of(bench.run(Steer(bank="a", prompts=[PROMPT], vectors=[0], radii=None, decoding=FEW)))
    result_of(bench.run(Steer(bank="a", prompts=[PROMPT], vectors=[1], radii=None, decoding=FEW)))
    full.undo()
    made = result_of(bench.run(Steer(bank="a", prompts=[PROMPT], vectors=[2], radii=None, decoding=FEW)))
    assert made.not_kept is None and bench.not_kept() == [] and len(files_of(bench).recent()) == 3


def test_a_locked_database_keeps_nobody_from_the_texts(bench, monkeypatch):
    monkeypatch.setattr(sqlite, "BUSY_SECONDS", 0.05)
    shelved(bench)
    other = sqlite3.connect(bench.settings.cache_dir / "melbo.sqlite", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    made = result_of(bench.run(Steer(bank="a", prompts=[PROMPT], vectors=[0], radii=None, decoding=FEW)))
    assert "in use by another program" in made.not_kept and made.completions[1].text
    other.execute("ROLLBACK")
    other.close()
    bench.do_what_is_due(lambda line: None)  # what the server does every half a minute
    assert bench.not_kept() == [] and bench.comparison(made.id).id > 0


def test_while_texts_wait_a_database_that_cannot_be_read_ends_nothing(bench, full, monkeypatch):
    shelved(bench)
    full()
    first = result_of(bench.run(Steer(bank="a", prompts=[PROMPT], vectors=[0], radii=None, decoding=FEW)))

    def refuse(*_):
        raise StorageError("It is gone.")

    monkeypatch.setattr(Database, "read", refuse)
    again = result_of(
        bench.run(Steer(bank="a", prompts=[PROMPT], vectors=[0, 1], radii=None, decoding=FEW))
    )  # looks up what waits, and makes the rest
    assert again.completions[1].text == first.completions[1].text and len(again.completions) == 3
    assert [line.id for line in bench.comparisons()] == [again.id, first.id]


@pytest.mark.parametrize("kind", ["map", "sweep"])
def test_a_job_whose_texts_cannot_be_stored_has_its_result(bench, full, kind, monkeypatch):
    shelved(bench)
    asked = {"bank": "a", "prompts": (PROMPT,), "vectors": (0, 1), "radii": (2.0, 6.0), "decoding": FEW}
    bench.jobs()
    request = (DrawMap if kind == "map" else Sweep)(**asked)
    start = threading.Event()
    real = type(request).run

    def late(study, bench, stop):
        start.wait(20)
        return real(study, bench, stop)

    monkeypatch.setattr(type(request), "run", late)
    job = bench.start(request)
    full()
    start.set()
    job.wait(60)
    assert job.state == "done" and job.error is None, job.error
    told = request.answer(job.result, None)
    assert told["not_kept"] == FULL and told["comparison"] is None
    assert job.record().comparison is None  # a number that means nothing to the next server
    full.undo()
    assert bench.save_waiting() == (1 if kind == "map" else 3) and bench.not_kept() == []


def test_results_that_are_files_wait_as_well(bench, full):
    shelved(bench)
    full()
    curve = result_of(
        bench.run(MeasureCurve(prompts=[PROMPT], bank="a", relative_radii=[0.1, 0.2], vectors=2, decoding=FEW))
    )
    atlas = result_of(bench.run(MeasureAtlas(prompts=[PROMPT], sources=[1], targets=[2])))
    assert len(curve.points) == 2 and len(atlas.cells) == 1
    assert bench.latest_curve().curve == curve and bench.latest_atlas() == atlas
    assert bench.why_not_kept(atlas) == FULL
    assert {line.split(":")[1].split(".")[0].strip().split()[-1] for line in bench.not_kept()} == {
        "texts", "curve", "atlas",
    }  # fmt: skip
    full.undo()
    assert bench.save_waiting() >= 2 and bench.not_kept() == []
    other = Workbench(bench.settings)
    other.bench.model = bench.bench.model
    assert other.latest_curve().curve == curve and other.latest_atlas() == atlas


def test_an_exploration_is_shown_and_its_texts_have_their_numbers_once_stored(bench, full, monkeypatch):
    settings = ExploreSettings(radius_rule="suggested", vectors=2, steps=1, max_new_tokens=3, elsewhere=0)
    real = bench.bench.banks.save

    def save_then_full(bank):
        path = real(bank)
        full()
        return path

    monkeypatch.setattr(bench.bench.banks, "save", save_then_full)
    found = result_of(bench.run(Explore(prompt=PROMPT, settings=settings)))
    told = Explore(prompt=PROMPT).answer(found, " ".join(bench.not_kept()))
    assert told["comparison"] is None and FULL in told["not_kept"]
    assert all(one["completion"] is None for one in told["answers"])
    assert bench.exploration(found.key) == found and bench.explorations() == [found]
    full.undo()
    bench.save_waiting()
    stored = Workbench(bench.settings).bench.explorations.find(found.key)
    assert stored.comparison > 0 and stored.control_comparison > 0
    assert all(files_of(bench).get(one.completion).text == one.text for one in stored.answers)


def test_judgements_are_given_back_and_wait(bench, full, monkeypatch):
    shelved(bench)
    made = result_of(bench.run(Steer(bank="a", prompts=[PROMPT], vectors=[0], radii=None, decoding=FEW)))
    full()
    said = {one.digest: Judgement(judge="j", model="m", verdict="broken", behaviour="") for one in made.completions}
    bench.bench.judgements.keep(said)
    assert bench.bench.judgements.find(made.completions) == said
    assert bench.not_kept() == [f"Not kept yet: judgements. {FULL}"]
    full.undo()
    assert bench.save_waiting() == len(said) and bench.not_kept() == []
    assert Workbench(bench.settings).bench.judgements.find(made.completions) == said


def test_memory_that_waits_has_an_end(tmp_path, full):
    texts = PatientCompletions(Database(tmp_path / "melbo.sqlite"))
    full()
    many = [steered(seed=number) for number in range(MOST_TEXTS // 2)]
    first = texts.keep({}, many)
    for _ in range(2):
        texts.keep({}, many)
    assert len(texts.waiting()) == 2 and first.id not in [one.id for one in texts.waiting()]
    with pytest.raises(InputError):
        texts.comparison(first.id)


def test_what_waits_when_the_server_ends_is_named(bench, full):
    shelved(bench)
    full()
    result_of(bench.run(Steer(bank="a", prompts=[PROMPT], vectors=[0], radii=None, decoding=FEW)))
    assert bench.last_try() == [f"Not kept: 2 texts. {FULL}"]
    full.undo()
    assert bench.last_try() == [] and len(files_of(bench).recent()) == 1


# --- on the page, over HTTP, on the command line ---------------------------------------------------------------------


class Request:
    session_hash = "tab"


def test_the_page_shows_them_with_a_warning_and_a_button(bench, full, monkeypatch):
    shelved(bench)
    with gr.Blocks():
        session = Session(bench)
        session.list_vectors()
        tab, line = CompletionsTab(bench, session), NotKeptLine(bench)
    warned = []
    monkeypatch.setattr(gr, "Warning", lambda text, **_: warned.append(text))
    monkeypatch.setattr(gr, "Info", lambda text, **_: warned.append(text))
    assert line.look()[line.row].visible is False
    full()
    radius = {"radius": 6.0, "norms": None, "trained": 6.0}
    parts = [*session.prompt_inputs, *session.bank_inputs, *tab.decoding_inputs, tab.both, tab.order]
    chosen, decoding = {"selected": [0, 1]}, [3, "greedy", 0.8, 0.95, 0]
    fields = ["Who are you?", "", True, "a", chosen, radius, *decoding, False, False, "as chosen"]
    *_, last = tab._steer(Request(), dict(zip(parts, fields, strict=True)))
    shown, progress, history, number = last.values()
    assert shown["groups"] and number < 0 and history.value == number
    assert number in [choice[1] for choice in history.choices] and "not kept yet" in json.dumps(progress)
    assert len(warned) == 1 and FULL in warned[0] and "Save again" in warned[0]
    row, told = line.look().values()
    assert row.visible is True and told["lines"] == [f"Not kept yet: 3 texts. {FULL}"]
    assert tab._reorder(number, "flagged first")["groups"]
    with pytest.raises(StorageError):
        line._save_again()
    full.undo()
    assert line._save_again()[line.row].visible is False and len(files_of(bench).recent()) == 1
    assert tab._reorder(number, "as chosen")["groups"]


def test_a_label_that_cannot_be_stored_stays_in_the_form(bench, full):
    shelved(bench)
    with gr.Blocks():
        session = Session(bench)
        session.list_vectors()
        tab = LabelsTab(bench, session)
    of = tab.open("a", 1)[tab.form[0]]
    full()
    written = dict(zip(tab.form, (of, "my words", ["tag"], 4, "a note"), strict=True))
    written |= {tab.vector: 1, tab._session.bank: "a"}
    with pytest.raises(StorageError):
        tab._save(written)
    with pytest.raises(StorageError):
        tab._forth(written)  # another vector: what was written is not left behind
    assert tab._stay("a", of)[tab.vector] == 1
    assert list(tab._renew(written)) == [tab.table]
    full.undo()
    tab._save(written)
    assert bench.label("a", 1).name == "my words"


def test_programs_are_told_that_it_was_not_kept(bench, full):
    shelved(bench)
    steer = study_verb(bench, Steer)
    asked = {one.name: one.default for one in parameters(Steer)} | {"bank": "a", "prompts": ["Who are you?"]}
    asked |= {"vectors": [0], "max_new_tokens": 3}
    assert steer(**asked)["not_kept"] is None
    full()
    told = steer(**{**asked, "vectors": [0, 1]})
    assert (told["not_kept"], told["comparison"]) == (FULL, None) and len(told["completions"]) == 3


def test_a_generality_that_cannot_be_stored_is_given_to_the_program(bench, full, monkeypatch):
    shelved(bench)
    monkeypatch.setattr(bench, "start", lambda study, who: Done(result_of(bench.run(study))))
    full()
    told = GeneralityVerbs(bench).generality("a", ["Who are you?", "And you?"], vectors=[0], max_new_tokens=3)
    assert told["not_kept"] == FULL and len(told["prompts"]) == 2
    assert bench.generalities()[0].bank == "a"


class Done:
    error = None

    def __init__(self, result):
        self.result = result

    def wait(self, seconds=None):
        return True


def test_the_command_line_prints_them_and_says_so(ask: Ask, bench, cache, environment, full):  # noqa: F811
    shelved(bench)
    full()
    told = ask("steer", "a", "--prompt", "Who are you?", "--vector", 0, "--max-new-tokens", 3, "--json")
    assert told.code == 0 and told.json["not_kept"] == FULL and len(told.json["completions"]) == 2
    assert f"Not kept: {FULL}" in told.err
    told = ask("steer", "a", "--prompt", "Who are you?", "--vector", 0, "--max-new-tokens", 3)
    assert "vector 0" in told.out and f"Not kept: {FULL}" in told.err
    told = ask("labels", "set", "a", 0, "--name", "x")
    assert told.code == 2 and FULL in told.sentence
