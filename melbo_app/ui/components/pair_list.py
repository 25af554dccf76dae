"""Pairs of vectors that are probably the same, above a threshold."""

from typing import Any

import gradio as gr

from melbo_app.ui.components.live import live


def pair_list(value: dict[str, Any] | None = None, *, elem_id: str) -> gr.HTML:
    """Value: {bank, pairs: [{one, other, delta, theta, texts, same, proposed}], names: {vector: name}}.

    Events, each with ``one`` and ``other``: look; mark, with ``same`` (false undoes it); merge, with a ``name``. The
    threshold stays in the browser.
    """
    return live("pair_list", value, elem_id=elem_id, events=("look", "mark", "merge"))
