"""Handlers of one event that are asked again while they run: each runs once more with the last value, and no more."""

import threading
import time
from collections import Counter
from collections.abc import Iterator

import gradio as gr
import pytest
import uvicorn
from playwright.sync_api import Browser

from melbo_app.ui.application import application

pytestmark = pytest.mark.browser
SLOW = (0.3, 0.4)  # seconds of the two handlers, which overlap


@pytest.fixture
def asked() -> Counter[tuple[int, str]]:
    """How often each handler was asked with each text."""
    return Counter()


@pytest.fixture
def address(asked: Counter[tuple[int, str]]) -> Iterator[str]:
    with gr.Blocks() as page:
        word = gr.Textbox(elem_id="word")
        for number, seconds in enumerate(SLOW):

            def handle(text: str, number: int = number, seconds: float = seconds) -> None:
                asked[number, text] += 1
                time.sleep(seconds)

            word.change(handle, word, None)
    server = uvicorn.Server(uvicorn.Config(application(page), port=0, log_level="error"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    deadline = time.monotonic() + 60
    while not server.started:
        assert thread.is_alive() and time.monotonic() < deadline, "the server did not start"
        time.sleep(0.05)
    yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    server.should_exit = True
    thread.join()


def test_handlers_that_overlap_do_not_ask_each_other_without_end(
    browser: Browser, address: str, asked: Counter[tuple[int, str]]
) -> None:
    page = browser.new_page()
    page.goto(address)
    page.locator("#word textarea, #word input").first.press_sequentially("abcd", delay=60)
    deadline = time.monotonic() + 60
    while not all(asked[number, "abcd"] for number in range(len(SLOW))):
        assert time.monotonic() < deadline, asked
        time.sleep(0.1)
    page.wait_for_timeout(3000)  # several times as long as both take
    page.context.close()
    assert [asked[number, "abcd"] for number in range(len(SLOW))] == [1, 1], asked
