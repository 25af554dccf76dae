"""The command line: every command and option, exact JSON on standard output, one line and 2 for whatever is wrong."""

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from benches import QUICK, StubEmbedder, settings, shelved, trained
from safetensors import safe_open
from safetensors.numpy import load_file, save_file
from tiny_models import BLOCKS

from melbo_app.analysis.cusp import DETECTORS
from melbo_app.analysis.flags import Flag
from melbo_app.cli import main
from melbo_app.commands import output
from melbo_app.engine.prompt import Prompt
from melbo_app.jobs.bench import Bench
from melbo_app.library.bank import Bank
from melbo_app.library.database import Database
from melbo_app.library.job_records import JobProgress, JobRecords, LogLine
from melbo_app.studies import flagging
from melbo_app.studies.looks import LOOK_STEPS
from melbo_app.studies.settings_ladder import LOOKS
from melbo_app.studies.train import Train
from melbo_app.workbench import Workbench

ROOT = Path(__file__).resolve().parents[2]
COMPLETION = {
    "id", "bank", "bank_hash", "vector", "radius", "source", "prompt", "prompt_index", "text", "tokens", "finished",
    "model", "model_hash", "dtype", "max_new_tokens", "temperature", "top_p", "seed", "created", "scores",
    "flags", "spread",
}  # fmt: skip
SCORES = {
    "version", "logprob", "loss", "peak_surprisal", "kl_prompt", "kl_text", "repetition", "dictionary_words",
    "language", "readability", "verdict", "runaway", "runaway_target",
}  # fmt: skip
TRAINED = {
    "name", "radius", "relative_radius", "median_norm", "objective", "seconds", "vectors", "source", "target", "scope",
    "method", "steps", "strength", "effect", "held_out_effect", "seed", "model", "hash", "stopped",
    "note",
    "effect_budget", "tried", "reason",
}  # fmt: skip


@dataclass
class Answer:
    """What a command answered."""

    code: int
    out: str
    err: list[str]

    @property
    def json(self) -> dict[str, Any]:
        assert self.code == 0, self.err
        assert self.out.count("\n") == 1  # one object on one line, and nothing else
        return json.loads(self.out, parse_constant=lambda word: pytest.fail(f"{word} is no JSON"))

    @property
    def sentence(self) -> str:
        """The one line that says what is wrong."""
        assert self.code == 2 and self.out == "" and "Traceback" not in "".join(self.err)
        progress = (
            "loading the model",
            "R = ",
            "measuring J",
            "Jacobian, pass ",
            "running the model once",
            "step ",
            "vector ",
            "token ",
            "reading ",
            "completing: ",
            "comparing ",
        )
        assert all(line.startswith(progress) for line in self.err[:-1]), self.err
        assert self.err[-1].endswith((".", "--help"))
        return self.err[-1]


Ask = Callable[..., Answer]


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


@pytest.fixture
def environment(cache: Path, model_folder: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    for name in [name for name in os.environ if name.startswith("MELBO_")]:
        monkeypatch.delenv(name)
    chosen = {
        "MELBO_CACHE_DIR": str(cache),
        "MELBO_ASSETS_DIR": str(cache / "assets"),
        "MELBO_MODEL": str(model_folder),
        "MELBO_DEVICE": "cpu",
        "MELBO_DTYPE": "float32",
        "MELBO_MEMORY_GB": "4",
        "OMP_NUM_THREADS": "1",
    }
    for name, value in chosen.items():
        monkeypatch.setenv(name, value)
    return {**os.environ, **chosen}


@pytest.fixture
def ask(environment, capsys: pytest.CaptureFixture[str]):
    """Runs a command in this process."""
    before = signal.getsignal(signal.SIGINT)

    def call(*words: object) -> Answer:
        capsys.readouterr()
        with pytest.raises(SystemExit) as end:
            main([str(word) for word in words])
        told = capsys.readouterr()
        return Answer(end.value.code, told.out, told.err.splitlines())

    yield call
    signal.signal(signal.SIGINT, before)


@pytest.fixture
def bank(cache: Path, model_folder: Path, environment) -> Bank:
    return shelved(Workbench(settings(cache, model_folder)), load=False)


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory, model_folder: Path) -> Path:
    """A cache with the bank “a”, for all that is refused: it leaves everything as it is."""
    cache = tmp_path_factory.mktemp("shelf") / "cache"
    shelved(Workbench(settings(cache, model_folder)), load=False)
    return cache


