"""Watching with a bank: scores against numpy and transformers, thresholds and figures against known answers."""

import io
import json
import sys

import numpy as np
import pytest
import torch
from benches import listen, shelved
from sklearn.covariance import LedoitWolf
from sklearn.metrics import roc_auc_score, roc_curve
from test_cli import Ask, ask, bank, cache, environment  # noqa: F401
from tiny_models import lent, random_thetas, reference_hidden

from melbo_app import api
from melbo_app.analysis.alarm_threshold import alarm_threshold, threshold_sentence
from melbo_app.analysis.detection import areas, detection, true_positives
from melbo_app.analysis.detectors import Cosines, Mahalanobis, Nearest, Projections, held_out_scores
from melbo_app.engine import prompt_means
from melbo_app.engine.encoding import encode
from melbo_app.engine.prompt import Prompt
from melbo_app.engine.prompt_means import PromptPoints, common_beginning, mean_deltas
from melbo_app.engine.scope import TokenScope
from melbo_app.engine.slice import ModelSlice
from melbo_app.errors import InputError, Stopped
from melbo_app.jobs.generators import result_of
from melbo_app.library.labelled_prompts import LabelledPrompt
from melbo_app.studies.watch import Watch, WatchProgress
from melbo_app.ui.verbs.study_verb import study_verb

TEXTS = ["the heath is wide", "hello", "a house by the sea, and the wind", "tea"]
CLEAN = [f"{verb} the {thing}" for verb in ("see", "take", "find", "the") for thing in ("house", "tree", "sea", "hat")]
INCOMING = ["the theme", "12 + 34 = 46", "see the heather", "!!!???"]
SCORED = {"text", "score", "alarm", "vector", "name"}


# --- points -----------------------------------------------------------------------------------------------------------


def by_transformers(lm, prompt, target, scope):
    """Mean activation and surprisal of one prompt, with nothing of ours but its tokens."""
    encoded = encode(lm, [prompt])
    with torch.no_grad():
        output = lm.model(encoded.input_ids, output_hidden_states=True, use_cache=False)
    hidden = output.hidden_states[target + 1][0].double().numpy()
    ids, tail = encoded.input_ids[0].tolist(), encoded.tail[0].tolist()
    counted = {"all": slice(None), "last:2": slice(-2, None), "assistant": slice(tail.index(True), None)}[scope]
    logprob = output.logits[0].double().log_softmax(-1)
    own = [at for at in range(1, len(ids)) if not tail[at]]
    return hidden[counted].mean(0), -np.mean([float(logprob[at - 1, ids[at]]) for at in own])


@pytest.mark.parametrize("scope", ["all", "last:2", "assistant"])
def test_points_equal_numpy_on_the_hidden_states_of_transformers(kind, scope):
    lm, prompts = lent(kind), [Prompt(text) for text in TEXTS]
    read = result_of(PromptPoints(lm, 1, 2, TokenScope.parse(scope)).read(encode(lm, prompts)))
    for row, prompt in enumerate(prompts):
        mean, surprisal = by_transformers(lm, prompt, 2, scope)
        np.testing.assert_allclose(read.activations[row], mean, atol=2e-4)
        assert read.surprisal[row] == pytest.approx(surprisal, abs=2e-4)


@pytest.mark.parametrize("scope", ["content", "last:1"])
def test_points_depend_neither_on_padding_nor_on_company(kind, scope, monkeypatch):
    lm, points = lent(kind), PromptPoints(lent(kind), 0, 2, TokenScope.parse(scope), 3)
    prompts = [Prompt(text) for text in TEXTS]
    together = result_of(points.read(encode(lm, prompts)))
    monkeypatch.setattr(prompt_means, "TOKENS_AT_ONCE", 60)
    done, parts = listen(points.read(encode(lm, prompts)))
    assert done[-1] == 4 and len(done) > 1
    alone = [result_of(points.read(encode(lm, [one]))) for one in prompts]
    np.testing.assert_allclose(parts.activations, together.activations, atol=2e-4)
    np.testing.assert_allclose(parts.surprisal, together.surprisal, atol=2e-4)
    np.testing.assert_allclose(np.concatenate([one.activations for one in alone]), together.activations, atol=2e-4)
    np.testing.assert_allclose(np.concatenate([one.surprisal for one in alone]), together.surprisal, atol=2e-4)


