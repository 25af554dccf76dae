"""Prompts that people bring: the lines of a field, and a file that is read into it, where they can be changed."""

from collections.abc import Callable
from pathlib import Path

import gradio as gr

from melbo_app.errors import InputError
from melbo_app.library.labelled_prompts import parse_labelled
from melbo_app.library.prompt_sets import MOST_BYTES, SHIPPED
from melbo_app.library.text_file import text_of
from melbo_app.library.uploads import mark_used
from melbo_app.workbench import Workbench

OWN = "own"
SETS = [(f"the set “{name}”", name) for name in SHIPPED]
MINE = ("my own", OWN)


def upload_button(text: str, elem_id: str) -> gr.UploadButton:
    """A button that takes a file of prompts."""
    return gr.UploadButton(
        text, file_types=[".txt", ".jsonl", ".ndjson", ".json"], elem_id=elem_id, size="sm", scale=0, min_width=220
    )


def content_of(text: str | None) -> bytes:
    """A field's text as the content of a file."""
    return (text or "").encode("utf-8", "surrogatepass")


def read_upload(path: str, parse: Callable[[bytes, str], object]) -> str:
    """The text of an uploaded file. ``parse`` gets its content and its name, and raises InputError for what no field
    can have."""
    with open(path, "rb") as file:
        data = file.read(MOST_BYTES + 1)
    parse(data, f"“{Path(path).name}”")
    mark_used(Path(path))
    return text_of(data).replace("\r\n", "\n")


def clean_texts(workbench: Workbench, chosen: str, own: str | None) -> tuple[str, ...]:
    """The clean prompts of a set that ships, or those in a field. Raises InputError."""
    if chosen != OWN:
        return tuple(one.text for one in workbench.prompt_set([chosen]))
    clean = parse_labelled(content_of(own), "the field", "clean")
    if any(one.anomalous for one in clean):
        raise InputError("clean", "some prompts are labelled anomalous", "Leave them out")
    return tuple(one.text for one in clean)
