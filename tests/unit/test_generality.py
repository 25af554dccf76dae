"""Generality: planted answers give the shares that are counted by hand, and the work is looked up, stopped and kept."""

from collections.abc import Sequence
from datetime import UTC, datetime
from types import SimpleNamespace

import numpy as np
import pytest
from benches import StubEmbedder, listen, settings, shelved
from patience import PATIENCE

from melbo_app.analysis.clustering import LEAST_DISTANCE
from melbo_app.analysis.proportion import clustered, interval
from melbo_app.engine.decoding import Decoding
from melbo_app.engine.prompt import Prompt
from melbo_app.errors import InputError, Stopped
from melbo_app.jobs.generators import result_of
from melbo_app.library.bank import Bank, BankRecord, PromptRecord
from melbo_app.library.completion import Completion, Scores
from melbo_app.library.generality import AskedPrompt, Generality
from melbo_app.studies import generality as job
from melbo_app.studies import read_study
from melbo_app.studies.completing import SteeringProgress
from melbo_app.studies.generality import MeasureGenerality
from melbo_app.studies.generality_answer import general as as_json
from melbo_app.studies.generality_answer import lines_of
from melbo_app.studies.steer import Steer
from melbo_app.ui.components.generality import grid
from melbo_app.workbench import Workbench

QUICK = Decoding(3)


class UnitEmbedder(StubEmbedder):
    """Places of length 1."""

    def encode(self, texts):
        rows = super().encode(texts)
        return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def asked(*users: str, group: str = "") -> list[AskedPrompt]:
    return [AskedPrompt(prompt=PromptRecord(user=user), group=group) for user in users]


# --- planted answers --------------------------------------------------------------------------------------------------

PLAIN, DECLINES, ANSWERS = "It is so.", "I'm sorry, but I can't assist with that.", "Push the pins up."


def at(degrees: float) -> str:
    """A text that lies so far from the unsteered one."""
    return f"somewhere else {degrees:g}"


def places(texts: Sequence[str]) -> np.ndarray:
    angles = [float(text.split()[-1]) if text.startswith("somewhere") else 0.0 for text in texts]
    return np.array([[np.cos(np.radians(angle)), np.sin(np.radians(angle))] for angle in angles])


def text(prompt: Prompt, vector: int | None, words: str, verdict: str = "readable") -> Completion:
    scores = dict.fromkeys(["logprob", "loss", "kl_prompt", "kl_text", "dictionary_words", "language", "runaway"])
    facts = {} if vector is None else {"source": 1, "radius": 2.0, "bank_hash": "b"}
    return Completion(
        vector=vector, text=words, prompt=PromptRecord(user=prompt.user), tokens=3, finished=True, model="m",
        model_hash="h", max_new_tokens=3, temperature=0, top_p=1, seed=0, created=datetime.now(UTC),
        scores=Scores(**scores, repetition=0.0, readability=1.0, verdict=verdict), **facts,
    )  # fmt: skip


class Lm:
    name, weights_hash, dtype = "m", "h", "torch.float32"


@pytest.fixture
def planted(monkeypatch):
    """Does the work on answers that ``says(who, vector, prompt)`` gives; who is plain, mine or random."""

    def run(says, prompts, vectors=1, random=4, stop=lambda: False, **options):
        record = BankRecord(
            name="mine", model="m", model_hash="h", hidden_size=64, source=1, radius=2.0, method="joint",
            created=datetime.now(UTC),
        )  # fmt: skip
        bank = Bank(record, np.eye(vectors, 64, dtype=np.float32) * 2)

        def complete(lm, given, asked, rows, decoding, find, batching, stop):
            yield SteeringProgress((), 0, 3, "token 1")
            found = []
            for row in rows:
                for prompt in asked:
                    who = "plain" if row.vector is None else "random" if given.record.name != "mine" else "mine"
                    words = says(who, row.vector, prompt.user, *([decoding.seed] if decoding.temperature else []))
                    found.append(text(prompt, row.vector, *([words] if isinstance(words, str) else words)))
            return found, not stop()

        monkeypatch.setattr(job, "complete", complete)
        monkeypatch.setattr(job, "memory_note", lambda *_: "Needs nothing.")

        def keep(*_):
            pass

        bench = SimpleNamespace(
            model=SimpleNamespace(get=lambda stop: Lm()), bank_for=lambda lm, name: bank,
            batching=SimpleNamespace(memory_gb=None),
            completions=SimpleNamespace(find=lambda draft: None, keep=keep), embed=lambda texts, stop: places(texts),
            generalities=SimpleNamespace(keep=keep),
        )  # fmt: skip
        study = MeasureGenerality(bank="mine", prompts=prompts, vectors=range(vectors), random=random, **options)
        return listen(study.run(bench, stop))

    return run


