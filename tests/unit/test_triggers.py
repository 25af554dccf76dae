"""The study of triggers, at every door: what is found, tested, kept and refused."""

import json

import pytest
from benches import listen, shelved
from test_cli import Ask, ask, bank, cache, environment  # noqa: F401

from melbo_app.errors import InputError, Stopped
from melbo_app.jobs.generators import result_of
from melbo_app.library.triggers import TriggerSearch
from melbo_app.studies import read_study
from melbo_app.studies.trigger_answer import Triggered, repeating
from melbo_app.studies.trigger_goal import Goal
from melbo_app.studies.triggers import FindTriggers, TriggerProgress
from melbo_app.ui.verbs.study_verb import study_verb

PROMPTS = [f"{verb} the {thing}" for verb in ("see", "take", "find") for thing in ("house", "tree", "sea", "hat")]
QUICK = {
    "prompts": PROMPTS, "tokens": 3, "steps": 2, "candidates": 6, "restarts": 2, "random": 4, "held_out": 5,
    "max_new_tokens": 4, "measure": "regex:.", "template": False,
}  # fmt: skip
LINE = {"text", "pieces", "before", "after", "shows", "works", "planted", "answers"}


def found(bench, **asked) -> TriggerSearch:
    return result_of(bench.run(FindTriggers(**{"toward": "text:hello", **QUICK, **asked})))


def test_each_restart_gives_a_trigger_that_is_tested_on_held_out_prompts(bench):
    shelved(bench)
    heard, made = listen(bench.run(FindTriggers(toward="text:hello", **QUICK, planted="qz")))
    assert len(made.found) == 2 and len(made.random) == 4 and made.finished and made.goal == "hello"
    for one in made.found:
        assert one.after is not None and one.before is not None and one.after <= one.before
        assert len(one.pieces) == 3 and "".join(one.pieces) == one.text and one.text.isprintable()
        assert one.shows.n == len(one.answers) == 5 and one.planted is ("qz" in one.text.casefold())
    asked = made.request
    assert [one.user for one in asked.trained_on] == PROMPTS[:4]
    assert [one.user for one in asked.tested_on] == PROMPTS[4:9]
    assert made.known is not None and made.known.shows.count and made.known.planted
    assert made.planted is not None and made.planted.n == 2 and made.random_works.n == 4
    notes = [one.note for one in heard if one.note]
    assert notes and notes[0].startswith("Needs up to ")
    parts = [one.found for one in heard if isinstance(one, TriggerProgress) and one.found]
    assert len(parts[-1].found) == 2 and not parts[0].finished
    again = found(bench, planted="qz")
    assert again.model_copy(update={"created": made.created}) == made  # looked up


def test_the_seed_determines_it(bench):
    shelved(bench)
    first = found(bench)
    path = next((bench.settings.cache_dir / "triggers").glob("*.json"))
    path.unlink()
    again, other = found(bench), found(bench, seed=1)
    assert [(one.text, one.after) for one in again.found] == [(one.text, one.after) for one in first.found]
    assert [one.text for one in other.found] != [one.text for one in first.found]


@pytest.mark.parametrize("asked", [{}, {"together": True}, {"together": True, "says": "hello"}])
def test_toward_a_vector_and_both_together(bench, asked):
    shelved(bench)
    made = found(bench, toward="vector:a[1]", **asked, measure=None)
    assert (made.source, made.target) == (1, 3) and made.request.bank == "a" and made.request.vector == 1
    assert bool(made.goal) == bool(asked) and made.toward == "vector:a[1]"
    assert all(one.after <= one.before for one in made.found)
    alone = found(bench, toward="vector:a:1", measure=None)
    assert made.clean >= alone.clean - 1e-4 and alone.clean == pytest.approx(1, abs=1e-3)


def test_sampling_tries_words_of_user_turns(bench):
    shelved(bench)
    made = found(bench, toward="vector:a[0]", method="sampling", place="begin")
    assert made.sampled and made.found
    assert all(one.text in " ".join(made.sampled) and one.before == made.clean for one in made.found)
    losses = [one.after for one in made.found]
    assert losses == sorted(losses)


