"""A server on a lab's network, in a browser: its token opens the page, and its headers hold nothing back."""

import re
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

import pytest
import steps
from playwright.sync_api import Page, expect

pytestmark = pytest.mark.browser


def printed(app: Any) -> str:
    """The address in the start's output, at an address that every machine has."""
    [address] = re.findall(r"MELBO Explorer: (\S+)", app.log())
    parts = urlsplit(address)
    return parts._replace(netloc=f"127.0.0.1:{parts.port}").geturl()


def watched(page: Page, faults: Any) -> Page:
    faults.clear()
    faults.watch(page)
    page.add_init_script(path=steps.UNANSWERED)
    return page


def test_the_printed_address_opens_the_page_and_the_token_leaves_it(lab_app, stranger, faults):
    page = watched(stranger, faults)
    page.goto(printed(lab_app))
    steps.wait_until_ready(page)
    assert "token" not in page.url
    steps.choose_bank(page, steps.SAMPLE)
    steps.choose_only(page, 1)
    assert len(steps.steer(page)) >= 2
    steps.tab(page, "Similarity")
    steps.settle(page)
    page.reload()
    steps.wait_until_ready(page)
    assert faults == []


def test_without_the_token_a_person_is_asked_for_it(lab_app, stranger, faults):
    token = urlsplit(printed(lab_app)).query.removeprefix("token=")
    stranger.goto(lab_app.url)
    expect(stranger.get_by_role("heading", name="Access token")).to_be_visible()
    stranger.get_by_label("Access token").fill("not it")
    stranger.get_by_role("button", name="Open").click()
    expect(stranger.get_by_role("alert")).to_have_text("This is not the server's token.")
    stranger.get_by_label("Access token").fill(token)
    page = watched(stranger, faults)
    page.get_by_role("button", name="Open").click()
    steps.wait_until_ready(page)
    assert faults == []


@pytest.fixture
def evil() -> Iterator[str]:
    """A page on another port of this machine, so that no rule of the browser's about private networks applies."""

    class Page(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(b"<p>evil</p>")

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Page)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()


def test_another_page_may_neither_frame_it_nor_read_it(lab_app, evil, stranger, faults):
    """A page of another origin in the same browser, which has the cookie and sends it: to it, ports are one site."""
    page = watched(stranger, faults)
    page.goto(printed(lab_app))
    steps.wait_until_ready(page)
    page.goto(evil)
    asked = """async (address) => {
        const found = [];
        const upload = {method: "POST", mode: "no-cors", credentials: "include", body: "x"};
        for (const [way, options] of [["config", {credentials: "include"}], ["gradio_api/upload", upload]])
            try { found.push((await fetch(address + way, options)).type) } catch (error) { found.push("no answer") }
        return found;
    }"""
    assert page.evaluate(asked, f"{lab_app.url}/") == ["no answer", "no answer"]
    framed = """(address) => new Promise(done => {
        const frame = document.createElement("iframe");
        frame.onload = () => { try { done(frame.contentWindow.location.href) } catch { done("closed") } };
        frame.src = address; document.body.append(frame);
    })"""
    with page.expect_response(lambda answer: answer.url == f"{lab_app.url}/") as answer:
        assert page.evaluate(framed, f"{lab_app.url}/") == "closed"
    assert answer.value.status == 403
    faults.clear()
