"""Two of Gradio's scripts, with their faults mended."""

from pathlib import Path

import gradio as gr

MENDED = {
    "statustracker": {
        # The first "Loading…" counts seconds on every frame for ever, though the loaded page no longer shows it: a
        # tenth of a processor for each open page.
        "W&&ze()": "W&&U?.isConnected&&ze()",
        # The end of any event gives every input a loading state, and each step of each later event copies them all;
        # only streaming inputs need one, and this page has none.
        "h.includes(e)&&s?`input`": "h.includes(e)&&s&&s!==`closed`?`input`",
    },
    "Blocks": {
        # A handler that was asked while it ran asks again when it ends, but asks all handlers of the event. Two that
        # overlap then ask each other without end.
        "this.dispatch(e))": "this.dispatch({...e,type:`fn`,fn_index:r.id}))",
    },
}
"""By script, pieces of Gradio 6.31 and their replacements; a release without these pieces is served unchanged."""


def mended_scripts() -> dict[str, str]:
    """The scripts' paths on the page, and their texts."""
    return {
        f"/assets/{script.name}": _mended(script, pieces) for name, pieces in MENDED.items() for script in given(name)
    }


def given(name: str) -> list[Path]:
    """The files of a script as Gradio ships them: one, if this release has it."""
    return [*(Path(gr.__file__).parent / "templates" / "frontend" / "assets").glob(f"{name}-*.js")]


def _mended(script: Path, pieces: dict[str, str]) -> str:
    text = script.read_text("utf-8")
    for piece, instead in pieces.items():
        text = text.replace(piece, instead)
    return text
