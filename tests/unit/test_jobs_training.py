"""Training through the workbench: what is refused and when, what Stop keeps, what a full disk cannot take away."""

import errno
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from benches import PROMPT, QUICK, listen, save_tiny, settings, trained
from patience import PATIENCE
from tiny_models import BLOCKS

from melbo_app.engine import climb
from melbo_app.engine.prompt import Prompt
from melbo_app.engine.suggestion import layer_pairs, layers
from melbo_app.engine.training_config import TrainingConfig
from melbo_app.errors import BusyError, InputError, Stopped, StorageError
from melbo_app.jobs.generators import result_of
from melbo_app.jobs.job import Job
from melbo_app.library import atomic, banks
from melbo_app.studies import read_study
from melbo_app.studies.train import Train
from melbo_app.studies.training_command import command
from melbo_app.workbench import Workbench

ENDLESS = replace(QUICK, steps=1_000_000)


@pytest.fixture
def never_arrives(monkeypatch: pytest.MonkeyPatch) -> None:
    """Trainings go on to the most steps."""
    monkeypatch.setattr(climb, "arrived", lambda heights: False)


@pytest.fixture
def busy(bench: Workbench, never_arrives: None) -> Iterator[Workbench]:
    """A workbench with a training under way."""
    job = bench.start(Train(prompts=[PROMPT], config=ENDLESS, name="first"))
    wait_until(lambda: job.progress is not None and job.progress.done > 0)
    yield bench
    job.stop()
    assert job.wait(PATIENCE)


def wait_until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.002)


def ended(job: Job) -> Job:
    assert job.wait(PATIENCE)
    return job


# --- a bank, from prompts to the shelf -------------------------------------------------------------------------------


def test_a_trained_bank_is_on_the_shelf_with_all_that_made_it(bench):
    heard, bank = listen(bench.run(Train(prompts=[PROMPT], config=QUICK, name="  first bank ")))
    assert [progress.done for progress in heard if progress.done] == [1, 2, 3, 4]
    assert heard[-1].done == heard[-1].total
    assert [summary.name for summary in bench.banks()] == ["first bank"]
    kept = bench.bank("first bank")
    assert kept.hash == bank.hash and np.array_equal(kept.vectors, bank.vectors)
    record, state = kept.record, bench.model_state()
    assert (record.source, record.target, record.radius, record.scope) == (1, 3, 6.0, "assistant")
    assert (record.model_hash, record.hidden_size, record.blocks) == (state.weights_hash, 32, BLOCKS)
    assert (record.dtype, record.device, record.seed, record.steps) == ("float32", "cpu", 0, 4)
    assert [prompt.user for prompt in record.prompts] == [PROMPT.user]
    assert record.objective is not None and len(record.objective) == 3
    assert record.curves is not None and [len(curve) for curve in record.curves] == [4, 4, 4]
    assert set(record.versions) == {"melbo_app", "torch", "transformers", "python"}
    assert record.note is None and record.seconds is not None and record.seconds > 0
    np.testing.assert_allclose(np.linalg.norm(kept.vectors, axis=1), 6.0, rtol=1e-5)


def test_the_relative_radius_is_that_of_the_median_norm_at_the_source(bench):
    bank = trained(bench)
    assert bank.record.median_norm == pytest.approx(bench.median_norm([PROMPT], QUICK.source), rel=1e-6)
    assert bank.record.relative_radius == pytest.approx(6.0 / bank.record.median_norm)


def test_the_same_seed_gives_the_same_bank_and_another_seed_another_one(bench):
    one, two = trained(bench, "one"), trained(bench, "two")
    assert one.hash == two.hash
    assert trained(bench, "three", replace(QUICK, seed=1)).hash != one.hash


def test_the_record_says_what_the_vectors_do_on_prompts_that_were_kept_out(bench):
    prompts = [PROMPT, Prompt("hello you")]
    config = replace(QUICK, agreement=0.2, saturation=0.0, temperature=0.4, held_out=(Prompt("hello me"),))
    record = trained(bench, "a", config, prompts).record
    assert (record.agreement, record.agreement_form, record.temperature) == (0.2, "numerator", 0.4)
    assert [prompt.user for prompt in record.held_out] == ["hello me"]
    for effect in (record.effect, record.held_out_effect):
        assert len(effect.objective) == len(effect.change) == len(effect.agreement) == 3
        assert all(value > 0 for value in [*effect.objective, *effect.change])
        assert all(-1 <= value <= 1 for value in effect.agreement)
    assert sum(record.objective) == pytest.approx(2 * sum(record.effect.objective), rel=1e-4)
    assert record.held_out_effect.objective != record.effect.objective
    kept = bench.bank("a").record
    assert (kept.effect, kept.held_out_effect) == (record.effect, record.held_out_effect)


