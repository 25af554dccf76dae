"""What all unit tests share: small models run on one thread, and hypothesis tries the same examples every time."""

import pytest
import torch
from hypothesis import settings
from tiny_models import FAMILIES

settings.register_profile("unit", deadline=None, max_examples=60, derandomize=True, database=None)
settings.load_profile("unit")
torch.set_num_threads(1)


@pytest.fixture(params=FAMILIES)
def family(request: pytest.FixtureRequest) -> str:
    """The name of a model family; a test that asks for it runs once for each."""
    return request.param
