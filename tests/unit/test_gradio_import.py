"""Gradio is imported without the stub files of its components, and ``inspect`` is what it was afterwards."""

import builtins
import inspect
from pathlib import Path
from typing import Any

import gradio as gr
import pytest
from gradio.component_meta import create_or_modify_pyi

from melbo_app import ui


def test_only_while_it_is_imported_components_have_no_source(monkeypatch):
    seen: list[str] = []
    real = builtins.__import__

    def importing(name: str, *given: Any, **named: Any) -> Any:
        if name == "gradio":
            with pytest.raises(OSError, match="editors"):
                inspect.getfile(gr.HTML)
            seen.append(Path(inspect.getfile(Path)).name)
        return real(name, *given, **named)

    monkeypatch.setattr(builtins, "__import__", importing)
    ui._import_gradio()
    monkeypatch.undo()
    assert seen == ["pathlib.py"] and Path(inspect.getfile(gr.HTML)).name == "html.py"


def test_gradio_reads_nothing_where_a_component_has_no_source(monkeypatch):
    def no_file(thing: object) -> str:
        raise OSError

    read: list[Path] = []
    monkeypatch.setattr(inspect, "getfile", no_file)
    monkeypatch.setattr(Path, "read_text", lambda path, **_: read.append(path))
    create_or_modify_pyi(gr.HTML, "HTML", list(gr.HTML.EVENTS))
    assert read == []
