"""The sample banks that ship are what their recorded commands make."""

import shlex
from pathlib import Path

import numpy as np
import pytest

from melbo_app.engine.model import load
from melbo_app.engine.prompt import Prompt
from melbo_app.engine.training_config import TrainingConfig
from melbo_app.jobs.training import command, train_bank
from melbo_app.library.banks import Banks

ASSETS = Path(__file__).resolve().parents[2] / "assets"
SHELF = Banks(ASSETS / "no-own-banks", ASSETS / "banks")


@pytest.mark.parametrize("name", ["bomb-question", "who-are-you"])
def test_a_sample_bank_is_what_its_command_makes(name, bundled_model_files):
    bank = SHELF.load(name)
    record = bank.record
    files = bundled_model_files
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
    )
    assert shlex.split(record.command) == shlex.split(command(record.model, prompts, config, name))
    lm = load(files.path, files.name, files.weights_hash, "cpu", "float32")
    work = train_bank(lm, record.model, prompts, config, name, None, lambda: False)
    while True:
        try:
            next(work)
        except StopIteration as end:
            again = end.value
            break
    # not bit for bit: another processor rounds otherwise
    cosines = (again.vectors * bank.vectors).sum(axis=1) / record.radius**2
    assert cosines.min() > 0.99
    assert np.allclose(again.record.objective, record.objective, rtol=0.02)


def test_every_sample_is_sound():
    assert [line.damaged for line in SHELF.list()] == [None, None]
    assert all(line.sample and line.vectors == 8 for line in SHELF.list())
