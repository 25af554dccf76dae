"""Steering through the workbench: which completions, in which order, what is added, and what is looked up."""

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from benches import PROMPT, QUICK, listen, shelved
from tiny_models import BLOCKS, CONTEXT, random_thetas

from melbo_app.engine import generation
from melbo_app.engine.chat_template import render
from melbo_app.engine.decoding import Decoding
from melbo_app.engine.prompt import Prompt
from melbo_app.engine.steering import random_vector
from melbo_app.engine.stopping import never
from melbo_app.errors import InputError, Stopped
from melbo_app.jobs.batching import Batching
from melbo_app.jobs.generators import result_of
from melbo_app.library.bank import Bank, BankRecord
from melbo_app.studies.completing import MOST_ROWS
from melbo_app.studies.steer import Steer
from melbo_app.workbench import Workbench

SHORT = Decoding(max_new_tokens=6)
OF_EACH_VECTOR = ("objective", "curves", "effect")
TWO = [PROMPT, Prompt("a heath", "be brief")]


@pytest.fixture
def bank(bench: Workbench) -> Bank:
    return shelved(bench)


@pytest.fixture
def generated(monkeypatch: pytest.MonkeyPatch) -> list[tuple[torch.Tensor, int | None, Decoding]]:
    """The vectors, source and decoding of each generate call."""
    calls = []
    real = Batching.generate

    def spy(self, lm, encoded, thetas, source, decoding, *rest):
        calls.append((torch.tensor(thetas), source, decoding))
        return real(self, lm, encoded, thetas, source, decoding, *rest)

    monkeypatch.setattr(Batching, "generate", spy)
    return calls


def steer(bench: Workbench, vectors, radii, prompts=(PROMPT,), decoding=SHORT, bank="a", stop=never, **options):
    study = Steer(bank=bank, prompts=prompts, vectors=vectors, radii=radii, decoding=decoding, **options)
    return result_of(bench.run(study, stop=stop))


def rows(comparison):
    return [(entry.vector, entry.radius, entry.prompt_index) for entry in comparison.completions]


# --- which, and in which order ---------------------------------------------------------------------------------------


def test_the_baseline_comes_first_then_for_each_radius_the_control_and_the_vectors_with_the_prompts_inside(bench, bank):
    comparison = steer(bench, [2, 0], [6.0, -3.0], TWO, random_control=True)
    variants = [(None, 0.0), ("random", 6.0), (2, 6.0), (0, 6.0), ("random", -3.0), (2, -3.0), (0, -3.0)]
    assert rows(comparison) == [(vector, radius, index) for vector, radius in variants for index in (0, 1)]
    for entry in comparison.completions:
        assert entry.prompt.asked == TWO[entry.prompt_index]
        assert entry.prompt.rendered == render(bench.bench.model.get(), TWO[entry.prompt_index]).text
        assert (entry.text or entry.finished) and 1 <= entry.tokens <= 6
        assert entry.id is not None and bench.completion(entry.id) == entry
    assert bench.comparison(comparison.id) == comparison


def test_r_of_zero_and_what_is_asked_for_twice_are_dropped(bench, bank):
    comparison = steer(bench, [1, 1, 0, 1], [0, 6.0, 0.0, -0.0, 6], random_control=True)
    assert rows(comparison) == [(None, 0.0, 0), ("random", 6.0, 0), (1, 6.0, 0), (0, 6.0, 0)]


def test_with_both_signs_each_row_is_followed_by_its_reverse(bench, bank):
    comparison = steer(bench, [2, 0], [6.0], random_control=True, both_signs=True)
    variants = [(None, 0.0), ("random", 6.0), ("random", -6.0), (2, 6.0), (2, -6.0), (0, 6.0), (0, -6.0)]
    assert rows(comparison) == [(vector, radius, 0) for vector, radius in variants]
    again = steer(bench, [0], [6.0, -6.0], both_signs=True)
    assert rows(again) == [(None, 0.0, 0), (0, 6.0, 0), (0, -6.0, 0)]


def test_without_a_bank_there_is_the_baseline(bench):
    assert rows(steer(bench, [], [5.0], bank=None)) == [(None, 0.0, 0)]


