"""Imported before every test module: how threads wait, and how many there are, is settled before torch is imported.

With ``-n 3`` three processes share the tests file by file, each with a program and a browser of its own where it needs
them: on two cores, as those often wait for each other.
"""

import os

import pytest

import melbo_app  # noqa: F401

if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # a core each, also for the programs that tests start


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What takes longest begins first: the tests with the browser, then those on the bundled model."""
    order = ["tests/ui/", "tests/real/", "tests/unit/"]
    items.sort(key=lambda item: next(at for at, folder in enumerate(order) if item.nodeid.startswith(folder)))