def test_what_all_prompts_begin_with_and_end_in_does_not_count_as_surprising():
    lm = lent("llama")
    encoded = encode(lm, [Prompt(text) for text in ("hat", "tree", "tea")])
    begin = common_beginning(encoded)
    assert lm.tokenizer.decode(encoded.input_ids[1][encoded.attention_mask[1].bool()][:begin]).endswith("user\n")
    read = result_of(PromptPoints(lm, 0, 2, TokenScope("all"), begin).read(encoded))
    ids = encoded.input_ids[1][encoded.attention_mask[1].bool()][None]
    with torch.no_grad():
        logprob = lm.model(ids).logits[0].log_softmax(-1)
    own = range(begin, begin + len(lm.tokenizer("tree").input_ids))
    wanted = -np.mean([float(logprob[at - 1, ids[0, at]]) for at in own])
    # the end of the turn after the text belongs to the tail
    assert read.surprisal[1] == pytest.approx(wanted, abs=1e-4)
    one = encode(lm, [Prompt("t", template=False)])
    assert result_of(PromptPoints(lm, 0, 2, TokenScope("all")).read(one)).surprisal.tolist() == [0.0]


def test_mean_changes_equal_those_of_the_whole_model():
    lm, texts = lent("llama"), TEXTS[:2]
    thetas = random_thetas(3)
    piece = ModelSlice(lm, encode(lm, [Prompt(text, template=False) for text in texts]), 0, 2)
    found = result_of(mean_deltas(piece, thetas.numpy(), TokenScope("last", 2)))
    for theta, row in zip(thetas, found, strict=True):
        parts = [
            reference_hidden(lm, "llama", text, 0, theta)[2] - reference_hidden(lm, "llama", text, 0, None)[2]
            for text in texts
        ]
        np.testing.assert_allclose(row, np.mean([part[-2:].mean(0).numpy() for part in parts], axis=0), atol=1e-4)


def test_reading_stops_and_refuses_by_the_number_among_all(monkeypatch):
    lm = lent("llama")
    prompts = [Prompt("a"), Prompt("b"), Prompt("c", template=False)]
    points = PromptPoints(lm, 0, 2, TokenScope("assistant"))
    with pytest.raises(InputError, match="no token of prompt 3 is in the scope assistant"):
        result_of(points.read(encode(lm, prompts)))
    with pytest.raises(Stopped):
        result_of(points.read(encode(lm, prompts[:2]), lambda: True))


# --- detectors --------------------------------------------------------------------------------------------------------


def rows_of(count, width=12, seed=0):
    random = np.random.default_rng(seed)
    return random.normal(size=(count, width)) * np.linspace(0.2, 4, width) + 3


def test_cosines_are_standardised_over_the_clean_rows():
    clean, directions = rows_of(40), np.random.default_rng(1).normal(size=(3, 12))
    rows, mean = rows_of(5, seed=2), rows_of(40).mean(0)

    def cosine(row, direction):
        return (row - mean) @ direction / np.linalg.norm(row - mean) / np.linalg.norm(direction)

    usual = np.array([[cosine(row, one) for one in directions] for row in clean])
    raw = np.array([[cosine(row, one) for one in directions] for row in rows])
    wanted = (raw - usual.mean(0)) / usual.std(0, ddof=1)
    np.testing.assert_allclose(Cosines(clean, directions).each(rows), wanted)
    np.testing.assert_allclose(Cosines(clean, directions)(rows), wanted.max(1))
    np.testing.assert_allclose(Cosines(clean, directions, standard=False)(rows), raw.max(1))
    lengths = (rows - mean) @ (directions / np.linalg.norm(directions, axis=1)[:, None]).T
    spread = ((clean - mean) @ (directions / np.linalg.norm(directions, axis=1)[:, None]).T).std(0, ddof=1)
    np.testing.assert_allclose(Projections(clean, directions)(rows), (lengths / spread).max(1))


def test_a_clean_rows_cosine_does_not_know_that_row():
    clean, direction = rows_of(15), np.ones((1, 12))
    mine = Cosines(clean, direction, standard=False).each(clean)
    for at, row in enumerate(clean):
        rest = row - np.delete(clean, at, axis=0).mean(0)
        assert mine[at, 0] == pytest.approx(rest.sum() / np.linalg.norm(rest) / 12**0.5)


