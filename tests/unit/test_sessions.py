"""Sessions: calls of programs leave nothing behind, and never drive an open page out."""

import gc
from collections.abc import Iterator

import gradio as gr
import httpx
import pytest
from gradio.state_holder import SessionState
from patience import PATIENCE

from melbo_app.ui.endpoint import publish
from melbo_app.ui.sessions import CAPACITY, Session, Sessions, use_sessions

FEW, SWEEP, CALLS = 5, 20, 60


def ping(number: int) -> int:
    """Answer.

    Args:
        number: any
    """
    if number < 0:
        raise gr.Error("no", print_exception=False)
    return number


class Server:
    """A page with a state, a list that an event fills, and a verb; ``FEW`` sessions are kept."""

    def __init__(self) -> None:
        with gr.Blocks(analytics_enabled=False) as self.page:
            publish(ping, queue="look", at_once=8)
            count, listed = gr.State(0), gr.Dropdown([], label="list")
            button = gr.Button()
            button.click(lambda one: [one + 1, gr.Dropdown(choices=["new"])], count, [count, listed], api_name="add")
        _, url, _ = self.page.launch(
            server_name="127.0.0.1", prevent_thread_lock=True, quiet=True, ssr_mode=False, state_session_capacity=FEW
        )
        self.http = httpx.Client(base_url=f"{url}gradio_api", timeout=PATIENCE)
        [self.count] = [fn.inputs[0]._id for fn in self.page.fns.values() if fn.api_name == "add"]
        self.sessions = self.page.app.state_holder
        self.queue = self.page._queue

    def call(self, number: int = 1) -> str:
        asked = self.http.post("/call/v2/ping", json={"number": number}).json()
        return self.http.get(f"/call/ping/{asked['event_id']}").text

    def press(self, page: str) -> None:
        """What an open page does."""
        [fn] = [fn._id for fn in self.page.fns.values() if fn.api_name == "add"]
        asked = {"data": [None], "fn_index": fn, "session_hash": page}
        self.http.post("/queue/join", json=asked).raise_for_status()
        assert '"success":true' in self.http.get("/queue/data", params={"session_hash": page}).text


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GRADIO_TEMP_DIR", str(tmp_path_factory.mktemp("uploads")))
        patch.setenv("GRADIO_ANALYTICS_ENABLED", "False")
        patch.setenv("NO_PROXY", "127.0.0.1,localhost")
        patch.setattr("gradio.routes.StateHolder", gr.routes.StateHolder)  # put back afterwards
        patch.setattr("melbo_app.ui.sessions.SWEEP", SWEEP)
        use_sessions()
        gc.collect()
        gc.freeze()  # what is held is counted among what came later
        running = Server()
        yield running
        running.page.close(verbose=False)
        gc.unfreeze()


def test_the_server_uses_them(server):
    assert isinstance(server.sessions, Sessions) and server.sessions.capacity == FEW
    assert CAPACITY >= 100  # people


def test_an_open_page_keeps_its_state_however_many_calls_come(server):
    server.press("a page")
    server.press("a page")
    for at in range(CALLS):
        server.call(at)
    assert len(server.sessions.session_data) <= FEW
    assert server.sessions.session_data["a page"].state_data[server.count] == 2
    server.press("a page")
    assert server.sessions.session_data["a page"].state_data[server.count] == 3


def test_calls_leave_nothing_in_the_queue(server):
    for at in range(SWEEP):
        server.call(at if at % 2 else -1)  # answered and refused
    before = held(server)
    for at in range(CALLS):
        server.call(at if at % 2 else -1)
    assert held(server) == pytest.approx(before, abs=SWEEP + FEW)
    assert not server.queue.event_ids_to_events and not server.page.app.iterators


def held(server: Server) -> int:
    """Objects of sessions and of answered calls."""
    gc.collect()
    sessions = sum(issubclass(type(one), SessionState) for one in gc.get_objects())
    return sessions + len(server.queue.pending_event_ids_session) + len(server.queue.pending_messages_per_session)


def test_an_answer_that_nobody_fetched_yet_is_not_thrown_away(server):
    asked = server.http.post("/call/v2/ping", json={"number": 7}).json()
    for at in range(2 * SWEEP):
        server.call(at)
    assert "[7]" in server.http.get(f"/call/ping/{asked['event_id']}").text


def test_closed_pages_go_before_open_ones(server):
    for at in range(FEW - 2):
        server.press(f"page {at}")
    server.sessions.session_data["page 1"].is_closed = True
    for at in range(3):
        server.press(f"one more {at}")
    left = {*server.sessions.session_data}
    assert "page 1" not in left and "page 0" in left and "page 2" in left


def test_a_session_has_all_that_gradio_s_has(server):
    """A release that adds something to a session would miss it here."""
    assert {*vars(Session(server.page)), "config_values"} == {*vars(SessionState(server.page))}
    assert len(SessionState(server.page).config_values) > 3 and not Session(server.page).config_values


def test_no_session_keeps_an_answer(server: Server):
    number = 987_654_321_012_345
    for _ in range(3):
        assert str(number) in server.call(number)
    for session in server.sessions.session_data.values():
        assert str(number) not in repr([session.__dict__, session.config_values])
