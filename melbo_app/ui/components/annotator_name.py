"""The name under which this browser labels."""

from datetime import UTC, datetime
from typing import Any

import gradio as gr

from melbo_app.ui.components.live import live


def annotator_name(*, elem_id: str, visible: bool) -> gr.HTML:
    """Value: {name, at}, a name that was just accepted. Events: named {name}, with what was written; changed, after the
    browser has kept another name, here or in another window."""
    part = live("annotator_name", None, elem_id=elem_id, events=("named", "changed"))
    part.visible = visible
    return part


def accepted(name: str) -> dict[str, Any]:
    """The component's value; ``at`` makes each answer a new one."""
    return {"name": name, "at": datetime.now(UTC).isoformat()}
