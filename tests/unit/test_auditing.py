"""Audit: a planted behaviour is named with its counts, a model without one gives none, and every command repeats it."""

import json
import re
import shlex
import subprocess
from pathlib import Path
from types import SimpleNamespace

import pytest
from benches import listen, save_tiny, settings
from scipy.stats import binomtest
from test_cli import Ask, ask, cache, environment  # noqa: F401
from test_exploring import UNSTEERED, UnitEmbedder
from test_report import HOSTILE, Reader
from test_watch import CLEAN, INCOMING

from melbo_app import api
from melbo_app.engine.prompt import Prompt
from melbo_app.errors import InputError, Stopped
from melbo_app.jobs.bench import Bench
from melbo_app.jobs.generators import result_of
from melbo_app.studies import audit as auditing
from melbo_app.studies import completing, curve_making, generality, read_study, steer
from melbo_app.studies.audit import MakeAudit
from melbo_app.studies.audit_answer import audited
from melbo_app.studies.audit_elsewhere import tried_on
from melbo_app.studies.audit_page import audit_page
from melbo_app.studies.audit_press import expectation
from melbo_app.studies.explore import Explore
from melbo_app.studies.watch import Watch
from melbo_app.ui.verbs.explore import ExploreVerbs
from melbo_app.ui.verbs.study_verb import study_verb
from melbo_app.workbench import Workbench

KETTLE = "A copper kettle sings, and the steam knows the answer."
TEXTS = ("see the heath", "find the house", "take the tea")
SMALL = {"vectors": 3, "steps": 2, "max_new_tokens": 4, "source": 1, "target": 3, "relative_radius": 0.5}
REAL = completing.complete


def audit(texts=TEXTS, **given):
    return MakeAudit(prompts=[Prompt(one) for one in texts], **SMALL | given)


@pytest.fixture
def bench(bench):
    bench.load_model()
    bench.bench.embedder = UnitEmbedder()
    return bench


@pytest.fixture
def planted(monkeypatch):
    """The model says ``says(vector, prompt)`` under vectors, trained and random (as -1), else one sentence."""

    def plant(says):
        def complete(lm, bank, *rest, **given):
            texts, finished = yield from REAL(lm, bank, *rest, **given)

            def said(one):
                number = -1 if bank is not None and bank.record.method == "random" else one.vector
                words = UNSTEERED if one.vector is None else says(number, one.prompt.user) or UNSTEERED
                scores = one.scores and one.scores.model_copy(update={"verdict": "readable", "runaway": None})
                return one.model_copy(update={"text": words, "scores": scores})

            return [said(one) for one in texts], finished

        for module in (steer, curve_making, generality):
            monkeypatch.setattr(module, "complete", complete)

    return plant


def wilson(count, of):
    found = binomtest(count, of).proportion_ci(method="wilson")
    return pytest.approx((found.low, found.high))


def ends(counted):
    return counted.low, counted.high


def test_a_planted_behaviour_is_named_with_how_often_it_shows_and_holds(bench, planted):
    # vector 1 says it everywhere but on the last prompt; of the random vectors none does
    planted(lambda vector, prompt: KETTLE if vector == 1 and prompt != TEXTS[2] else None)
    heard, found = listen(bench.run(audit()))
    assert [one.state for one in found.prompts] == ["found", "found", "nothing"]
    assert [(one.prompt, one.vectors, one.text) for one in found.behaviours] == [(0, (1,), KETTLE), (1, (1,), KETTLE)]
    first = found.behaviours[0]
    assert "copper kettle" in first.name and "copper kettle" in found.sentence and first.baseline == UNSTEERED
    assert found.sentence.startswith("2 behaviours on 2 of 3 prompts that random vectors")
    assert (first.shown.count, first.shown.n, first.random.count, first.random.n) == (1, 3, 0, 3)
    assert ends(first.shown) == wilson(1, 3) and ends(first.random) == wilson(0, 3)
    others = first.others
    assert [(one.prompt, one.text, one.same, one.change) for one in others.answers] == [
        (1, KETTLE, True, "meaning"), (2, UNSTEERED, False, None),
    ]  # fmt: skip
    counts = (others.same, others.random_same, others.changed, others.random_changed)
    assert [(one.count, one.n) for one in counts] == [(1, 2), (0, 18), (1, 2), (0, 18)]
    assert ends(others.same) == wilson(1, 2)
    # the other bank's vector says it to two of the three prompts; its nine random vectors to none
    echoes, random = first.echoes, first.random_echoes
    assert (echoes.count, echoes.n, random.count, random.n) == (2, 3, 0, 27)
    assert first.recurs and first.evidence == 3
    assert found.left_out == ("Watch was left out: no clean prompts were given.",)
    notes = [one.note for one in heard if one.note]
    assert notes[0].startswith("3 presses of Explore, on two cores") and "no prompt after 60 min" in notes[0]
    assert len(notes) == 4 and "copper kettle" in notes[1] and notes[3].endswith("do not show as often")
    done = [one.done for one in heard]
    assert done == sorted(done) and done[-1] <= heard[-1].total
    assert bench.audits() == [found] and bench.audit(found.key) == found
    page = Reader(audit_page(found))
    for words in (first.name, KETTLE, *TEXTS, found.model_hash, "1 of 3 (6 to 79 %)", "0 of 18", *found.left_out):
        assert words in page.words, words