def test_a_planted_shift_is_named_and_plain_cosines_name_the_noisiest_direction():
    random = np.random.default_rng(3)
    scale = np.array([30.0] + [1.0] * 19)
    clean, directions = random.normal(size=(200, 20)) * scale, np.eye(20)[:6]
    shifted = random.normal(size=(100, 20)) * scale + 12 * directions[4]
    found = Cosines(clean, directions).each(shifted).argmax(1)
    assert (found == 4).mean() > 0.9
    assert (Cosines(clean, directions, standard=False).each(clean).argmax(1) == 0).mean() > 0.4
    assert np.bincount(Cosines(clean, directions).each(clean).argmax(1)).max() < 0.4 * 200


def test_the_baselines_equal_sklearn_and_brute_force():
    clean, rows = rows_of(20), rows_of(7, seed=5)
    wanted = np.sqrt(LedoitWolf().fit(clean).mahalanobis(rows))
    np.testing.assert_allclose(Mahalanobis(clean)(rows), wanted, rtol=1e-6)
    unit, mine = (some / np.linalg.norm(some, axis=1)[:, None] for some in (clean, rows))
    wanted = [min(np.linalg.norm(one - other) for other in unit) for one in mine]
    np.testing.assert_allclose(Nearest(clean)(rows), wanted)
    assert Nearest(clean)(clean).max() < 1e-6


def test_no_row_is_scored_by_a_detector_that_learned_it():
    rows, learned = np.arange(23.0)[:, None], []

    def detector(clean):
        learned.append(set(clean[:, 0]))
        return lambda some: np.array([one in learned[-1] for one in some[:, 0]], dtype=float)

    assert not held_out_scores(detector, rows).any() and len(learned) == 10
    assert all(len(one) in (20, 21) for one in learned)


# --- threshold --------------------------------------------------------------------------------------------------------


def test_the_threshold_is_an_order_statistic_where_there_are_enough_clean_scores():
    scores = list(np.random.default_rng(0).permutation(199).astype(float))
    assert threshold_sentence(197, 0.01, 199).endswith("fewer; 2 of the 199 clean scores reach it.")
    assert threshold_sentence(1, 0.01, 99).endswith("it is the largest of 99 clean scores.")
    assert "98 clean scores, as this share takes 99 of them" in threshold_sentence(1, 0.01, 98)
    assert alarm_threshold(scores, 0.01) == 197  # of 200 exchangeable scores two lie above it
    assert alarm_threshold(scores[:99], 0.01) == max(scores[:99])
    assert alarm_threshold(list(range(19)), 0.5) == 9


@pytest.mark.parametrize(("clean", "draw"), [(30, "exponential"), (150, "exponential"), (30, "normal"), (12, "normal")])
def test_the_false_alarm_rate_is_the_one_that_was_asked_for(clean, draw):
    random = np.random.default_rng(7)
    drawn = getattr(random, draw if draw == "normal" else "standard_exponential")
    cuts = np.array([alarm_threshold(drawn(size=clean).tolist(), 0.01) for _ in range(4000)])
    if draw == "exponential":
        rate = np.exp(-np.maximum(cuts, 0)).mean()
    else:
        from scipy.stats import norm

        rate = norm.sf(cuts).mean()
    if (clean, draw) == (30, "exponential"):
        assert rate == pytest.approx(0.01, rel=0.08)  # exact in the mean
    else:
        assert 0.0005 < rate <= 0.0105


# --- figures ----------------------------------------------------------------------------------------------------------


def test_areas_and_true_positives_equal_sklearn():
    random = np.random.default_rng(2)
    positives, negatives = random.integers(0, 9, (30, 4)) + 2.0, random.integers(0, 9, (70, 4)).astype(float)
    truth = [1] * 30 + [0] * 70
    for column, area in enumerate(areas(positives, negatives)):
        scores = np.concatenate([positives[:, column], negatives[:, column]])
        assert area == pytest.approx(roc_auc_score(truth, scores))
        for share in (0.0, 0.01, 0.1, 0.5, 1.0):
            false, true, _ = roc_curve(truth, scores, drop_intermediate=False)
            wanted = true[false <= share + 1e-12].max()
            assert float(true_positives(positives[:, column], negatives[:, column], share)) == pytest.approx(wanted)


