"""Scores through the workbench: each text gets them once, and they compare it with its own baseline."""

import numpy as np
import pytest
import torch
from benches import PROMPT, QUICK, listen, save_tiny, settings, shelved
from tiny_models import BLOCKS, WIDTH, random_thetas

from melbo_app.analysis.language import language, repetition
from melbo_app.engine import likelihood
from melbo_app.engine.decoding import Decoding
from melbo_app.engine.encoding import encode
from melbo_app.engine.prompt import Prompt
from melbo_app.engine.steering import random_vector
from melbo_app.jobs.batching import Batching
from melbo_app.jobs.generators import map_progress, result_of
from melbo_app.library.bank import Bank
from melbo_app.library.tables import CompletionRow
from melbo_app.studies import completing as jobs_steering
from melbo_app.studies import scoring
from melbo_app.studies.steer import Steer
from melbo_app.workbench import Workbench

SHORT = Decoding(max_new_tokens=9)
TWO = [PROMPT, Prompt("a heath", "be brief")]


@pytest.fixture
def bank(bench: Workbench) -> Bank:
    return shelved(bench)


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many texts were read back, call by call."""
    calls = []
    real = likelihood.PromptsRead.read

    def spy(self, readings, *rest):
        calls.append(len(readings))
        return real(self, readings, *rest)

    monkeypatch.setattr(likelihood.PromptsRead, "read", spy)
    return calls


def steer(bench: Workbench, vectors, radii, prompts=(PROMPT,), decoding=SHORT, bank="a", **options):
    return result_of(
        bench.run(Steer(bank=bank, prompts=prompts, vectors=vectors, radii=radii, decoding=decoding, **options))
    )


def forget_scores(bench: Workbench, changed=None):
    with bench.bench.completions._database.write() as session:
        for row in session.query(CompletionRow):
            row.scores = changed


def test_every_text_is_scored_against_the_baseline_of_its_own_prompt(bench, bank):
    found = steer(bench, [0, 2], [6.0, -6.0], TWO, random_control=True).completions
    baselines = [entry.scores for entry in found if entry.vector is None]
    for entry in found:
        scores = entry.scores
        assert scores.loss == pytest.approx(baselines[entry.prompt_index].logprob - scores.logprob)
        assert scores.repetition == repetition(entry.text) and scores.language == language(entry.text)
        assert scores.logprob < 0 and 0 <= scores.readability <= 1 and scores.verdict and scores.runaway == 0
        if entry.vector is None:
            assert (scores.loss, scores.kl_prompt, scores.kl_text) == (0, 0, 0)
        else:
            assert scores.kl_prompt > 1e-4 and scores.kl_text > 1e-4
        assert bench.completion(entry.id).scores == scores


@pytest.mark.parametrize("most_rows", [128, 4])
def test_the_numbers_are_those_of_the_definitions(bench, bank, monkeypatch, most_rows):
    """One text at a time, steered by a hook of this test's own; also where several calls make the texts."""
    monkeypatch.setattr(jobs_steering, "MOST_ROWS", most_rows)
    ids, real = [], Batching.generate

    def spy(*arguments):
        heard: list = []
        found = yield from map_progress(real(*arguments), lambda progress: heard.append(progress) or progress)
        ids.extend(heard[-1].ids)
        return found

    monkeypatch.setattr(Batching, "generate", spy)
    found = steer(bench, [1, 2], [9.0], TWO, random_control=True).completions
    lm = bench.bench.model.get()
    thetas = {
        1: bank.vectors[1],
        2: bank.vectors[2],
        "random": random_vector(WIDTH, 9.0, 0).numpy(),
        None: np.zeros(WIDTH),
    }
    for entry, after in zip(found, ids, strict=True):
        theta = torch.tensor(thetas[entry.vector], dtype=torch.float32)
        theta = theta / theta.norm().clamp(min=1e-9) * abs(entry.radius)
        before = encode(lm, [TWO[entry.prompt_index]]).input_ids[0].tolist()
        logits = []
        for by in (torch.zeros(WIDTH), theta):
            handle = lm.blocks[QUICK.source].register_forward_hook(lambda _module, _args, output, by=by: output + by)
            with torch.no_grad():
                logits.append(lm.model(torch.tensor([before + after])).logits[0, len(before) - 1 : -1].double())
            handle.remove()
        assert logits[1].argmax(1).tolist() == after  # it was generated of these tokens
        plain, steered = (torch.distributions.Categorical(logits=row) for row in logits)
        divergence = torch.distributions.kl_divergence(steered, plain)
        wanted = (plain.log_prob(torch.tensor(after)).mean(), divergence[0], divergence.mean())
        scores = entry.scores
        assert (scores.logprob, scores.kl_prompt, scores.kl_text) == pytest.approx(
            tuple(map(float, wanted)), rel=2e-3, abs=1e-5
        )


