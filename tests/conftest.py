"""Imported before every test module: how threads wait, and how many there are, is settled before torch is imported.

With ``-n 3`` three processes share the tests: one drives the browser and often waits, the others take the rest by file.
"""

import os
from typing import Any

import pytest
from xdist.scheduler import LoadScopeScheduling

import melbo_app  # noqa: F401

if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # a core each, also for the programs that tests start

BROWSER = "tests/ui/"


class BrowserInOneProcess(LoadScopeScheduling):
    """The tests in the browser share a program, so they stay together; other tests stay with those of their file."""

    def _split_scope(self, nodeid: str) -> str:
        return BROWSER if nodeid.startswith(BROWSER) else nodeid.split("::")[0]


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> LoadScopeScheduling:
    return BrowserInOneProcess(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What takes longest begins first."""
    items.sort(key=lambda item: not item.nodeid.startswith(BROWSER))
