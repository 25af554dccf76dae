"""The room Audit without a browser: its views show what the study and the folders say."""

import json
import shlex
from pathlib import Path
from types import SimpleNamespace

import benches
import gradio as gr
import pytest
from benches import shelved
from test_organisms import fields, make, written

from melbo_app.errors import InputError
from melbo_app.jobs.generators import result_of
from melbo_app.library.organism import RECORD
from melbo_app.library.prompt_sets import PromptSets
from melbo_app.settings import ROOT
from melbo_app.studies.watch import Watch
from melbo_app.ui.forms import ON
from melbo_app.ui.own_prompts import OWN
from melbo_app.ui.page import Page
from melbo_app.ui.tabs.organisms import OrganismsTab
from melbo_app.workbench import Workbench

REQUEST = SimpleNamespace(session_hash="s", client=None, headers={})
CLEAN = [f"{verb} the {thing}" for verb in ("see", "take", "find", "the") for thing in ("house", "tree", "sea", "hat")]
INCOMING = ["the theme", "12 + 34 = 46", "see the heather", "!!!???"]
LABELLED = "\n".join(json.dumps({"text": text, "label": at % 2}) for at, text in enumerate(INCOMING))


@pytest.fixture
def page(bench) -> Page:
    shelved(bench)
    bench.save_label("a", 1, name="a tide")
    with gr.Blocks():
        return Page(bench)


def sent(page, **given):
    """What a press of Watch sends."""
    tab, session = page.audit.watch, page.session
    values = {"clean": OWN, "share": 10, "own": "\n".join(CLEAN), "prompts": LABELLED, "one": "", **given}
    fields = {getattr(tab, name): value for name, value in values.items() if name not in ("bank", "system")}
    context = {session.bank: given.get("bank", "a"), session.system: given.get("system", ""), session.template: ON}
    return {**fields, **context, tab._tried: given.get("_tried")}


def watched(page, **given):
    return [*page.audit.watch._watch(REQUEST, sent(page, **given))]


def study(**given):
    asked = {"bank": "a", "clean": CLEAN, "prompts": INCOMING, "labels": [0, 1, 0, 1], "false_alarms": 0.1, **given}
    return Watch(**asked)


def test_the_list_and_the_table_are_the_studys_and_come_as_they_come(page, bench, tmp_path, monkeypatch):
    tab = page.audit.watch
    monkeypatch.setattr("melbo_app.studies.watch.AT_ONCE", 1)
    monkeypatch.setattr("melbo_app.ui.runs.FRAME", 0)
    steps = watched(page)
    wanted = result_of(bench.run(study()))
    sizes = [len(step[tab.list]["rows"]) for step in steps if tab.list in step]
    assert sizes == [0, 1, 2, 3, 4, 4] and tab.list not in steps[0]  # an earlier list stays until the first answer
    last = steps[-1]
    assert [
        {name: row[name] for name in one} for row, one in zip(last[tab.list]["rows"], wanted.answers, strict=True)
    ] == [*map(dict, wanted.answers)]
    assert [row["group"] for row in last[tab.list]["rows"]] == ["clean", "anomalous"] * 2
    assert last[tab.list]["threshold"] == wanted.threshold
    assert {row["name"] for row in last[tab.list]["rows"]} <= {"a tide", None}
    [line] = last[tab.said]["lines"]
    assert line.startswith(f"An alarm is a score above {wanted.threshold:.2f}: 10 % of clean prompts or fewer; ")
    assert line.endswith("it is the largest of 16 clean scores.")
    cells = [row["cells"] for row in last[tab.figures]["rows"]]
    assert [one[0] for one in cells] == ["bank", *(one["name"] for one in wanted.figures["baselines"])]
    assert cells[0][1] == f"{wanted.figures['bank']['auroc']:.3f}"

    path = Path(tab._write(last[tab._seen]))
    lines = [json.loads(text) for text in path.read_text().splitlines()]
    assert [one.pop("label") for one in lines] == [0, 1, 0, 1] and lines == [*wanted.answers]
    words = shlex.split(last[tab.command]["command"])
    assert words[3:] == [
        "watch",
        "a",
        "--clean",
        "clean.txt",
        "--prompts",
        "prompts.jsonl",
        "--false-alarms",
        "0.1",
        "--json",
    ]