def test_intervals_are_percentiles_of_resampled_groups():
    random = np.random.default_rng(4)
    positives, negatives = random.normal(1, 1, 25), random.normal(0, 1, 40)
    area, caught = detection(positives, negatives, 0.1, seed=3)
    again = np.random.default_rng(11)
    drawn = []
    for _ in range(2000):
        mine, others = again.choice(positives, 25), again.choice(negatives, 40)
        false, true, _ = roc_curve([1] * 25 + [0] * 40, [*mine, *others], drop_intermediate=False)
        drawn.append((roc_auc_score([1] * 25 + [0] * 40, [*mine, *others]), true[false <= 0.1].max()))
    low, high = np.percentile(drawn, [2.5, 97.5], axis=0)
    assert (area.low, area.high) == pytest.approx((low[0], high[0]), abs=0.02)
    assert (caught.low, caught.high) == pytest.approx((low[1], high[1]), abs=0.05)
    assert area.low < area.value < area.high
    assert detection(positives, negatives, 0.1, seed=3) == (area, caught)


# --- the study --------------------------------------------------------------------------------------------------------


def watch(**given):
    return Watch(**{"bank": "a", "clean": CLEAN, "prompts": INCOMING, **given})


def test_scores_equal_numpy_on_hidden_states_of_transformers(bench):
    made = shelved(bench)
    bench.save_label("a", 1, name="a tide")
    heard, found = listen(bench.run(watch(clean=[*CLEAN, CLEAN[0]], false_alarms=0.1)))
    lm, record = bench.bench.model.get(), made.record
    assert (record.source, record.target, record.scope) == (1, 3, "assistant")

    [own] = [prompt.asked.user for prompt in record.prompts]
    deltas = np.array([by_blocks(lm, own, theta) - by_blocks(lm, own, None) for theta in made.vectors])
    usual = np.array([by_blocks(lm, text, None) for text in CLEAN])
    mean = usual.mean(0)

    def cosines(rows):
        return np.array([[_cosine(row - mean, delta) for delta in deltas] for row in rows])

    spread, centre = cosines(usual).std(0, ddof=1), cosines(usual).mean(0)
    wanted = (cosines([by_blocks(lm, text, None) for text in INCOMING]) - centre) / spread
    assert [one["score"] for one in found.answers] == pytest.approx(wanted.max(1).tolist(), abs=5e-3)
    assert [one["vector"] for one in found.answers] == wanted.argmax(1).tolist()
    assert [one["text"] for one in found.answers] == INCOMING and found.clean == len(CLEAN)
    assert all(one["alarm"] == (one["score"] > found.threshold) for one in found.answers)
    assert all(one["name"] == ("a tide" if one["vector"] == 1 else None) for one in found.answers)
    assert found.figures is None
    assert [one for now in heard if isinstance(now, WatchProgress) for one in now.answers] == list(found.answers)


def by_blocks(lm, text, theta):
    """Mean output of block 3 over the end of the template, steered at block 1 by a hook of this file's own."""
    ids, tail = lm.tokenizer(text).input_ids, lm.tokenizer("<|im_end|>\n<|im_start|>assistant\n").input_ids
    ids = torch.tensor([[*lm.tokenizer("<|im_start|>user\n").input_ids, *ids, *tail]])
    add = lm.model.model.layers[1].register_forward_hook(
        lambda _module, _args, output: output if theta is None else output + torch.tensor(theta)
    )
    seen = []
    read = lm.model.model.layers[3].register_forward_hook(lambda _module, _args, output: seen.append(output[0]))
    try:
        with torch.no_grad():
            lm.model(ids)
    finally:
        add.remove()
        read.remove()
    return seen[0][-len(tail) :].double().mean(0).numpy()


def _cosine(one, other):
    return one @ other / np.linalg.norm(one) / np.linalg.norm(other)


def test_labels_give_figures_of_the_bank_and_of_every_baseline(bench):
    shelved(bench)
    prompts, labels = [*INCOMING, *CLEAN[:3]], [0, 1, 0, 1, 0, 0, 0]
    found = result_of(bench.run(watch(prompts=prompts, labels=labels)))
    figures = found.figures
    assert (figures["clean"], figures["anomalous"]) == (5, 2)
    scores = [one["score"] for one in found.answers]
    assert figures["bank"]["auroc"] == pytest.approx(roc_auc_score(labels, scores))
    caught = [one["alarm"] for one, label in zip(found.answers, labels, strict=True) if label]
    assert figures["bank"]["caught"] == np.mean(caught)
    names = [one["name"] for one in figures["baselines"]]
    assert len(names) == len({*names}) == 7 and "oracle" in names[-1]
    oracle = figures["baselines"][-1]["auroc"]
    assert oracle == 1.0  # some direction of a thousand tells two prompts from five
    for one in (figures["bank"], *figures["baselines"]):
        for name in ("auroc", "true_positives"):
            low, high = one[f"{name}_interval"]
            assert 0 <= low <= one[name] <= high <= 1
    again = result_of(bench.run(watch(prompts=prompts, labels=labels)))
    assert again == found


