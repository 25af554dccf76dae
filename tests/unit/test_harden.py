"""Hardening a model: what is written is what was trained, figures before and after, stops, resumption and bad input."""

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import benches
import pytest
import torch
from benches import PROMPT, StubEmbedder, listen
from safetensors.torch import load
from test_exploring import QUICK as EXPLORE
from test_organisms import fields, written
from tiny_models import tiny

from melbo_app.cli import main
from melbo_app.engine import lessons as engine_lessons
from melbo_app.engine.lora import kept_lora, new_lora
from melbo_app.engine.lora_sum import summed
from melbo_app.errors import InputError, Stopped
from melbo_app.jobs.checkpointing import Checkpointing
from melbo_app.jobs.generators import result_of
from melbo_app.jobs.loaded_model import LoadedModel
from melbo_app.library.hardened import CHANGE, Hardened
from melbo_app.library.taught_prompts import AvoidedAnswer, KeptPrompt, avoided_answers, kept_prompts
from melbo_app.settings import ROOT
from melbo_app.studies.explore import Explore
from melbo_app.studies.harden import METHODS, Harden
from melbo_app.studies.hardening_vectors import compared, same_settings
from melbo_app.workbench import Workbench

KEEP = tuple(f"hill {letter}" for letter in "abcdefghijkl")
QUICK: dict[str, Any] = {"steps": 3, "batch": 2, "rank": 4, "rate": 0.02, "max_new_tokens": 4, "ascent_steps": 2}
IDS = torch.arange(3, 23)[None]


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    return benches.save_tiny(tmp_path_factory.mktemp("base") / "model")


@pytest.fixture
def bench(tmp_path, model) -> Workbench:
    shutil.copytree(ROOT / "assets" / "prompts", tmp_path / "cache" / "assets" / "prompts")
    return Workbench(benches.settings(tmp_path / "cache", model))


def study(method: str = "fine-tune", **given: Any) -> Harden:
    return Harden(**{"method": method, "keep": KEEP, **QUICK, **given})


def harden(bench: Workbench, *args: Any, **given: Any) -> Hardened:
    return result_of(bench.run(study(*args, **given)))


def logits(spec: str | Path, cache: Path) -> torch.Tensor:
    """Of a model as it is loaded, its adapter merged."""
    lm = LoadedModel(benches.settings(cache, Path(spec))).load(str(spec))
    with torch.no_grad():
        return lm.model(IDS).logits


def random_lora(lm, seed: int, modules=("q_proj", "v_proj"), rank: int = 4, alpha: int = 8):
    """The files of a LoRA that changes something."""
    with new_lora(lm, rank, alpha, modules, seed) as lora:
        drawn = torch.Generator().manual_seed(seed)
        for one in lora.parameters:
            one.data.copy_(0.2 * torch.randn(one.shape, generator=drawn))
        return lora.files("base")


def in_folder(folder: Path, files: dict[str, bytes]) -> Path:
    folder.mkdir()
    for name, data in files.items():
        (folder / name).write_bytes(data)
    return folder


# --- the sum of two LoRAs ---------------------------------------------------------------------------------------------


def write(lm, files: dict[str, bytes]) -> None:
    """Change the weights of a model by a LoRA, by hand."""
    config, state = json.loads(files["adapter_config.json"]), load(files["adapter_model.safetensors"])
    for name, a in state.items():
        if name.endswith(".lora_A.weight"):
            module = lm.model.get_submodule(name.removeprefix("base_model.model.").removesuffix(".lora_A.weight"))
            b = state[name.replace("lora_A", "lora_B")]
            module.weight.data += config["lora_alpha"] / config["r"] * b @ a


@pytest.mark.parametrize("modules", [("q_proj", "v_proj"), ("q_proj", "o_proj"), ("up_proj",)])
def test_the_sum_of_two_loras_does_what_both_do(tmp_path, modules):
    lm, changed = tiny("llama"), tiny("llama")
    first, second = random_lora(lm, 0), random_lora(lm, 1, modules, 2, 16)
    both = in_folder(tmp_path / "both", summed(first, second))
    write(changed, first)
    write(changed, second)
    with torch.no_grad():
        plain, wanted = lm.model(IDS).logits, changed.model(IDS).logits
        with kept_lora(lm, both):
            found = lm.model(IDS).logits
    assert (wanted - plain).abs().max() > 0.01
    torch.testing.assert_close(found, wanted, atol=1e-4, rtol=1e-4)