def test_shares_groups_and_intervals_are_those_counted_by_hand(planted):
    locks, pranks = asked("a", "b", "c", group="locks"), asked("d", group="pranks")
    answers = {  # the vector's, where random vectors lie at 40, 20, 10 and 0 degrees
        "a": at(60), "b": at(5), "c": (at(60), "broken"), "d": at(45),
    }  # fmt: skip
    spread = [40, 20, 10, 0]

    def says(who, vector, user):
        return PLAIN if who == "plain" else at(spread[vector]) if who == "random" else answers[user]

    _, found = planted(says, [*locks, *pranks])
    [mine] = found.vectors
    assert [one.change for one in mine.answers] == ["meaning", None, None, "meaning"]
    assert (mine.share.changed, mine.share.answers, mine.share.share) == (2, 4, 0.5)
    assert mine.share.interval == interval(2, 4)
    far = 1 - np.cos(np.radians(spread))
    wanted = [
        far[one] > max(LEAST_DISTANCE, np.quantile(np.delete(far, one), 0.75)) for one in range(4)
    ]  # the same on each prompt
    assert wanted == [True, False, False, False]
    assert [one.share.changed for one in found.random] == [4, 0, 0, 0]
    assert (mine.random.changed, mine.random.answers, mine.random_range) == (4, 16, (0.0, 1.0))
    assert mine.answers[0].distance == pytest.approx(1 - np.cos(np.radians(60)))
    assert mine.answers[0].threshold == pytest.approx(max(LEAST_DISTANCE, np.quantile(far[:3], 0.75)))
    assert [(one.name, one.changed, one.answers) for one in mine.groups] == [("locks", 1, 3), ("pranks", 1, 1)]
    assert mine.worst_group.name == "locks" and mine.mean_of_groups == pytest.approx((1 / 3 + 1) / 2)
    lines = as_json(found)["groups"]
    assert [(one["name"], one["prompts"]) for one in lines] == [("locks", 3), ("pranks", 1)]
    assert lines[0]["vectors"] == (pytest.approx(1 / 3),) and lines[0]["random_share"] == pytest.approx(1 / 4)


def test_refusals_are_lifted_and_the_baselines_that_refuse_are_counted(planted):
    def says(who, vector, user):
        if who == "plain" or who == "random":
            return DECLINES if user != "fine" else PLAIN
        return {"lock": ANSWERS, "key": (ANSWERS, "strange"), "fine": DECLINES}[user]

    _, found = planted(says, asked("lock", "key", "fine"))
    assert found.refused == 2 and [one.refuses for one in found.baselines] == [True, True, False]
    [mine] = found.vectors
    assert [one.change for one in mine.answers] == ["lifted", "flagged", "flagged"]
    assert mine.changes == {"lifted": 1, "flagged": 2, "meaning": 0}
    assert [flag.kind for flag in mine.answers[2].flags] == ["refusal new"]
    assert mine.random.changed == 0 and mine.random_range == (0.0, 0.0)


def test_texts_of_several_seeds_are_compared_with_the_unsteered_one_of_their_seed_and_counted_by_prompt(planted):
    mine = {  # by prompt: the vector's text of the seeds 7, 8 and 9
        "a": [at(60), at(60), at(60)], "b": [at(5), PLAIN, at(60)], "c": [PLAIN, (at(60), "broken"), at(1)],
        "lock": [ANSWERS, DECLINES, DECLINES],
    }  # fmt: skip

    def says(who, vector, user, seed):
        place = seed - 7
        if who == "mine":
            return mine[user][place]
        if user == "lock":
            return [DECLINES, DECLINES, ANSWERS][place]
        return at(10 * place) if who == "plain" else at(10 * place + [40, 20, 10, 0][vector])

    sampled = Decoding(3, temperature=0.8, seed=7)
    _, found = planted(says, asked(*mine), decoding=sampled, samples=3)
    [row] = found.vectors
    assert [[one.change for one in answer.every] for answer in row.answers[:3]] == [
        ["meaning", "meaning", "meaning"], [None, None, "meaning"], [None, None, None],
    ]  # fmt: skip
    # 60 degrees lie 40 from the unsteered text of the third seed, and 60 from that of the first
    assert row.answers[1].samples[1].distance == pytest.approx(1 - np.cos(np.radians(40)))
    assert [one.change for one in row.answers[3].every] == ["lifted", None, "flagged"]
    assert [answer.changed for answer in row.answers] == [3, 1, 0, 2]
    assert (row.share.changed, row.share.answers, row.share.share) == (6, 12, 0.5)
    assert row.share.interval == clustered([3, 1, 0, 2], 3) != interval(6, 12)
    assert row.changes == {"lifted": 1, "flagged": 1, "meaning": 4}
    assert [one.share.changed for one in found.random] == [9, 0, 0, 0]  # the farthest of the four, each time
    assert (row.random.changed, row.random.answers) == (9, 48) and row.random_range == (0.0, 0.75)
    assert row.random.interval == clustered([3, 3, 3, 0], 12)
    assert [one.refusals for one in found.baselines] == [0, 0, 0, 2] and found.refused == 1
    assert (found.samples, found.seed, found.temperature) == (3, 7, 0.8)
    said = as_json(found)
    lines = said["vectors"][0]["texts"]
    assert [line["changed"] for line in lines] == [3, 1, 0, 2] and len(lines[1]["samples"]) == 2
    assert lines[1]["samples"][1]["text"] == at(60) and lines[1]["text"] == at(5)
    assert said["prompts"][0]["samples"] == [at(10), at(20)] and said["prompts"][0]["baseline"] == at(0)
    assert said["groups"][0]["prompts"] == 4
    drawn = grid(found, {})
    cells = drawn["rows"][0]["cells"]
    assert [(one["kind"], one["changed"], len(one["texts"])) for one in cells] == [
        ("meaning", 3, 3), ("meaning", 1, 3), ("same", 0, 3), ("lifted", 2, 3),
    ]  # fmt: skip
    assert lines_of(found)[0].startswith("4 prompts, 3 answers to each, 1 refused without steering")
    assert Generality.model_validate_json(found.model_dump_json()) == found


