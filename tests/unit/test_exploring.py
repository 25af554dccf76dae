"""Explore through the workbench: its stages, what is looked up, what is set aside, stops, and the job."""

import json
import re
from datetime import UTC, datetime

import numpy as np
import pytest
from benches import PROMPT, StubEmbedder, listen, settings, trained
from patience import PATIENCE

from melbo_app.analysis.cusp import Cusp
from melbo_app.engine.decoding import Decoding
from melbo_app.errors import InputError, Stopped
from melbo_app.jobs.generators import result_of
from melbo_app.library.bank import PromptRecord
from melbo_app.library.completion import Completion, Scores
from melbo_app.library.explorations import Behaviour, Exploration, ExploreSettings, SetAside
from melbo_app.library.judges import Judgement
from melbo_app.studies import curve as curve_study
from melbo_app.studies import explore as exploring
from melbo_app.studies import explore_stages
from melbo_app.studies.calibrate import Calibrate
from melbo_app.studies.explore import STAGES, Explore
from melbo_app.studies.explore_answer import explored
from melbo_app.studies.findings import read
from melbo_app.ui.components.exploration import finished, halted
from melbo_app.workbench import Workbench

QUICK = ExploreSettings(vectors=3, steps=2, max_new_tokens=4, source=1, target=3, relative_radius=0.5)


class UnitEmbedder(StubEmbedder):
    """Places of length 1."""

    def encode(self, texts):
        rows = super().encode(texts)
        return rows / np.linalg.norm(rows, axis=1, keepdims=True)


@pytest.fixture
def bench(bench):
    bench.load_model()
    bench.bench.embedder = UnitEmbedder()
    return bench


# --- stages -----------------------------------------------------------------------------------------------------------


def test_one_press_trains_completes_and_tells_what_every_vector_does(bench):
    heard, found = listen(bench.run(Explore(prompt=PROMPT, settings=QUICK)))
    assert [stage.name for stage in heard[0].stages] == list(STAGES)
    assert {stage.state for stage in heard[-1].stages} == {"done"} and all(one.detail for one in heard[-1].stages)
    done = [one.done for one in heard]
    assert done == sorted(done) and done[-1] == heard[-1].total
    assert found.radius.how == "given" and found.radius.relative_radius == pytest.approx(0.5)
    said = f"R = {found.radius.radius:.3g} (0.5 × median): as given"
    assert found.radius.sentence == said and heard[-1].stages[0].detail == said
    assert heard[0].stage == "choose R and budget"
    bank = bench.bank(found.bank)
    assert len(bank.vectors) == 3 and bank.record.radius == found.radius.radius and bank.hash == found.bank_hash
    texts = bench.comparison(found.comparison).completions
    assert [one.vector for one in texts] == [None, 0, 1, 2]
    assert [one.text for one in found.answers] == [one.text for one in texts[1:]]
    assert len(found.control) == 3 and found.baseline == texts[0].text
    told = [vector for one in found.behaviours for vector in one.vectors] + [one.vector for one in found.aside]
    assert sorted(told) == [0, 1, 2]
    assert bench.explorations() == [found] and set(found.seconds) == set(STAGES)


def test_a_second_time_nothing_is_trained_and_nothing_generated(bench, monkeypatch):
    first = result_of(bench.run(Explore(prompt=PROMPT, settings=QUICK)))
    monkeypatch.setattr(bench.bench.batching, "generate", None)
    again = result_of(bench.run(Explore(prompt=PROMPT, settings=QUICK.model_copy(update={"threshold": 0.7}))))
    assert again.bank_hash == first.bank_hash and [line.name for line in bench.banks()] == [first.bank]
    assert [one.text for one in again.answers] == [one.text for one in first.answers]
    assert len(bench.explorations()) == 2


def test_the_card_of_what_stays_as_without_steering_shows_the_unsteered_text(bench):
    found = result_of(bench.run(Explore(prompt=PROMPT, settings=QUICK.model_copy(update={"threshold": 1.9}))))
    [group] = [one for one in found.behaviours if one.unsteered]
    assert all(not found.answer(vector).changed for vector in group.vectors)
    [card] = [one for one in finished(found, {})["cards"] if one["unsteered"]]
    assert (card["text"], card["verdict"], card["flags"]) == (found.baseline, None, [])


def test_a_stop_leaves_what_is_done_of_the_stages(bench):
    heard, _ = listen(bench.run(Explore(prompt=PROMPT, settings=QUICK)))
    training = next(one.stages for one in heard if one.stages[1].state == "running")
    shown = halted(training)["stages"]
    assert [one["state"] for one in shown] == ["done", *["waiting"] * 5]
    assert shown[0]["detail"].startswith("R = ") and shown[1]["detail"] == "stopped"