def test_a_stop_while_the_effect_is_measured_keeps_the_vectors_and_says_what_is_missing(bench, monkeypatch):
    monkeypatch.setattr("melbo_app.studies.trained_bank.A_MOMENT", 0.0)
    pressed = []
    work = bench.run(Train(prompts=[PROMPT], config=QUICK, name="a"), stop=lambda: bool(pressed))
    bank = result_of(work, lambda now: pressed.append(now) if now.done == QUICK.steps else None)
    assert bank.hash == trained(bench, "b").hash and bank.record.effect is None
    assert bank.record.note == "Stopped: 3 of 3 vectors, 4 steps. Effect and runaways were not measured."


def test_the_record_names_only_options_that_counted(bench):
    counted = trained(bench, "a").record
    assert (counted.saturation, counted.agreement, counted.orthogonality, counted.start) == (0.6, 0.0, None, "random")
    for method in ("random", "jacobian"):
        record = trained(bench, method, replace(QUICK, method=method, steps=None)).record
        assert (record.saturation, record.agreement, record.orthogonality, record.start) == (None,) * 4


def test_a_request_of_an_earlier_version_loads_without_what_made_no_difference():
    kept = Train(prompts=(PROMPT,), config=QUICK, name="a", model="m").kept()
    unused = {"method": "transcoding", "saturation": 0.3, "orthogonality": 5.0, "temperature": 0.2, "seed": 7}
    found = read_study({**kept, "config": {**kept["config"], **unused}})
    assert found.config == replace(QUICK, method="transcoding", seed=7)
    used = {"method": "soft-delta", "saturation": 0.2, "orthogonality": 5.0, "agreement": 0.1, "temperature": 0.2}
    assert read_study({**kept, "config": {**kept["config"], **used}}).config == replace(QUICK, **used)


def test_prompts_that_are_kept_out_change_nothing_of_the_vectors(bench):
    without, with_them = (
        trained(bench, name, replace(QUICK, held_out=held_out)) for name, held_out in (("a", ()), ("b", (Prompt("x"),)))
    )
    assert without.hash == with_them.hash
    assert without.record.held_out_effect is None and without.record.effect.agreement is None


def test_a_prompt_kept_out_that_cannot_be_read_is_refused_before_the_first_step(bench):
    work = bench.run(Train(prompts=[PROMPT], config=replace(QUICK, held_out=(Prompt("  "),)), name="a"))
    heard = []
    with pytest.raises(InputError, match="held-out prompts: prompt: prompt 1 is empty. Write a text"):
        heard.extend(work)
    assert all(progress.done == 0 for progress in heard)


def test_the_command_of_a_soft_training_with_agreement():
    config = replace(QUICK, method="soft-delta", orthogonality=0.5, agreement=0.1, held_out=(Prompt("it's"),))
    words = command("m", [PROMPT], config, "n")
    assert (
        " --method soft-delta --steps 4 --p 2.0 --orthogonality 0.5 --agreement 0.1 --agreement-form numerator "
        "--temperature 0.5 --held-out 'it'\"'\"'s' --seed 0 " in words
    )


@pytest.mark.parametrize("method", ["joint", "sequential"])
def test_the_command_in_the_record_says_all_that_was_chosen(method):
    config = TrainingConfig(2, 3, 1.5, 4, method, 7, 3.0, 1.0, "last:2", 9)  # type: ignore[arg-type]
    words = command("a model", [Prompt("it's", "be brief", True), Prompt("two", "be brief", True)], config, "x y")
    assert words == (
        "python -m melbo_app train --prompt 'it'\"'\"'s' --prompt two --system 'be brief' --model 'a model' --source 2 "
        f"--target 3 --scope last:2 --radius 1.5 --vectors 4 --method {method} --steps 7 --p 3.0 --q 1.0 --seed 9 "
        "--name 'x y'"
    )