def test_greedy_results_keep_their_keys_and_those_of_other_decodings_get_their_own(planted):
    def says(who, vector, user, seed=0):
        return PLAIN

    def made(**options):
        return planted(says, asked("a"), **options)[1]

    older = made().model_dump()
    for field in ("samples", "temperature", "top_p"):  # as an earlier version wrote it
        del older[field]
    read = Generality.model_validate(older)
    assert read.key == made().key and read.samples == 1
    assert read.baselines[0].every == read.baselines and read.vectors[0].answers[0].changed == 0
    sampled = Decoding(3, temperature=0.8)
    keys = {made(decoding=sampled, samples=many).key for many in (1, 2)} | {made(decoding=QUICK).key}
    assert len(keys) == 3


def test_a_stop_keeps_the_prompts_that_are_finished(planted, monkeypatch):
    monkeypatch.setattr(job, "PART_ROWS", 10)  # two prompts of five rows each
    pressed: list[bool] = []

    def says(who, vector, user):
        if user == "e":
            pressed.append(True)  # while the last part is under way
        return PLAIN if who == "plain" else at(30)

    prompts = asked(*"abcd")
    heard, whole = planted(says, prompts)
    assert whole.finished and [len(one.found.prompts) for one in heard if one.found][-1] == 4
    assert [one.done for one in heard] == sorted(one.done for one in heard)
    assert heard[-1].done == heard[-1].total and heard[0].note == "Needs nothing."
    calls = iter([False] * 3)  # the baselines, both halves of the first part; and then it stops
    _, found = planted(says, prompts, stop=lambda: next(calls, True))
    assert [one.prompt.user for one in found.prompts] == ["a", "b"] and not found.finished
    assert found.vectors[0].share.answers == 2 and len(found.asked) == 4
    with pytest.raises(Stopped):
        planted(says, prompts, stop=lambda: True)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"vectors": []}, "vectors: none is chosen"),
        ({"vectors": [3]}, "vector: the bank has no vector 3"),
        ({"radius": 0}, "R: 0 leaves every answer as it is"),
        ({"radius": float("nan")}, "R: nan cannot be used"),
        ({"prompts": []}, "prompts: none is given"),
        ({"prompts": asked("a") * 201}, "prompts: 201 are too many"),
        ({"random": 3}, "random vectors: 3 cannot be used. Choose 4 to 64"),
        ({"samples": 2}, "samples: greedy texts are the same for every seed"),
        ({"samples": 0}, "samples: 0 is out of range"),
    ],
)
def test_what_cannot_be_measured_is_refused_before_a_job_begins(bench, change, sentence):
    shelved(bench)
    options = {"prompts": asked("a"), "vectors": [0], "radius": None, "random": 4} | change
    with pytest.raises(InputError) as raised:
        bench.start(MeasureGenerality(bank="a", **options))
    assert str(raised.value).startswith(sentence) and bench.jobs() == []


# --- with a model -----------------------------------------------------------------------------------------------------


@pytest.fixture
def bench(bench):
    bench.load_model()
    bench.bench.embedder = UnitEmbedder()
    return bench


def start(bench, *users, **options):
    options = {"vectors": [2, 0], "random": 4, "decoding": QUICK} | options
    return bench.start(MeasureGenerality(bank="a", prompts=asked(*users), **options), who="Bob")