@pytest.fixture
def kept(shelf: Path, environment, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The cache of the commands, with nothing but the bank “a” before and after."""
    monkeypatch.setenv("MELBO_CACHE_DIR", str(shelf))
    monkeypatch.setenv("MELBO_ASSETS_DIR", str(shelf / "assets"))
    yield shelf
    assert [path.name for path in (shelf / "banks").iterdir()] == ["a.safetensors"]


def process(environment: dict[str, str], *words: object) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "melbo_app", *map(str, words)]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, cwd=ROOT, env=environment, stdout=pipe, stderr=pipe, text=True)


def answer(running: subprocess.Popen[str]) -> Answer:
    out, err = running.communicate(timeout=120)
    return Answer(running.returncode, out, err.splitlines())


# --- train -----------------------------------------------------------------------------------------------------------


def test_train_with_nothing_but_a_prompt_and_a_name(ask: Ask, cache):
    told = ask("train", "--prompt", "hello there", "--name", "a", "--json").json
    assert set(told) == TRAINED
    assert (told["name"], told["vectors"], told["method"], told["steps"], told["seed"]) == (
        "a",
        8,
        "joint",
        LOOK_STEPS,
        0,
    )
    assert (told["scope"], told["stopped"]) == ("assistant", False)
    assert {(one["source"], one["target"]) for one in told["tried"]} <= {(1, 3), (0, 3)}  # the usual, the early ones
    settings = [
        (one["source"], one["target"], pytest.approx(one["relative_radius"]), one["effect_budget"])
        for one in told["tried"]
    ]
    taken = (told["source"], told["target"], told["relative_radius"], told["effect_budget"])
    assert 1 <= len(settings) <= LOOKS and taken in settings
    assert told["radius"] == pytest.approx(told["relative_radius"] * told["median_norm"])
    again = ask("train", "--prompt", "hello there", "--name", "b", "--json").json
    assert (again["hash"], again["tried"]) == (told["hash"], told["tried"])  # looked up
    assert len(told["objective"]) == 8 and all(value > 0 for value in told["objective"])
    with safe_open(cache / "banks" / "a.safetensors", "numpy") as file:
        np.testing.assert_allclose(np.linalg.norm(file.get_tensor("vectors"), axis=1), told["radius"], rtol=1e-5)


def test_layers_that_are_given_stay_in_a_search(ask: Ask):
    told = ask("train", "--prompt", "hello there", "--name", "c", "--source", 1, "--json").json
    assert {(one["source"], one["target"]) for one in told["tried"]} == {(1, 3)}
    assert (told["source"], told["target"]) == (1, 3)


def test_train_does_what_every_option_says(ask: Ask, model_folder):
    told = ask(
        "train", "--prompt", "one", "--prompt", "two", "--system", "be brief", "--model", model_folder, "--source", 0,
        "--target", 2, "--scope", "last:3", "--radius", 2.5, "--vectors", 2, "--steps", 3, "--method", "sequential",
        "--p", 4, "--q", 1, "--seed", 7, "--name", "my bank", "--json",
    ).json  # fmt: skip
    assert (told["source"], told["target"], told["scope"], told["radius"]) == (0, 2, "last:3", 2.5)
    assert (told["vectors"], told["steps"], told["method"], told["seed"]) == (2, 3, "sequential", 7)
    shown = ask("banks", "show", "my bank", "--json").json
    assert [(prompt["user"], prompt["system"]) for prompt in shown["prompts"]] == [
        ("one", "be brief"),
        ("two", "be brief"),
    ]
    assert (shown["p"], shown["q"], shown["model"], shown["hash"]) == (4.0, 1.0, str(model_folder), told["hash"])


@pytest.mark.parametrize(
    ("words", "vectors"),
    [
        (("--method", "transcoding", "--start", "jacobian", "--steps", 2), 8),
        (("--method", "jacobian", "--vectors", 3), 3),
        (("--method", "difference-of-means", "--against", "good bye", "--against", "no"), 1),
        (("--method", "contrast-pca", "--prompt", "two", "--against", "good bye", "--against", "no"), 2),
        (("--method", "random"), 8),
    ],
)
def test_every_method_trains_and_its_command_repeats_it(ask: Ask, words, vectors):
    told = ask("train", "--prompt", "hello there", "--system", "be brief", "--name", "a", *words, "--json").json
    assert told["vectors"] == vectors == len(told["objective"])
    assert (told["strength"] is None) == ("random" in words)
    shown = ask("banks", "show", "a", "--json").json
    assert [entry["user"] for entry in shown["against"]] == [word for word in words if word in ("good bye", "no")]
    assert all(entry["system"] == "be brief" for entry in shown["against"])
    again = ask(*shlex.split(shown["command"])[3:-1], "b", "--json").json
    assert again["hash"] == shown["hash"]


def test_methods_are_listed_with_a_sentence_and_a_source(ask: Ask):
    listed = ask("methods", "--json").json["methods"]
    assert [entry["name"] for entry in listed][:3] == ["joint", "sequential", "soft-theta"]
    lines = ask("methods").out.splitlines()
    assert len(lines) == len(listed)
    assert all(
        line.startswith(f"{entry['name']}: {entry['summary']}") for line, entry in zip(lines, listed, strict=True)
    )


def test_sensitivity_of_layer_pairs(ask: Ask):
    words = ("sensitivity", "--prompt", "hello", "--sources", "0,1", "--targets", "2,3", "--values", 2)
    pairs = ask(*words, "--json").json["pairs"]
    assert [(pair["source"], pair["target"]) for pair in pairs] == [(0, 2), (0, 3), (1, 2), (1, 3)]
    assert all(pair["values"][0] >= pair["values"][1] > 0 for pair in pairs)
    assert ask(*words).out.splitlines()[0].startswith(f"0 → 2: {pairs[0]['values'][0]:.4g}")
    assert [(pair["source"], pair["target"]) for pair in ask(*words[:3], "--json").json["pairs"]] == [(1, 3)]
    told = ask(*words, "--targets", "x")
    assert told.sentence.startswith("target layers: 'x' is not a list of numbers.")


def test_calibrate_says_r_in_both_units(ask: Ask):
    words = ("calibrate", "--prompt", "hello", "--source", 0, "--target", 2, "--scope", "all")
    found = ask(*words, "--json").json
    assert (found["source"], found["target"], found["scope"]) == (0, 2, "all")
    assert found["radius"] == pytest.approx(found["relative_radius"] * found["median_norm"])
    assert found["suggested_radius"] == pytest.approx(0.75 * found["radius"])
    assert ask(*words).out == found["sentence"] + "\n"
    assert f"R = {found['radius']:.3g}, {found['relative_radius']:.3g} × the median norm" in found["sentence"]
    assert ask(*words, "--target", 0).sentence.startswith("target layer: 0 is not above the source layer 0.")


def test_atlas_of_layer_pairs(ask: Ask, stubbed):
    words = ("atlas", "--prompt", "hello", "--sources", "0,1", "--targets", 2, "--complete", "1-2")
    cells = ask(*words, "--json").json["cells"]
    assert [(cell["source"], cell["target"], len(cell["texts"])) for cell in cells] == [(0, 2, 0), (1, 2, 4)]
    lines = ask(*words).out.splitlines()
    assert lines[0].split() == ["pair", "σ", "R", "strength", "KL", "D", "readable"]
    assert lines[1].split()[:4] == ["0", "→", "2", f"{cells[0]['values'][0]:.4g}"] and lines[1].endswith("–")
    assert lines[2].split()[-1] == "%"
    assert ask(*words, "--complete", "0-1").sentence.startswith("completions: 0 → 1 is not on the grid.")
    assert ask(*words, "--complete", "some").sentence.startswith("completions: “some” is not a list of layer pairs.")


def test_explore_tells_what_there_is_in_a_sentence_and_as_json(ask: Ask, stubbed):
    words = ("explore", "--prompt", "hello", "--vectors", 2, "--steps", 2, "--max-new-tokens", 3, "--radius", 5)
    found = ask(*words, "--json").json
    assert found["sentence"].startswith("2 vectors, R = ") and found["radius"]["radius"] == 5
    for answers in (found["answers"], found["control"]):
        assert sorted(one["vector"] for one in answers) == [0, 1]
        assert [one["distance"] for one in answers] == sorted((one["distance"] for one in answers), reverse=True)
        assert all(
            {"text", "verdict", "flags", "changed", "differs", "behaviour", "aside"} <= {*one} for one in answers
        )
    assert all({"name", "words", "vectors", "control", "as_often", "flags"} <= {*one} for one in found["behaviours"])
    told = ask(*words)
    lines = told.out.splitlines()
    begin = lines.index("All answers by distance from the one without steering:")
    assert [line.split()[0] for line in lines[begin + 1 : begin + 3]] == [
        str(one["vector"]) for one in found["answers"]
    ]
    assert lines[begin + 3] == "Random vectors of the same R by distance from the one without steering:"
    assert told.out.splitlines()[0] == found["sentence"] and f"Bank “{found['bank']}”" in told.out
    assert ask("banks", "show", found["bank"], "--json").json["hash"] == found["bank_hash"]
    assert ask(*words, "--relative-radius", 0.1).sentence.startswith("R: it is given twice.")
    assert ask(*words, "--choose-radius", "luck").sentence.startswith("choose radius: 'luck' is unknown.")
    assert ask("explore").sentence.startswith("prompt: none was given.")


def test_generality_counts_on_the_prompts_of_files(ask: Ask, stubbed, bank, tmp_path):
    plain, grouped = tmp_path / "greetings.txt", tmp_path / "others.jsonl"
    plain.write_text("hello\nhello there\n")
    grouped.write_text('{"prompt": "the heath", "group": "places"}\n')
    words = ("generality", "a", "--prompts", plain, "--prompts", grouped, "--vector", "2,0", "--radius", 4,
             "--random", 5, "--max-new-tokens", 3)  # fmt: skip
    found = ask(*words, "--json").json
    assert [(one["set"], one["group"]) for one in found["prompts"]] == [
        ("greetings", "greetings"), ("greetings", "greetings"), ("others", "places"),
    ]  # fmt: skip
    assert [(one["vector"], one["radius"], len(one["texts"])) for one in found["vectors"]] == [(2, 4, 3), (0, 4, 3)]
    for line in found["vectors"]:
        changed = sum(text["change"] is not None for text in line["texts"])
        assert line["share"] == pytest.approx(changed / 3) and sum(line["changes"].values()) == changed
        low, high = line["interval"]
        assert 0 <= low <= line["share"] <= high <= 1
        random = [text["change"] is not None for one in found["random"] for text in one["texts"]]
        assert line["random_share"] == pytest.approx(sum(random) / 15) and len(found["random"]) == 5
    assert [(one["name"], one["prompts"]) for one in found["groups"]] == [("greetings", 2), ("places", 1)]
    assert [one["name"] for one in found["sets"]] == ["greetings", "others"]
    steered = ask("steer", "a", "--prompt", "the heath", "--vector", 0, "--radius", 4, "--max-new-tokens", 3, "--json")
    texts = [one["text"] for one in steered.json["completions"]]
    assert [found["prompts"][2]["baseline"], found["vectors"][1]["texts"][2]["text"]] == texts
    lines = ask(*words).out.splitlines()
    assert lines[0].startswith("3 prompts, ") and lines[1].startswith("vector 2, R = 4: ") and len(lines) == 7
    assert lines[3].startswith("set greetings (2): vectors ") and lines[6].startswith("group places (1): vectors ")
    found = ask(*words, "--temperature", 1, "--samples", 2, "--seed", 4, "--json").json
    assert (found["samples"], found["temperature"], found["seed"]) == (2, 1.0, 4)
    for line in [*found["vectors"], *found["random"]]:
        changed = [[one["change"] is not None for one in (text, *text["samples"])] for text in line["texts"]]
        assert line["share"] == pytest.approx(sum(map(sum, changed)) / 6) and {len(one) for one in changed} == {2}
        assert [text["changed"] for text in line["texts"]] == [sum(one) for one in changed]


def test_find_refuses_before_the_model_is_loaded_and_else_prints_what_it_found(ask: Ask):
    words = ("find", "--prompt", "hello", "--score")
    assert ask(*words, "pirate").sentence.startswith("score: “pirate” does not say what to look for. Write regex:…")
    assert ask("find", "--score", "flag:x").sentence.startswith("prompt: none was given.")
    assert ask(*words, "regex:a", "--held-out", "hello").sentence.startswith("held-out prompt: “hello” is searched as")
    small = ("--vectors", 2, "--steps", 2, "--max-new-tokens", 6, "--radius", 5, "--source", 1, "--target", 3)
    found = ask(*words, r"regex:\w", *small, "--held-out", "you", "--json").json
    best = found["candidates"][0]
    assert best["score"] == max(one["score"] for one in found["candidates"]) and len(best["texts"]) == 3
    assert best["held_out"] is not None and found["bank"].startswith("find-hello-") and found["random"]
    told = ask(*words, r"regex:\w", *small, "--bank", found["bank"]).out.splitlines()
    assert told[0].startswith(f"vector {best['vector']}, R = ") and found["bank"] in told[-1]


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ((), "prompts: no set is given. Give a file, or one of refused, everyday, arithmetic, code."),
        (("--prompts", "no-such"), "prompts: “no-such” is neither a file nor a set."),
        (("--prompts", "{}", "--radius", "4,5"), "radius: 2 are too many. Give one R"),
        (("--prompts", "{}", "--radius", "0"), "R: 0 leaves every answer as it is."),
        (("--prompts", "{}", "--random", 2), "random vectors: 2 cannot be used. Choose 4 to 64"),
        (("--prompts", "{}", "--samples", 5), "samples: greedy texts are the same for every seed. Give a temperature"),
        (("--prompts", "{}", "--vector", "7"), "vector: the bank has no vector 7."),
    ],
)
def test_generality_refuses_before_the_model_is_loaded(ask: Ask, kept, tmp_path, words, sentence):
    (tmp_path / "mine.txt").write_text("hello\n")
    answer = ask("generality", "a", *(str(word).replace("{}", str(tmp_path / "mine.txt")) for word in words))
    assert answer.sentence.startswith(sentence) and len(answer.err) == 1


def test_the_command_in_a_banks_record_repeats_it(ask: Ask):
    ask("train", "--prompt", "it's", "--name", "a", "--steps", 2, "--relative-radius", 0.11, "--no-template", "--json")
    first = ask("banks", "show", "a", "--json").json
    words = shlex.split(first["command"])
    assert words[:4] == ["python", "-m", "melbo_app", "train"]
    again = ask(*words[3:-1], "b", "--json").json
    assert again["hash"] == first["hash"] and again["relative_radius"] == pytest.approx(0.11)


def test_train_with_agreement_tells_what_vectors_do_on_prompts_that_are_kept_out(ask: Ask):
    words = ("train", "--prompt", "one", "--prompt", "two", "--system", "be brief", "--method", "soft-theta")
    words = (*words, "--saturation", 0.2, "--radius", 3)
    chosen = ("--orthogonality", 0.5, "--agreement", 0.2, "--agreement-form", "contrastive", "--temperature", 0.3)
    words = (*words, *chosen, "--held-out", "three", "--held-out", "four", "--vectors", 2, "--steps", 2, "--name", "a")
    told = ask(*words, "--json").json
    for effect in (told["effect"], told["held_out_effect"]):
        assert set(effect) == {"objective", "change", "agreement", "share", "runaway"} and len(effect["agreement"]) == 2
    shown = ask("banks", "show", "a", "--json").json
    assert [(prompt["user"], prompt["system"]) for prompt in shown["held_out"]] == [
        ("three", "be brief"),
        ("four", "be brief"),
    ]
    assert (shown["orthogonality"], shown["agreement"], shown["agreement_form"]) == (0.5, 0.2, "contrastive")
    assert (shown["temperature"], shown["method"], shown["saturation"]) == (0.3, "soft-theta", 0.2)
    again = ask(*shlex.split(shown["command"])[3:-1], "b", "--json").json
    assert again["hash"] == told["hash"]
    for_people = ask(*words[:-1], "c").out
    for place, effect in (("training", told["effect"]), ("held-out", told["held_out_effect"])):
        means = [sum(effect[figure]) / 2 for figure in ("objective", "change", "agreement")]
        line = "on {} prompts: mean J per prompt {:.4g}, mean change {:.4g}, mean agreement {:.2f}\n"
        assert line.format(place, *means) in for_people


@pytest.mark.parametrize(
    ("words", "source", "target"),
    [(["--source", 2], 2, 3), (["--target", 1], 0, 1), (["--source", 0], 0, 3), (["--target", 3], 1, 3)],
)
def test_a_layer_that_is_left_out_suits_the_one_that_is_given(ask: Ask, words, source, target):
    told = ask("train", "--prompt", "x", "--name", "a", "--steps", 1, "--relative-radius", 0.07, *words, "--json").json
    assert (told["source"], told["target"]) == (source, target)
    assert told["relative_radius"] == pytest.approx(0.07, rel=0.05)  # of the norm at this source


def test_train_without_json_is_for_people_and_its_progress_stays_on_standard_error(ask: Ask):
    told = ask("train", "--prompt", "x", "--name", "a", "--vectors", 2, "--steps", 2, "--radius", 3)
    assert told.code == 0
    assert told.out.startswith("a: 2 vectors, R = ") and told.out.count("J = ") == 2
    assert re.search(r"on training prompts: mean J per prompt \S+, mean change \S+, mean agreement –\n", told.out)
    assert told.err[0] == "loading the model" and told.err[-1] == "step 2 of at most 2 (100 %)"


TRAIN = ("train", "--prompt", "hello", "--name", "b")


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("train", "--name", "b"), "prompt: none was given. Give one with --prompt."),
        (("train", "--prompt", "x"), "Missing option '--name'. See: python -m melbo_app train --help"),
        (("train", "--prompt", "  ", "--name", "b"), "prompt: prompt 1 is empty. Write a text"),
        ((*TRAIN, "--prompt", ""), "prompt: prompt 2 is empty."),
        (("train", "--prompt", "long " * 99, "--name", "b"), "prompt: prompt 1 has "),
        (("train", "--prompt", "x\udcff", "--name", "b"), "prompt: prompt 1 has an invalid character"),
        (("train", "--prompt", "x", "--name", "a"), "name: a bank called “a” already exists."),
        (("train", "--prompt", "x", "--name", "a/b"), "name: “a/b” cannot be used. Use 1 to 80 letters"),
        (("train", "--prompt", "x", "--name", ""), "name: it is empty. Use 1 to 80 letters"),
        ((*TRAIN, "--radius", "0"), "R: must be a finite number greater than 0, not 0.0."),
        ((*TRAIN, "--radius", "-3"), "R: must be a finite number greater than 0, not -3.0."),
        ((*TRAIN, "--radius", "nan"), "R: must be a finite number greater than 0, not nan."),
        ((*TRAIN, "--radius", "inf"), "R: must be a finite number greater than 0, not inf."),
        ((*TRAIN, "--radius", "1e39"), "R: 1e+39 "),
        ((*TRAIN, "--radius", "1e-12"), "R: 1e-12 "),
        ((*TRAIN, "--radius", "x"), "Invalid value for '--radius': "),
        ((*TRAIN, "--relative-radius", "0"), "relative R: must be greater than 0, not 0.0. 0.07 usually works."),
        ((*TRAIN, "--relative-radius", "nan"), "relative R: must be greater than 0, not nan."),
        ((*TRAIN, "--radius", "1", "--relative-radius", "1"), "R: it is given twice. Give the radius or the relative"),
        ((*TRAIN, "--source", "2", "--target", "2"), "target layer: 2 is not above the source layer 2. Choose 3 or"),
        ((*TRAIN, "--source", "2", "--target", "1"), "target layer: 1 is not above the source layer 2."),
        ((*TRAIN, "--target", "0"), "target layer: 0 is not above the source layer 0. Choose 1 or more."),
        ((*TRAIN, "--target", "40"), "target layer: tiny has no block 40. Choose a block from 0 to 3."),
        ((*TRAIN, "--source", "40"), "source layer: tiny has no block 40. Choose a block from 0 to 3."),
        ((*TRAIN, "--source", "3"), "source layer: 3 is the last block of tiny"),
        ((*TRAIN, "--source", "-1"), "source layer: tiny has no block -1."),
        ((*TRAIN, "--scope", "some"), "scope: 'some' is not known. Write all, content, assistant or last:4."),
        ((*TRAIN, "--scope", ""), "scope: '' is not known."),
        ((*TRAIN, "--scope", "assistant", "--no-template"), "scope: no token of prompt 1 is in the scope assistant."),
        ((*TRAIN, "--method", "magic"), "method: 'magic' is not known. Choose joint, sequential, "),
        ((*TRAIN, "--method", "random", "--steps", "3"), "steps: random takes a single step, not 3. Leave it out."),
        ((*TRAIN, "--start", "end"), "start: 'end' is not known. Choose random or jacobian."),
        ((*TRAIN, "--against", "x"), "against: joint does not use it. Leave it out, or choose difference-of-means or"),
        ((*TRAIN, "--method", "contrast-pca"), "against: contrast-pca needs prompts of the other side. Write one or"),
        ((*TRAIN, "--vectors", "0"), "vectors: 0 is out of range. Choose 1 to 4,096."),
        ((*TRAIN, "--vectors", "33"), "vectors: 33 cannot be orthogonal in 32 dimensions."),
        ((*TRAIN, "--steps", "0"), "steps: 0 is out of range."),
        ((*TRAIN, "--agreement", "0.1"), "agreement: there is only one prompt. Train on two prompts or more"),
        ((*TRAIN, "--agreement", "-1"), "agreement: -1.0 cannot be used."),
        ((*TRAIN, "--agreement-form", "x"), "agreement form: 'x' is not known. Choose numerator or contrastive."),
        ((*TRAIN, "--temperature", "0"), "temperature: 0.0 cannot be used."),
        ((*TRAIN, "--orthogonality", "nan"), "orthogonality: nan cannot be used."),
        ((*TRAIN, "--held-out", " "), "held-out prompts: prompt: prompt 1 is empty."),
        ((*TRAIN, "--p", "0"), "p: 0.0 cannot be used."),
        ((*TRAIN, "--q", "nan"), "q: nan cannot be used."),
        ((*TRAIN, "--seed", "-1"), "seed: -1 is out of range."),
        (
            (*TRAIN, "--model", "no such model"),
            "model: 'no such model' does not exist and is not a hub name. Use SmolLM2",
        ),
        ((*TRAIN, "--model", "x.gguf"), "model: there is no file x.gguf."),
        ((*TRAIN, "--model", ""), "model: is empty"),
        ((*TRAIN, "--steps", "1", "--oops"), "No such option: --oops"),
    ],
)
def test_train_refuses(ask: Ask, kept, words, sentence):
    assert ask(*words, "--json").sentence.startswith(sentence)


@pytest.mark.parametrize("words", [("--radius", "0"), ("--scope", "x"), ("--prompt", " "), ("--name", "a")])
def test_what_the_model_is_not_needed_for_is_refused_before_it_is_loaded(ask: Ask, kept, words):
    assert "loading the model" not in ask(*TRAIN, *words).err


def test_a_training_that_does_not_fit_in_memory_says_the_numbers(ask: Ask, monkeypatch):
    monkeypatch.setenv("MELBO_MEMORY_GB", "0.000001")
    assert ask(*TRAIN).sentence.startswith("memory: 1 prompts of up to ")


# --- steer -----------------------------------------------------------------------------------------------------------


def test_steer_gives_the_baseline_the_control_and_the_vectors(ask: Ask, bank):
    told = ask(
        "steer", "a", "--prompt", "hello there", "--prompt", "two", "--vector", "2,0", "--radius", "6,-3",
        "--max-new-tokens", 5, "--random-control", "--json",
    ).json  # fmt: skip
    assert set(told) == {"comparison", "completions", "stopped", "not_kept"}
    assert told["comparison"] == 1 and told["stopped"] is False
    assert all(set(entry) == COMPLETION for entry in told["completions"])
    one = [(None, 0), ("random", 6), (2, 6), (0, 6), ("random", -3), (2, -3), (0, -3)]
    assert [(entry["vector"], entry["radius"]) for entry in told["completions"]] == [row for row in one for _ in "ab"]
    assert [entry["prompt_index"] for entry in told["completions"]] == [0, 1] * 7
    assert all(entry["text"] and entry["max_new_tokens"] == 5 for entry in told["completions"])
    assert all(set(entry["scores"]) == SCORES for entry in told["completions"])
    assert [entry["scores"]["kl_text"] > 0 for entry in told["completions"]] == [False] * 2 + [True] * 12


def test_steer_with_both_signs(ask: Ask, bank):
    told = ask("steer", "a", "--vector", "1,0", "--max-new-tokens", 2, "--both-signs", "--json").json["completions"]
    assert [(entry["vector"], entry["radius"]) for entry in told] == [(None, 0), (1, 6), (1, -6), (0, 6), (0, -6)]


def test_steer_left_alone_takes_all_vectors_the_banks_own_prompt_and_its_radius(ask: Ask, bank):
    told = ask("steer", "a", "--max-new-tokens", 2, "--json").json["completions"]
    assert [(entry["vector"], entry["radius"]) for entry in told] == [(None, 0), (0, 6), (1, 6), (2, 6)]
    assert {entry["prompt"]["user"] for entry in told} == {"hello there"}
    system = ask("steer", "a", "--max-new-tokens", 2, "--system", "be brief", "--json").json["completions"]
    assert {(entry["prompt"]["user"], entry["prompt"]["system"]) for entry in system} == {("hello there", "be brief")}
    plain = ask("steer", "a", "--max-new-tokens", 2, "--no-template", "--json").json["completions"]
    assert {entry["prompt"]["template"] for entry in plain} == {False}


def test_an_empty_system_text_takes_the_banks_own_away(ask: Ask, cache, model_folder, environment):
    trained(Workbench(settings(cache, model_folder)), prompts=[Prompt("hello there", "be brief")])
    for given, had in (((), "be brief"), (("--system", ""), None), (("--system", "be long"), "be long")):
        told = ask("steer", "a", "--max-new-tokens", 2, *given, "--json").json["completions"]
        assert {entry["prompt"]["system"] for entry in told} == {had}
        assert all((had or "<|im_start|>user") in entry["prompt"]["rendered"] for entry in told)
    own, without = (ask("similarity", "a", *given, "--json").json for given in ((), ("--system", "")))
    assert own != without


def test_a_template_is_chosen_by_its_name_and_its_options(ask: Ask, bank):
    told = ask("steer", "a", "--max-new-tokens", 2, "--template", "default", "--json").json["completions"]
    assert {entry["prompt"]["template"] for entry in told} == {"default"}
    for given, says in (
        (("--template", "rag"), "chat template: tiny has no template “rag”. It has default."),
        (("--template", "enable_thinking=false"), "does not read “enable_thinking”. It reads no options."),
        (("--template", "default", "--no-template"), "chat template: --template and --no-template exclude each other"),
    ):
        assert says in ask("steer", "a", *given).sentence


def test_steer_samples_with_the_seed_that_is_given(ask: Ask, bank):
    words = ("steer", "a", "--vector", "1", "--max-new-tokens", 8, "--temperature", 1.5, "--top-p", 0.99, "--json")
    one, two = ask(*words, "--seed", 5).json["completions"], ask(*words, "--seed", 6).json["completions"]
    assert [entry["text"] for entry in one] != [entry["text"] for entry in two]
    assert (one[0]["temperature"], one[0]["top_p"], one[0]["seed"]) == (1.5, 0.99, 5)


def test_steer_without_json_is_for_people(ask: Ask, bank):
    told = ask("steer", "a", "--vector", "0", "--max-new-tokens", 2, "--random-control")
    heads = told.out.splitlines()[::2]
    names = ["[0] baseline, R = 0", "[0] random control, R = 6", "[0] vector 0, R = 6"]
    assert [head.rpartition(", ")[0] for head in heads] == names
    assert {head.rpartition(", ")[2] for head in heads} <= {"readable", "strange", "broken"}


def test_steer_flagged_shows_what_is_flagged_at_all_radii_by_kind(ask: Ask, bank, monkeypatch):
    def flag(text: str, _user: str, _system: str | None, baseline: str | None) -> tuple[Flag, ...]:
        kinds = () if baseline is None else ("code instead of prose", "refusal gone")
        return tuple(Flag(kind, "It says so.") for kind in kinds)

    monkeypatch.setattr(flagging, "flags", flag)
    words = ("steer", "a", "--vector", "1", "--radius", "6,3", "--max-new-tokens", 2, "--flagged")
    told = ask(*words, "--json").json
    assert (set(told), told["texts"]) == ({"comparison", "texts", "flagged", "not_kept"}, 3)
    assert [(line["kind"], line["radius"], line["vector"]) for line in told["flagged"]] == [
        (kind, radius, 1) for kind in ("refusal gone", "code instead of prose") for radius in (3, 6)
    ]
    lines = ask(*words).out.splitlines()
    assert lines[0].startswith("refusal gone: [0] vector 1, R = 3")
    assert lines[-1] == "4 flags in 3 texts at 2 R"


STEER = ("steer", "a", "--max-new-tokens", "2")


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("steer",), "Missing argument 'BANK'. See: python -m melbo_app steer --help"),
        (("steer", "nobody"), "bank: there is no bank called “nobody”."),
        (("steer", "../cache/banks/a"), "bank: there is no bank called “../cache/banks/a”."),
        ((*STEER, "--vector", "x"), "vector: 'x' is not a list of numbers. Write 0,1,5."),
        ((*STEER, "--vector", ""), "vector: '' is not a list of numbers."),
        ((*STEER, "--vector", "0,,1"), "vector: '0,,1' is not a list of numbers."),
        ((*STEER, "--vector", "1.5"), "vector: '1.5' is not a list of numbers."),
        ((*STEER, "--vector", "3"), "vector: the bank has no vector 3. Choose from 0 to 2."),
        ((*STEER, "--vector", "-1"), "vector: the bank has no vector -1."),
        ((*STEER, "--radius", "nan"), "R: nan cannot be used."),
        ((*STEER, "--radius", "6,inf"), "R: inf cannot be used."),
        ((*STEER, "--radius", "six"), "radius: 'six' is not a list of numbers. Write 8,11."),
        ((*STEER, "--prompt", " "), "prompt: prompt 1 is empty."),
        ((*STEER, "--prompt", "long " * 99), "prompt: prompt 1 has "),
        (("steer", "a", "--max-new-tokens", "0"), "max new tokens: 0 is out of range. Choose 1 to 131,072."),
        (("steer", "a", "--max-new-tokens", "128"), "max new tokens: 128 after a prompt of "),
        ((*STEER, "--temperature", "-1"), "temperature: -1.0 is out of range."),
        ((*STEER, "--temperature", "nan"), "temperature: nan is out of range."),
        ((*STEER, "--top-p", "0"), "top-p: 0.0 is out of range."),
        ((*STEER, "--seed", "-1"), "seed: -1 is out of range."),
        ((*STEER, "--model", "/nowhere"), "model: '/nowhere' does not exist"),
        ((*STEER, "--radious", "1"), "No such option: --radious"),
        ((*STEER, "more"), "Got unexpected extra argument"),
    ],
)
def test_steer_refuses(ask: Ask, kept, words, sentence):
    assert ask(*words, "--json").sentence.startswith(sentence)


def test_a_bank_without_prompts_asks_for_one(ask: Ask, tmp_path):
    save_file({"v": np.eye(2, 32, dtype=np.float32)}, tmp_path / "x.safetensors")
    ask("banks", "import", tmp_path / "x.safetensors", "--source", 1)
    assert ask("steer", "x").sentence == "prompt: the bank “x” has none. Give one with --prompt."


def test_a_damaged_bank_is_listed_and_named(ask: Ask, cache, bank):
    file = cache / "banks" / "a.safetensors"
    file.write_bytes(file.read_bytes()[:-40])
    assert ask("steer", "a").sentence.startswith("bank: “a” cannot be read: ")
    [entry] = ask("banks", "--json").json["banks"]
    assert entry["name"] == "a" and entry["damaged"]
    assert ask("banks").out.startswith("a: damaged (")


# --- top tokens ------------------------------------------------------------------------------------------------------


def test_top_tokens_gives_what_each_vector_promotes_and_suppresses(ask: Ask, bank):
    told = ask("top-tokens", "a", "--vector", "2,0", "--count", 4, "--json").json
    assert told["bank"] == "a" and [entry["vector"] for entry in told["vectors"]] == [2, 0]
    for entry in told["vectors"]:
        up, down = ([token["nats"] for token in entry[kind]] for kind in ("promoted", "suppressed"))
        assert len(up) == len(down) == 4 and up == sorted(up)[::-1] and down == sorted(down)
        assert up[0] > 0 > down[0]
        assert all(isinstance(token["token"], str) for token in entry["promoted"])
    back = ask("top-tokens", "a", "--vector", "2", "--radius", -6, "--count", 4, "--json").json["vectors"][0]
    assert back["promoted"][0]["token"] != told["vectors"][0]["promoted"][0]["token"]
    shown = ask("top-tokens", "a", "--prompt", "something else")
    assert shown.out.count("promoted: ") == shown.out.count("suppressed: ") == 3
    assert (
        ask("top-tokens", "a", "--prompt", "something else", "--json").json["vectors"][0]["promoted"]
        != (ask("top-tokens", "a", "--json").json["vectors"][0]["promoted"])
    )


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("top-tokens", "nobody"), "bank: there is no bank called “nobody”."),
        (("top-tokens", "a", "--vector", "3"), "vector: the bank has no vector 3. Choose from 0 to 2."),
        (("top-tokens", "a", "--vector", "x"), "vector: 'x' is not a list of numbers."),
        (("top-tokens", "a", "--count", "0"), "count: 0 is too few. Choose 1 or more."),
        (("top-tokens", "a", "--prompt", " "), "prompt: prompt 1 is empty."),
    ],
)
def test_top_tokens_refuses(ask: Ask, kept, words, sentence):
    assert ask(*words).sentence.startswith(sentence)


def test_parts_takes_a_vector_apart_or_says_that_it_does_no_more_than_random_ones(ask: Ask, bank):
    words = ("parts", "a", "--vector", 0, "--prompt", "hello", "--measure", "logits:a,b", "--random", 4)
    told = ask(*words, "--radius", 1e-6, "--json").json
    assert told["parts"] == [] and told["finished"] and len(told["random_effects"]) == 4
    assert ask(*words, "--radius", 1e-6).out == f"{told['sentence']}\n"
    assert ask(*words, "--radius", 0).sentence.startswith("R: 0 changes nothing.")
    assert ask(*words[:6], "--measure", "logits:a").sentence.startswith("answers: “a” is not two answers.")


# --- combine ---------------------------------------------------------------------------------------------------------


def test_a_bank_of_unequal_norms_says_so_and_steers_with_them(ask: Ask, bank):
    made = ask("banks", "combine", "join(a[0], 3 * a[1])", "--name", "mix")
    assert "mix: 2 vectors, R from 6 to 18, median 12: join(" in made.out
    assert "even: 2 vectors, R = 8: scaled(" in ask("banks", "combine", "scaled(mix, 8)", "--name", "even").out
    told = ask("steer", "mix", "--prompt", "hello there", "--max-new-tokens", 2, "--json").json
    assert [entry["radius"] for entry in told["completions"]] == pytest.approx([0, 6, 18])


# --- similarity and map ----------------------------------------------------------------------------------------------


def test_similarity_gives_the_matrix(ask: Ask, bank):
    told = ask("similarity", "a", "--json").json
    assert set(told) == {
        "bank", "scope", "matrix", "theta", "texts", "order", "mean_off_diagonal", "mean_off_diagonal_theta",
    }  # fmt: skip
    matrix = np.array(told["matrix"])
    assert matrix.shape == (3, 3) and np.allclose(matrix, matrix.T, atol=1e-6) and np.allclose(np.diag(matrix), 1)
    assert (told["bank"], told["scope"], sorted(told["order"])) == ("a", "content", [0, 1, 2])
    other = ask("similarity", "a", "--scope", "last:2", "--prompt", "something else", "--json").json
    assert other["scope"] == "last:2" and not np.allclose(other["matrix"], matrix, atol=1e-3)
    shown = ask("similarity", "a", "--scope", "all")
    assert shown.out.startswith("δ cosines over all: mean off the diagonal ") and len(shown.out.splitlines()) == 4


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("similarity", "nobody"), "bank: there is no bank called “nobody”."),
        (("similarity", "a", "--scope", "last:0"), "scope: 'last:0' is not known."),
        (("similarity", "a", "--prompt", ""), "prompt: prompt 1 is empty."),
        (("similarity", "a", "--prompt", "x", "--no-template", "--scope", "assistant"), "scope: no token of prompt 1"),
        (("similarity", "a", "--model", "/nowhere"), "model: '/nowhere' does not exist"),
    ],
)
def test_similarity_refuses(ask: Ask, kept, words, sentence):
    assert ask(*words, "--json").sentence.startswith(sentence)


@pytest.fixture
def stubbed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Bench, "embedder", StubEmbedder())


def test_map_writes_a_page_and_gives_its_points(ask: Ask, bank, stubbed, tmp_path):
    out = tmp_path / "map.html"
    words = ("map", "a", "--out", out, "--vector", "0,1", "--radius", "6,-6", "--max-new-tokens", 3)
    told = ask(*words, "--random-control", "--colour", "radius", "--json").json
    assert set(told) == {"out", "comparison", "method", "note", "layout", "clusters", "points", "not_kept"}
    assert (told["out"], told["method"]) == (str(out), "PCA") and "UMAP needs 15 or more" in told["note"]
    assert [(point["vector"], point["radius"]) for point in told["points"]] == [
        (None, 0), ("random", 6), (0, 6), (1, 6), ("random", -6), (0, -6), (1, -6),
    ]  # fmt: skip
    assert set(told["points"][0]) == {
        "id", "x", "y", "vector", "radius", "label", "text", "prompt_index", "verdict", "cluster",
    }  # fmt: skip
    assert "</html>" in out.read_text("utf-8")
    assert ask(*words).sentence == f"out: “{out}” already exists. Choose another name, or add --overwrite."
    assert ask(*words, "--overwrite").out.startswith(f"{out}: 5 completions. ")


def test_a_report_is_written_of_a_bank_or_of_a_comparison(ask: Ask, bank, stubbed, tmp_path):
    out = tmp_path / "report.html"
    assert ask("report", "a", "--out", out).sentence.startswith("bank: no texts of “a” are stored.")
    made = ask("steer", "a", "--vector", "0,1", "--radius", "6", "--max-new-tokens", 3, "--json").json
    told = ask("report", "a", "--out", out, "--json").json
    assert told == {"out": str(out), "texts": 3, "bytes": out.stat().st_size, "left_out": []}
    words = ("report", "--comparison", made["comparison"], "--out", out)
    assert ask(*words).sentence == f"out: “{out}” already exists. Choose another name, or add --overwrite."
    assert ask(*words, "--overwrite").out.startswith(f"{out}: 3 texts, ")
    for given, sentence in (
        (("--out", "x.html"), "report: it needs a bank or a comparison. Name one of the two."),
        (("a", "--comparison", 1, "--out", "x.html"), "report: it needs a bank or a comparison. Name one of the two."),
        (("nobody", "--out", "x.html"), "bank: there is no bank called “nobody”."),
        (("a", "--out", "x.pdf"), "out: “x.pdf” cannot be written. Its name must end in .html, .csv or .jsonl"),
    ):
        refused = ask("report", *given)
        assert refused.sentence.startswith(sentence) and "loading the model" not in refused.err


# --- curve -----------------------------------------------------------------------------------------------------------


def test_a_curve_has_points_their_control_and_what_each_detector_says(ask: Ask, stubbed, cache):
    words = ("curve", "--prompt", "hello", "--radii", "0.3,0.05", "--vectors", 2, "--rescaled", "--max-new-tokens", 3)
    told = ask(*words, "--json").json
    assert set(told) == {
        "how", "bank", "method", "source", "target", "scope", "median_norm", "seeds", "points", "finished", "cusp",
        "cusps",
        "not_kept",
    }  # fmt: skip
    assert (told["how"], told["bank"], told["seeds"], told["finished"]) == ("rescaled", None, [0], True)
    assert [point["relative_radius"] for point in told["points"]] == [0.05, 0.3]
    assert set(told["points"][0]["vectors"]) == set(told["points"][0]["control"]) == {
        "summed_variance", "error", "cosine_distance", "distinct", "answers", "readable_diversity", "readable", "loss",
        "kl",
    }  # fmt: skip
    assert told["cusp"] is None
    assert [(entry["detector"], entry["radius"]) for entry in told["cusps"]] == [
        (detector, None) for detector in DETECTORS
    ]
    lines = ask(*words).out.splitlines()
    assert lines[0].startswith("one bank rescaled; R in multiples of") and lines[1].startswith("R = 0.05: summed")
    assert all("no cusp: the curve has 2 points" in line for line in lines[3:])
    assert ask("banks", "--json").json["banks"] == []


def test_a_curve_of_a_bank_is_on_the_prompts_of_the_bank(ask: Ask, stubbed, bank):
    told = ask("curve", "--bank", "a", "--radii", "0.05,0.3", "--max-new-tokens", 3, "--vectors", 2, "--json").json
    assert (told["how"], told["bank"], told["source"]) == ("rescaled", "a", bank.record.source)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("curve",), "prompt: none was given. Give one with --prompt"),
        (("curve", "--prompt", "x", "--radii", "0.1"), "relative R: a curve needs two or more"),
        (("curve", "--prompt", "x", "--radii", "a"), "radii: 'a' is not a list of numbers"),
        (("curve", "--prompt", "x", "--vectors", 1), "vectors: needs at least 2, not 1"),
        (("curve", "--bank", "b"), "bank: there is no bank called “b”"),
    ],
)
def test_curve_refuses(ask: Ask, kept, words, sentence):
    assert ask(*words, "--json").sentence.startswith(sentence)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("map", "a"), "Missing option '--out'."),
        (("map", "a", "--out", "map.png"), "out: “map.png” is not an HTML file. Its name must end in .html."),
        (("map", "a", "--out", "/nowhere/map.html"), "out: the folder “/nowhere” does not exist. Create it, or"),
        (("map", "a", "--out", "x.html", "--colour", "red"), "colour: 'red' is unknown. Choose vector, radius, label"),
        (("map", "nobody", "--out", "x.html"), "bank: there is no bank called “nobody”."),
        (("map", "a", "--out", "x.html", "--vector", "9"), "vector: the bank has no vector 9."),
    ],
)
def test_map_refuses_before_the_model_is_loaded(ask: Ask, kept, words, sentence, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    told = ask(*words, "--json")
    assert told.sentence.startswith(sentence) and "loading the model" not in told.err
    assert list(tmp_path.glob("*.html")) == []


# --- banks -----------------------------------------------------------------------------------------------------------


def test_banks_are_listed(ask: Ask, bank):
    for words in (("banks", "--json"), ("banks", "list", "--json")):
        [entry] = ask(*words).json["banks"]
        assert entry["name"] == "a" and entry["vectors"] == 3 and entry["hash"] == bank.hash
        assert set(entry) == {
            "name", "sample", "vectors", "hash", "model", "source", "target", "scope", "radius", "method", "created",
            "damaged",
        }  # fmt: skip
        assert (entry["source"], entry["target"], entry["damaged"], entry["sample"]) == (1, 3, None, False)
    assert ask("banks").out == ask("banks", "list").out == "a: 3 vectors, joint, 1 → 3, R = 6\n"


def test_a_bank_is_ranked_by_strength_and_by_two_words(ask: Ask):
    ask("train", "--prompt", "hello", "--name", "t", "--method", "transcoding", "--vectors", 4, "--steps", 2)
    strength = ask("banks", "show", "t", "--json").json["strength"]
    ranking = ask("banks", "rank", "t", "--json").json["ranking"]
    assert [entry["vector"] for entry in ranking] == [0, 1, 2, 3]
    assert [entry["strength"] for entry in ranking] == strength
    to, back = (
        ask("banks", "rank", "t", "--toward", one, "--away", two, "--json").json["ranking"]
        for one, two in (("yes", "no"), ("no", "yes"))
    )
    assert [entry["vector"] for entry in to] == [entry["vector"] for entry in back][::-1]
    assert [entry["cosine"] for entry in to] == pytest.approx([-entry["cosine"] for entry in back][::-1])
    assert ask("banks", "rank", "t").out.startswith(f"vector 0: strength {strength[0]:.4g}\n")


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ((), "bank: “a” has no strengths. Those of transcoding, jacobian, difference-of-means and contrast-pca have."),
        (("--toward", "yes"), "words: only one was given. Give both --toward and --away, or neither."),
        (("--toward", "yes", "--away", "no"), "bank: “a” does not say what its vectors do at the target layer. Banks"),
    ],
)
def test_a_bank_that_cannot_be_ranked_is_refused_without_the_model(ask: Ask, kept, words, sentence):
    told = ask("banks", "rank", "a", *words)
    assert told.sentence.startswith(sentence) and "loading the model" not in told.err


def test_an_empty_shelf_says_so(ask: Ask):
    assert ask("banks", "--json").json == {"banks": []}
    assert ask("banks").out.startswith("No banks yet.")


def test_a_bank_is_shown_with_its_command(ask: Ask, bank):
    told = ask("banks", "show", "a", "--json").json
    assert told["vectors"] == 3 and told["command"] == bank.record.command and len(told["curves"]) == 3
    shown = ask("banks", "show", "a").out
    assert f"hash: {bank.hash}" in shown and "curves" not in shown


def test_export_delete_import_and_steer_gives_the_same_texts(ask: Ask, bank, tmp_path):
    steer = ("steer", "a", "--max-new-tokens", 4, "--json")
    before = ask(*steer).json["completions"]
    out = tmp_path / "out.safetensors"
    assert ask("banks", "export", "a", "--out", out, "--json").json == {"name": "a", "out": str(out)}
    vectors = load_file(out)["vectors"]
    assert vectors.dtype == np.float32 and np.array_equal(vectors, bank.vectors)
    assert ask("banks", "delete", "a", "--json").json == {"deleted": "a"}
    assert ask("banks", "--json").json == {"banks": []}
    Path(os.environ["MELBO_CACHE_DIR"], "melbo.sqlite").unlink()  # so that the texts are made again
    told = ask("banks", "import", out, "--name", "a", "--json").json
    assert set(told) == {"name", "vectors", "radius", "note"} and (told["name"], told["vectors"]) == ("a", 3)
    after = ask(*steer).json["completions"]
    assert [entry["text"] for entry in after] == [entry["text"] for entry in before]
    assert [entry["created"] for entry in after] != [entry["created"] for entry in before]


def test_a_bare_tensor_goes_out_and_comes_in(ask: Ask, bank, tmp_path):
    out = tmp_path / "bare.pt"
    ask("banks", "export", "a", "--out", out, "--json")
    assert np.array_equal(torch.load(out, weights_only=True).numpy(), bank.vectors)
    assert "Give the block, counted from 0, with --source" in ask("banks", "import", out).sentence
    told = ask("banks", "import", out, "--source", 1, "--target", 2, "--json").json
    assert told["name"] == "bare" and told["radius"] == pytest.approx(6) and "block 1" in told["note"]
    told = ask("steer", "bare", "--prompt", "hello", "--max-new-tokens", 2, "--json").json
    assert len(told["completions"]) == 4


def test_what_the_rows_of_a_file_are_is_asked_and_said(ask: Ask, bank, tmp_path):
    rows = torch.randn(BLOCKS + 1, 2, 32, generator=torch.Generator().manual_seed(0))
    torch.save(rows[:, 1], tmp_path / "states.pt")
    words = ("banks", "import", tmp_path / "states.pt", "--source", 2)
    assert ask(*words).sentence.startswith(f"rows: the file has {BLOCKS + 1} rows and the model {BLOCKS} blocks")
    told = ask(*words, "--rows", "layers", "--json").json
    assert told["vectors"] == 1 and "which is the output of block 1" in told["note"]
    assert told["radius"] == pytest.approx(rows[2, 1].norm().item(), rel=1e-5)
    assert ask(*words, "--rows", "vectors", "--name", "many", "--json").json["vectors"] == BLOCKS + 1
    torch.save(rows, tmp_path / "places.pt")
    words = ("banks", "import", tmp_path / "places.pt", "--source", 2, "--rows", "layers", "--position", -2)
    assert ask(*words, "--json").json["radius"] == pytest.approx(rows[2, 0].norm().item(), rel=1e-5)
    assert (
        ask(*words[:5], "--name", "x", "--rows", "rows").sentence
        == "rows: “rows” is not known. Choose layers or vectors."
    )


def test_a_control_vector_goes_out_with_its_command_and_comes_in_with_its_layer(ask: Ask, bank, tmp_path):
    out = tmp_path / "pirate.gguf"
    refused = ask("banks", "export", "a", "--out", out).sentence
    assert refused.startswith("vector: a GGUF control vector holds one, not 3. Choose one") and not out.exists()
    told = ask("banks", "export", "a", "--out", out, "--vector", 2, "--radius", 4, "--json").json
    assert told["command"] == f"llama-cli -m MODEL.gguf --control-vector {out} --temp 0 -p 'hello there'"
    assert (
        f"Run it with: {told['command']}"
        in ask("banks", "export", "a", "--out", out, "--vector", 2, "--radius", 4, "--overwrite").out
    )
    told = ask("banks", "import", out, "--json").json
    assert told["vectors"] == 1 and told["radius"] == pytest.approx(4)
    assert "The layer is 1, as the file says, taken as the output of block 1." in told["note"]
    told = ask("banks", "import", out, "--name", "before", "--counted", "input", "--radius", 3, "--json").json
    assert told["radius"] == pytest.approx(3) and "the input of block 1, which is the output of block 0" in told["note"]


def test_a_bank_is_published_as_a_folder_with_its_labels(ask: Ask, bank, tmp_path):
    ask("labels", "set", "a", 1, "--name", "arrr")
    out = tmp_path / "published"
    assert ask("banks", "export", "a", "--out", out, "--json").json == {"name": "a", "out": str(out)}
    assert "| 1 | arrr |" in (out / "README.md").read_text()
    assert len(list(out.iterdir())) == 8
    told = ask("banks", "import", out / "published.safetensors", "--json").json
    assert told["vectors"] == 3


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("banks", "show", "nobody"), "bank: there is no bank called “nobody”."),
        (("banks", "delete", "nobody"), "bank: there is no bank called “nobody”."),
        (("banks", "export", "nobody", "--out", "x.pt"), "bank: there is no bank called “nobody”."),
        (("banks", "export", "a"), "Missing option '--out'. See: python -m melbo_app banks export --help"),
        (("banks", "export", "a", "--out", "x.csv"), "file: a bank cannot be written as “x.csv”."),
        (("banks", "export", "a", "--out", "x.pt", "--format", "gguf"), "file: a bank cannot be written as “x.pt”."),
        (("banks", "export", "a", "--out", "x.gguf", "--vector", "3"), "vector: the bank has no vector 3."),
        (("banks", "import", "here.pt", "--format", "csv"), "format: “csv” is not known. Choose one of saf"),
        (("banks", "export", "a", "--out", "here.pt"), "file: “here.pt” already exists."),
        (("banks", "export", "a", "--out", "no/x.pt"), "“no/x.pt” could not be written"),
        (("banks", "import", "nowhere.pt"), "file: there is no file “nowhere.pt”."),
        (("banks", "import", "here.pt", "--source", "1"), "bank file: "),
        (("banks", "import", "here.pt", "--name", "a"), "name: a bank called “a” already exists."),
        (("banks", "import", "here.pt", "--name", "x/y"), "name: “x/y” cannot be used."),
        (("banks", "import", "."), "bank file: "),
        (("banks", "retitle"), "No such command 'retitle'. See: python -m melbo_app banks --help"),
        (("banks", "rename", "a", "CON"), "name: "),
        (("banks", "rename", "nobody", "b"), "bank: there is no bank called “nobody”"),
        (("banks", "--json", "list"), "--json: it stands before “list”. Write it at the end: banks list … --json."),
    ],
)
def test_banks_refuse(ask: Ask, kept, words, sentence, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "here.pt").write_text("here before")
    assert ask(*words).sentence.startswith(sentence)
    assert (tmp_path / "here.pt").read_text() == "here before"
    assert ask("banks", "--json").json["banks"][0]["name"] == "a"


# --- jobs ------------------------------------------------------------------------------------------------------------


def test_the_jobs_of_the_server_are_listed_and_shown(ask: Ask, cache):
    assert ask("jobs").out == "No jobs yet: start the page, and train or draw a map.\n"
    records = JobRecords(Database(cache / "melbo.sqlite"))
    now = datetime(2026, 11, 21, 12, tzinfo=UTC)
    job = records.add("training", "Training “a”", {"kind": "training"}, "Ann")
    changes = {"state": "running", "started": now, "log": (LogLine(at=now, text="Started."),)}
    progress = JobProgress(stage="step 3", done=3, total=12, seconds_left=4.5)
    records.save(job.model_copy(update={**changes, "progress": progress}))
    records.add("map", "Map of “a”", {"kind": "map"}, "Bob")
    assert ask("jobs", "list").out == "2  Map of “a”: waiting\n1  Training “a”: running, 25 %\n"
    assert [one["id"] for one in ask("jobs", "list", "--limit", 1, "--json").json["jobs"]] == [2]
    shown = ask("jobs", "show", 1).out.splitlines()
    assert shown[1].startswith("started by Ann, 2") and shown[2].endswith("  Started.")
    kept = ask("jobs", "show", 1, "--json").json
    assert (kept["who"], kept["state"], kept["progress"]["seconds_left"]) == ("Ann", "running", 4.5)
    assert ask("jobs", "show", 9).sentence == "job: there is no job 9. See the list of jobs."


# --- labels ----------------------------------------------------------------------------------------------------------


def test_labels_are_set_listed_and_written(ask: Ask, bank, tmp_path):
    words = ("labels", "set", "a", 1, "--name", "pirate", "--tag", "Fun", "--tag", "speech", "--rating", 4)
    told = ask(*words, "--note", "arr", "--json").json
    assert (told["bank"], told["vector"], told["name"], told["rating"], told["note"]) == ("a", 1, "pirate", 4, "arr")
    assert told["tags"] == ["fun", "speech"] and told["bank_hash"] == bank.hash
    kept = ask("labels", "set", "a", 1, "--rating", 2, "--json").json
    assert (kept["name"], kept["tags"], kept["note"], kept["rating"]) == ("pirate", ["fun", "speech"], "arr", 2)
    assert ask("labels", "set", "a", 1, "--rating", 0, "--json").json["rating"] is None
    kept = ask("labels", "set", "a", 1, "--rating", 2, "--json").json
    assert (
        ask("labels", "--json").json["labels"]
        == ask("labels", "list", "--json").json["labels"]
        == [kept | {"readings": []}]
    )
    assert ask("labels").out == "a 1: pirate [fun, speech]\n"
    out = tmp_path / "labels.csv"
    assert ask("labels", "export", "--out", out, "--json").json == {"out": str(out)}
    assert out.read_text("utf-8").splitlines()[0].startswith("\ufeffbank,")
    assert out.read_text("utf-8").splitlines()[0].endswith("tag:fun,tag:speech")
    assert "already exists" in ask("labels", "export", "--out", out).sentence
    assert ask("labels", "export", "--out", out, "--overwrite").code == 0
    lines = out.with_suffix(".jsonl")
    assert ask("labels", "export", "--out", lines).out == f"The labels were written to {lines}\n"
    assert json.loads(lines.read_text("utf-8"))["tag:fun"] is True


def test_a_label_survives_deleting_and_importing_the_bank(ask: Ask, bank, tmp_path):
    ask("labels", "set", "a", 0, "--name", "pirate")
    ask("banks", "export", "a", "--out", tmp_path / "x.safetensors")
    ask("banks", "delete", "a")
    ask("banks", "import", tmp_path / "x.safetensors", "--name", "b")
    assert ask("labels", "set", "b", 0, "--tag", "x", "--json").json["name"] == "pirate"


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("labels", "set", "nobody", "0", "--name", "x"), "bank: there is no bank called “nobody”."),
        (("labels", "set", "a", "3", "--name", "x"), "vector: “a” has no vector 3. Choose 0 to 2."),
        (("labels", "set", "a", "x"), "Invalid value for 'VECTOR': "),
        (("labels", "set", "a", "0", "--rating", "6"), "rating: 6 cannot be used. It is a whole number from 1 to 5"),
        (("labels", "set", "a", "0", "--name", "x" * 121), "name: it is 121 characters long. At most 120 fit."),
        (("labels", "export", "--out", "x.xls"), "file: labels cannot be written as “x.xls”."),
        (("labels", "--json", "list"), "--json: it stands before “list”."),
    ],
)
def test_labels_refuse(ask: Ask, kept, words, sentence):
    assert ask(*words).sentence.startswith(sentence)
    assert ask("labels", "--json").json == {"labels": [], "damaged": []}


# --- models, and the command itself ----------------------------------------------------------------------------------


def test_models_are_listed(ask: Ask):
    [entry] = ask("models", "--json").json["models"]
    assert entry == {"name": "SmolLM2-135M-Instruct", "spec": "SmolLM2-135M-Instruct", "loaded": False}
    listed = ask("models").out
    assert listed.startswith("SmolLM2-135M-Instruct  SmolLM2-135M-Instruct\n\nCatalogue (models get NAME):\n")
    assert ask("models", "list").out == listed


@pytest.mark.parametrize(
    "words",
    [
        (),
        ("train",),
        ("steer",),
        ("top-tokens",),
        ("similarity",),
        ("map",),
        ("parts",),
        ("banks",),
        ("banks", "import"),
        ("labels",),
    ],
)
def test_every_command_explains_itself(ask: Ask, words):
    told = ask(*words, "--help")
    assert told.code == 0 and "--help" in told.out and told.err == []


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ((), "Missing command. See: python -m melbo_app --help"),
        (("fly",), "No such command 'fly'. See: python -m melbo_app --help"),
        (("--fast", "banks"), "No such option: --fast"),
    ],
)
def test_words_that_are_no_command_are_refused(ask: Ask, words, sentence):
    assert ask(*words).sentence.startswith(sentence)


@pytest.mark.parametrize(
    ("name", "value", "words", "sentence"),
    [
        ("MELBO_CACHE_DIR", "/dev/null/cache", ("train", "--prompt", "x", "--name", "a"), "/dev/null/cache"),
        ("MELBO_CACHE_DIR", "/dev/null/cache", ("labels",), "The folder “/dev/null/cache” could not be made"),
        ("MELBO_PORT", "seven", ("banks",), "MELBO_PORT: Input should be a valid integer"),
        ("MELBO_MEMORY_GB", "inf", ("banks",), "MELBO_MEMORY_GB: Input should be a finite number"),
        ("MELBO_DTYPE", "int8", ("train", "--prompt", "x", "--name", "a"), "dtype: 'int8' is not known."),
        ("MELBO_DEVICE", "abacus", ("train", "--prompt", "x", "--name", "a"), "device: 'abacus' cannot be used"),
        ("MELBO_MODEL", "/nowhere", ("train", "--prompt", "x", "--name", "a"), "model: '/nowhere' does not exist"),
    ],
)
def test_settings_that_cannot_be_used_are_named(ask: Ask, monkeypatch, name, value, words, sentence):
    monkeypatch.setenv(name, value)
    assert sentence in ask(*words).sentence


def test_a_database_that_is_none_is_named_before_the_texts_are_made(ask: Ask, bank, cache):
    (cache / "melbo.sqlite").write_text("this is a letter, not a database" * 99)
    for words in (("steer", "a"), ("labels",), ("labels", "set", "a", "0", "--name", "x")):
        told = ask(*words)
        assert (
            "melbo.sqlite” is not a SQLite database. Stop the server and run: python -m melbo_app library restore"
            in told.sentence
        )
        assert not any(line.startswith("token") for line in told.err)


def test_a_disk_that_refuses_a_trained_bank_is_one_line(ask: Ask, monkeypatch):
    from melbo_app.errors import StorageError
    from melbo_app.library import banks

    def refuse(*_args: object, **_kwargs: object) -> None:
        raise StorageError("The disk is full; nothing was changed.")

    monkeypatch.setattr(banks, "write_file", refuse)
    assert ask(*TRAIN, "--steps", "1", "--radius", 3, "--json").sentence == "The disk is full; nothing was changed."


def test_what_the_system_refuses_is_one_line(ask: Ask, monkeypatch):
    def refuse(_self: object) -> None:
        raise PermissionError(13, "Permission denied", "/etc/shadow")

    monkeypatch.setattr(Workbench, "banks", refuse)
    assert ask("banks").sentence == "Reading or writing failed (/etc/shadow): Permission denied."


# --- progress --------------------------------------------------------------------------------------------------------


@dataclass
class Step:
    stage: str
    done: int
    total: int
    seconds_left: float | None = None


def work(count: int, seconds: float = 0.0):
    for done in range(1, count + 1):
        time.sleep(seconds)
        yield Step(f"step {done}", done, count, float(count - done))
    return "result"


def test_in_a_log_progress_is_a_line_now_and_then_and_always_the_first_and_last(capsys, monkeypatch):
    assert output.run(work(500)) == "result"
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err == "step 1 (0 %), about 499 s left\nstep 500 (100 %)\n"
    monkeypatch.setattr(output, "LOG_SECONDS", 0.05)
    output.run(work(20, 0.02))
    lines = capsys.readouterr().err.splitlines()
    assert 3 <= len(lines) <= 10 and lines[0].startswith("step 1 ") and lines[-1] == "step 20 (100 %)"


def test_the_last_progress_before_an_error_is_shown(capsys):
    def failing():
        yield from work(3)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        output.run(failing())
    assert capsys.readouterr().err.splitlines() == ["step 1 (33 %), about 2 s left", "step 3 (100 %)"]


def test_on_a_terminal_progress_is_one_line_that_fits_into_it(monkeypatch):
    import pty

    leader, follower = pty.openpty()
    import fcntl
    import struct
    import termios

    fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 20, 0, 0))
    with os.fdopen(follower, "w") as terminal:
        monkeypatch.setattr(sys, "stderr", terminal)
        output.run(work(12))
        monkeypatch.undo()
        shown = ""
        while "\n" not in shown:  # one read need not give all that was written
            shown += os.read(leader, 100_000).decode()
    os.close(leader)
    lines = shown.removesuffix("\r\n").split("\r")
    assert lines[0] == "" and len(lines) == 13 and "\n" not in "".join(lines)
    assert all(len(line) <= 19 for line in lines)
    assert lines[1] == "step 1 (8 %), about" and lines[-1].strip() == "step 12 (100 %)"


def test_numbers_that_json_cannot_hold_become_null(capsys):
    output.show({"objective": [1.0, float("nan")], "deep": {"x": (float("inf"),)}}, [], as_json=True)
    assert json.loads(capsys.readouterr().out) == {"objective": [1.0, None], "deep": {"x": [None]}}


# --- as programs -----------------------------------------------------------------------------------------------------


def test_of_two_programs_that_train_at_once_one_gets_the_name_and_another_shows_what_the_terminal_can(
    environment, ask: Ask
):
    words = ("train", "--prompt", "héllo", "--name", "a", "--vectors", 2, "--radius", 3, "--steps", 40, "--json")
    rivals = [process(environment, *words, "--seed", seed) for seed in (1, 2)]
    won, lost = sorted([answer(running) for running in rivals], key=lambda entry: entry.code)
    assert (won.code, lost.code) == (0, 2)
    assert lost.sentence.startswith("name: a bank called “a” already exists.")
    assert ask("banks", "show", "a", "--json").json["hash"] == won.json["hash"]
    assert won.json["vectors"] == 2
    assert not any("\r" in line for line in won.err)
    plain = {**environment, "PYTHONIOENCODING": "ascii"}
    told = answer(process(plain, "banks", "show", "a", "--json"))
    assert told.out.isascii() and told.json["prompts"][0]["user"] == "héllo"
    listing = process(environment, "banks", "show", "a")
    assert listing.stdout is not None and listing.stderr is not None
    listing.stdout.close()
    assert listing.stderr.read() == "" and listing.wait(60) != 0


@pytest.fixture
def pressing(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Presses Ctrl+C in this process when a line of progress begins with a sign."""

    def press_at(sign: str) -> None:
        real = output._LogReport.say

        def say(self: output._LogReport, line: str) -> None:
            real(self, line)
            if line.startswith(sign):
                signal.raise_signal(signal.SIGINT)

        monkeypatch.setattr(output._LogReport, "say", say)

    return press_at


def test_ctrl_c_keeps_the_vectors_that_are_finished(ask: Ask, pressing):
    pressing("vector 3 of 32")
    told = ask(*TRAIN, "--vectors", 32, "--method", "sequential", "--radius", 3, "--steps", 20, "--json")
    assert "Stopping; the finished part is kept." in told.err
    assert told.json["stopped"] is True and told.json["vectors"] == 2
    assert ask("banks", "show", "b", "--json").json["note"].startswith("Stopped: 2 of 32 vectors")


def test_ctrl_c_before_a_vector_is_finished_is_one_sentence(ask: Ask, cache, pressing):
    pressing("vector 1 of 8")
    told = ask(*TRAIN, "--method", "sequential", "--steps", 100_000_000, "--radius", 3, "--json")
    assert (told.code, told.out) == (2, "")
    assert "Stopping; the finished part is kept." in told.err
    assert told.err[-1] == "Stopped before a vector was finished: nothing to save."
    assert not (cache / "banks").exists()


def test_a_second_ctrl_c_ends_the_program(ask: Ask, cache, pressing):
    pressing("vector 1 of 8")
    pressing("vector 1 of 8")  # twice at the same line: nothing is asked in between
    told = ask(*TRAIN, "--method", "sequential", "--steps", 100_000_000, "--radius", 3, "--json")
    assert (told.code, told.out, told.err[-1]) == (2, "", "Interrupted; nothing was saved.")
    assert not (cache / "banks").exists()


def test_ctrl_c_while_it_steers_keeps_the_texts_as_far_as_they_are(ask: Ask, bank, pressing, monkeypatch):
    from melbo_app.engine import generation

    monkeypatch.setattr(generation, "STREAM_SECONDS", 0.0)
    pressing("token 3 ")
    told = ask("steer", "a", "--max-new-tokens", 20, "--json").json
    assert told["stopped"] is True
    assert {entry["tokens"] for entry in told["completions"]} == {4}


def test_of_two_programs_with_one_name_one_gets_it_and_the_other_loses_nothing(
    ask: Ask, bank, cache, model_folder, monkeypatch
):
    # The other program saves its bank, with another seed, while this one trains.
    other = Workbench(settings(cache, model_folder))
    saved: list[Bank] = []
    real = Train._train

    def slow(self: Train, *args: Any, **kwargs: Any):
        work = real(self, *args, **kwargs)
        yield next(work)
        if not saved:
            saved.append(None)  # type: ignore[arg-type]
            saved[0] = trained(other, "b", replace(QUICK, seed=9))
        return (yield from work)

    monkeypatch.setattr(Train, "_train", slow)
    told = ask(*TRAIN, "--steps", 2, "--radius", 3, "--json")
    assert told.sentence == "name: a bank called “b” already exists. The bank was saved as “b-2”."
    assert ask("banks", "show", "b", "--json").json["hash"] == saved[0].hash
    assert ask("banks", "show", "b-2", "--json").json["steps"] == 2


def test_what_nobody_foresaw_is_one_line_and_exit_code_2(capsys, monkeypatch):
    def failing(self):
        raise ZeroDivisionError("by nothing")

    monkeypatch.setattr("melbo_app.workbench.Workbench.banks", failing)
    with pytest.raises(SystemExit) as end:
        main(["banks"])
    told = capsys.readouterr()
    assert (end.value.code, told.out) == (2, "")
    assert told.err.startswith("Something went wrong: ZeroDivisionError: by nothing") and told.err.count("\n") == 1
