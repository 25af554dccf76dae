"""Behind a proxy, below a prefix: all that the page asks for lies there, and the page works as it does elsewhere."""

import asyncio
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
import steps
import uvicorn
from gradio_client import Client
from mcp import ClientSession
from mcp.client.streamable_http import streamable_http_client
from playwright.sync_api import Page, expect
from starlette.applications import Starlette
from starlette.requests import Request as Asked
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from melbo_app.library.imports import read_file

pytestmark = pytest.mark.browser


class Proxy:
    """Shows ``app`` below ``prefix`` and nothing elsewhere; ``strips`` takes the prefix off, ``says`` names it."""

    def __init__(self, app: Any, prefix: str, *, strips: bool, says: bool) -> None:
        self.app, self.prefix, self._strips, self._says = app, prefix, strips, says
        self.strangers: list[str] = []
        ways = [Route("/{way:path}", self._pass_on, methods=["GET", "POST", "HEAD", "DELETE", "OPTIONS"])]
        self._server = uvicorn.Server(uvicorn.Config(Starlette(routes=ways), port=0, log_level="critical"))
        self._thread = threading.Thread(target=self._server.run, daemon=True)
        fresh = httpx.Limits(max_keepalive_connections=0)  # a kept connection may close just as it is used again
        self._client = httpx.AsyncClient(base_url=app.url, timeout=None, trust_env=False, limits=fresh)

    def start(self) -> None:
        self._thread.start()
        while not self._server.started:
            assert self._thread.is_alive(), "the proxy did not start"
            threading.Event().wait(0.02)

    def stop(self) -> None:
        self._server.force_exit = self._server.should_exit = True
        self._thread.join()

    @property
    def url(self) -> str:
        """Without the slash at the end, as people write it."""
        return f"http://127.0.0.1:{self._server.servers[0].sockets[0].getsockname()[1]}{self.prefix}"

    def log(self) -> str:
        return self.app.log()

    async def _pass_on(self, request: Asked) -> Response:
        path = request.url.path
        if not path.startswith(self.prefix):
            self.strangers.append(path)
            return PlainTextResponse("not the page's", status_code=404)
        way = path.removeprefix(self.prefix) if self._strips else path
        headers = [(name, value) for name, value in request.headers.raw if name != b"x-forwarded-prefix"]
        headers += [(b"x-forwarded-prefix", self.prefix.encode())] if self._says else []
        url = httpx.URL(path=way or "/", query=request.url.query.encode())
        sent = self._client.build_request(request.method, url, headers=headers, content=await request.body())
        answer = await self._client.send(sent, stream=True)
        passed = StreamingResponse(answer.aiter_raw(), answer.status_code)
        passed.raw_headers = [(name.lower(), value) for name, value in answer.headers.raw]
        return passed


@pytest.fixture(params=["taken off and said", "taken off", "left on"])
def proxy(request: pytest.FixtureRequest) -> Iterator[Proxy]:
    """As jupyter-server-proxy does it, as nginx does, and as both do with other settings."""
    if request.param == "taken off and said":
        made = Proxy(request.getfixturevalue("app"), "/user/jo/proxy/7991", strips=True, says=True)
    else:
        made = Proxy(
            request.getfixturevalue("rooted_app"), steps.ROOT_PATH, strips=request.param == "taken off", says=False
        )
    made.start()
    yield made
    made.stop()


def test_the_page_steers_maps_and_gives_files(proxy: Proxy, open_page: Callable[..., Page], tmp_path: Path) -> None:
    page = open_page(proxy)
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    steps.start_over(page)
    expect(page.locator("#tokens .mx-token").first).to_be_attached()
    steps.choose_only(page, 2, 5)
    assert len(steps.steer(page)) == 3
    steps.draw_map(page, "9")
    assert steps.points(page)
    steps.tab(page, "Labels")
    with page.expect_download() as caught:
        page.locator("#labels-csv").click()
    caught.value.save_as(tmp_path / "labels.csv")
    assert (tmp_path / "labels.csv").read_text("utf-8")
    assert proxy.strangers == []
    assert [url for url in asked if not url.startswith((proxy.url, "data:", "blob:"))] == []


def test_programs_find_the_verbs_and_the_tools(proxy: Proxy, tmp_path: Path) -> None:
    with ThreadPoolExecutor(1) as pool:  # the browser has its events in this thread
        names, written, tools = pool.submit(_program, proxy, tmp_path).result()
    assert steps.SAMPLE in names and read_file(written)[1].bank is not None
    assert any(tool.endswith("steer") for tool in tools)
    assert proxy.strangers == []


def _program(proxy: Proxy, folder: Path) -> tuple[list[str], Path, list[str]]:
    client = Client(proxy.url, verbose=False, download_files=str(folder))
    names = [bank["name"] for bank in client.predict(api_name="/banks")["banks"]]
    written = client.predict(steps.SAMPLE, api_name="/export_bank")

    async def tools() -> list[str]:
        address = f"{proxy.url}/gradio_api/mcp/"
        async with streamable_http_client(address) as (read, write, _), ClientSession(read, write) as session:
            await session.initialize()
            return [tool.name for tool in (await session.list_tools()).tools]

    return names, Path(written), asyncio.run(tools())
