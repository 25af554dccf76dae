"""Gradio's script for loading states, without what it does for nothing."""

from pathlib import Path

import gradio as gr

MENDED = {
    # The first "Loading…" counts its seconds at every frame for ever, though it is gone once the page is there: a tenth
    # of a processor for each open page.
    "W&&ze()": "W&&U?.isConnected&&ze()",
    # The end of any event gives every input a loading state, and from then on each step of each event copies them all;
    # only inputs that stream have use for one, and there are none here.
    "h.includes(e)&&s?`input`": "h.includes(e)&&s&&s!==`closed`?`input`",
}
"""Pieces of the script of Gradio 6.31, and what is served instead; a release that has none is served as it is."""


def tracker_script() -> tuple[str, str]:
    """Where the page finds the script, and what it finds there."""
    [script] = (Path(gr.__file__).parent / "templates" / "frontend" / "assets").glob("statustracker-*.js")
    text = script.read_text("utf-8")
    for piece, instead in MENDED.items():
        text = text.replace(piece, instead)
    return f"/assets/{script.name}", text