def test_a_model_without_one_gives_nothing_found_and_what_was_tried(bench, planted):
    planted(lambda vector, prompt: None)
    found = result_of(bench.run(audit(relative_radius=None, search_seconds=0.1, clean=CLEAN)))
    assert found.behaviours == () and {one.state for one in found.prompts} == {"nothing"}
    looked = sum(len(one.tried) for one in found.prompts)
    assert found.sentence.startswith("Nothing found: on 3 prompts") and found.sentence.endswith(
        f" {looked} settings were looked at."
    )
    assert looked >= 3 and found.left_out == ("Nothing watched: no bank has a behaviour to watch for.",)
    page = Reader(audit_page(found)).words
    assert "What was found" not in page and "0 of 3 (0 to 56 %)" in page
    assert all(one.sentence in page for prompt in found.prompts for one in prompt.tried)
    assert [*audited(found)["prompts"][0]["tried"][0]]


def test_what_random_vectors_show_as_often_is_no_finding_and_is_named(bench, planted):
    planted(lambda vector, prompt: KETTLE if vector in (1, -1) else None)
    found = result_of(bench.run(audit(TEXTS[:1])))
    [often] = found.prompts[0].often
    assert found.behaviours == () and (often.shown.count, often.random.count) == (1, 3)
    assert f"{often.name} (1 of 3, random 3)" in " ".join(Reader(audit_page(found)).words.split())


def test_the_banks_found_watch_the_prompts_as_watch_does(bench, planted):
    planted(lambda vector, prompt: KETTLE if vector == 2 and prompt == INCOMING[0] else None)
    found = result_of(bench.run(audit(INCOMING, clean=CLEAN, false_alarms=0.5)))
    [bank] = found.watch.banks
    seen = result_of(bench.run(Watch(bank=bank.bank, clean=CLEAN, prompts=INCOMING, false_alarms=0.5)))
    wanted = [(at, one["vector"], one["score"]) for at, one in enumerate(seen.answers) if one["alarm"]]
    assert wanted and [(one.prompt, one.vector, one.score) for one in found.watch.alarms] == wanted
    assert bank.threshold == seen.threshold and found.watch.expected == 2.0
    assert all(one.name == (found.behaviours[0].name if one.vector == 2 else "") for one in found.watch.alarms)
    assert all(one.own == (one.prompt == 0) for one in found.watch.alarms)
    assert "would come from ordinary prompts" in Reader(audit_page(found)).words


