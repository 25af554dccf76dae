"""Gradio is imported without the stub files of its components, and ``inspect`` is what it was afterwards."""

import inspect
from pathlib import Path

import gradio as gr
from gradio.component_meta import create_or_modify_pyi

import melbo_app.ui  # noqa: F401


def test_inspect_finds_components_again():
    assert Path(inspect.getfile(gr.HTML)).name == "html.py"


def test_gradio_reads_nothing_where_a_component_has_no_source(monkeypatch):
    def no_file(thing: object) -> str:
        raise OSError

    read: list[Path] = []
    monkeypatch.setattr(inspect, "getfile", no_file)
    monkeypatch.setattr(Path, "read_text", lambda path, **_: read.append(path))
    create_or_modify_pyi(gr.HTML, "HTML", list(gr.HTML.EVENTS))
    assert read == []
