"""The view Audit without a browser: it asks for what its fields say, and shows what the study found."""

import json
import shlex
from pathlib import Path
from types import SimpleNamespace

import gradio as gr
import pytest
from test_auditing import KETTLE, SMALL, TEXTS, audit, bench, planted  # noqa: F401
from test_watch import CLEAN, INCOMING

from melbo_app.engine.prompt import Prompt
from melbo_app.errors import InputError
from melbo_app.jobs.generators import result_of
from melbo_app.library.prompt_sets import SHIPPED, PromptSets
from melbo_app.public.workbench import public_workbench
from melbo_app.settings import ROOT
from melbo_app.studies.audit import MakeAudit
from melbo_app.studies.audit_answer import audited
from melbo_app.ui.audit_form import NONE
from melbo_app.ui.forms import OFF, ON
from melbo_app.ui.own_prompts import OWN
from melbo_app.ui.page import Page
from melbo_app.ui.tabs.audit import EMPTY
from melbo_app.workbench import Workbench

REQUEST = SimpleNamespace(session_hash="s", client=None, headers={}, username=None)


@pytest.fixture
def page(bench):  # noqa: F811
    with gr.Blocks():
        return Page(bench)


def sent(page, **given):
    """What a press of Audit sends: the fields as they stand at first, and what a person wrote into some."""
    form, session = page.audit.audit.form, page.session
    values = {field: field.value for field in form.fields}
    written = {"own": "\n".join(TEXTS), **given}
    values |= {getattr(form, name): value for name, value in written.items() if name not in ("system", "template")}
    context = {session.system: given.get("system", ""), session.template: given.get("template", ON)}
    return {**values, **context, page.audit.audit.shown: given.get("shown")}


def small(**given):
    """The settings of the tests of the study."""
    return {
        "vectors": 3, "steps": "2", "tokens": 4, "source": "1", "target": "3", "relative": "0.5", **given
    }  # fmt: skip


def test_fields_have_the_defaults_of_the_study_and_ask_for_what_they_say(page, bench):  # noqa: F811
    asked = page.audit.audit._study(sent(page))
    assert asked == MakeAudit(prompts=[Prompt(one) for one in TEXTS], groups=["prompts"] * 3)
    lines = "\n".join(json.dumps({"text": one, "group": group}) for one, group in zip(TEXTS, "aab", strict=True))
    given = small(own=lines, clean=OWN, own_clean="\n".join(CLEAN), share=25, seconds=60, elsewhere=2, seed=5)
    given |= {"method": "jacobian", "steps": "", "scope": " all ", "budget": "0.5", "search": 9}
    assert page.audit.audit._study(sent(page, **given, system="Be brief.", template=OFF)) == MakeAudit(
        prompts=[Prompt(one, "Be brief.", False) for one in TEXTS], groups=[*"aab"], clean=CLEAN, false_alarms=0.25,
        seconds=60, elsewhere=2, seed=5, method="jacobian", scope="all", effect_budget=0.5, search_seconds=9,
        **{name: value for name, value in SMALL.items() if name != "steps"},
    )  # fmt: skip
    bench.bench.prompt_sets = PromptSets(ROOT / "assets" / "prompts")
    shipped = page.audit.audit._study(sent(page, prompts="code", clean="everyday"))
    assert shipped.files == ("code", "everyday") and "python" in shipped.grouped and len(shipped.clean) == 16
    assert [*SHIPPED] == [name for _, name in page.audit.audit.form.prompts.choices[1:]]


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"own": " \n"}, "prompts: the field is empty"),
        ({"own": "a\nb\n\na"}, "prompts: line 4 of the field repeats the prompt of line 1"),
        ({"own": '{"prompt": "a"}\nb'}, "prompts: line 2 of the field is not JSON"),
        ({"clean": OWN, "own_clean": "\n".join(CLEAN[:9])}, "clean: 9 different prompts are too few"),
        ({"clean": OWN, "own_clean": ""}, "clean: the field is empty"),
        ({"clean": OWN, "own_clean": "\n".join(CLEAN), "share": 90}, "false alarms: 0.9 is out of range"),
        ({"seconds": 0}, "seconds: 0.0 is out of range"),
        ({"elsewhere": 51}, "elsewhere: 51 is out of range"),
        ({"elsewhere": None}, "prompts to try on: nothing is not a whole number"),
        ({"vectors": 1}, "vectors: needs at least 2, not 1"),
        ({"relative": "much"}, "R × median norm: “much” is not a number"),
        ({"relative": "0"}, "relative R: must lie between 0 and 100"),
    ],
)
def test_refusals_name_the_field(page, bench, given, sentence):  # noqa: F811
    with pytest.raises(InputError) as raised:
        bench.start(page.audit.audit._study(sent(page, **small(**given))))
    assert str(raised.value).startswith(sentence)


