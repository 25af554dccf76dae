"""What Gradio keeps for each page and each call: how much of it, and for how many."""

from collections.abc import Iterator
from copy import copy
from typing import Any

from gradio import routes
from gradio.blocks import Blocks
from gradio.state_holder import SessionState, StateHolder

CAPACITY = 300
"""Sessions that are kept: of a hundred people with three open pages each. Each is used once a minute at least, which is
how often browsers let pages in the background look for news."""
SWEEP = 100  # new sessions between two looks for what Gradio's queue keeps of earlier ones


class Session(SessionState):
    """A session without the copy of every component's settings and value that Gradio keeps for deep links: 0.7 MB and
    55 ms for each call over HTTP, which has a session of its own, and its whole answer. Nothing here has deep links."""

    def __init__(self, blocks: Blocks) -> None:
        self.blocks_config = copy(blocks.default_config)
        self.state_data = {}
        self._state_ttl = {}
        self.is_closed = False
        self.STATE_TTL_WHEN_CLOSED = 3600

    @property
    def config_values(self) -> dict[int, Any]:  # type: ignore[override]
        """Forgets at once what Gradio puts in."""
        return {}

    def _update_config(self, key: int) -> None:
        pass

    def _update_value_in_config(self, key: int, value: Any) -> None:
        pass

    @property
    def components(self) -> Iterator[dict[str, Any]]:
        """What a deep link would hold."""
        return iter(())


class Sessions(StateHolder):
    """The sessions of one server. Where there are too many, those go first with which nothing is lost: of programs,
    whose calls leave no state, then of pages that were closed, and then the one that was not used for the longest time.

    Gradio has the last rule only, so that a program's calls would drive the open pages out.
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
        """Note that a session was used, and let others go."""
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
        """Take out of the queue what it keeps of calls that were answered: it has no other end for them."""
        queue = self.blocks._queue
        for key, events in list(queue.pending_event_ids_session.items()):
            messages = queue.pending_messages_per_session.get(key)
            is_answered = not any(id in queue.event_ids_to_events for id in events)
            if key not in self.session_data and is_answered and (messages is None or messages.empty()):
                del queue.pending_event_ids_session[key]
                queue.pending_messages_per_session.pop(key, None)


def use_sessions() -> None:
    """Have servers that are launched from now on keep their sessions so, as many as ``state_session_capacity`` says."""
    routes.StateHolder = Sessions  # type: ignore[misc]  # there is no other way to choose it