def test_a_bank_of_that_name_that_was_stopped_is_not_taken_for_the_whole_one(bench):
    pressed: list[bool] = []
    work = bench.run(
        Explore(prompt=PROMPT, settings=QUICK.model_copy(update={"steps": 40})), stop=lambda: bool(pressed)
    )
    for step in work:
        if step.stages[1].state == "running" and step.stages[1].fraction > 0:
            break
    pressed.append(True)
    with pytest.raises(Stopped):
        result_of(work)
    [kept] = bench.banks()  # what was trained so far
    assert bench.explorations() == []
    found = result_of(bench.run(Explore(prompt=PROMPT, settings=QUICK.model_copy(update={"steps": 40}))))
    assert found.bank == f"{kept.name}-2" and bench.bank(found.bank).record.note is None


def test_r_is_calibrated_once(bench, monkeypatch):
    wanted = QUICK.model_copy(update={"relative_radius": None, "rule": "calibration"})
    found = result_of(bench.run(Explore(prompt=PROMPT, settings=wanted)))
    calibrated = result_of(bench.run(Calibrate(prompts=[PROMPT], source=1, target=3)))
    assert calibrated.suggested_radius is not None
    assert found.radius.how == "calibration" and "blocks 1 → 3" in found.radius.reason
    assert found.radius.radius == pytest.approx(calibrated.suggested_radius, rel=0.005)
    monkeypatch.setattr(Calibrate, "run", None)
    assert (
        result_of(bench.run(Explore(prompt=PROMPT, settings=wanted.model_copy(update={"threshold": 0.7})))).radius
        == found.radius
    )


def test_without_a_cusp_r_is_the_suggested_one_and_says_so(bench, monkeypatch):
    monkeypatch.setattr(exploring, "find_cusp", lambda curve, detector: Cusp(detector, None, "flat"))
    monkeypatch.setattr(exploring, "CURVE_DECODING", Decoding(2))
    monkeypatch.setattr(curve_study, "default_radii", lambda: (0.05, 0.3))
    wanted = QUICK.model_copy(update={"relative_radius": None, "rule": "curve", "vectors": 2, "max_new_tokens": 2})
    found = result_of(bench.run(Explore(prompt=PROMPT, settings=wanted)))
    assert found.radius.how == "suggested" and found.radius.reason.startswith("No cusp: flat. So R is 0.07 ×")
    assert found.radius.radius == bench.suggestion([PROMPT], 1, 3).radius


# --- what answers say -------------------------------------------------------------------------------------------------


def answer(vector, text, number, **scores):
    values = dict.fromkeys(["logprob", "loss", "kl_prompt", "kl_text", "dictionary_words", "language", "runaway"])
    values |= {"repetition": 0.0, "readability": 1.0, "verdict": "readable"} | scores
    facts = {} if vector is None else {"source": 1, "radius": 1.0, "bank_hash": "b"}
    return Completion(
        id=number, vector=vector, text=text, prompt=PromptRecord(user="p"), tokens=3, finished=True, model="m",
        model_hash="h", max_new_tokens=3, temperature=0, top_p=1, seed=0, created=datetime.now(UTC),
        scores=Scores(**values), **facts,
    )  # fmt: skip


UNSTEERED = "a fine day by the sea, and hardly any wind"


def found(texts, axes, likeness=None, ran_away=(), control=(), threshold=0.4, **scores):
    """Answers of vectors at planted places; ``axes`` says along which axis each lies, the unsteered one along 0."""
    steered = [answer(None, UNSTEERED, 1)]
    steered += [answer(at, text, at + 2, **scores.get(f"of_{at}", {})) for at, text in enumerate(texts)]
    random = [answer(None, UNSTEERED, 50), *(answer(at, "random", 51 + at) for at in range(len(control)))]
    places = np.eye(6)[[0, *axes, 0, *control]]
    likeness = np.eye(len(texts)) if likeness is None else likeness
    return read(steered, random, places, likeness, ran_away, threshold)


def test_answers_that_say_the_same_are_one_behaviour_with_its_own_words():
    both = found(
        ["pirate gold ahoy", "ahoy pirate", "a fine day there", "pancake recipe"], [1, 1, 0, 2], control=[0, 2]
    )
    names = [(one.vectors, one.unsteered, one.control) for one in both.behaviours]
    assert names == [((0, 1), False, 0), ((3,), False, 1), ((2,), True, 1)]  # two vectors before one, unsteered last
    assert "pirate" in both.behaviours[0].name and "pancake" in both.behaviours[1].name
    assert both.behaviours[2].name == "as without steering"
    assert [one.changed for one in both.answers] == [True, True, False, True]
    assert [one.changed for one in both.control] == [False, True]


