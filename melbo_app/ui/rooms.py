"""The rooms of the page and the views in them."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import gradio as gr
from gradio.blocks import Block

from melbo_app.ui.components.view_switch import view_switch
from melbo_app.ui.guard import Changes, bind


class Room(NamedTuple):
    """A room: its title, and the titles of its views."""

    title: str
    views: dict[str, str]


ROOMS = {
    "start": Room("Start", {}),
    "find": Room(
        "Find",
        {
            "explore": "Explore",
            "look": "Look for",
            "train": "Train",
            "radius": "R",
            "layers": "Layers",
            "generality": "Generality",
        },
    ),
    "read": Room("Read", {"completions": "Grid", "map": "Map", "similarity": "Similarity", "chat": "Chat"}),
    "label": Room("Label", {"label": "Label", "trial": "Test a label", "blind": "Blind comparison"}),
    "library": Room("Library", {"banks": "Banks", "library": "Search", "guidelines": "Guidelines", "models": "Models"}),
    "audit": Room(
        "Audit",
        {
            "audit": "Audit",
            "watch": "Watch",
            "organisms": "Organisms",
            "reliability": "Reliability",
            "parts": "Parts",
            "triggers": "Triggers",
            "harden": "Harden",
            "removal": "Removal",
        },
    ),
}
ROOM_OF = {view: room for room, (_, views) in ROOMS.items() for view in (views or [room])}
TOGETHER = "read"
"""The room of which two views can be seen side by side; the other rooms, and their views, are tabs."""

# Of a press in the header or a key, which asks for a room and perhaps for a view: what to select in all the tabs.
_GO = """({{ room, view }}) => [
  room === '{together}' ? null : room, ...{rooms}.map((one) => (one === room ? view : null)),
].map((selected) => (selected ? {{ __type__: 'update', selected }} : {{ __type__: 'update' }}))"""

_SAY = "() => {{ melbo.select({{ views: {{ ...melbo.state.views, {room}: ['{view}'] }} }}); }}"


class Rooms:
    """Which room is open, and which of its views."""

    def __init__(self, header: gr.HTML) -> None:
        self._header = header
        self._tabs: list[gr.Tabs] = []  # of the rooms
        self._views: dict[str, gr.Tabs] = {}
        self._tab_of: dict[str, gr.Tab] = {}

    @contextmanager
    def room(self, name: str) -> Iterator[None]:
        """The place of a room."""
        title, views = ROOMS[name]
        if name == TOGETHER:  # no tab: what is steered reads its fields there, so they exist from the beginning
            shown = [{"view": view, "title": said} for view, said in views.items()]
            rooms = {room: list(of.views) for room, of in ROOMS.items()}
            with gr.Column(elem_id="room-read"):
                self._switch = view_switch({"views": shown, "rooms": rooms}, elem_id="read-views")
                with gr.Row(elem_id="views"):
                    yield
            return
        if not self._tabs:
            self._tabs.append(gr.Tabs(elem_id="rooms", selected="start"))
        with self._tabs[0], gr.Tab(title, id=name):
            yield

    @contextmanager
    def view(self, name: str) -> Iterator[None]:
        """The place of a view, inside its room."""
        room = ROOM_OF[name]
        if room == TOGETHER:
            with gr.Column(elem_id=f"view-{name}", elem_classes="mx-view", min_width=0):
                yield
        else:
            if room not in self._views:  # where the first of them is
                self._views[room] = gr.Tabs(elem_id=f"{room}-views")
            with self._views[room], gr.Tab(ROOMS[room].views[name], id=name) as self._tab_of[name]:
                yield

    def bind(self) -> None:
        """Bind the header's buttons, and say in the browser which view was opened."""
        tabs = [*self._tabs, *self._views.values()]
        bind(self._header.go, None, self._header, tabs, js=_GO.format(rooms=list(self._views), together=TOGETHER))
        for view, tab in self._tab_of.items():
            bind(tab.select, None, None, None, js=_SAY.format(room=ROOM_OF[view], view=view))

    def opened(self, view: str) -> Any:
        """The event of opening a view, or a room that has none."""
        return getattr(self._switch, f"{view}_opened")

    @property
    def outputs(self) -> list[Block]:
        """The components that ``show`` changes."""
        return [*self._tabs, *self._views.values(), self._switch]

    def show(self, view: str) -> Changes:
        """Open a view, or a room that has none."""
        room = ROOM_OF[view]
        changes: Changes = {self._switch: {**self._switch.value, "shown": view}}
        if room != TOGETHER:
            changes[self._tabs[0]] = gr.Tabs(selected=room)
        if room in self._views:
            changes[self._views[room]] = gr.Tabs(selected=view)
        return changes