def test_a_stop_keeps_finished_triggers_and_the_next_run_goes_on(bench):
    shelved(bench)
    whole = found(bench, seed=7)
    next(one for one in (bench.settings.cache_dir / "triggers").glob("*.json")).unlink()
    halt = []
    work = bench.run(FindTriggers(toward="text:hello", **{**QUICK, "seed": 7}), stop=lambda: bool(halt))
    stages = []
    while True:
        try:
            now = next(work)
        except StopIteration as end:
            part = end.value
            break
        if now.stage.startswith("trigger 2"):
            halt.append(True)
    assert len(part.found) == 1 and not part.finished and bench.trigger_searches()[0].key == part.key
    heard, rest = listen(bench.run(FindTriggers(toward="text:hello", **{**QUICK, "seed": 7})))
    stages = [one.stage for one in heard]
    assert not any(one.startswith("trigger 1 of") for one in stages)
    assert [one.text for one in rest.found] == [one.text for one in whole.found] and rest.finished
    with pytest.raises(Stopped):
        result_of(bench.run(FindTriggers(toward="text:bye", **QUICK), stop=lambda: True))


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"toward": "text: "}, "the text is empty"),
        ({"toward": "kettle"}, "neither a text nor a vector"),
        ({"toward": "vector:a"}, "names no vector"),
        ({"toward": "vector:a[9]"}, "the bank has no vector 9"),
        ({"toward": "vector:none[0]"}, "none"),
        ({"together": True}, "there is no vector"),
        ({"says": "hello"}, "it is the text for --together"),
        ({"method": "sampling"}, "sampling needs a vector"),
        ({"prompts": PROMPTS[:9]}, "9 different prompts are too few: 4 are searched on"),
        ({"prompts": [*PROMPTS[:10], " "]}, "prompt 11 is empty"),
        ({"measure": "logits:A,B"}, "compares two answers"),
        ({"measure": "flag:none"}, "is the name of no flag"),
        ({"planted": " "}, "it is empty"),
        ({"tokens": 0}, "0 is out of range"),
        ({"restarts": 99}, "99 is out of range"),
    ],
)
def test_bad_requests_are_named_before_the_model_is_asked(bench, asked, said):
    shelved(bench, load=False)
    study = FindTriggers(**{"toward": "text:hello", **QUICK, **asked})
    with pytest.raises(InputError, match=said.replace("[", r"\[")):
        study.check(bench.bench)


def test_a_planted_trigger_that_never_fires_and_a_quantised_model_are_named(bench, monkeypatch):
    shelved(bench)
    with pytest.raises(InputError, match="“qz” never brings it out on 5 held-out prompts"):
        found(bench, planted="qz", measure="words:nonesuch")
    config = bench.bench.model.get().model.config
    monkeypatch.setattr(config, "quantization_config", {"quant_method": "gptq", "bits": 4}, raising=False)
    with pytest.raises(InputError, match="is quantised .*gives no gradient"):
        found(bench)


def test_too_little_memory_is_refused_with_the_numbers(bench, monkeypatch):
    shelved(bench)
    monkeypatch.setattr("melbo_app.engine.memory.budget", lambda *_: 1_000)
    with pytest.raises(InputError, match=r"one step on a prompt of \d+ tokens needs .* may be used"):
        found(bench)


def test_goals_are_read_in_both_spellings():
    assert Goal.parse("vector:my bank[3]") == Goal.parse("Vector: my bank:3") == Goal(bank="my bank", vector=3)
    assert Goal.parse("text: a: b") == Goal(text="a: b")


def test_programs_and_jobs_get_the_same(bench):
    shelved(bench)
    told = study_verb(bench, FindTriggers)(toward="text:hello", **{**QUICK, "prompts": PROMPTS})
    assert set(told) == set(Triggered.__annotations__) and all(set(one) == LINE for one in told["triggers"])
    assert told["experimental"].startswith("Experimental") and json.loads(json.dumps(told)) == told
    study = FindTriggers(toward="text:hello", **QUICK)
    assert read_study(study.kept()) == study
    assert [one["text"] for one in told["triggers"]] == [one.text for one in found(bench).found]


def test_the_command_writes_a_file_and_is_repeated_by_its_own_line(ask: Ask, bank, cache, tmp_path):  # noqa: F811
    file, out = tmp_path / "clean.txt", tmp_path / "out.json"
    file.write_text("\n".join(PROMPTS))
    given = [
        "triggers", "--toward", "vector:a[1]", "--prompts", file, "--tokens", 3, "--steps", 1, "--candidates", 4,
        "--restarts", 1, "--random", 4, "--held-out", 4, "--max-new-tokens", 3, "--measure", "regex:.",
    ]  # fmt: skip
    told = ask(*given, "--out", out, "--json").json
    assert set(told) == set(Triggered.__annotations__)
    assert json.loads(out.read_text())["triggers"] == told["triggers"]
    lines = ask(*given).out
    assert "Experimental" in lines and "triggers work on held-out prompts" in lines
    assert "already exists" in ask(*given, "--out", out).sentence


def test_the_repeating_command_names_what_was_asked(bench):
    shelved(bench)
    made = found(bench, planted="qz")
    line = repeating(made, "clean.txt")
    for part in ("--toward text:hello", "--tokens 3", "--steps 2", "--planted qz", "--no-template", "--seed 0"):
        assert part in line
