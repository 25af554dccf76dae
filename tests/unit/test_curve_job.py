"""Diversity curves as jobs of the server, kept for the next page, and flags gathered over all R."""

from datetime import UTC, datetime

import numpy as np
import pytest
from benches import PROMPT, StubEmbedder, settings
from patience import PATIENCE

from melbo_app.engine.decoding import Decoding
from melbo_app.engine.prompt import Prompt
from melbo_app.errors import InputError
from melbo_app.jobs.bench import Bench
from melbo_app.library.bank import PromptRecord
from melbo_app.library.completion import Comparison, Completion
from melbo_app.studies import read_study
from melbo_app.studies.curve import MeasureCurve, radii_between
from melbo_app.studies.flagging import flags_of, gathered
from melbo_app.ui.flag_table import flag_table, spread_table
from melbo_app.workbench import Workbench
from melbo_app.workbench.banks import Home

RADII = (0.05, 0.3)


@pytest.fixture(autouse=True)
def _stubbed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Bench, "embedder", StubEmbedder())


@pytest.fixture
def bench(bench):
    bench.load_model()
    return bench


def start(bench, prompt=PROMPT, **options):
    options = {"relative_radii": RADII, "vectors": 2, "rescaled": True, "decoding": Decoding(3), **options}
    return bench.start(MeasureCurve(prompts=[prompt], **options), who="Bob")


# --- the job ----------------------------------------------------------------------------------------------------------


def test_a_curve_is_a_job_that_is_kept_for_the_next_program(bench, tmp_path, model_folder):
    assert bench.latest_curve() is None
    job = start(bench)
    assert job.wait(PATIENCE) and job.state == "done", job.error
    record, curve = bench.job(job.id), job.result
    assert (record.kind, record.title, record.who) == ("curve", "Curve over R on “hello there”", "Bob")
    assert (curve.how, curve.source, curve.target, curve.scope) == ("rescaled", 1, 3, "assistant")
    assert [point.relative_radius for point in curve.points] == list(RADII)
    other = Workbench(settings(tmp_path / "cache", model_folder))
    assert other.latest_curve() is None  # of which model?
    other.load_model()
    kept = other.latest_curve()
    assert kept.curve == curve and [prompt.user for prompt in kept.prompts] == ["hello there"]
    texts = other.comparison(curve.points[0].comparisons[0]).completions  # what a click on a point opens
    assert [one.vector for one in texts] == [None, 0, 1]


def test_the_request_says_all_that_is_needed_to_do_it_again(bench):
    job = start(bench)
    assert job.wait(PATIENCE)
    asked = read_study(bench.job(job.id).request)
    assert isinstance(asked, MeasureCurve)
    assert asked.vectors == 2 and asked.training is None
    again = bench.run_again(job.id)
    assert again.wait(PATIENCE)
    assert [one.vectors for one in again.result.points] == [one.vectors for one in job.result.points]


def test_of_two_curves_on_other_prompts_the_later_one_is_the_last_and_a_broken_file_is_none(bench, tmp_path):
    for user in ("hello there", "the heath"):
        job = start(bench, Prompt(user), decoding=Decoding(1))
        assert job.wait(PATIENCE) and job.state == "done", job.error
    assert bench.latest_curve().prompts[0].user == "the heath"
    files = list((tmp_path / "cache" / "curves").glob("*.json"))
    assert len(files) == 2
    for path in files:
        path.write_text("{")
    assert bench.latest_curve() is None


def test_a_stopped_curve_keeps_the_points_that_are_there(bench):
    job = start(bench, relative_radii=[float(radius) for radius in np.geomspace(0.02, 0.3, 60)])
    while not (job.progress and job.progress.curve.points):
        assert not job.wait(0.01), job.error
    job.stop()
    assert job.wait(PATIENCE) and job.state == "stopped"
    assert 1 <= len(job.result.points) < 60 and not job.result.finished
    assert bench.latest_curve().curve == job.result


def test_texts_of_further_seeds_stand_beside_those_that_the_curve_measures(bench):
    sampled = Decoding(3, temperature=1.0, seed=4)
    job = start(bench, rescaled=False, samples=3, decoding=sampled)
    assert job.wait(PATIENCE) and job.state == "done", job.error
    plain = start(bench, rescaled=False, decoding=sampled)
    assert plain.wait(PATIENCE)
    first, alone = ([point.vectors for point in one.result.points] for one in (job, plain))
    assert first == alone, "the first seed alone is measured"
    swept = [bench.comparison(point.comparisons[0]) for point in job.result.points]
    for one in swept:
        assert {text.seed for text in one.completions} == {4}
        others = bench.at_other_seeds(one.completions)
        assert sorted((text.seed, str(text.vector)) for text in others) == sorted(
            (seed, who) for seed in (5, 6) for who in ("None", "0", "1")
        )
    several = [one.model_copy(update={"samples": tuple(bench.at_other_seeds(one.completions))}) for one in swept]
    rows = [row["cells"] for row in spread_table(several, None)["rows"]]
    assert [row[1] for row in rows] == ["none", "0", "1", "0", "1"], "unsteered texts are the same at each R"
    assert all(row[2].endswith(" of 3") for row in rows)
    assert flag_table(several, None)["stamp"]["bank"] is None, "a curve’s own banks are on no shelf"


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"relative_radii": [0.1]}, "relative R: a curve needs two or more"),
        ({"vectors": 1}, "vectors: needs at least 2, not 1"),
        ({"bank": "nowhere"}, "bank: there is no bank called “nowhere”"),
        ({"bank": "mine", "seeds": 2}, "seeds: a bank has only one"),
        ({"samples": 2}, "samples: greedy texts are the same for every seed"),
    ],
)
def test_what_makes_no_curve_is_refused_before_a_job_begins(bench, options, sentence):
    with pytest.raises(InputError) as raised:
        start(bench, **options)
    assert str(raised.value).startswith(sentence)
    assert bench.jobs() == []


