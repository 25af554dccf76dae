"""What all unit tests share: small models run on one thread, and hypothesis tries the same examples every time."""

from pathlib import Path

import benches
import pytest
import torch
from hypothesis import settings
from sqlalchemy import Connection
from tiny_models import FAMILIES, UNUSUAL

from melbo_app.library import migrations
from melbo_app.workbench import Workbench

settings.register_profile("unit", deadline=None, max_examples=60, derandomize=True, database=None)
settings.load_profile("unit")
torch.set_num_threads(1)


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


@pytest.fixture(params=FAMILIES)
def family(request: pytest.FixtureRequest) -> str:
    """The name of a model family; a test that asks for it runs once for each."""
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