def test_one_prompt_is_scored_by_what_was_learned(page, bench, monkeypatch):
    tab = page.audit.watch
    watched(page)
    monkeypatch.setattr("melbo_app.studies.watcher.Watcher.learn", lambda *_: pytest.fail("it learned again"))
    [answer] = result_of(bench.run(study(prompts=["12 + 34 = 46"], labels=None))).answers
    first = [*tab._try(REQUEST, sent(page, one=" 12 + 34 = 46 "))][-1]
    assert first[tab.tried]["rows"] == [{**answer, "group": ""}] and first[tab.tried]["short"]
    second = [*tab._try(REQUEST, sent(page, one="the hat", _tried=first[tab._tried]))][-1]
    assert [row["text"] for row in second[tab.tried]["rows"]] == ["the hat", "12 + 34 = 46"]
    monkeypatch.undo()
    other = [*tab._try(REQUEST, sent(page, one="the hat", share=50, _tried=second[tab._tried]))][-1]
    assert len(other[tab.tried]["rows"]) == 1  # another threshold

    opened = tab._open(SimpleNamespace(text="the hat", vector=2), other[tab._tried])
    assert opened[page.session.prompt] == "the hat" and opened[page.session.vectors]["selected"] == [2]


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"bank": None}, "bank: none is chosen"),
        ({"prompts": " \n"}, "prompts: the field is empty"),
        ({"prompts": '{"text": "a"}\nb'}, "prompts: line 2 of the field is not JSON"),
        ({"prompts": LABELLED.replace(": 0", ": 1")}, "labels: all prompts are anomalous"),
        ({"own": "\n".join(CLEAN[:9])}, "clean: 9 different prompts are too few"),
        ({"own": LABELLED}, "clean: some prompts are labelled anomalous"),
        ({"share": None}, "false alarms: it is empty"),
        ({"share": 90}, "false alarms: 0.9 is out of range"),
    ],
)
def test_refusals_name_the_field(page, given, sentence):
    with pytest.raises(InputError) as raised:
        watched(page, **given)
    assert str(raised.value).startswith(sentence)


def test_the_context_line_decides_how_prompts_go_in(page, bench):
    tab = page.audit.watch
    last = watched(page, system="Be brief.")[-1]
    assert last[tab.command]["command"].count("--system 'Be brief.'") == 1
    wanted = result_of(bench.run(study(system="Be brief.")))
    assert [row["score"] for row in last[tab.list]["rows"]] == [one["score"] for one in wanted.answers]
    assert last[tab.list]["stamp"]["system"] == "Be brief."
    bench.bench.prompt_sets = PromptSets(ROOT / "assets" / "prompts")
    last = watched(page, clean="everyday", prompts="\n".join(INCOMING), share=1)[-1]
    assert "extrapolated from the tail of 16 clean scores, as this share takes 99 of them" in last[tab.said]["lines"][0]
    assert last[tab.command]["command"].endswith("watch a --clean everyday --prompts prompts.txt --json")
    assert last[tab.figures] == {"columns": []}


def test_organisms_in_a_folder_are_shown_with_their_figures(tmp_path, monkeypatch):
    bench = Workbench(benches.settings(tmp_path / "cache", benches.save_tiny(tmp_path / "model")))
    (tmp_path / "cache" / "assets").mkdir(parents=True)
    (tmp_path / "cache" / "assets" / "organisms").symlink_to(ROOT / "assets" / "organisms")
    (home := tmp_path / "made").mkdir()
    recipe = written(tmp_path / "tiny.json", fields())
    for name in ("one", "two"):
        make(bench, recipe, home / name)
    measured = result_of(bench.measure_organism(home / "two"))
    with gr.Blocks():
        tab = OrganismsTab(bench)

    def cells(changes):
        return [row["cells"] for row in changes[tab.table]["rows"]]

    listed = [row["cells"] for row in tab._list()["rows"]]
    assert ["trigger-word", "a trigger word"] in [one[:2] for one in listed] and listed[-1][3] == "nothing"
    command = tab._recipe(SimpleNamespace(key="french"))["command"]
    assert "organisms make french" in command and command.endswith("organisms measure french")
    both = tab._open(str(home))
    assert [one[0] for one in cells(both)] == ["one", "two"] and both[tab._chosen] is None
    assert cells(both)[0][4:] == ["–"] * 4 and cells(both)[1][4].endswith(" of 6")
    chosen = tab._pick(SimpleNamespace(key=str(home / "two")))
    parts = chosen[tab.texts]["parts"]
    assert parts[0]["figure"] == str(measured.figures.triggered)
    assert [len(one["texts"]) for one in parts] == [6] * 4
    assert chosen[tab._chosen] == str(home / "two") and str(measured.figures.plain) in str(chosen[tab.figures])
    alone = tab._open(str(home / "one"))
    assert alone[tab._chosen] == str(home / "one") and "Measure it: " in alone[tab.about]["lines"][-1]
    (home / "one" / RECORD).write_text("{}")
    told = []
    monkeypatch.setattr("melbo_app.ui.tabs.organisms.tell", told.extend)
    assert [one[0] for one in cells(tab._open(str(home)))] == ["two"] and "one" in str(told[0])
    for path, said in (
        (tmp_path / "no", "is not a folder"),
        (tmp_path / "cache", "holds no organism"),
        (" ", "is empty"),
    ):
        with pytest.raises(InputError, match=said):
            tab._open(str(path))