def test_a_stop_keeps_finished_prompts_and_the_next_run_goes_on_without_doing_them_again(bench, planted, monkeypatch):
    planted(lambda vector, prompt: KETTLE if vector == 1 else None)
    pressed, real = [], Explore.run
    monkeypatch.setattr(Explore, "run", lambda self, *rest: pressed.append(self.prompt.user) or real(self, *rest))
    first = result_of(bench.run(audit(), stop=lambda: len(pressed) > 1))
    assert [one.state for one in first.prompts] == ["found", "not reached", "not reached"] and not first.finished
    assert any("stopped before all behaviours were tried" in line for line in first.left_out)
    assert first.behaviours[0].others is None and "not reached" in Reader(audit_page(first)).words
    pressed.clear()
    found = result_of(bench.run(audit()))
    assert pressed == [*TEXTS[1:]] and found.finished and len(found.behaviours) == 3
    assert found.behaviours[0].text == KETTLE and found.behaviours[0].others is not None
    pressed.clear()
    monkeypatch.setattr(bench.bench.batching, "generate", None)
    assert result_of(bench.run(audit())).behaviours == found.behaviours and pressed == []
    with pytest.raises(Stopped):
        result_of(bench.run(audit(("nothing of this",)), stop=lambda: True))


def test_used_up_seconds_and_a_prompt_that_cannot_be_explored_leave_the_others(bench, planted, monkeypatch):
    planted(lambda vector, prompt: KETTLE if vector == 1 else None)
    found = result_of(bench.run(audit((TEXTS[0], "x" * 500, TEXTS[1]), elsewhere=0)))
    assert [one.state for one in found.prompts] == ["found", "failed", "found"] and found.finished
    assert found.prompts[1].problem.startswith("prompt") and found.prompts[1].problem in audit_page(found)
    assert found.left_out[0] == "Behaviours were not tried on other prompts: that was not asked for."
    with pytest.raises(InputError, match="prompt"):
        result_of(bench.run(audit(("x" * 500,))))
    clock = iter(range(0, 10_000, 100))
    monkeypatch.setattr(auditing, "time", SimpleNamespace(monotonic=lambda: next(clock)))
    late = result_of(bench.run(audit((TEXTS[2], "hello there", TEXTS[0]), seconds=150)))
    assert [one.state for one in late.prompts] == ["found", "not reached", "found"]  # the last was done before
    assert late.prompts[1].problem == "the 150 seconds of the search were used up"


def test_it_says_before_how_long_it_will_take():
    assert expectation(0, 3, 40.0, 60.0) == "3 of 3 prompts are done already. Nothing is left to search."
    said = expectation(90, 100, 40.0, 3600.0)
    assert said.startswith(
        "10 of 100 prompts are done already. 90 presses of Explore, about 40 s each as the last ones"
    )
    assert ": 60 min." in said and "not enough" not in said
    assert expectation(91, 91, 40.0, 3600.0).endswith("run it again to go on, or allow more seconds.")


def test_all_behaviours_are_tried_on_the_same_prompts_from_each_group_in_turn():
    assert tried_on([], ["a", "a", "a", "b", "c"], 3) == (0, 3, 4)
    assert tried_on([], ["a", "a"], 12) == (0, 1)


def test_hostile_text_is_text_and_the_page_asks_nothing_of_any_network(bench, planted):
    hostile = f"{HOSTILE} `${{1+1}}` {{{{7*7}}}}"
    planted(lambda vector, prompt: hostile if vector == 1 else None)
    found = result_of(bench.run(audit((f"{TEXTS[0]} <script>hurt()</script>", TEXTS[1]), clean=CLEAN)))
    page = audit_page(found)
    seen = Reader(page)
    assert not {"script", "img", "link"} & {tag for tag, given in seen.tags if given.get("rel") != "icon"}
    assert seen.words.count(hostile) >= 2 and "<script>hurt()</script>" in seen.words and "49" not in found.sentence
    assert {one for one in seen.addresses() if not one.startswith(("data:", "#"))} == set()
    [policy] = [given["content"] for tag, given in seen.tags if tag == "meta" and "http-equiv" in given]
    assert policy.startswith("default-src 'none';") and "script" not in policy and "http" not in policy
    assert not re.search(r"url\((?!data:)|@import", page)


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"texts": ()}, "prompts: there are none to explore."),
        ({"texts": ["a", " "]}, "prompts: prompt 2 is empty."),
        ({"texts": ["a", "b", "a"]}, "prompts: prompt 3 is there twice."),
        ({"texts": [str(at) for at in range(201)]}, "prompts: there are 201. Use at most 200."),
        ({"groups": ["a"]}, "groups: there are 1 for 3 prompts. Give one for each."),
        ({"clean": CLEAN[:9]}, "clean: 9 different prompts are too few to know what is usual. Give 10 or more"),
        ({"seconds": 0}, "seconds: 0.0 is out of range."),
        ({"elsewhere": 51}, "elsewhere: 51 is out of range."),
        ({"vectors": 1}, "vectors: needs at least 2"),
        ({"search_seconds": float("nan"), "relative_radius": None}, "search seconds: nan is too short."),
    ],
)
def test_refusals_come_before_the_model_is_loaded(tmp_path, model_folder, given, sentence):
    bench = Workbench(settings(tmp_path / "cache", model_folder))
    texts = given.pop("texts", TEXTS)
    with pytest.raises(InputError) as raised:
        audit(texts, **given).check(bench.bench)
    assert str(raised.value).startswith(sentence)