def test_a_text_that_is_known_is_not_read_again(bench, bank, read):
    first = steer(bench, [0, 1], [6.0])
    assert read == [3]
    again = steer(bench, [0, 1, 2], [6.0])
    assert read == [3, 1]
    assert [entry.scores for entry in again.completions[:3]] == [entry.scores for entry in first.completions]


@pytest.mark.parametrize("kept", [None, {"version": 0}])
def test_texts_from_before_there_were_scores_get_them_when_they_are_asked_for_again(bench, bank, read, kept):
    first = steer(bench, [0], [6.0], TWO)
    forget_scores(bench, kept)
    again = steer(bench, [0], [6.0], TWO)
    assert read == [4, 4]
    assert [entry.text for entry in again.completions] == [entry.text for entry in first.completions]
    assert [entry.scores for entry in again.completions] == [entry.scores for entry in first.completions]
    assert bench.comparison(first.id).completions[0].scores is None  # what was shown then stays
    assert bench.comparison(again.id) == again


def test_a_runaway_is_looked_for_at_the_target_layer_of_each_bank(bench, bank, read):
    """The same vectors with a target nearer by, at an R where they and the random control flee there and not above."""
    bench.bench.banks.save(
        Bank(bank.record.model_copy(update={"name": "nearer", "target": QUICK.source + 1}), bank.vectors)
    )

    def shares(name):
        _, control, steered = steer(bench, [1], [850.0], bank=name, random_control=True).completions
        assert control.scores.runaway_target == steered.scores.runaway_target == bench.bank(name).record.target
        return control.scores.runaway, round(steered.scores.runaway, 3)

    assert (shares("nearer"), shares("a")) == ((1.0, 1.0), (0.0, 0.778))
    assert read == [3, 2] and shares("a") == (0.0, 0.778) and read == [3, 2]  # the baseline is that of every bank


def test_runaways_kept_without_their_target_layer_are_looked_for_again(bench, bank, read):
    scores = steer(bench, [0], [6.0]).completions[1].scores
    with bench.bench.completions._database.write() as session:
        for row in session.query(CompletionRow):
            row.scores = {name: value for name, value in row.scores.items() if name != "runaway_target"}
            row.scores["runaway"] = 1.0
    again = steer(bench, [0], [6.0]).completions[1].scores
    assert (again.runaway, again.runaway_target) == (scores.runaway, scores.runaway_target) == (0.0, QUICK.target)
    assert read == [2, 1]


def test_stop_while_texts_are_read_keeps_the_texts(bench, bank, monkeypatch):
    monkeypatch.setattr(likelihood, "TOKENS_AT_ONCE", 1)
    asked = False
    work = bench.run(Steer(bank="a", prompts=[PROMPT], vectors=[0, 1], radii=[6.0], decoding=SHORT), stop=lambda: asked)
    while True:
        try:
            asked = next(work).stage.startswith("reading")
        except StopIteration as end:
            comparison = end.value
            break
    assert asked and comparison.settings["finished"] is True
    assert all(entry.text and entry.scores is None for entry in comparison.completions)
    assert all(entry.scores for entry in steer(bench, [0, 1], [6.0]).completions)


