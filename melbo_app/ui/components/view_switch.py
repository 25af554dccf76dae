"""Buttons for the views of a room, any two of which can be seen side by side; and the event of opening any view."""

from typing import Any

import gradio as gr

from melbo_app.ui.components.live import live


def view_switch(value: dict[str, Any], *, elem_id: str) -> gr.HTML:
    """Value: {views: [{view, title}], rooms: {room: [view]}, shown}. Events: ``<view>_opened`` for each view, and
    for each room without views."""
    rooms: dict[str, list[str]] = value["rooms"]
    events = [f"{name}_opened" for room, views in rooms.items() for name in views or [room]]
    return live("view_switch", value, elem_id=elem_id, events=events)