def test_the_command_names_the_other_side_and_the_start():
    other = (Prompt("one", "be brief", True), Prompt("it's two", "be brief", True))
    config = replace(QUICK, method="difference-of-means", vectors=1, steps=1, against=other)
    words = command("m", [Prompt("x", "be brief", True)], config, "n")
    assert " --prompt x --against one --against 'it'\"'\"'s two' --system 'be brief' " in words
    assert "--start" not in words
    assert " --start jacobian --seed 0 --name n" in command("m", [Prompt("x")], replace(QUICK, start="jacobian"), "n")


def test_a_bank_of_transcoding_keeps_what_its_vectors_do(bench):
    bank = trained(bench, "t", replace(QUICK, method="transcoding", start="jacobian"))
    kept = bench.bank("t")
    assert kept.record.start == "jacobian" and kept.record.method == "transcoding"
    assert kept.record.strength == bank.record.strength == sorted(kept.record.strength, reverse=True)
    np.testing.assert_allclose(np.linalg.norm(kept.output_directions, axis=1), 1, rtol=1e-5)
    assert np.array_equal(kept.output_directions, bank.output_directions)


@pytest.mark.parametrize(("steps", "converged"), [(1, False), (60, True)])
def test_a_bank_of_jacobian_says_whether_it_has_converged(bench, steps, converged):
    job = ended(bench.start(Train(prompts=[PROMPT], config=replace(QUICK, method="jacobian", steps=steps), name="j")))
    record = bench.bank("j").record
    assert record.whole and record.stopped is False and (record.residual < 1e-4) is converged
    told = [entry.text for entry in job.record().log if entry.text.startswith("Not converged: after 1 passes")]
    assert told == ([] if converged else [record.note])


def test_a_bank_of_two_sides_keeps_the_other_one(bench):
    other = (Prompt("good bye", "be brief", True),)
    config = replace(QUICK, method="difference-of-means", vectors=1, steps=None, against=other)
    record = trained(bench, "d", config).record
    assert [(entry.user, entry.system, entry.template) for entry in record.against] == [("good bye", "be brief", True)]
    assert record.start is None and record.strength is not None


def test_what_is_wrong_with_the_other_side_is_said_of_it(bench):
    other = (Prompt("good bye", "be brief", False),)
    config = replace(QUICK, method="difference-of-means", vectors=1, steps=None, against=other)
    with pytest.raises(InputError, match="against: system text: it needs the chat template, which is off"):
        result_of(bench.run(Train(prompts=[PROMPT], config=config, name="d")))


def test_there_is_no_command_for_prompts_of_several_system_texts_or_templates():
    briefly, other = Prompt("x", "be brief"), Prompt("x", "be rude")
    assert command("m", [briefly, other], QUICK, "n") is None
    assert command("m", [Prompt("x"), Prompt("y", template=False)], QUICK, "n") is None
    assert (
        command("m", [briefly], replace(QUICK, method="contrast-pca", vectors=1, steps=1, against=(other,)), "n")
        is None
    )
    assert command("m", [briefly], replace(QUICK, held_out=(other,)), "n") is None
    assert command("m", [Prompt("x"), Prompt("y", "")], QUICK, "n") is not None


def test_the_command_of_a_prompt_without_template_switches_it_off():
    assert " --no-template " in command("m", [Prompt("x", None, False)], QUICK, "n")


# --- what is refused -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "prompts", "field"),
    [
        ("taken", [PROMPT], "name"),
        ("TAKEN", [PROMPT], "name"),
        ("", [PROMPT], "name"),
        ("../up", [PROMPT], "name"),
        (".hidden", [PROMPT], "name"),
        ("x" * 81, [PROMPT], "name"),
        ("free", [], "prompt"),
        ("free", [Prompt("  \n")], "prompt"),
        ("free", [PROMPT, Prompt("")], "prompt"),
    ],
)
def test_what_can_be_seen_to_be_wrong_is_refused_before_a_job_starts(bench, name, prompts, field):
    trained(bench, "taken", replace(QUICK, steps=1))
    with pytest.raises(InputError) as refused:
        bench.start(Train(prompts=prompts, config=QUICK, name=name))
    assert refused.value.field == field and refused.value.remedy
    assert bench.training_job() is None