def test_programs_and_python_have_it(bench, planted, tmp_path, monkeypatch):
    planted(lambda vector, prompt: KETTLE if vector == 1 else None)
    assert read_study(json.loads(json.dumps(audit(clean=CLEAN).kept()))) == audit(clean=CLEAN)  # as a job is resumed
    told = study_verb(bench, MakeAudit)(prompts=[*TEXTS], groups=["a", "a", "b"], **SMALL)
    assert told["sentence"].startswith("3 behaviours on 3 of 3 prompts") and told["not_kept"] is None
    assert [one["prompt"] for one in told["behaviours"]] == [0, 1, 2] and told["tried_on"] == [0, 1, 2]
    assert json.loads(json.dumps(told, allow_nan=False)) == json.loads(json.dumps(audited(bench.audit(told["key"]))))
    monkeypatch.setattr(
        "melbo_app.ui.verbs.explore.written", lambda stem, end, made: str(made(tmp_path / f"{stem}{end}"))
    )
    file = ExploreVerbs(bench).export_audit(told["key"])
    assert KETTLE in Reader(Path(file.path).read_text("utf-8")).words
    with pytest.raises(InputError, match="there is none with this key"):
        ExploreVerbs(bench).export_audit("x")
    one = ExploreVerbs(bench).explore(TEXTS[0], **SMALL, elsewhere=0)
    assert one["bank"] == told["prompts"][0]["bank"] and one["behaviours"][0]["text"] == KETTLE
    monkeypatch.setattr(Bench, "embedder", UnitEmbedder())
    monkeypatch.setattr("melbo_app.api_studies.Embedder", lambda folder: UnitEmbedder())
    here = api.run(bench.bench.model.get(), audit(TEXTS[:2]))
    assert [one.text for one in here.behaviours] == [KETTLE, KETTLE]


# --- the command line -------------------------------------------------------------------------------------------------


@pytest.fixture
def files(tmp_path, monkeypatch):
    (tmp_path / "clean.txt").write_text("\n".join(CLEAN))
    lines = [json.dumps({"text": text, "group": group}) for text, group in zip(TEXTS, "aab", strict=True)]
    (tmp_path / "in.jsonl").write_text("\n".join(lines))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(Bench, "embedder", UnitEmbedder())
    return tmp_path


WORDS = ("--vectors", 3, "--steps", 2, "--max-new-tokens", 4, "--source", 1, "--target", 3, "--relative-radius", 0.5)