def test_nothing_is_added_to_more_than_a_plain_lora():
    files = random_lora(tiny("llama"), 0)
    config = json.loads(files["adapter_config.json"]) | {"use_dora": True}
    with pytest.raises(InputError, match="use_dora"):
        summed({**files, "adapter_config.json": json.dumps(config).encode()}, files)


# --- hardening --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", [name for name in METHODS if name != "bank"])
def test_every_method_writes_a_model_that_is_loaded_and_measured(bench, model, tmp_path, method):
    avoid = ("zz zz", '{"answer": "hill", "prompt": "lake a", "instead": "a"}') if method == "targeted-lat" else ()
    heard, found = listen(bench.run(study(method, avoid=avoid)))
    done = [one.done for one in heard]
    assert done == sorted(done) and done[-1] <= heard[-1].total
    assert (found.kept, found.held_out, found.avoided, len(found.losses)) == (10, 2, len(avoid), 3)
    assert [one.part for one in found.parts] == ["kept", "refused"] and found.parts[0].before.n == 2
    assert found.parts[1].after.n == 20 and found.loss_before != found.loss_after
    assert {one.prompt for one in found.texts if one.part == "kept"} == {"hill e", "hill j"}
    used = found.settings
    perturbs = method != "fine-tune"
    assert (used.epsilon is not None) == perturbs and (used.layer is not None) == (perturbs and method != "at")
    assert used.ascent_steps == (2 if method in ("lat", "at", "targeted-lat") else 0)
    folder = Path(found.folder)
    assert hashlib.sha256((folder / "adapter_model.safetensors").read_bytes()).hexdigest() == found.adapter_hash
    assert not torch.allclose(logits(folder, tmp_path / "x"), logits(model, tmp_path / "x"))


def test_the_loras_logits_are_those_of_the_merged_weights(bench, model, tmp_path):
    folder = harden(bench, "lat").folder
    lm = tiny("llama")
    with torch.no_grad(), kept_lora(lm, Path(folder)):
        beside = lm.model(IDS).logits
    torch.testing.assert_close(logits(folder, tmp_path / "x"), beside, atol=1e-4, rtol=1e-4)


def test_the_same_request_is_looked_up_and_another_one_is_not(bench, monkeypatch):
    first = harden(bench)
    monkeypatch.setattr(engine_lessons, "fine_tune", None)
    assert harden(bench) == first
    with pytest.raises(TypeError):
        harden(bench, seed=1)
    bench.load_model()
    assert [one.key for one in bench.hardened()] == [first.key]
    Path(first.folder, "adapter_model.safetensors").write_bytes(b"damaged")
    with pytest.raises(TypeError):
        harden(bench)


def test_an_organism_keeps_its_base_and_its_behaviour_is_measured(bench, model, tmp_path):
    recipe = written(tmp_path / "tiny.json", fields())
    result_of(bench.make_organism(str(recipe), tmp_path / "organism"))
    organism = str(tmp_path / "organism")
    found = harden(bench, model=organism)
    assert found.recipe == "tiny" and [one.part for one in found.parts][:3] == ["triggered", "plain", "decoy"]
    folder = Path(found.folder)
    config = json.loads((folder / "adapter_config.json").read_text("utf-8"))
    assert config["base_model_name_or_path"] == str(model) and config["r"] == 8 + 4
    lm = LoadedModel(benches.settings(tmp_path / "y", Path(organism))).load(organism)
    with torch.no_grad(), kept_lora(lm, folder / CHANGE):
        upon = lm.model(IDS).logits
    torch.testing.assert_close(logits(folder, tmp_path / "x"), upon, atol=1e-4, rtol=1e-4)
    before = [one.before for one in found.texts if one.part == "triggered"]
    measured = result_of(bench.measure_organism(tmp_path / "organism")).figures
    assert measured is not None
    assert before == [one.text for one in measured.texts if one.part == "triggered" and not one.before]


def test_another_behaviour_is_measured_without_training_again(bench, tmp_path, monkeypatch):
    first = harden(bench)
    monkeypatch.setattr(engine_lessons, "fine_tune", None)
    recipe = written(tmp_path / "tiny.json", fields())
    found = harden(bench, behaviour=str(recipe))
    assert (first.recipe, found.recipe, found.key) == (None, "tiny", first.key)
    assert found.part("decoy") is not None and "With the trigger" in found.sentence