def test_a_runaway_a_broken_answer_and_duplicates_are_set_aside():
    likeness = np.eye(6)
    likeness[4, 1] = likeness[1, 4] = 0.95
    texts = ["salad", "pirate", "word word", "pancake", "ahoy", "pan cake"]
    six = found(texts, [3, 1, 4, 2, 1, 2], likeness, ran_away={0}, of_2={"verdict": "broken"}, of_3={"runaway": 0.0})
    reasons = {one.vector: one.reason for one in six.aside}
    assert set(reasons) == {0, 2, 4}
    assert reasons[0].startswith("runaway") and reasons[2].startswith("broken")
    assert reasons[4] == "duplicate: it makes the same changes as vector 1 (cosine 0.95)"
    assert [one.vectors for one in six.behaviours] == [(3, 5), (1,)]
    assert not six.answers[2].changed  # what cannot be read has not changed its meaning


def test_vectors_that_change_the_same_are_no_duplicates_where_their_answers_differ():
    likeness = np.full((2, 2), 0.95)
    assert found(["pirate", "pancake"], [1, 2], likeness).aside == ()
    refused = found(["I'm sorry, but I can't say that.", "pirate"], [1, 1], likeness)
    assert refused.aside == () and [one.vectors for one in refused.behaviours] == [(0,), (1,)]


def test_the_same_words_are_a_duplicate_but_not_those_of_the_unsteered_answer():
    four = found(["pirate", " pirate\n", UNSTEERED, UNSTEERED], [1, 1, 0, 0])
    assert [(one.vector, one.reason) for one in four.aside] == [(1, "duplicate: it says the same as vector 0")]
    assert [one.vectors for one in four.behaviours] == [(0,), (2, 3)]


def test_how_far_random_answers_are_decides_what_is_the_same_within_bounds():
    near, far = found(["x"], [1], control=[0] * 4, threshold=None), found(["x"], [1], control=[0, 2, 3], threshold=None)
    assert (near.threshold, near.answers[0].changed) == (0.1, True)
    assert (far.threshold, far.answers[0].changed) == (0.35, True)


def test_random_answers_of_another_kind_do_not_raise_the_distance():
    refusals = [answer(at, "I'm sorry, but I can't say that.", 60 + at) for at in range(4)]
    steered = [answer(None, UNSTEERED, 1), answer(0, "x", 2)]
    random = [answer(None, UNSTEERED, 50), *refusals]
    read_ = read(steered, random, np.eye(6)[[0, 1, 0, 2, 3, 4, 5]], np.eye(1), (), None)
    assert read_.threshold == 0.1 and all(one.changed and "refusal" in one.differs for one in read_.control)


def test_what_random_vectors_show_as_often_is_not_new():
    both = found(["pirate", "ahoy", "pancake"], [1, 1, 2], control=[1, 0, 0])
    assert [(one.vectors, one.control, one.as_often) for one in both.behaviours] == [
        ((0, 1), 1, False),
        ((2,), 0, False),
    ]
    often = found(["pirate", "pancake", UNSTEERED], [1, 2, 0], control=[1, 0, 0])
    assert [(one.vectors, one.as_often, one.new) for one in often.behaviours] == [
        ((1,), False, True), ((0,), True, False), ((2,), False, False),
    ]  # fmt: skip


def test_duplicates_count_when_vectors_are_compared_with_random_ones():
    four = found(["pirate", "pirate", "pirate", UNSTEERED], [1, 1, 1, 0], control=[1, 1, 0, 0])
    assert next((one.vectors, one.control, one.as_often) for one in four.behaviours) == ((0,), 2, False)


@pytest.mark.parametrize("place", [0, 1])
def test_a_flag_is_never_filed_under_as_without_steering(place):
    flagged = "Das Museum öffnet am Morgen um neun Uhr und schließt am Abend."
    [behaviour] = found([flagged], [place], threshold=1.9).behaviours
    assert (behaviour.unsteered, behaviour.name) == (False, "answers in German")
    [refused] = found(["I'm sorry, but I can't help with that."], [place], threshold=1.9).behaviours
    assert (refused.unsteered, refused.name) == (False, "refuses")