def test_a_system_text_and_a_template_are_the_banks_unless_given(bench):
    shelved(bench)
    usual, other = (result_of(bench.run(watch(**given))) for given in ({}, {"system": "be brief"}))
    assert usual.answers != other.answers
    explicit = result_of(bench.run(watch(template=True, system="")))
    assert explicit.answers == usual.answers


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"bank": "nobody"}, "bank: there is no bank called “nobody”."),
        ({"clean": CLEAN[:9]}, "clean: 9 different prompts are too few to know what is usual. Give 10 or more"),
        ({"clean": [*CLEAN[:9], *CLEAN[:9]]}, "clean: 9 different prompts are too few"),
        ({"clean": [*CLEAN, " "]}, "clean: prompt 17 is empty."),
        ({"prompts": []}, "prompts: there are none to watch."),
        ({"labels": [1, 1, 1, 1]}, "labels: all prompts are anomalous, so there is nothing to tell apart."),
        ({"labels": [0, 0, 0, 0]}, "labels: all prompts are clean, so there is nothing to tell apart."),
        ({"labels": [0, 1]}, "labels: there are 2 for 4 prompts. Give one for each prompt."),
        ({"labels": [0, 1, 2, 0]}, "labels: there is one that is neither 0 nor 1."),
        ({"false_alarms": 0}, "false alarms: 0.0 is out of range. Choose 0.0001 to 0.5."),
        ({"false_alarms": float("nan")}, "false alarms: nan is out of range."),
    ],
)
def test_refusals_come_before_the_model_is_loaded(bench, given, sentence):
    shelved(bench, load=False)
    with pytest.raises(InputError) as raised:
        watch(**given).check(bench.bench)
    assert str(raised.value).startswith(sentence)


def test_a_bank_of_another_model_or_another_depth_is_refused(bench):
    made = shelved(bench)
    for name, changes, sentence in (
        ("deep", {"target": 9, "blocks": None}, "target layer: tiny has no block 9."),
        ("other", {"model_hash": "ab" * 32, "model": "elsewhere"}, "bank: “other” was made for other weights"),
    ):
        record = made.record.model_copy(update={"name": name, **changes})
        bench.bench.banks.save(api.Bank(record, made.vectors))
        with pytest.raises(InputError) as raised:
            result_of(bench.run(watch(bank=name)))
        assert str(raised.value).startswith(sentence)


def test_a_bad_prompt_has_its_number_among_all_and_a_stop_keeps_the_answers(bench):
    shelved(bench)
    many = [f"the {at}" for at in range(40)]
    with pytest.raises(InputError, match="prompt 40 has"):
        result_of(bench.run(watch(prompts=[*many[:39], "x" * 500])))
    heard = []

    def hear(now):
        if isinstance(now, WatchProgress) and now.answers:
            heard.append(now)

    kept = result_of(bench.run(watch(prompts=many), stop=lambda: bool(heard)), hear)
    assert [one["text"] for one in kept.answers] == many[:16] == [one["text"] for one in heard[0].every]
    stages: list[str] = []
    learning = bench.run(watch(false_alarms=0.2), stop=lambda: "learning what is usual" in stages)
    with pytest.raises(Stopped):  # nobody waits for the detectors
        result_of(learning, lambda now: stages.append(now.stage))


def test_python_and_programs_have_it(bench):
    made = shelved(bench)
    found = result_of(bench.run(watch()))
    told = study_verb(bench, Watch)(bank="a", clean=CLEAN, prompts=INCOMING, labels=[0, 1, 0, 1])
    assert [set(one) for one in told["answers"]] == [SCORED] * 4 and told["threshold"] == found.threshold
    assert 0 <= told["figures"]["bank"]["auroc"] <= 1
    here = api.run(bench.bench.model.get(), watch(), [made])
    assert [one["score"] for one in here.answers] == pytest.approx([one["score"] for one in found.answers], abs=1e-4)


