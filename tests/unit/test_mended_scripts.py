"""A newer Gradio may read otherwise: then the page is slow again, or asks without end, and this says why."""

from melbo_app.ui.mended_scripts import MENDED, given, mended_scripts

TWICE = ["this.dispatch(e))"]
"""At the end of an event and after a value that is refused."""


def test_each_piece_that_is_mended_stands_in_the_installed_script_and_no_more_in_what_is_served():
    served = mended_scripts()
    for name, pieces in MENDED.items():
        [script] = given(name)
        before, after = script.read_text("utf-8"), served[f"/assets/{script.name}"]
        for piece, instead in pieces.items():
            assert before.count(piece) == after.count(instead) == 1 + (piece in TWICE), piece
            assert piece not in after
