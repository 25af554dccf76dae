"""Whether a client still waits for the result of an event.

When the client has gone, Gradio ends a generator at its next step, and lets a function run to its end. Both can ask
here at any time, as they ask whether to stop.
"""

from collections.abc import Callable

from gradio.context import LocalContext

from melbo_app.web.presence import HEADER, is_present


def leaving() -> Callable[[], bool]:
    """A function that says whether the client of this thread's event has gone: it closed the page or the stream, it
    cancelled, or it was cut off. Without a queue this is unknown, and the answer is no."""
    blocks, event = LocalContext.blocks.get(None), LocalContext.event_id.get(None)
    request = LocalContext.request.get(None)
    # a call over MCP comes from Gradio itself, whose connection outlives the client's
    call = None if request is None else request.headers.get(HEADER)

    def left() -> bool:
        if call is not None and not is_present(call):
            return True
        if blocks is None or event is None:
            return False
        under_way = (one for events in blocks._queue.active_jobs for one in events or ())
        return not any(one._id == event and one.alive for one in under_way)

    return left