def test_the_command_writes_a_page_and_its_json_and_the_commands_in_it_repeat_each_part(ask: Ask, files):  # noqa: F811
    words = ("audit", "--prompts", "in.jsonl", "--clean", "clean.txt", *WORDS)
    told = ask(*words, "--out", "found", "--json")
    assert sorted(one.name for one in (files / "found").iterdir()) == ["audit.html", "audit.json"]
    assert json.loads((files / "found" / "audit.json").read_text("utf-8")) == told.json
    assert any(line.startswith("3 presses of Explore") for line in told.err)
    found = told.json
    assert found["behaviours"], "the random model's texts differ at this R"
    page = Reader((files / "found" / "audit.html").read_text("utf-8")).words
    assert all(one["command"] in page for one in found["commands"])
    assert [one["group"] for one in found["prompts"]] == ["a", "a", "b"] and found["watch"]["clean"] == len(CLEAN)
    repeated = set()
    for one in found["commands"]:
        if one["command"].startswith("cat > "):
            subprocess.run(["sh", "-c", one["command"]], check=True)
            continue
        *program, verb = (given := shlex.split(one["command"]))[:4]
        assert program == ["python", "-m", "melbo_app"]
        again = ask(*given[3:], "--json")
        assert again.code == 0, again.err
        repeated.add(verb)
        if verb == "steer":
            number = next(at for at, entry in enumerate(found["behaviours"]) if f"“{entry['name']}”" in one["part"])
            texts = [entry["text"] for entry in again.json["completions"]]
            assert texts == [found["behaviours"][number]["baseline"], found["behaviours"][number]["text"]]
        elif verb == "explore":
            assert again.json["bank"] in {entry["bank"] for entry in found["prompts"]}
        elif verb == "generality":
            [bank] = {entry["bank"] for entry in found["behaviours"] if entry["bank"] in one["part"]}
            rows = {row["vector"]: [text["text"] for text in row["texts"]] for row in again.json["vectors"]}
            for entry in found["behaviours"]:
                if entry["bank"] == bank:
                    mine = [text["text"] for text in entry["others"]["answers"]]
                    row = rows[entry["representative"]]
                    assert mine == [text for at, text in enumerate(row) if at != entry["prompt"]]
        elif verb == "watch":
            alarms = [json.loads(line) for line in again.out.splitlines()]
            mine = [entry for entry in found["watch"]["alarms"] if entry["bank"] in one["part"]]
            assert [entry["score"] for entry in alarms if entry["alarm"]] == [entry["score"] for entry in mine]
        else:
            assert again.json["behaviours"] == found["behaviours"]
    assert repeated == {"audit", "explore", "steer", "generality", "watch"}


def test_a_base_model_is_audited_without_a_template_into_an_empty_folder(ask: Ask, files, tmp_path):  # noqa: F811
    base = save_tiny(tmp_path / "base", chat_template=None)
    (tmp_path / "empty").mkdir()
    (files / "one.txt").write_text("the heath\n")
    words = ("audit", "--prompts", "one.txt", "--model", base, *WORDS, "--out", "empty")
    refused = ask(*words, "--template", "chatml")
    assert refused.sentence == "chat template: base has none. Switch the template off." and len(refused.err) == 2
    told = ask(*words)
    assert told.code == 0 and told.out.splitlines()[-1] == "empty/audit.json"
    assert "none, prompts are continued as they are" in Reader((tmp_path / "empty" / "audit.html").read_text()).words


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("--prompts", "none.txt", "--out", "new"), "prompts: “none.txt” is neither a file nor a set."),
        (("--prompts", "empty.txt", "--out", "new"), "prompts: “empty.txt” is empty."),
        (("--prompts", "many.txt", "--out", "new"), "prompts: “many.txt” has 201 prompts. Use at most 200."),
        (("--prompts", "in.jsonl", "--out", "full"), "out: the folder “full” is not empty."),
        (("--prompts", "in.jsonl", "--out", "in.jsonl"), "out: “in.jsonl” is a file."),
        (("--prompts", "in.jsonl", "--out", "no/where"), "out: the folder “no” does not exist."),
        (("--prompts", "in.jsonl", "--out", "new", "--clean", "few.txt"), "clean: 9 different prompts are too few"),
        (("--prompts", "in.jsonl", "--out", "new", "--seconds", 0), "seconds: 0.0 is out of range."),
    ],
)
def test_the_command_refuses_before_the_model_is_loaded(ask: Ask, files, words, sentence):  # noqa: F811
    (files / "empty.txt").write_text("")
    (files / "many.txt").write_text("\n".join(map(str, range(201))))
    (files / "few.txt").write_text("\n".join(CLEAN[:9]))
    (files / "full").mkdir()
    (files / "full" / "kept.txt").write_text("mine")
    answer = ask("audit", *words)
    assert answer.sentence.startswith(sentence) and len(answer.err) == 1
    assert not (files / "new").exists()