@pytest.mark.parametrize(
    ("config", "sentence"),
    [
        (replace(QUICK, source=1, target=BLOCKS), f"target layer: tiny has no block {BLOCKS}. Choose a block from 0"),
        (replace(QUICK, source=-1), "source layer: tiny has no block -1. Choose a block from 0 to 3."),
        (replace(QUICK, vectors=33), "vectors: 33 cannot be orthogonal in 32 dimensions. Choose 32 or fewer."),
    ],
)
def test_what_only_the_model_can_tell_is_a_failed_job_with_the_sentence(bench, config, sentence):
    job = ended(bench.start(Train(prompts=[PROMPT], config=config, name="a")))
    assert job.state == "failed" and job.result is None
    assert job.error.startswith(sentence)
    assert bench.banks() == []


@pytest.mark.parametrize(
    ("prompt", "sentence"),
    [
        (Prompt("long " * 60), "prompt: prompt 1 has "),
        (Prompt("hello", "be brief", False), "system text: it needs the chat template, which is off."),
    ],
)
def test_prompts_that_the_model_cannot_read_are_a_failed_job_with_the_sentence(bench, prompt, sentence):
    job = ended(bench.start(Train(prompts=[prompt], config=QUICK, name="a")))
    assert job.state == "failed" and job.error.startswith(sentence)


def test_the_assistant_scope_needs_the_template_and_says_so(bench):
    job = ended(bench.start(Train(prompts=[Prompt("hello", template=False)], config=QUICK, name="a")))
    assert job.state == "failed"
    assert job.error == (
        "scope: no token of prompt 1 is in the scope assistant. Use last:4, or switch the chat template on."
    )


def test_a_training_that_does_not_fit_in_memory_is_refused_with_the_numbers(tmp_path, model_folder):
    small = settings(tmp_path / "cache", model_folder).model_copy(update={"memory_gb": 1e-6})
    job = ended(Workbench(small).start(Train(prompts=[PROMPT], config=QUICK, name="a")))
    assert job.state == "failed" and job.error.startswith("memory: ")
    assert len(re.findall(r"[\d.]+ (?:bytes|kB|MB|GB)", job.error)) == 2


def test_an_unknown_model_is_a_failed_job_with_the_sentence(tmp_path):
    job = ended(
        Workbench(settings(tmp_path / "cache", tmp_path / "nowhere")).start(
            Train(prompts=[PROMPT], config=QUICK, name="a")
        )
    )
    assert job.state == "failed" and job.error.startswith("model: ") and "nowhere" in job.error


def test_a_second_training_waits_for_the_first_and_may_be_removed(busy):
    second, third = (
        busy.start(Train(prompts=[PROMPT], config=QUICK, name=name), who="Ann") for name in ("second", "third")
    )
    assert [busy.job(job.id).place for job in (second, third)] == [1, 2]
    assert busy.training_job().title == "Training “first”"
    assert busy.stop_job(second.id).state == "stopped" and second.wait(0)
    assert busy.job(third.id).place == 1
    busy.training_job().stop()
    assert ended(third).state == "done" and third.started >= busy.job(1).ended
    assert [line.name for line in busy.banks() if line.name == "second"] == []
    told = [(line.title, line.state, line.who, line.bank) for line in busy.jobs()]
    assert told[:2] == [("Training “third”", "done", "Ann", "third"), ("Training “second”", "stopped", "Ann", None)]


def test_a_name_that_waits_in_the_queue_is_taken(busy):
    for name in ("first", "FIRST"):
        with pytest.raises(
            InputError, match="name: Training “first” is running or waiting under this name. Choose another name."
        ):
            busy.start(Train(prompts=[PROMPT], config=QUICK, name=name))


def test_while_a_training_runs_another_model_waits_but_the_present_one_may_be_chosen_again(busy, tmp_path):
    with pytest.raises(BusyError, match="while a training runs"):
        busy.load_model(str(save_tiny(tmp_path / "other", "gpt2")))
    assert busy.load_model(busy.settings.model).name == "tiny"


def test_while_a_training_runs_an_import_cannot_replace_the_model(busy, tmp_path):
    file = tmp_path / "x.safetensors"
    write_foreign(file)
    with pytest.raises(BusyError):
        busy.import_bank(file, model=str(save_tiny(tmp_path / "other", "gpt2")), source=1)


def write_foreign(file: Path) -> None:
    from safetensors.numpy import save_file

    save_file({"vectors": np.ones((2, 32), dtype=np.float32)}, file)


