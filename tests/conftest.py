"""Imported before every test module: how threads wait is settled before torch is imported."""

from pathlib import Path

import pytest

import melbo_app  # noqa: F401

TOGETHER = ("real", "ui")
"""Folders whose tests share a model or a program, and so belong into one process each."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        folder = Path(item.path).parent.name
        if folder in TOGETHER:
            item.add_marker(pytest.mark.xdist_group(folder))
