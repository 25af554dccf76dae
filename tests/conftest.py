"""Imported before every test module: how threads wait, and how many there are, is settled before torch is imported.

With ``-n 3`` three processes share the tests file by file: on two cores, as those with a browser often wait for it. The
files with a browser are two lots, for two of the processes, as a program and a browser take half a minute of a core to
start.
"""

import inspect
import os
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from patience import PATIENCE
from xdist.scheduler import LoadFileScheduling

import melbo_app  # noqa: F401

usual = inspect.signature(httpx.get).parameters["timeout"].default  # also of gradio_client; five seconds at first
usual.connect = usual.read = usual.write = usual.pool = PATIENCE

if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # a core each, also for the programs that tests start


LAST = "tests/ui/test_nothing_leaves.py"
"""It presses everything there is, on the program of test_reopening."""
SECOND = {f"tests/ui/test_{name}.py" for name in (
    "explore", "generality", "hostile_text", "http_api", "labels", "layers", "map", "proxy", "radius", "radius_tab",
    "similarity", "training", "uploads",
)}  # fmt: skip
"""The second lot of the files with a browser."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What takes longest begins first: the tests with the browser, then those on the bundled model."""
    order = ["tests/ui/", LAST, "tests/real/", "tests/unit/"]
    items.sort(key=lambda item: max(at for at, place in enumerate(order) if item.nodeid.startswith(place)))


class Lots(LoadFileScheduling):
    """File by file, but for those with a browser."""

    def _split_scope(self, nodeid: str) -> str:
        file = super()._split_scope(nodeid)
        return f"browser {file in SECOND}" if file.startswith("tests/ui/") else file


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Callable[..., Any]) -> Lots:
    return Lots(config, log)
