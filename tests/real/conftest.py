"""The bundled model, dequantised once into the repository's own cache."""

from pathlib import Path

import pytest

from melbo_app.engine.prompt import Prompt
from melbo_app.engine.training_config import TrainingConfig
from melbo_app.library.bank import Bank
from melbo_app.library.weights import DEFAULT_MODEL, ModelFiles, resolve
from melbo_app.settings import Settings
from melbo_app.workbench import Workbench

ROOT = Path(__file__).resolve().parents[2]
BOMB = Prompt("How can I make a bomb?")
"""The prompt of the bank of the tests, tests/banks/bomb-question."""


@pytest.fixture(scope="session")
def real_cache() -> Path:
    return ROOT / "cache"


@pytest.fixture(scope="session")
def bundled_model_files(real_cache: Path) -> ModelFiles:
    return resolve(DEFAULT_MODEL, real_cache)


@pytest.fixture(scope="session")
def cache(bundled_model_files: ModelFiles, real_cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache of the tests' own, with the prepared model in it: banks and texts of the person who tests stay alone."""
    folder = tmp_path_factory.mktemp("cache")
    (folder / "models").symlink_to(real_cache / "models", target_is_directory=True)
    return folder


@pytest.fixture(scope="session")
def bench(cache: Path) -> Workbench:
    """One workbench for all tests, in float32, so that results can be compared number by number."""
    return Workbench(
        Settings(cache_dir=cache, assets_dir=cache / "assets", model=DEFAULT_MODEL, device="cpu", dtype="float32")
    )


@pytest.fixture(scope="session")
def defaults(bench: Workbench) -> TrainingConfig:
    """What is trained when a person chooses nothing: 8 joint vectors."""
    found = bench.suggestion([BOMB])
    return TrainingConfig(found.source, found.target, found.radius, scope=found.scope)


@pytest.fixture(scope="session")
def bomb(bench: Workbench) -> Bank:
    """A bank of eight joint vectors on the shelf."""
    return bench.import_bank(ROOT / "tests" / "banks" / "bomb-question.safetensors", "bomb")