def test_a_press_shows_the_lines_as_they_come_and_then_what_the_study_found(page, bench, planted, tmp_path):  # noqa: F811
    planted(lambda vector, prompt: KETTLE if vector == 1 and prompt != TEXTS[2] else None)
    tab = page.audit.audit
    steps = [*tab._start(REQUEST, sent(page, **small()))]
    said = [step[tab.said]["lines"] for step in steps if tab.said in step]
    assert said[0] == [] and said[1] == said[2][:1]
    [job] = [one for one in bench.jobs() if one.kind == "audit"]
    told = [line.text for line in job.log][1:-1]
    assert told[0].startswith("3 presses of Explore") and [one[:8] for one in told[1:]] == [
        "Prompt 1",
        "Prompt 2",
        "Prompt 3",
    ]
    assert all(lines == told[: len(lines)] for lines in said[1:-1])
    last, [found] = steps[-1], bench.audits()
    assert said[-1] == [found.sentence, *found.left_out]
    rows = last[tab.table]["rows"]
    assert [one["cells"][:3] for one in rows] == [[one.name, TEXTS[one.prompt], KETTLE] for one in found.behaviours]
    first = found.behaviours[0]
    counts = (
        first.shown, first.random, first.others.same, first.others.random_same, first.echoes, first.random_echoes
    )  # fmt: skip
    assert rows[0]["cells"][3:] == [str(one) for one in counts]
    assert [one["cells"][:2] + one["cells"][2:3] for one in last[tab.prompts]["rows"]] == [
        ["1", TEXTS[0], "found"], ["2", TEXTS[1], "found"], ["3", TEXTS[2], "nothing"],
    ]  # fmt: skip
    assert last[tab.prompts]["rows"][2]["cells"][3].startswith("nothing found; ")
    assert last[tab.history].value == found.key and "2 behaviours, 2 recur" in last[tab.history].choices[0][0]
    assert last[tab.progress]["text"].startswith("3 prompts, ")
    assert last[tab.watched]["lines"] == [] and last[tab.alarms] == {"columns": []}
    command = last[tab.command]
    assert "prompts.jsonl has the prompts; audit.html" in command["note"]
    assert shlex.split(command["command"])[:8] == [
        "python", "-m", "melbo_app", "audit", "--model", found.spec, "--prompts", "prompts.jsonl",
    ]  # fmt: skip

    picked = tab._pick(SimpleNamespace(key="0"), found.key)
    lines = picked[tab.details]["lines"]
    assert (
        lines[0].startswith(f"{first.name} – vector 1 at R ")
        and f"Vector 1: {KETTLE}" in lines
        and f"Without steering: {first.baseline}" in lines
    )
    assert any(line.startswith(f"Vector 1 on “{TEXTS[1]}” (says the same): {KETTLE}") for line in lines)
    assert picked[tab.table]["selected"] == "0" and picked[tab.table]["stamp"]["model_hash"] == found.model_hash
    asked = tab._pick_prompt(SimpleNamespace(key="2"), found.key)["lines"]
    assert asked[0] == f"Prompt 3: {TEXTS[2]}" and asked[1].startswith("Nothing: nothing found; ")
    assert asked[2] == f"Bank “{found.prompts[2].bank}”, {found.prompts[2].reason}"
    opened = tab._open(found.key, picked[tab._at])
    assert opened[page.session.prompt] == TEXTS[first.prompt]
    assert opened[page.session.vectors]["selected"] == [1] and opened[page.session.bank].value == first.bank
    assert opened[page.session.radius]["radius"] == first.radius
    assert "copper kettle" in Path(tab._write_page(found.key)).read_text()
    written = Path(tab._write_json(found.key))
    assert written.name == "audit.json"
    assert json.loads(written.read_text()) == json.loads(json.dumps(audited(found), default=str)) | {
        "created": json.loads(written.read_text())["created"]
    }
    for key, at, problem in (
        (None, 0, "none is shown"),
        (found.key, None, "none is chosen"),
        (found.key, 9, "none is"),
    ):
        with pytest.raises(InputError, match=problem):
            tab._open(key, at)
    job = bench.job(job.id)
    assert tab.show_job(job)[tab.shown] == found.key