def test_what_is_kept_says_what_made_it(bench, bank):
    decoding = Decoding(6, temperature=0.8, top_p=0.9, seed=4)
    baseline, control, steered = steer(bench, [1], [6.0], decoding=decoding, random_control=True).completions
    for entry in (baseline, control, steered):
        assert (entry.max_new_tokens, entry.temperature, entry.top_p, entry.seed) == (6, 0.8, 0.9, 4)
        assert (entry.model, entry.model_hash, entry.dtype) == ("tiny", bank.record.model_hash, "float32")
    assert (steered.bank, steered.bank_hash, steered.source) == ("a", bank.hash, QUICK.source)
    assert (control.bank, control.bank_hash, control.source) == (None, None, QUICK.source)
    assert (baseline.bank, baseline.bank_hash, baseline.source) == (None, None, None)


def test_texts_grow_while_they_are_made(bench, bank, monkeypatch):
    monkeypatch.setattr(generation, "STREAM_SECONDS", 0.0)
    heard, comparison = listen(
        bench.run(Steer(bank="a", prompts=[PROMPT], vectors=[0, 1], radii=[6.0], decoding=SHORT))
    )
    streamed = [progress for progress in heard if progress.stage.startswith("token ")]
    assert [progress.done for progress in streamed] == list(range(1, len(streamed) + 1))
    assert len(streamed) > 2
    assert all(len(progress.completions) == 3 and progress.total == 6 for progress in streamed)
    assert [entry.text for entry in streamed[-1].completions] == [entry.text for entry in comparison.completions]
    assert all(entry.tokens == 1 for entry in streamed[0].completions)


# --- what is added ---------------------------------------------------------------------------------------------------


def test_vectors_have_the_norm_that_is_asked_for_and_a_negative_one_points_the_other_way(bench, bank, generated):
    steer(bench, [0, 2], [4.0, -4.0])
    [(thetas, source, decoding)] = generated
    assert (source, decoding) == (QUICK.source, SHORT)
    directions = torch.from_numpy(bank.vectors / np.linalg.norm(bank.vectors, axis=1, keepdims=True))
    expected = [torch.zeros(32), 4 * directions[0], 4 * directions[2], -4 * directions[0], -4 * directions[2]]
    torch.testing.assert_close(thetas, torch.stack(expected), atol=1e-6, rtol=1e-6)


def test_the_random_control_has_the_same_norm_and_follows_from_the_seed(bench, bank, generated):
    steer(bench, [], [4.0, -2.0], random_control=True, decoding=Decoding(6, seed=3))
    [(thetas, _, _)] = generated
    torch.testing.assert_close(thetas[1], random_vector(32, 4.0, 3))
    torch.testing.assert_close(thetas[2], thetas[1] * -0.5)
    assert abs(float(thetas[1].norm()) - 4) < 1e-5


def test_the_negative_of_a_vector_says_what_the_negated_bank_says(bench, bank):
    record = bank.record.model_copy(update={"name": "negated"})
    bench.bench.banks.save(Bank(record, -bank.vectors))
    one = steer(bench, [0, 1, 2], [-25.0]).completions[1:]
    two = steer(bench, [0, 1, 2], [25.0], bank="negated").completions[1:]
    three = steer(bench, [0, 1, 2], [25.0]).completions[1:]
    assert [entry.text for entry in one] == [entry.text for entry in two]
    assert [entry.text for entry in one] != [entry.text for entry in three]


def test_many_rows_are_made_in_several_calls_and_all_are_there(bench, generated, model_folder):
    count = MOST_ROWS + 3
    width, lm_hash = 32, bench.load_model().weights_hash
    record = shelved(bench).record.model_copy(
        update={"name": "many", "model_hash": lm_hash, "method": "imported", "radius": 3.0}
        | dict.fromkeys(OF_EACH_VECTOR)
    )
    vectors = random_thetas(count).numpy()
    assert vectors.shape == (count, width)
    bench.bench.banks.save(Bank(BankRecord.model_validate(record.model_dump()), vectors))
    comparison = steer(bench, list(range(count)), [6.0], bank="many", decoding=Decoding(2))
    assert [len(thetas) for thetas, _, _ in generated] == [MOST_ROWS, 4]
    assert rows(comparison) == [(None, 0.0, 0), *((number, 6.0, 0) for number in range(count))]
    assert all(entry.tokens for entry in comparison.completions)
    last = steer(bench, [count - 1], [6.0], bank="many", decoding=Decoding(2)).completions[-1]
    assert last.text == comparison.completions[-1].text


# --- what is refused -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("vectors", "radii", "message"),
    [
        ([3], [6.0], "vector: the bank has no vector 3. Choose from 0 to 2."),
        ([-1], [6.0], "vector: the bank has no vector -1. Choose from 0 to 2."),
        ([0], [math.nan], "R: nan cannot be used. "),
        ([0], [6.0, math.inf], "R: inf cannot be used. "),
        ([0], [-math.inf], "R: -inf cannot be used. "),
        ([0], [1e39], "R: 1e+39 cannot be used. "),
    ],
)
def test_vectors_and_radii_that_cannot_be_are_refused(bench, bank, vectors, radii, message):
    with pytest.raises(InputError) as refused:
        steer(bench, vectors, radii)
    assert str(refused.value).startswith(message)
    assert bench.comparisons() == []


