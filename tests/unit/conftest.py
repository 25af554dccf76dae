"""What all unit tests share: small models run on one thread, and hypothesis tries the same examples every time."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import benches
import pytest
import torch
from hypothesis import settings
from sqlalchemy import Connection
from tiny_models import FAMILIES, KINDS, UNUSUAL

from melbo_app.engine import gguf
from melbo_app.engine.stopping import Stop
from melbo_app.jobs.loaded_model import LoadedModel
from melbo_app.library import hub, migrations, weights
from melbo_app.workbench import Workbench

settings.register_profile("unit", deadline=None, max_examples=60, derandomize=True, database=None)
settings.load_profile("unit")
torch.set_num_threads(1)
os.environ["GRADIO_ANALYTICS_CACHE_FREQUENCY"] = str(sys.maxsize)  # as commands/serve.py has it


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    """UMAP undoes the setting above for the thread that it ran in; on two threads sums are rounded otherwise."""
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def _statements() -> list[str]:
    return []


@pytest.fixture(autouse=True)
def _tables_made_once(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, _statements: list[str]) -> None:
    """Hundreds of tests begin with an empty database: what Alembic made of the first one is repeated in the others."""
    if request.module.__name__.endswith("test_migrations"):
        return
    real = migrations.upgrade

    def upgrade(connection: Connection, made: int = 0) -> None:
        if made or migrations.format_of(connection):
            real(connection, made)
        elif not _statements:
            real(connection)
            found = connection.exec_driver_sql("SELECT sql FROM sqlite_master WHERE sql IS NOT NULL ORDER BY rowid")
            _statements.extend(found.scalars())
            _statements.append(f"INSERT INTO alembic_version VALUES ('{migrations.NEWEST}')")
        else:
            for statement in _statements:
                connection.exec_driver_sql(statement)

    monkeypatch.setattr(migrations, "upgrade", upgrade)


def _state(lm: Any) -> tuple[Any, ...]:
    """Another one after anything of a model was changed: its parts, weights, hooks and settings, its tokenizer."""
    parts, made = list(lm.model.modules()), lm.tokenizer
    return (
        [id(part) for part in parts],
        [(id(weight), weight._version, weight.requires_grad) for weight in lm.model.parameters()],
        [(len(part._forward_hooks), len(part._forward_pre_hooks), "forward" in vars(part)) for part in parts],
        lm.model.config.to_dict(),
        str(lm.model.generation_config.eos_token_id),
        (vars(made).get("chat_template"), made.special_tokens_map, made.padding_side, len(made)),
        [name for name in vars(made) if callable(vars(made)[name])],
    )


@pytest.fixture(scope="session")
def _models() -> dict[Any, Any]:
    return {}


@pytest.fixture(autouse=True)
def _model_read_once(
    monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory, _models: dict[Any, Any]
) -> Iterator[None]:
    """Hundreds of workbenches begin with the model of ``model_folder``, or with one of ``LENT``: they share it, until a
    test changes it."""
    real, folder, used = LoadedModel._read, str(tmp_path_factory.getbasetemp() / "models0" / "tiny"), set[Any]()

    def read(self: LoadedModel, files: Any, stop: Stop) -> Any:
        settings = self._settings
        key = (settings.device, settings.dtype, self._packed, files.path, files.name, files.weights_hash)
        if files.path not in {folder, *benches.LENT} or files.adapter is not None or self._lm is not None:
            return real(self, files, stop)
        if key not in _models:
            lm = real(self, files, stop)
            _models[key] = lm, _state(lm)
        used.add(key)
        return _models[key][0]

    monkeypatch.setattr(LoadedModel, "_read", read)
    yield
    for key in used:
        if _state(_models[key][0]) != _models[key][1]:
            del _models[key]


@pytest.fixture(autouse=True)
def _models_got_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Unpacked and downloaded in this process, as another one would import torch anew."""
    monkeypatch.setattr(weights, "download", lambda name, stop: hub.download(name))
    monkeypatch.setattr(weights, "unpack", lambda path, folder, stop: gguf.dequantise(path, folder))


@pytest.fixture(params=FAMILIES)
def family(request: pytest.FixtureRequest) -> str:
    """The name of a model family; a test that asks for it runs once for each."""
    return request.param


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    """The same for four families that stand for all."""
    return request.param


@pytest.fixture(params=UNUSUAL)
def unusual(request: pytest.FixtureRequest) -> str:
    """The same for families whose blocks are called unlike the others'."""
    return request.param


@pytest.fixture(scope="session")
def model_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny Llama with a chat template, in a folder."""
    return benches.save_tiny(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture
def bench(tmp_path: Path, model_folder: Path) -> Workbench:
    """A workbench around that model, with an empty cache."""
    return Workbench(benches.settings(tmp_path / "cache", model_folder))