def test_earlier_audits_are_listed_and_alarms_stand_beside_what_is_expected(page, bench, planted):  # noqa: F811
    planted(lambda vector, prompt: KETTLE if vector == 2 and prompt == INCOMING[0] else None)
    result_of(bench.run(audit()))
    newest = result_of(bench.run(audit(INCOMING, clean=CLEAN, false_alarms=0.5)))
    tab = page.audit.audit
    [shown] = tab._show_last(REQUEST, sent(page))
    assert shown[tab.shown] == newest.key and len(shown[tab.history].choices) == 2
    assert "; about 2.0 would come from ordinary prompts" in shown[tab.watched]["lines"][0]
    assert len(shown[tab.alarms]["rows"]) == len(newest.watch.alarms)
    scores = [float(one["cells"][3]) for one in shown[tab.alarms]["rows"]]
    assert scores == sorted(scores, reverse=True)
    assert "clean.jsonl the clean ones" in shown[tab.command]["note"]
    older = tab._choose(shown[tab.history].choices[1][1], newest.key)
    assert older[tab.said]["lines"][0].startswith("Nothing found: on 3 prompts")
    assert shown[tab.rest].visible == (not newest.behaviours[0].recurs) and not older[tab.rest].visible
    assert older[tab.table]["columns"] == [] and older[tab.alarms] == {"columns": []}


def test_a_stop_keeps_the_finished_prompts_and_the_others_have_their_reason(page, bench):  # noqa: F811
    asked = audit()
    work = bench.run(asked, stop=lambda: stopping)
    stopping = False
    try:
        while True:
            step = next(work)
            stopping = stopping or step.stage.startswith("prompt 2")
    except StopIteration as end:
        found = end.value
    tab = page.audit.audit
    shown = tab._show(found)
    states = [one["cells"][2:] for one in shown[tab.prompts]["rows"]]
    assert states[1:] == [["not reached", "stopped before this prompt"]] * 2
    assert tab._summary(found).startswith("1 of 3 prompts, ") and tab._summary(found).endswith("press Audit to go on")
    late = result_of(bench.run(audit(("take a hat", "find a hat"), seconds=1, search_seconds=0.1)))
    unread = [one for one in tab._show(late)[tab.prompts]["rows"] if one["cells"][2] == "not reached"]
    assert all(one["cells"][3] == "the 1 seconds of the search were used up" for one in unread)


def test_a_public_page_says_that_it_makes_none(bench, planted):  # noqa: F811
    public = public_workbench(bench, lambda: "10.0.0.1")
    with gr.Blocks() as blocks:
        tab = Page(public).audit.audit
    parts = {one.elem_id: one for one in blocks.blocks.values()}
    assert not parts["audit-here"].visible
    assert parts["audit-why-not"].value["lines"][0].startswith("A public page makes none, as each makes a bank")
    assert [*tab._show_last(REQUEST, {})] == []
    with pytest.raises(InputError, match="a public page makes none"):
        public.start(audit())


def test_without_a_model_the_sentence_names_it(tmp_path):
    from benches import settings

    absent = Workbench(settings(tmp_path / "cache", tmp_path / "none"))
    with gr.Blocks():
        page = Page(absent)
    tab = page.audit.audit
    [shown] = tab._show_last(REQUEST, sent(page))
    assert shown[tab.said]["lines"] == [EMPTY]
    with pytest.raises(InputError, match="none"):
        [*tab._start(REQUEST, sent(page, clean=NONE))]