def test_after_the_first_training_the_next_one_may_start(bench):
    assert ended(bench.start(Train(prompts=[PROMPT], config=QUICK, name="first"))).state == "done"
    second = ended(bench.start(Train(prompts=[PROMPT], config=QUICK, name="second")))
    assert second.state == "done" and bench.training_job() is second
    assert {summary.name for summary in bench.banks()} == {"first", "second"}


# --- stop ------------------------------------------------------------------------------------------------------------


def test_stop_keeps_the_vectors_that_are_finished(bench):
    config = replace(QUICK, vectors=32, method="sequential", steps=40)
    job = bench.start(Train(prompts=[PROMPT], config=config, name="a"))
    wait_until(lambda: job.progress is not None and job.progress.finished >= 2)
    job.stop()
    assert job.wait(PATIENCE) and job.state == "stopped" and job.error is None
    kept = bench.bank("a")
    assert kept.hash == job.result.hash
    assert 2 <= len(kept.vectors) < 32
    np.testing.assert_allclose(np.linalg.norm(kept.vectors, axis=1), config.radius, rtol=1e-5)
    assert kept.record.note.startswith(f"Stopped: {len(kept.vectors)} of 32 vectors")
    assert len(kept.record.objective) == len(kept.record.curves) == len(kept.vectors)
    # they are those of a training that was not stopped
    whole = trained(bench, "b", replace(config, vectors=2))
    np.testing.assert_allclose(kept.vectors[:2], whole.vectors, atol=1e-5)


@pytest.mark.parametrize("moment", [60.0, 0.0])
def test_stop_of_a_joint_training_keeps_all_its_vectors_as_they_are(bench, never_arrives, moment, monkeypatch):
    monkeypatch.setattr("melbo_app.studies.trained_bank.A_MOMENT", moment)
    job = bench.start(Train(prompts=[PROMPT], config=ENDLESS, name="a"))
    wait_until(lambda: job.progress is not None and job.progress.done >= 2)
    job.stop()
    assert job.wait(PATIENCE) and job.state == "stopped"
    kept = bench.bank("a")
    assert len(kept.vectors) == 3 and kept.record.steps < 1_000_000
    if moment:
        assert kept.record.effect.runaway == [0, 0, 0] and "measured" not in kept.record.note
    else:  # a stop is quick
        assert kept.record.effect is None
        assert kept.record.note.endswith(" steps. Effect and runaways were not measured.")
    np.testing.assert_allclose(np.linalg.norm(kept.vectors, axis=1), 6.0, rtol=1e-5)


@pytest.mark.parametrize("method", ["joint", "sequential"])
def test_stop_before_a_vector_is_finished_saves_nothing_and_says_so(bench, method):
    work = bench.run(Train(prompts=[PROMPT], config=replace(QUICK, method=method), name="a"), stop=lambda: True)
    with pytest.raises(Stopped, match="before a vector was finished: nothing to save"):
        result_of(work)
    assert bench.banks() == [] and bench.unsaved_bank() is None


# --- a disk that refuses ---------------------------------------------------------------------------------------------


def refuse(*_args: object, **_kwargs: object) -> None:
    raise StorageError("The disk is full; nothing was changed.")


def test_a_bank_that_cannot_be_saved_waits_in_memory_and_can_be_saved_again(bench, monkeypatch):
    with monkeypatch.context() as broken:
        broken.setattr(banks, "write_file", refuse)
        job = ended(bench.start(Train(prompts=[PROMPT], config=QUICK, name="a")))
        assert job.state == "failed" and job.error == "The disk is full; nothing was changed."
        assert bench.unsaved_bank() == "a"
        with pytest.raises(StorageError):
            bench.save_again()
        assert bench.unsaved_bank() == "a"
    assert bench.banks() == []
    saved = bench.save_again()
    assert bench.bank("a").hash == saved.hash == trained(bench, "again").hash
    assert bench.unsaved_bank() is None
    with pytest.raises(InputError, match="none is waiting"):
        bench.save_again()