def test_broken_answers_change_nothing_and_show_nothing():
    salad = {"verdict": "broken"}
    one = found(["pirate", "I'm sorry, but I can't. can't can't"], [1, 2], of_1=salad)
    assert [answer.changed for answer in one.answers] == [True, False]
    steered = [answer(None, UNSTEERED, 1), answer(0, "pirate", 2)]
    random = [answer(None, UNSTEERED, 50), answer(0, "pirate", 51, **salad)]
    [behaviour] = read(steered, random, np.eye(3)[[0, 1, 0, 1]], np.eye(1), (), 0.4).behaviours
    assert behaviour.control == 0


def test_a_name_by_a_judge_comes_first():
    steered = [answer(None, UNSTEERED, 1), answer(0, "pirate", 2), answer(1, "pancake", 3)]
    control = [answer(None, UNSTEERED, 50)]
    said = read(steered, control, np.eye(3)[[0, 1, 2, 0]], np.eye(2), (), 0.4, {2: "speaks like a pirate"})
    assert said.behaviours[0].name == "speaks like a pirate"
    assert "pancake" in said.behaviours[1].name


def test_all_may_be_set_aside():
    assert found(["x", "y"], [1, 2], ran_away={0, 1}).behaviours == ()


def test_a_judge_that_is_on_names_the_behaviours_of_texts_that_it_judged(bench, monkeypatch):
    first = result_of(bench.run(Explore(prompt=PROMPT, settings=QUICK)))
    digests = [one.digest for one in bench.comparison(first.comparison).completions]
    said = {
        digest: Judgement(judge="j", model="m", verdict="readable", behaviour=f"does {digest[:6]}")
        for digest in digests
    }
    monkeypatch.setattr(explore_stages, "judgements", lambda bench, completions: said)
    again = result_of(bench.run(Explore(prompt=PROMPT, settings=QUICK)))
    new = [one for one in again.behaviours if not one.unsteered]
    assert new and all(re.fullmatch(r"does [0-9a-f]{6}( \(\d\)|: “.*”)?", one.name) for one in new)


# --- job and record ---------------------------------------------------------------------------------------------------


def test_it_runs_as_a_job_and_its_result_outlives_the_program(bench, tmp_path, model_folder):
    job = bench.start(Explore(prompt=PROMPT, settings=QUICK), who="me")
    assert job.wait(PATIENCE) and job.state == "done", job.error
    record = bench.job(job.id)
    assert (record.kind, record.title, record.bank) == ("explore", "Exploring “hello there”", job.result.bank)
    assert [line.text for line in record.log if line.text.startswith("Train: 3 vectors")]
    other = Workbench(settings(tmp_path / "cache", model_folder))
    assert other.explorations() == []  # of which model?
    other.load_model()
    assert other.explorations() == [job.result] and other.exploration(job.result.key) == job.result
    assert bench.run_again(job.id).wait(PATIENCE)
    for path in (tmp_path / "cache" / "explorations").iterdir():
        path.write_text("{")
    assert other.explorations() == []
    with pytest.raises(InputError, match="no longer exists"):
        other.exploration(job.result.key)


def test_the_summary_has_all_that_was_found(bench):
    trained(bench, "another")
    said = explored(result_of(bench.run(Explore(prompt=PROMPT, settings=QUICK))))
    assert said["sentence"].startswith("3 vectors, R = 0.5 × the median norm, ")
    assert 0 <= said["changed"] <= 1 and len(said["control"]) == 3
    texts = {one["vector"]: one["text"] for one in said["answers"]}
    assert all(one["text"] == texts[one["representative"]] for one in said["behaviours"])


def test_nothing_is_hidden_and_the_farthest_answers_come_first(bench):
    result = result_of(bench.run(Explore(prompt=PROMPT, settings=QUICK)))
    aside = SetAside(vector=1, reason="duplicate: it says the same as vector 0")
    kept = tuple(one.model_copy(update={"vectors": tuple({*one.vectors} - {1})}) for one in result.behaviours)
    said = explored(result.model_copy(update={"aside": (aside,), "behaviours": kept}))
    for name, answers in (("answers", result.answers), ("control", result.control)):
        distances = [one["distance"] for one in said[name]]
        assert distances == sorted(distances, reverse=True)
        assert {(one["vector"], one["text"], one["verdict"]) for one in said[name]} == {
            (one.vector, one.text, one.verdict) for one in answers
        }
    lines = {one["vector"]: one for one in said["answers"]}
    assert (lines[1]["aside"], lines[1]["behaviour"]) == (aside.reason, None)
    for one in kept:
        assert all(lines[vector]["behaviour"] == one.name for vector in one.vectors)
    assert all(one["behaviour"] is None and one["aside"] is None for one in said["control"])


