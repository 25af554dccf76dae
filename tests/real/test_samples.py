"""The sample banks that ship: sound, and what they say of themselves is true (test_api_page.py trains one again)."""

import shlex
from pathlib import Path

import pytest
import torch

from melbo_app.engine.ascent import Ascent
from melbo_app.engine.effect import effects
from melbo_app.engine.encoding import encode
from melbo_app.engine.model import load
from melbo_app.engine.prompt import Prompt
from melbo_app.engine.slice import ModelSlice
from melbo_app.engine.training_config import TrainingConfig
from melbo_app.jobs.generators import result_of
from melbo_app.library.bank import Bank
from melbo_app.library.banks import Banks
from melbo_app.library.samples import Sample
from melbo_app.library.weights import ModelFiles
from melbo_app.studies.training_command import command

ASSETS = Path(__file__).resolve().parents[2] / "assets"
SHELF = Banks(ASSETS / "no-own-banks", ASSETS / "banks")


def told(name: str, files: ModelFiles) -> tuple[Bank, list[Prompt], TrainingConfig]:
    """A sample with the prompts and the configuration that it says it was made by."""
    bank = SHELF.load(name)
    record = bank.record
    assert record.model_hash == files.weights_hash
    prompts = [Prompt(entry.user, entry.system, entry.template) for entry in record.prompts]
    config = TrainingConfig(
        source=record.source,
        target=record.target,
        radius=record.radius,
        vectors=len(bank.vectors),
        method=record.method,
        steps=record.steps,
        p=record.p,
        scope=record.scope,
        seed=record.seed,
        saturation=record.saturation,
    )
    assert shlex.split(record.command) == shlex.split(command(record.model, prompts, config, name))
    return bank, prompts, config


@pytest.fixture(scope="module")
def lm(bundled_model_files):
    files = bundled_model_files
    return load(files.path, files.name, files.weights_hash, "cpu", "float32")


@pytest.mark.parametrize("name", ["lend-money", "weekend", "who-are-you"])
def test_the_recorded_j_and_effect_are_those_of_the_vectors(name, lm, bundled_model_files):
    bank, prompts, config = told(name, bundled_model_files)
    piece = ModelSlice(lm, encode(lm, prompts), config.source, config.target)
    vectors = torch.tensor(bank.vectors)
    assert Ascent(piece, config, 8).final(vectors, [], False) == pytest.approx(bank.record.objective, rel=0.01)
    effect = result_of(effects(vectors, config, piece, None, 8))[0]
    assert effect.objective == pytest.approx(bank.record.effect.objective, rel=0.01)
    assert effect.runaway == bank.record.effect.runaway


def test_every_sample_is_sound():
    assert all(line.damaged is None and line.sample and line.vectors == 8 for line in SHELF.list())


@pytest.mark.parametrize("path", sorted((ASSETS / "banks").glob("*.json")), ids=lambda path: path.stem)
def test_what_ships_beside_a_sample_is_of_its_vectors(path):
    bank, sample = SHELF.load(path.stem), Sample.model_validate_json(path.read_bytes())
    record, texts = bank.record, sample.comparison.completions
    assert sample.bank_hash == bank.hash
    assert [label.vector for label in sample.labels] == list(range(len(bank.vectors)))
    assert all(label.name and label.rating and "sample" in label.tags for label in sample.labels)
    assert [one.vector for one in texts] == [None, "random", *range(len(bank.vectors))]
    assert [one.radius for one in texts[1:]] == pytest.approx([record.radius] * (len(texts) - 1))
    assert {(one.prompt, one.model_hash, one.dtype) for one in texts} == {
        (record.prompts[0], record.model_hash, record.dtype)
    }
    assert all(one.text and one.scores is not None for one in texts)
    assert f"--name {path.stem}" in record.command and f"--model {record.model}" in record.command
