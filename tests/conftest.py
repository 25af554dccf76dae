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
    """Files with the browser, which often waits, between those that compute; they begin first and end earlier."""
    files = list(dict.fromkeys(item.path for item in items))
    waiting = [file for file in files if file.parent.name == "ui"]
    computing = sorted((file for file in files if file.parent.name != "ui"), key=lambda file: file.parent.name)
    place = {file: 0.8 * number / len(waiting) for number, file in enumerate(waiting)}
    place |= {file: number / len(computing) for number, file in enumerate(computing)}
    items.sort(key=lambda item: (place[item.path], item.path))
