"""A newer Gradio may read otherwise: then the page is slow again, and this says why."""

from pathlib import Path

import gradio as gr

from melbo_app.ui.components.status_tracker import MENDED, tracker_script


def test_each_piece_that_is_mended_stands_once_in_the_installed_script_and_no_more_in_what_is_served():
    path, served = tracker_script()
    given = Path(gr.__file__).parent / "templates" / "frontend" / path.strip("/")
    for piece, instead in MENDED.items():
        assert given.read_text("utf-8").count(piece) == 1, piece
        assert served.count(instead) == 1 and piece not in served