@pytest.mark.parametrize(
    ("call", "field"),
    [
        (lambda bench: steer(bench, [0], [6.0], bank="nobody"), "bank"),
        (lambda bench: steer(bench, [0], [6.0], bank=None), "bank"),
        (lambda bench: steer(bench, [], [6.0], bank=None, random_control=True), "bank"),
        (lambda bench: steer(bench, [0], [6.0], prompts=[]), "prompt"),
        (lambda bench: steer(bench, [0], [6.0], prompts=[PROMPT, Prompt(" ")]), "prompt"),
        (lambda bench: steer(bench, [0], [6.0], prompts=[Prompt("long " * CONTEXT)]), "prompt"),
        (lambda bench: steer(bench, [0], [6.0], prompts=[Prompt("x\ud800")]), "prompt"),
        (lambda bench: steer(bench, [0], [6.0], decoding=Decoding(CONTEXT)), "max new tokens"),
    ],
)
def test_other_things_that_cannot_be_are_refused_by_name(bench, bank, call: Callable, field):
    with pytest.raises(InputError) as refused:
        call(bench)
    assert refused.value.field == field and refused.value.remedy
    assert bench.comparisons() == []


# --- texts that were made before -------------------------------------------------------------------------------------


def test_the_same_question_is_answered_from_the_database(bench, bank, monkeypatch):
    first = steer(bench, [0, 1], [6.0, -6.0], TWO, random_control=True)
    monkeypatch.setattr(Batching, "generate", lambda *_: pytest.fail("generated again"))
    again = steer(bench, [1, 0], [-6.0, 6.0], TWO, random_control=True)
    assert again.id != first.id
    texts = {(entry.vector, entry.radius, entry.prompt_index): entry.text for entry in first.completions}
    assert {(e.vector, e.radius, e.prompt_index): e.text for e in again.completions} == texts
    assert [entry.prompt.user for entry in again.completions[:2]] == [prompt.user for prompt in TWO]
    # also where the prompts change places, and by another workbench on the same cache
    swapped = result_of(
        Workbench(bench.settings).run(Steer(bank="a", prompts=TWO[::-1], vectors=[0], radii=[6.0], decoding=SHORT))
    )
    assert {(e.vector, e.radius, 1 - e.prompt_index): e.text for e in swapped.completions} == {
        key: text for key, text in texts.items() if key[0] in (None, 0) and key[1] in (0.0, 6.0)
    }


def test_a_bank_of_another_name_with_the_same_vectors_shares_its_texts(bench, bank, monkeypatch):
    steer(bench, [0], [6.0])
    bench.bench.banks.save(bank.renamed("twin"))
    monkeypatch.setattr(Batching, "generate", lambda *_: pytest.fail("generated again"))
    assert steer(bench, [0], [6.0], bank="twin").completions[1].bank == "twin"


@pytest.mark.parametrize(
    ("change", "calls"),
    [
        ({"decoding": Decoding(6, seed=1)}, [2]),
        ({"decoding": Decoding(7)}, [2]),
        ({"decoding": Decoding(6, temperature=0.5)}, [2]),
        ({"decoding": Decoding(6, top_p=0.5)}, [2]),
        ({"prompts": [Prompt("hello there!")]}, [2]),
        ({"prompts": [Prompt("hello there", "be brief")]}, [2]),
        ({"prompts": [Prompt("hello there", template=False)]}, [2]),
        ({"radii": [6.5]}, [1]),
        ({"radii": [-6.0]}, [1]),
        ({"vectors": [0, 1]}, [1]),
        ({"random_control": True}, [1]),
        ({}, []),
    ],
)
def test_a_changed_question_is_asked_again_for_what_changed_only(bench, bank, generated, change, calls):
    asked = {"vectors": [0], "radii": [6.0]}
    steer(bench, **asked)
    generated.clear()
    comparison = steer(bench, **(asked | change))
    assert [len(thetas) for thetas, _, _ in generated] == calls
    assert all(entry.tokens for entry in comparison.completions)


