"""The bundled model, dequantised once into the repository's own cache."""

from pathlib import Path

import pytest

from melbo_app.library.weights import DEFAULT_MODEL, ModelFiles, resolve

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session")
def real_cache() -> Path:
    return ROOT / "cache"


@pytest.fixture(scope="session")
def bundled_model_files(real_cache: Path) -> ModelFiles:
    return resolve(DEFAULT_MODEL, real_cache)
