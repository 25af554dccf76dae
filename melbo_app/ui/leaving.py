"""Whether somebody still waits for what an event computes.

Gradio ends a generator whose client has gone at its next step, and lets a plain function run to its end. Both can ask
here meanwhile, as often as they ask whether to stop.
"""

from collections.abc import Callable

from gradio.context import LocalContext

from melbo_app.web.presence import HEADER, is_present


def leaving() -> Callable[[], bool]:
    """The question whether the client of the event that runs in this thread has gone: it closed the page or the stream
    of its answer, it cancelled, or it was cut off. Without a queue nobody knows, and the answer is no."""
    blocks, event = LocalContext.blocks.get(None), LocalContext.event_id.get(None)
    request = LocalContext.request.get(None)
    # a call over MCP comes from Gradio itself, whose connection outlives those of its clients
    call = None if request is None else request.headers.get(HEADER)

    def left() -> bool:
        if call is not None and not is_present(call):
            return True
        if blocks is None or event is None:
            return False
        under_way = (one for events in blocks._queue.active_jobs for one in events or ())
        return not any(one._id == event and one.alive for one in under_way)

    return left