def test_a_stopped_comparison_keeps_its_texts_as_far_as_they_are_and_they_do_not_count_as_whole(
    bench, bank, generated, monkeypatch
):
    monkeypatch.setattr(generation, "STREAM_SECONDS", 0.0)
    long, seen = Decoding(max_new_tokens=20), -BLOCKS  # asked before each block of the first pass as well

    def stop() -> bool:
        nonlocal seen
        seen += 1
        return seen >= 3

    heard, comparison = listen(
        bench.run(Steer(bank="a", prompts=[PROMPT], vectors=[0, 1], radii=[6.0], decoding=long), stop=stop)
    )
    assert comparison.settings["finished"] is False
    assert [entry.tokens for entry in comparison.completions] == [3, 3, 3]
    assert heard[-1].completions[0].text == comparison.completions[0].text
    assert bench.comparison(comparison.id) == comparison
    generated.clear()
    whole = steer(bench, [0, 1], [6.0], decoding=long)
    assert [len(thetas) for thetas, _, _ in generated] == [3]
    assert whole.settings["finished"] is True
    for part, entry in zip(comparison.completions, whole.completions, strict=True):
        assert entry.text.startswith(part.text) and (entry.finished or entry.tokens == 20)


def test_stopped_before_the_first_token_there_is_nothing_to_keep_and_it_says_so(bench, bank):
    before = bench.comparisons()
    with pytest.raises(Stopped, match="before the first token"):
        steer(bench, [0, 1], [6.0], stop=lambda: True)
    assert bench.comparisons() == before


def test_a_text_that_is_known_is_neither_made_again_nor_replaced_by_a_shorter_one(bench, bank, generated):
    known = steer(bench, [0], [6.0], TWO[:1]).completions
    generated.clear()
    asked = []
    both = steer(
        bench, [0], [6.0], TWO, stop=lambda: asked.append(1) or len(asked) > BLOCKS + 1
    )  # once between the prompts
    [(thetas, _, _)] = generated
    assert len(thetas) == 2  # the other prompt's baseline and vector
    texts = {(entry.vector, entry.prompt_index): (entry.text, entry.tokens) for entry in both.completions}
    assert [texts[None, 0], texts[0, 0]] == [(entry.text, entry.tokens) for entry in known]
    assert texts[None, 1][1] == texts[0, 1][1] == 1


def test_abandoned_steering_leaves_the_workbench_free_and_nothing_behind(bench, bank, monkeypatch):
    monkeypatch.setattr(generation, "STREAM_SECONDS", 0.0)
    work = bench.run(Steer(bank="a", prompts=[PROMPT], vectors=[0], radii=[6.0], decoding=Decoding(30)))
    while not next(work).completions:
        pass
    work.close()
    assert bench.comparisons() == []
    assert len(steer(bench, [0], [6.0]).completions) == 2
    model = bench.bench.model.get()
    assert not any(block._forward_hooks for block in model.blocks)


def test_a_row_says_the_same_whatever_is_asked_for_beside_it(bench, bank):
    together = steer(bench, [0, 1, 2], [6.0, -25.0], TWO, random_control=True, decoding=Decoding(12))
    for entry in together.completions[::3]:  # each prompt, R and sign, with and without a vector
        fresh = Workbench(bench.settings.model_copy(update={"cache_dir": bench.settings.cache_dir / str(entry.id)}))
        fresh.bench.banks.save(bank)
        vectors = [entry.vector] if isinstance(entry.vector, int) else []
        alone = result_of(
            fresh.run(
                Steer(
                    bank="a",
                    prompts=[TWO[entry.prompt_index]],
                    vectors=vectors,
                    radii=[entry.radius],
                    decoding=Decoding(12),
                    random_control=entry.vector == "random",
                )
            )
        )
        assert alone.completions[-1].text == entry.text


def test_stop_after_the_last_token_has_lost_nothing(bench, bank):
    stopped = False
    work = bench.run(Steer(bank="a", prompts=[PROMPT], vectors=[0], radii=[6.0], decoding=SHORT), stop=lambda: stopped)
    for progress in work:
        stopped = progress.completions[0].tokens == 6
    assert stopped and bench.comparison(1).settings["finished"] is True


def test_the_same_words_under_another_template_are_asked_again(bench, bank, generated, monkeypatch):
    first = steer(bench, [0], [6.0])
    tokenizer = bench.bench.model.get().tokenizer
    monkeypatch.setattr(tokenizer, "chat_template", "a heath " + tokenizer.chat_template)
    calls = len(generated)
    second = steer(bench, [0], [6.0])
    assert len(generated) == calls + 1
    steer(bench, [0], [6.0])
    assert len(generated) == calls + 1
    assert [one.text for one in first.completions] != [two.text for two in second.completions]