# --- the command line -------------------------------------------------------------------------------------------------


@pytest.fixture
def files(tmp_path):
    (tmp_path / "clean.txt").write_text("\n".join(CLEAN))
    labels = ["clean", "anomalous", 0, 1]
    lines = [json.dumps({"text": text, "label": label}) for text, label in zip(INCOMING, labels, strict=True)]
    (tmp_path / "in.jsonl").write_text("\n".join(lines))
    (tmp_path / "in.txt").write_text("\n".join([*INCOMING, INCOMING[0]]))
    return tmp_path


def test_the_command_answers_a_line_a_prompt_and_its_figures_last(ask: Ask, bank, files, monkeypatch):  # noqa: F811
    words = ("watch", "a", "--clean", files / "clean.txt", "--prompts")
    told = ask(*words, files / "in.jsonl", "--json")
    *lines, last = map(json.loads, told.out.splitlines())
    assert (
        told.code == 0
        and [one["text"] for one in lines] == INCOMING
        and {*map(frozenset, lines)} == {frozenset(SCORED)}
    )
    assert set(last) == {"figures"} and len(last["figures"]["baselines"]) == 7
    assert any(line.startswith("An alarm is a score above ") for line in told.err)
    plain = ask(*words, files / "in.txt", "--json")
    unlabelled = [json.loads(line) for line in plain.out.splitlines()]
    assert unlabelled[:4] == lines and len(unlabelled) == 5  # one that repeats has its own answer
    monkeypatch.setattr(sys, "stdin", io.StringIO((files / "in.jsonl").read_text() + "\n\n"))
    streamed = ask(*words, "-", "--json")
    *others, figures = map(json.loads, streamed.out.splitlines())
    assert [one["score"] for one in others] == pytest.approx([one["score"] for one in lines], abs=1e-3)
    assert figures["figures"]["bank"]["auroc"] == last["figures"]["bank"]["auroc"]
    shown = ask(*words, files / "in.jsonl", "--false-alarms", 0.5).out.splitlines()
    assert INCOMING[0] in shown[0] and shown[4] == "2 anomalous and 2 clean prompts:" and len(shown) == 13
    assert shown[5].startswith("bank: AUROC ")


def test_the_command_refuses_files_in_a_sentence(ask: Ask, bank, files):  # noqa: F811
    def refused(clean="clean.txt", prompts="in.txt", *words):
        return ask("watch", "a", "--clean", files / clean, "--prompts", files / prompts, *words).sentence

    (files / "empty.txt").write_text("\n \n")
    (files / "few.txt").write_text("\n".join(CLEAN[:9]))
    (files / "some.jsonl").write_text('{"text": "a", "label": 0}\n{"text": "b"}\n')
    (files / "odd.jsonl").write_text('{"text": "a", "label": "bad"}\n')
    (files / "none.jsonl").write_text('{"label": 1}\n')
    (files / "one.jsonl").write_text('{"text": "a", "label": 1}\n{"text": "b", "label": true}\n')
    assert refused(prompts="empty.txt").startswith("prompts: “empty.txt” is empty.")
    assert refused(clean="empty.txt").startswith("clean: “empty.txt” is empty.")
    assert refused(clean="no.txt").startswith("clean: “") and "neither a file nor a set" in refused(clean="no.txt")
    assert refused(clean="few.txt").startswith("clean: 9 different prompts are too few")
    assert refused(clean="in.jsonl").startswith("clean: it has prompts that are labelled anomalous.")
    assert refused(prompts="some.jsonl").startswith("prompts: line 2 of “some.jsonl” has no “label”")
    assert refused(prompts="odd.jsonl").startswith("prompts: line 1 of “odd.jsonl” has a “label” that is not known.")
    assert refused(prompts="none.jsonl").startswith("prompts: line 1 of “none.jsonl” has no “text”.")
    assert refused(prompts="one.jsonl").startswith("labels: all prompts are anomalous")
    assert refused("clean.txt", "in.txt", "--false-alarms", 0.9).startswith("false alarms: 0.9 is out of range.")


def test_the_workbench_reads_sets_and_files_and_keeps_what_repeats(bench, files):
    found = bench.watched_prompts(str(files / "in.jsonl"))
    assert found[1] == LabelledPrompt(INCOMING[1], True) and found[2] == LabelledPrompt(INCOMING[2], False)
    assert len(bench.watched_prompts(str(files / "in.txt"))) == 5
