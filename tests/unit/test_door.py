"""``app.py`` before it serves anything: what is asked for and cannot be is said in one line."""

import importlib.util

import pytest

import app
from melbo_app.settings import Settings


def test_mcp_without_its_package_is_refused_with_the_remedy(monkeypatch, capsys):
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "mcp" else found(name))
    monkeypatch.setattr("sys.argv", ["app.py", "--mcp"])
    assert app.main() == 2
    assert capsys.readouterr().err == "mcp: the package mcp is not installed. Run: make install\n"


@pytest.mark.parametrize(("value", "wanted"), [(None, False), ("true", True), ("0", False)])
def test_mcp_is_off_unless_the_environment_asks_for_it(monkeypatch, value, wanted):
    monkeypatch.delenv("MELBO_MCP", raising=False)
    if value is not None:
        monkeypatch.setenv("MELBO_MCP", value)
    assert Settings().mcp is wanted