def test_a_disk_that_fills_up_while_it_is_written_leaves_nothing_half_written(bench, monkeypatch, tmp_path):
    def full(_handle: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    bench.load_model()
    with monkeypatch.context() as broken:
        broken.setattr(atomic.os, "fsync", full)
        with pytest.raises(StorageError, match="No space left on device"):
            trained(bench)
    assert list((tmp_path / "cache" / "banks").iterdir()) == []
    assert bench.save_again("other name").record.name == "other name"
    assert [summary.name for summary in bench.banks()] == ["other name"]


def test_two_banks_that_cannot_be_saved_both_wait(bench, monkeypatch):
    with monkeypatch.context() as broken:
        broken.setattr(banks, "write_file", refuse)
        for name, seed in (("a", 0), ("b", 1)):
            with pytest.raises(StorageError):
                trained(bench, name, replace(QUICK, seed=seed))
    assert bench.unsaved_bank() == "b" and bench.save_again().record.name == "b"
    assert bench.unsaved_bank() == "a" and bench.save_again().record.name == "a"
    assert bench.bank("a").hash != bench.bank("b").hash


def test_a_name_that_somebody_took_meanwhile_loses_nothing(bench):
    theirs = None

    def stop() -> bool:  # asked during the training: somebody else saves a bank of that name
        nonlocal theirs
        if theirs is None:
            theirs = trained(Workbench(bench.settings), "a", replace(QUICK, seed=5))
        return False

    with pytest.raises(InputError, match="a bank called “a” already exists"):
        result_of(bench.run(Train(prompts=[PROMPT], config=QUICK, name="a"), stop=stop))
    assert bench.bank("a").hash == theirs.hash
    with pytest.raises(InputError):
        bench.save_again()
    with pytest.raises(InputError):
        bench.save_again("../a")
    assert bench.save_again("mine").hash != theirs.hash


# --- suggestions -----------------------------------------------------------------------------------------------------


def test_the_layers_of_the_published_choice_and_of_small_models():
    assert layers(30) == (7, 21)
    assert layers(32) == (7, 21)
    for blocks in range(2, 130):
        source, target = layers(blocks)
        assert 0 <= source < target < blocks


def test_the_early_layers_are_other_ones_of_the_model_or_none():
    assert layer_pairs(24, *layers(24), True) == [layers(24), (2, 16)]
    assert layer_pairs(2, *layers(2), True) == [layers(2)] and layer_pairs(24, *layers(24), False) == [layers(24)]
    for blocks in range(2, 130):
        usual = layers(blocks)
        first, *others = layer_pairs(blocks, *usual, True)
        assert first == usual and all(early != usual and 0 <= early[0] < early[1] < blocks for early in others)


def test_a_layer_that_is_given_stays_and_the_other_one_suits_it():
    for blocks in (2, 3, 4, 30, 80):
        for source in range(blocks - 1):
            assert layers(blocks, source=source)[0] == source < layers(blocks, source=source)[1] < blocks
        for target in range(1, blocks):
            assert 0 <= layers(blocks, target=target)[0] < layers(blocks, target=target)[1] == target
    assert layers(30, source=20) == (20, 27)
    assert layers(30, target=5) == (4, 5)
    assert layers(30, source=9, target=3) == (9, 3)  # refused later, with a sentence


@pytest.mark.parametrize("blocks", [2, 3, 4])
def test_the_suggestion_for_a_small_model_can_be_trained(tmp_path, blocks):
    bench = Workbench(settings(tmp_path / "cache", save_tiny(tmp_path / "model", num_hidden_layers=blocks)))
    found = bench.suggestion()
    assert 0 <= found.source < found.target < blocks
    assert found.radius == pytest.approx(0.07 * found.median_norm, rel=0.05)
    assert found.relative_radius * found.median_norm == pytest.approx(found.radius)
    config = TrainingConfig(found.source, found.target, found.radius, 2, steps=1, scope=found.scope)
    assert len(trained(bench, config=config).vectors) == 2


def test_the_suggestion_follows_the_layer_that_is_given(bench):
    assert bench.suggestion([PROMPT], source=2).source == 2
    assert bench.suggestion([PROMPT], source=2).median_norm == pytest.approx(bench.median_norm([PROMPT], 2))
    assert bench.suggestion([PROMPT], target=1).source == 0


def test_without_a_template_the_suggested_scope_is_the_last_tokens(bench):
    assert bench.suggestion([PROMPT]).scope == "assistant"
    assert bench.suggestion([Prompt("hello", template=False)]).scope == "last:4"


@pytest.mark.parametrize("source", [-1, BLOCKS, BLOCKS - 1])
def test_the_norm_at_a_layer_that_cannot_be_a_source_is_refused(bench, source):
    with pytest.raises(InputError) as refused:
        bench.median_norm([PROMPT], source)
    assert refused.value.field == "source layer" and "Choose a block from 0 to" in refused.value.remedy