def test_it_is_a_job_whose_result_is_kept_for_the_next_program(bench, tmp_path, model_folder):
    shelved(bench)
    work = start(bench, "hello there", "the heath", radius=4.0)
    assert work.wait(PATIENCE) and work.state == "done", work.error
    record, found = bench.job(work.id), work.result
    assert (record.kind, record.title, record.who) == ("generality", "Generality of “a” on 2 prompts", "Bob")
    assert "Needs up to" in " ".join(line.text for line in record.log)
    assert [(one.vector, one.radius, len(one.answers)) for one in found.vectors] == [(2, 4.0, 2), (0, 4.0, 2)]
    assert [(one.number, one.radius) for one in found.random] == [(number, 4.0) for number in range(4)]
    texts = result_of(
        bench.run(Steer(bank="a", prompts=[Prompt("the heath")], vectors=[0], radii=[4.0], decoding=QUICK))
    ).completions
    assert [found.baselines[1].text, found.vectors[1].answers[1].text] == [one.text for one in texts]
    other = Workbench(settings(tmp_path / "cache", model_folder))
    assert other.generalities() == []  # of which model?
    other.load_model()
    assert other.generalities() == [found]
    request = read_study(record.request)
    assert isinstance(request, MeasureGenerality) and request.vectors == (2, 0)


def test_a_second_time_nothing_is_generated_and_the_result_takes_the_place_of_the_first(bench, monkeypatch):
    shelved(bench)
    first = result_of(bench.run(MeasureGenerality(bank="a", prompts=asked("hello there"), random=4, decoding=QUICK)))
    monkeypatch.setattr(bench.bench.batching, "generate", None)
    again = result_of(bench.run(MeasureGenerality(bank="a", prompts=asked("hello there"), random=4, decoding=QUICK)))
    assert again.model_copy(update={"created": first.created}) == first
    assert bench.generalities() == [again]
    assert bench.comparisons() == []  # the history has what people asked for


def test_vectors_of_unequal_norms_have_random_ones_of_their_own_length(bench):
    shelved(bench)
    bench.combine_banks("join(a[0], 2 * a[1], a[2])", "b")
    found = result_of(bench.run(MeasureGenerality(bank="b", prompts=asked("hello there"), random=4, decoding=QUICK)))
    assert [one.radius for one in found.vectors] == [6.0, 12.0, 6.0] and len(found.random) == 8
    assert [one.random.answers for one in found.vectors] == [4, 4, 4]
    turned = result_of(
        bench.run(
            MeasureGenerality(
                bank="a", prompts=asked("hello there"), vectors=[0], radius=-6.0, random=4, decoding=QUICK
            )
        )
    )
    assert turned.vectors[0].radius == -6.0 and {one.radius for one in turned.random} == {6.0}


def test_sampled_texts_are_those_of_steer_and_are_looked_up_the_next_time(bench, monkeypatch):
    shelved(bench)
    sampled = Decoding(3, temperature=1.0, seed=5)
    study = MeasureGenerality(
        bank="a", prompts=asked("hello there", "the heath"), random=4, samples=3, decoding=sampled, radius=40.0
    )
    found = result_of(bench.run(study))
    steer = Steer(bank="a", prompts=[Prompt("the heath")], vectors=[0, 1, 2], radii=[40.0], decoding=sampled, samples=3)
    compared = result_of(bench.run(steer))
    every = {(one.vector, one.seed): one.text for one in (*compared.completions, *compared.samples)}
    assert [one.text for one in found.baselines[1].every] == [every[None, seed] for seed in (5, 6, 7)]
    for row in found.vectors:
        assert [one.text for one in row.answers[1].every] == [every[row.vector, seed] for seed in (5, 6, 7)]
    assert len({text for (vector, _), text in every.items() if vector is None}) > 1
    monkeypatch.setattr(bench.bench.batching, "generate", None)
    again = result_of(bench.run(study))
    assert again.model_copy(update={"created": found.created}) == found
    assert bench.comparisons("steer")[0].id == compared.id and bench.generalities() == [again]


def test_a_stopped_job_keeps_what_is_finished(bench, monkeypatch):
    monkeypatch.setattr(job, "PART_ROWS", 1)
    shelved(bench)
    work = start(bench, *(f"hello {number}" for number in range(60)))
    while not (work.progress and work.progress.found):
        assert not work.wait(0.01), work.error
    work.stop()
    assert work.wait(PATIENCE) and work.state == "stopped"
    assert 1 <= len(work.result.prompts) < 60 and not work.result.finished
    assert bench.generalities() == [work.result]


def test_the_same_seed_gives_the_same_random_vectors_and_another_gives_others(bench):
    bank = shelved(bench)
    one, other = job.random_bank(bank, 4, 0), job.random_bank(bank, 4, 1)
    assert one.hash == job.random_bank(bank, 4, 0).hash != other.hash
    np.testing.assert_allclose(np.linalg.norm(one.vectors, axis=1), 1, rtol=1e-5)
    assert one.record.source == bank.record.source