def test_reading_is_told_when_the_tokens_are_there(bench, bank):
    heard, _ = listen(bench.run(Steer(bank="a", prompts=[PROMPT], vectors=[0, 1], radii=[6.0], decoding=SHORT)))
    stages = [one.stage.split(" ")[0] for one in heard]
    assert stages == sorted(stages, key=["token", "reading"].index) and stages[-1] == "reading"
    assert (heard[-1].stage, heard[-1].done, heard[-1].total) == ("reading the texts back", 9, 9)
    assert all(entry.text and entry.scores is None for entry in heard[-1].completions)


def test_where_numbers_overflow_what_is_none_is_left_out(bench, bank):
    half = Workbench(bench.settings.model_copy(update={"dtype": "float16"}))
    _, steered = steer(half, [0], [1e6]).completions
    scores = steered.scores
    assert (scores.runaway, scores.kl_prompt, scores.kl_text) == (1, None, None)
    assert scores.logprob is not None and half.completion(steered.id) == steered


def test_a_vector_of_the_last_block_has_no_target_above_it(bench, bank):
    for source, runaway in ((BLOCKS - 2, 0.0), (BLOCKS - 1, None)):
        changes = {
            "name": f"from {source}",
            "source": source,
            "target": None,
            "objective": None,
            "curves": None,
            "effect": None,
        }
        bench.bench.banks.save(
            Bank(bank.record.model_copy(update=changes), random_thetas(1, bank.record.radius).numpy())
        )
        scores = steer(bench, [0], [2.0], bank=f"from {source}").completions[1].scores
        assert scores.kl_text > 0 and scores.runaway == runaway


def test_without_a_bank_the_baseline_alone_is_scored(bench):
    [only] = steer(bench, [], [], bank=None).completions
    assert (only.scores.loss, only.scores.kl_text, only.scores.runaway) == (0, 0, None)


def test_a_text_of_nothing_has_no_verdict(tmp_path):
    bench = Workbench(settings(tmp_path / "cache", save_tiny(tmp_path / "silent")))
    lm = bench.bench.model.get()
    lm.model.get_output_embeddings().weight.zero_()
    lm.tokenizer.eos_token = lm.tokenizer.convert_ids_to_tokens(0)  # of equal logits the first token is taken
    [silent] = steer(bench, [], [], bank=None).completions
    assert (silent.text, silent.tokens, silent.finished) == ("", 1, True)
    scores = silent.scores
    assert (scores.logprob, scores.loss, scores.kl_text, scores.readability, scores.verdict) == (None,) * 5
    assert scores.kl_prompt == 0


@pytest.mark.parametrize(("logprob", "verdict"), [(-0.9, "readable"), (-3.0, "strange"), (-9.0, "broken")])
def test_beside_a_baseline_of_nothing_a_text_is_measured_against_a_usual_one(bench, bank, logprob, verdict):
    entry = steer(bench, [0], [6.0]).completions[1].model_copy(update={"text": "The heath is wide.", "tokens": 40})
    found = likelihood.Likelihood(logprob=logprob, kl_prompt=0.1, kl_text=0.1, peak_surprisal=None, runaway=0.0)
    scores = scoring.scores_of(entry, found, None, None)
    assert (scores.loss, scores.verdict) == (None, verdict)
    assert scoring.scores_of(entry, found, -0.9, None).readability == scores.readability


def test_a_text_from_the_library_has_the_verdict_as_it_is_given_now(bench, bank, monkeypatch):
    first = steer(bench, [0], [6.5])
    monkeypatch.setattr(scoring, "verdict_on", lambda *_: (0.5, "strange"))
    again = steer(bench, [0], [6.5])
    for before, after in zip(first.completions, again.completions, strict=True):
        assert (after.text, after.scores.verdict, after.scores.readability) == (before.text, "strange", 0.5)
        same = {"verdict": before.scores.verdict, "readability": before.scores.readability}
        assert after.scores.model_copy(update=same) == before.scores
    [kept, *_] = bench.bench.completions.comparison(again.id).completions
    assert kept.scores.verdict == "strange"
    assert bench.bench.completions.comparison(first.id).completions[0].scores == first.completions[0].scores
