"""Gradio's script that shows loading states, with the clock that never stops stopped."""

from pathlib import Path

import gradio as gr

CLOCK, STOPPED = (
    "W&&ze()",
    "W&&U?.isConnected&&ze()",
)  # in Gradio 6.31: go on while it runs; and while it is on the page


def tracker_script() -> tuple[str, str]:
    """Where the page finds the script, and what it should find there.

    Gradio's first "Loading…" counts its seconds at every frame for ever, though it is gone once the page is there: a
    tenth of a processor for each open page. In a release whose script reads otherwise, it is given as it is.
    """
    [script] = (Path(gr.__file__).parent / "templates" / "frontend" / "assets").glob("statustracker-*.js")
    return f"/assets/{script.name}", script.read_text("utf-8").replace(CLOCK, STOPPED)
