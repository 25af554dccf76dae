"""The state that Gradio keeps for each page and each call, made smaller and limited in number."""

from collections.abc import Iterator
from copy import copy
from typing import Any

from gradio import routes
from gradio.blocks import Blocks
from gradio.state_holder import SessionState, StateHolder

CAPACITY = 300
"""Sessions that are kept: enough for a hundred people with three open pages each. Even a page in the background uses
its session once a minute, because browsers let its timers run that often."""
SWEEP = 100  # new sessions between two clearings of Gradio's queue


class Session(SessionState):
    """A session without the copy of all components that Gradio keeps for deep links, which are unused here. It costs
    0.7 MB and 55 ms for each call over HTTP, and keeps its whole answer."""

    def __init__(self, blocks: Blocks) -> None:
        self.blocks_config = copy(blocks.default_config)
        self.state_data = {}
        self._state_ttl = {}
        self.is_closed = False
        self.STATE_TTL_WHEN_CLOSED = 3600

    @property
    def config_values(self) -> dict[int, Any]:  # type: ignore[override]
        """A new dict each time: nothing that Gradio puts in is kept."""
        return {}

    def _update_config(self, key: int) -> None:
        pass

    def _update_value_in_config(self, key: int, value: Any) -> None:
        pass

    @property
    def components(self) -> Iterator[dict[str, Any]]:
        """Empty: the contents of a deep link."""
        return iter(())


class Sessions(StateHolder):
    """The sessions of one server. If there are too many, those without state go first (calls of programs), then those
    of closed pages, then the one that was unused for the longest time.

    Gradio has only the last rule, by which a program's calls would drive out open pages.
    """

    def __init__(self) -> None:
        super().__init__()
        self._came = 0

    def __getitem__(self, session_id: str) -> SessionState:
        if session_id not in self.session_data:
            self.session_data[session_id] = Session(self.blocks)
            self._came += 1
            if self._came % SWEEP == 0:
                self._sweep()
        return super().__getitem__(session_id)

    def update(self, session_id: str) -> None:
        """Note that a session was used, and drop others if there are too many."""
        with self.lock:
            if session_id in self.session_data:
                self.session_data.move_to_end(session_id)
            while len(self.session_data) > self.capacity:
                gone = self._least_wanted(session_id)
                del self.session_data[gone]
                self.time_last_used.pop(gone, None)

    def _least_wanted(self, used: str) -> str:
        others = [(key, one) for key, one in self.session_data.items() if key != used]
        without_state = (key for key, one in others if not one.state_data)
        closed = (key for key, one in others if one.is_closed)
        return next(without_state, None) or next(closed, None) or others[0][0]

    def _sweep(self) -> None:
        """Clear the queue of answered calls, which it would keep for ever."""
        queue = self.blocks._queue
        for key, events in list(queue.pending_event_ids_session.items()):
            messages = queue.pending_messages_per_session.get(key)
            is_answered = not any(id in queue.event_ids_to_events for id in events)
            if key not in self.session_data and is_answered and (messages is None or messages.empty()):
                del queue.pending_event_ids_session[key]
                queue.pending_messages_per_session.pop(key, None)


def use_sessions() -> None:
    """Use ``Sessions`` in servers that are launched from now on, with their ``state_session_capacity``."""
    routes.StateHolder = Sessions  # type: ignore[misc]  # Gradio offers no setting