def test_the_r_of_a_range_are_evenly_spaced_on_a_logarithmic_scale():
    assert radii_between(0.01, 1, 3) == (0.01, 0.1, 1.0)
    for wrong in ((0.3, 0.02, 8), (0, 1, 8), (0.02, float("nan"), 8), (0.02, 0.3, 1), (0.02, 0.3, 101)):
        with pytest.raises(InputError):
            radii_between(*wrong)


# --- vectors of a curve as a bank -------------------------------------------------------------------------------------


def test_the_vectors_of_a_point_become_a_bank_with_all_that_is_known_of_them(bench):
    job = start(bench, rescaled=False, training=None)
    assert job.wait(PATIENCE) and job.state == "done", job.error
    point = job.result.points[0]
    text = bench.comparison(point.comparisons[0]).completions[1]
    digest = text.bank_hash
    assert bench.bank_with(digest) is None and bench.home(digest, text.bank) == Home("curve", text.bank)
    saved = bench.save_as_bank(digest)
    assert saved.record.name == f"hello-there R {point.radius:.3g}" and saved.hash == digest
    record = bench.bank(saved.record.name).record
    assert (record.source, record.target, record.method, record.steps) == (1, 3, "joint", 12)
    assert record.radius == pytest.approx(point.radius) and [one.user for one in record.prompts] == ["hello there"]
    assert bench.save_as_bank(digest).record.name == saved.record.name, "it is on the shelf once"
    assert len(bench.banks()) == 1 + sum(line.sample for line in bench.banks())

    random = bench.comparison(point.comparisons[1]).completions[1]
    assert bench.home(random.bank_hash, random.bank) == Home("curve", random.bank, random=True)
    other = bench.save_as_bank(random.bank_hash)
    assert other.record.name != saved.record.name
    assert bench.home("0" * 64, "nowhere") == Home("gone", "nowhere")
    with pytest.raises(InputError, match="no longer kept"):
        bench.save_as_bank("0" * 64)


def test_a_curve_and_an_atlas_are_found_by_their_prompts(bench):
    job = start(bench, decoding=Decoding(1))
    assert job.wait(PATIENCE)
    assert bench.curve_on([PROMPT]).curve == job.result
    assert bench.curve_on([Prompt("the heath")]) is None and bench.atlas_on([PROMPT], None) is None


# --- flags over all R -------------------------------------------------------------------------------------------------

DECLINES, AGREES, CODE = "I'm sorry, but I can't help with that.", "Sure, this is how it goes.", "```\nx = 1\n```"


def text(vector: int | None, radius: float, words: str, id: int, prompt: int = 0) -> Completion:
    return Completion(
        id=id, model="m", model_hash="h", bank_hash="b", vector=vector, radius=radius, source=1, text=words, tokens=1,
        prompt=PromptRecord(user=f"Prompt {prompt}"), prompt_index=prompt, max_new_tokens=1, temperature=0, top_p=1,
        seed=0, finished=True, scores=None, created=datetime(2026, 1, 1, tzinfo=UTC),
    )  # fmt: skip


def comparison(id: int, *texts: Completion) -> Comparison:
    return Comparison(id=id, created=datetime.now(UTC), settings={"finished": True}, completions=texts)


def test_flags_are_gathered_over_all_r_by_kind_and_each_text_counts_once():
    plain = text(None, 0, DECLINES, 1)
    near = comparison(7, plain, text(0, 4, DECLINES, 2), text(1, 4, CODE, 3))
    far = comparison(8, plain, text(0, 9, AGREES, 4), text(1, 9, AGREES, 5))
    found = gathered([far, near, near])
    assert [(one.flag.kind, one.completion.radius, one.completion.vector, one.comparison) for one in found] == [
        ("refusal gone", 4, 1, 7), ("refusal gone", 9, 0, 8), ("refusal gone", 9, 1, 8),
        ("code instead of prose", 4, 1, 7),
    ]  # fmt: skip


def test_each_text_is_compared_with_the_baseline_of_its_own_prompt():
    asked = [text(None, 0, DECLINES, 1), text(None, 0, AGREES, 2, 1), text(0, 4, AGREES, 3), text(0, 4, AGREES, 4, 1)]
    [line] = flags_of(comparison(7, *asked))["flagged"]
    assert (line["kind"], line["id"], line["prompt_index"], line["text"]) == ("refusal gone", 3, 0, AGREES)