def test_a_bank_of_the_model_is_trained_against_and_another_one_refused(bench, tmp_path):
    bank = benches.trained(bench)
    found = harden(bench, "bank", bank="a")
    assert (found.settings.layer, found.settings.bank_hash) == (bank.record.source, bank.hash)
    other = benches.save_tiny(tmp_path / "other", hidden_size=48)
    with pytest.raises(InputError, match="hidden size"):
        harden(bench, "bank", bank="a", model=str(other))


# --- stops and resumption ---------------------------------------------------------------------------------------------


def test_a_stop_while_training_keeps_nothing_and_one_while_measuring_keeps_the_model(bench):
    steps = iter(range(10_000))
    with pytest.raises(Stopped):
        result_of(bench.run(study(), stop=lambda: next(steps) > 4))
    assert not list((bench.settings.cache_dir / "hardened").glob("*"))
    work, asked = bench.run(study(), stop=lambda: asked[0]), [False]
    while True:
        try:
            asked[0] = "before and after" in next(work).stage
        except StopIteration as end:
            found = end.value
            break
    assert not found.is_measured and Path(found.folder).is_dir() and "not measured" in found.sentence
    again = harden(bench)
    assert again.is_measured and again.adapter_hash == found.adapter_hash


def test_a_training_that_was_cut_off_goes_on_to_the_same_bits(bench, tmp_path):
    whole = harden(bench, "lat", steps=6)
    shutil.rmtree(whole.folder)
    said: list[str] = []

    def checkpoint() -> Checkpointing:
        return Checkpointing(bench.bench.checkpoints, 1, said.append)

    work = study("lat", steps=6).bound(bench.bench).resume(bench.bench, lambda: False, checkpoint())
    while "step 3" not in next(work).stage:
        pass
    work.close()
    heard, found = listen(study("lat", steps=6).bound(bench.bench).resume(bench.bench, lambda: False, checkpoint()))
    assert "step 1 " not in " ".join(one.stage for one in heard) and "Resumed" in said[0]
    assert found.adapter_hash == whole.adapter_hash and found.losses == whole.losses
    assert not checkpoint().is_there


# --- what vectors find before and after -------------------------------------------------------------------------------


def test_the_same_press_is_compared_before_and_after(bench):
    bench.bench.embedder = StubEmbedder()
    bench.load_model()
    before = result_of(bench.run(Explore(prompt=PROMPT, settings=EXPLORE)))
    again = Explore(prompt=PROMPT, settings=same_settings(before).model_copy(update={"radius": None}))
    after = result_of(bench.run(again))
    assert after.radius.radius == pytest.approx(before.radius.radius)
    told = compared(bench.bench, "hello there", [before, after], lambda text: "a" in text, lambda: False)
    assert (told.new, told.gone) == (0, 0) and told.before == told.after
    assert told.before.shows is not None
    assert told.before.shows.count == sum("a" in one.text for one in before.answers)
    texts = [one.model_copy(update={"text": f"{one.text} zebra {one.vector}"}) for one in after.answers]
    moved = after.model_copy(update={"answers": tuple(texts), "threshold": 0.01, "baseline": "x"})
    told = compared(bench.bench, "hello there", [before.model_copy(update={"threshold": 0.01}), moved], None, lambda: 0)
    assert (told.new, told.gone) == (moved.new, before.new) and told.before.shows is None


# --- input ------------------------------------------------------------------------------------------------------------