def test_the_page_shows_every_changed_answer_and_what_changed_even_if_it_was_set_aside(bench):
    result = result_of(bench.run(Explore(prompt=PROMPT, settings=QUICK)))
    changes = [
        {"changed": True, "differs": ("advice",), "distance": 0.01},
        {"changed": True, "differs": (), "distance": result.threshold + 0.1},
        {"changed": False, "differs": (), "distance": 0.0},
    ]
    answers = tuple(one.model_copy(update=change) for one, change in zip(result.answers, changes, strict=True))
    aside = tuple(SetAside(vector=vector, reason="duplicate: it says the same") for vector in (0, 1))
    plain = Behaviour(
        name="as without steering", words=(), vectors=(2,), representative=2, distance=0.0, control=0, unsteered=True
    )
    shown = finished(result.model_copy(update={"answers": answers, "aside": aside, "behaviours": (plain,)}), {})
    rows = {row["vector"]: row for row in shown["tables"][0]["rows"]}
    assert [rows[vector]["change"] for vector in range(3)] == [
        "changed: the opposite advice", f"changed: farther than {result.threshold:.2g}", "the same words",
    ]  # fmt: skip
    assert [rows[vector]["changed"] for vector in range(3)] == [True, True, False]
    assert rows[0]["put"] == "set aside, duplicate: it says the same"
    assert rows[2]["put"] == "close to the unsteered answer" == shown["cards"][0]["name"]
    assert "".join(piece for piece, _ in rows[0]["pieces"]) == answers[0].text


def test_files_of_older_versions_still_open(bench):
    result = result_of(bench.run(Explore(prompt=PROMPT, settings=QUICK)))
    old = result.model_dump(mode="json")
    for one in old["answers"] + old["control"]:
        del one["differs"]
    group = {"vectors": [0], "representative": 0, "distance": 0.5, "control": 0}
    old["behaviours"] = [
        group | {"words": ["pirate", "gold"], "unsteered": False}, group | {"words": [], "unsteered": False},
        group | {"words": [], "unsteered": True},
    ]  # fmt: skip
    opened = Exploration.model_validate_json(json.dumps(old))
    assert [one.name for one in opened.behaviours] == ["pirate, gold", "no distinctive words", "as without steering"]
    assert opened.new == 2 and not any(one.as_often for one in opened.behaviours)
    assert explored(opened)["behaviours"][0]["name"] == "pirate, gold" and finished(opened, {})["cards"]


def test_where_random_vectors_show_all_of_it_the_sentence_says_so(bench):
    result = result_of(bench.run(Explore(prompt=PROMPT, settings=QUICK)))
    one = Behaviour(
        name="asks back", words=(), vectors=(0,), representative=0, distance=0.5, control=2, as_often=True,
        unsteered=False,
    )  # fmt: skip
    nothing = result.model_copy(update={"behaviours": (one,)})
    assert nothing.new == 0 and "0 behaviours that random vectors of the same R do not" in nothing.sentence
    assert "Random vectors show these as often: asks back (1, random 2)." in nothing.sentence
    new = result.model_copy(update={"behaviours": (one.model_copy(update={"as_often": False}),)})
    assert new.new == 1 and "1 behaviour: asks back (1). " in new.sentence


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"radius": 3.0}, "R: it is given twice"),
        ({"relative_radius": float("nan")}, "relative R: must lie between 0 and 100, not nan"),
        ({"vectors": 1}, "vectors: needs at least 2, not 1"),
        ({"threshold": 0}, "same meaning: 0 is not a cosine distance"),
        ({"method": "magic"}, "method: 'magic' is not known"),
        ({"scope": "here"}, "scope: .here. is not known"),
    ],
)
def test_what_cannot_be_explored_is_refused_before_a_job_begins(bench, changes, sentence):
    with pytest.raises(InputError, match=sentence):
        bench.start(Explore(prompt=PROMPT, settings=QUICK.model_copy(update=changes)))
    assert bench.jobs() == []


def test_of_two_settings_with_one_r_the_one_with_the_chosen_budget_is_marked(bench):
    searching = QUICK.model_copy(update={"relative_radius": None})
    found = result_of(bench.run(Explore(prompt=PROMPT, settings=searching)))
    assert found.chosen is not None and found.chosen in found.tried
    broken = found.chosen.model_copy(update={"effect_budget": 0.25, "readable": 0})
    both = found.model_copy(update={"tried": (broken, *found.tried)})
    assert both.chosen == found.chosen
    marked = [one["chosen"] for one in finished(both, {})["tried"]]
    assert marked.count(True) == 1 and not marked[0]
    assert result_of(bench.run(Explore(prompt=PROMPT, settings=QUICK))).chosen is None  # R was given
