"""Gradio's script for loading states, without its useless work."""

from pathlib import Path

import gradio as gr

MENDED = {
    # The first "Loading…" counts seconds on every frame for ever, though the loaded page no longer shows it: a tenth of
    # a processor for each open page.
    "W&&ze()": "W&&U?.isConnected&&ze()",
    # The end of any event gives every input a loading state, and each step of each later event copies them all; only
    # streaming inputs need one, and this page has none.
    "h.includes(e)&&s?`input`": "h.includes(e)&&s&&s!==`closed`?`input`",
}
"""Pieces of Gradio 6.31's script and their replacements; a release without these pieces is served unchanged."""


def tracker_script() -> tuple[str, str]:
    """The script's path on the page, and its text."""
    [script] = (Path(gr.__file__).parent / "templates" / "frontend" / "assets").glob("statustracker-*.js")
    text = script.read_text("utf-8")
    for piece, instead in MENDED.items():
        text = text.replace(piece, instead)
    return f"/assets/{script.name}", text