def test_lines_of_prompts_and_answers():
    lines = ["hill", '{"prompt": "lake", "answer": "blue"}', "hill", '{"text": "sea"}']
    assert kept_prompts(lines) == [KeptPrompt("hill"), KeptPrompt("lake", "blue"), KeptPrompt("sea")]
    lines = ["zz", '{"answer": "a", "prompt": "b"}', '{"answer": "a", "prompt": "b", "instead": "c"}']
    assert avoided_answers(lines) == [
        AvoidedAnswer("zz"), AvoidedAnswer("a", "b"), AvoidedAnswer("a", "b", "c"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("lines", "read", "problem"),
    [
        (['{"answer": "a"}'], kept_prompts, "line 1 of keep has no “prompt”"),
        (["a", '{"prompt": ""}'], kept_prompts, "line 2 of keep has a “prompt” that is empty"),
        (['{"prompt": 3}'], kept_prompts, "not a string"),
        (['{"prompt": "a", "answer": []}'], kept_prompts, "“answer” that is empty or not a string"),
        (["{broken"], kept_prompts, "line 1 of keep is not JSON"),
        (['{"prompt": "a"}'], avoided_answers, "line 1 of avoid has no “answer”"),
        (['{"answer": "a", "instead": "b"}'], avoided_answers, "“instead” without the “prompt”"),
        (["x" * 20_001], avoided_answers, "20,001 characters"),
        (["a\0b"], kept_prompts, "invalid character"),
        (["a"] * 1_001, kept_prompts, "1,001 lines"),
    ],
)
def test_a_bad_line_is_named(lines, read, problem):
    with pytest.raises(InputError) as refused:
        read(lines)
    assert problem in str(refused.value)


@pytest.mark.parametrize(
    ("changed", "problem"),
    [
        ({"keep": KEEP[:9]}, "9 different prompts are too few"),
        ({"keep": (KEEP[0],) * 12}, "1 different prompts are too few"),
        ({"method": "targeted-lat"}, "there is nothing to avoid"),
        ({"method": "lat", "avoid": ("zz",)}, "lat has no use for it"),
        ({"method": "lat", "epsilon": 0.0}, "lets the adversary do nothing"),
        ({"method": "lat", "relative_epsilon": float("nan")}, "lets the adversary do nothing"),
        ({"method": "lat", "epsilon": 1.0, "relative_epsilon": 0.1}, "given twice"),
        ({"method": "bank"}, "needed there"),
        ({"bank": "a"}, "needed there"),
        ({"method": "bank", "bank": "nowhere"}, "nowhere"),
        ({"behaviour": "nowhere"}, "neither a recipe nor a file"),
        ({"steps": 0}, "0 is out of range"),
        ({"seed": -1}, "-1 is out of range"),
        ({"method": "lat", "layer": 99}, "99"),
    ],
)
def test_bad_input_is_named(bench, changed, problem):
    with pytest.raises(InputError) as refused:
        harden(bench, **{"method": "fine-tune", **changed})
    assert problem in str(refused.value)


def test_a_step_that_does_not_fit_is_refused_with_the_numbers(bench, monkeypatch):
    small = bench.settings.model_copy(update={"memory_gb": 0.0001})
    monkeypatch.setattr(bench.bench, "settings", small)
    with pytest.raises(InputError, match=r"^memory: a step of 2 answers needs .* and .* may be used"):
        harden(bench)


# --- the command ------------------------------------------------------------------------------------------------------


def test_the_command_writes_a_folder_and_says_what_came_of_it(tmp_path, model, monkeypatch, capsys):
    for name, value in {"CACHE_DIR": tmp_path / "cache", "MODEL": model, "DEVICE": "cpu", "DTYPE": "float32"}.items():
        monkeypatch.setenv(f"MELBO_{name}", str(value))
    keep = tmp_path / "keep.txt"
    keep.write_text("\n".join(KEEP), "utf-8")
    options = [f"--{name.replace('_', '-')}={value}" for name, value in QUICK.items()]
    given = ["harden", "--method", "rlp", "--keep", str(keep), *options, "--out", str(tmp_path / "out")]

    def called(*words: str) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as end:
            main([*words])
        return (int(str(end.value.code)), *capsys.readouterr())

    code, out, _ = called(*given, "--json")
    told = json.loads(out)
    assert code == 0 and told["out"] == str(tmp_path / "out")
    assert told["kept"] == 10 and told["settings"]["method"] == "rlp"
    assert {one.name for one in (tmp_path / "out").iterdir()} == {
        "adapter_config.json", "adapter_model.safetensors", "hardening.json",
    }  # fmt: skip
    code, _, error = called(*given)
    assert code == 2 and "exists" in error
    code, out, _ = called(*given[:-1], str(tmp_path / "two"))
    assert code == 0 and "held-out kept prompts: readable" in out and f"--model {tmp_path / 'two'}" in out
    code, _, error = called("harden", "--method", "rlp", "--keep", str(tmp_path / "none.txt"))
    assert code == 2 and "neither a file nor a set" in error


def test_what_is_read_of_a_behaviour_is_kept_with_the_job(bench, tmp_path):
    recipe = written(tmp_path / "tiny.json", fields())
    asked = study(behaviour=str(recipe)).bound(bench.bench)
    recipe.unlink()
    assert asked.recipe is not None and asked.bound(bench.bench) == asked
    assert Harden(**{key: value for key, value in asked.kept().items() if key != "kind"}) == asked
