"""A stranger on the port: each route of the real page, under foreign names, from foreign pages, without the token."""

import asyncio
import re
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import gradio as gr
import httpx
import pytest
from fastapi import APIRouter, FastAPI
from gradio_client import Client, handle_file
from mcp import ClientSession
from mcp.client.streamable_http import streamable_http_client
from pydantic import ValidationError
from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.routing import Mount, Route, WebSocketRoute
from starlette.testclient import TestClient
from starlette.websockets import WebSocketDisconnect

from melbo_app.settings import Settings
from melbo_app.ui.application import application, ask_itself_at
from melbo_app.ui.page import build_page
from melbo_app.ui.visitor import visitor
from melbo_app.web.guards import address_of, guards, token_of, warnings_of
from melbo_app.web.proxies import OWN_HEADER, SOMEBODY
from melbo_app.web.security_headers import ALONE
from melbo_app.web.server import Server
from melbo_app.workbench import Workbench

TOKEN = "a-token-of-twenty-letters"
PORT = 7860
FILLED = re.compile(r"\{[^}]*\}")
PAGE = {"Accept": "text/html,*/*"}
NEAR, FAR = ("127.0.0.1", 5000), ("10.0.0.9", 5000)


@pytest.fixture(autouse=True)
def no_settings(monkeypatch) -> None:
    for name in ("MELBO_TOKEN", "MELBO_HOST", "MELBO_ALLOW_HOST", "MELBO_NO_TOKEN", "MELBO_EMBED", "MELBO_ROOT_PATH"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(scope="module")
def page(tmp_path_factory) -> Iterator[FastAPI]:
    """The real page, guarded as on a lab's network."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GRADIO_TEMP_DIR", str(tmp_path_factory.mktemp("uploads")))
        patch.setenv("GRADIO_ANALYTICS_ENABLED", "False")
        settings = Settings(cache_dir=tmp_path_factory.mktemp("cache"), host="0.0.0.0", allow_host=("lab.example",))
        built = build_page(Workbench(settings))
        yield application(built, guards(settings, PORT, TOKEN), mcp=True)


def routes(app: FastAPI | APIRouter) -> list[tuple[str, str]]:
    """Every method and address, with an x for what varies."""
    found: list[tuple[str, str]] = []
    for route in app.routes:
        if isinstance(route, Mount):
            inner = routes(route.app) if hasattr(route.app, "routes") else [("POST", "/")]
            found += [(method, route.path + way) for method, way in inner]
        elif hasattr(route, "original_router"):
            found += routes(route.original_router)
        else:
            found += [(method, FILLED.sub("x", route.path) or "/") for method in route.methods or ("GET", "POST")]
    return found


def asks(app, base_url: str = f"http://lab.example:{PORT}", client: tuple[str, int] = FAR) -> TestClient:
    return TestClient(app, base_url=base_url, client=client, follow_redirects=False, raise_server_exceptions=False)


def test_no_route_answers_without_the_token(page):
    every = sorted(set(routes(page)))
    assert len(every) > 60 and {"/gradio_api/upload", "/config", "/gradio_api/queue/join"} <= {way for _, way in every}
    assert any("/mcp" in way for _, way in every)
    client = asks(page)
    wrong = ({"Authorization": "Bearer no"}, {"Cookie": f"melbo-token-{PORT}=no"}, {"Authorization": TOKEN})
    for at, (method, way) in enumerate([*every, ("GET", "/no-such-route"), ("PUT", "/"), ("TRACE", "/config")]):
        for headers in ({}, wrong[at % len(wrong)]):
            answer = client.request(method, way, headers=headers)
            assert answer.status_code == 401, (method, way)
            assert "gradio" not in answer.text and "melbo_app" not in answer.text, (method, way)


def test_private_events_do_not_answer_by_number_without_the_token(page):
    client = asks(page)
    events = list(page.routes[-1].app.get_blocks().fns)
    assert len(events) > 150
    for number in events:
        joined = {"fn_index": number, "data": [], "session_hash": "s"}
        way = f"/gradio_api/run/{number}" if number % 2 else "/gradio_api/queue/join"
        assert client.post(way, json=joined).status_code == 401


def share(page: FastAPI, one: str, of: list[str]) -> list[tuple[str, str]]:
    """The settings, and the routes that are asked by this one: each route is asked by one of them."""
    return [("GET", "/config"), *sorted(set(routes(page)))[of.index(one) :: len(of)]]


HOSTS = ["evil.example", "x.localhost", "localhost.", "lab.example.", "lab.example.evil", "", "a b"]


@pytest.mark.parametrize("host", HOSTS)
def test_a_foreign_host_is_refused_on_every_route_even_with_the_token(page, host):
    client = asks(page)
    for method, way in share(page, host, HOSTS):
        answer = client.request(method, way, headers={"Host": host, "Authorization": f"Bearer {TOKEN}"})
        assert answer.status_code == 403, (method, way)
        assert not any(name.startswith("access-control") for name in answer.headers)


ORIGINS = ["http://evil.example", "null", "http://localhost:3000", "file://", "http://evil.lab.example"]


@pytest.mark.parametrize("origin", ORIGINS)
def test_a_foreign_page_is_refused_on_every_route_even_with_the_token(page, origin):
    client = asks(page)
    for method, way in [("OPTIONS", "/config"), ("OPTIONS", "/gradio_api/upload"), *share(page, origin, ORIGINS)]:
        headers = {"Origin": origin, "Authorization": f"Bearer {TOKEN}", "Access-Control-Request-Method": "POST"}
        answer = client.request(method, way, headers=headers)
        assert answer.status_code == 403, (method, way)
        assert not any(name.startswith("access-control") for name in answer.headers)


def test_with_the_token_the_page_answers(page):
    client = asks(page)
    for headers in ({"Authorization": f"Bearer {TOKEN}"}, {"Cookie": f"melbo-token-{PORT}={TOKEN}"}):
        assert client.get("/config", headers=headers).status_code == 200
        assert client.get("/", headers=headers | PAGE).status_code == 200
        assert client.get("/gradio_api/info", headers=headers).status_code == 200
    assert client.get(f"/config?token={TOKEN}").status_code == 200
    assert (
        "access-control-allow-origin"
        not in client.get("/config", headers=headers | {"Origin": "http://lab.example"}).headers
    )


@pytest.mark.parametrize("way", ["/", "/config", "/gradio_api/info", "/robots.txt", "/none"])
def test_every_answer_says_what_a_browser_is_to_refuse(page, way):
    for headers in ({}, {"Authorization": f"Bearer {TOKEN}"}, {"Host": "evil.example"}):
        said = asks(page).get(way, headers=headers | PAGE).headers
        assert "frame-ancestors 'none'" in said["content-security-policy"]
        assert said["x-content-type-options"] == "nosniff" and said["referrer-policy"] == "same-origin"
        assert set(ALONE) <= set(said) and "uvicorn" not in said.get("server", "")


def small(**given) -> Starlette:
    """An app that says who asked, behind the guards of these settings."""

    async def who(request):
        return JSONResponse({"client": request.client.host, "way": request["path"], "query": str(request.query_params)})

    async def open_socket(websocket):
        await websocket.accept()

    settings = Settings(**given)
    token = settings.token.get_secret_value() if settings.token else None
    methods = ["GET", "POST", "OPTIONS", "HEAD"]
    ways = [Route("/{way:path}", who, methods=methods), WebSocketRoute("/socket", open_socket)]
    return Starlette(routes=ways, middleware=guards(settings, PORT, token))


def test_on_this_machine_nothing_is_asked_for_and_only_its_own_names_count():
    settings = Settings()
    assert token_of(settings) is None and warnings_of(settings, None) == []
    assert address_of(settings, PORT, None) == f"http://127.0.0.1:{PORT}/"
    client = asks(small(), f"http://127.0.0.1:{PORT}", NEAR)
    for host in ("127.0.0.1:1", "localhost", "LOCALHOST:7861", "[::1]:80"):
        assert client.get("/", headers={"Host": host}).status_code == 200
    for host in ("10.0.0.5", "8.8.8.8:7860", "0.0.0.0", "evil.example"):
        answer = client.get("/", headers={"Host": host})
        assert answer.status_code == 403 and f"--allow-host {host.split(':')[0]}" in answer.json()["error"]


@pytest.mark.parametrize(
    ("host", "origin", "status"),
    [
        ("localhost:7860", "http://localhost:7860", 200),
        ("localhost:7860", "https://localhost:7860", 200),  # a proxy that speaks https to the browser
        ("localhost:7860", "http://localhost:8888", 403),
        ("localhost:7860", "http://127.0.0.1:7860", 403),
        ("localhost", "http://localhost", 200),
        ("localhost", "http://localhost:81", 403),
        ("lab.example", "https://lab.example", 200),
        ("127.0.0.1:7860", "https://lab.example", 200),  # nginx without `proxy_set_header Host`
        ("127.0.0.1:7860", "https://evil.example", 403),
    ],
)
def test_a_page_may_ask_if_it_came_from_here(host, origin, status):
    client = asks(small(allow_host=("lab.example",)), client=NEAR)
    for method in ("GET", "POST", "OPTIONS"):
        assert client.request(method, "/x", headers={"Host": host, "Origin": origin}).status_code == status


@pytest.mark.parametrize(
    ("site", "mode", "place", "embed", "status"),
    [
        ("same-origin", "cors", "empty", (), 200),
        ("none", "navigate", "document", (), 200),
        ("cross-site", "navigate", "document", (), 200),  # a link on another page
        ("cross-site", "no-cors", "image", (), 403),
        ("same-site", "no-cors", "script", (), 403),
        ("cross-site", "navigate", "iframe", (), 403),
        ("cross-site", "navigate", "iframe", ("https://lab.example",), 200),
        ("cross-site", "no-cors", "image", ("https://lab.example",), 403),
    ],
)
def test_pages_elsewhere_can_link_here_and_nothing_else(site, mode, place, embed, status):
    headers = {"Sec-Fetch-Site": site, "Sec-Fetch-Mode": mode, "Sec-Fetch-Dest": place}
    assert asks(small(embed=embed), "http://localhost").get("/", headers=headers).status_code == status


def test_a_forwarded_host_has_to_be_allowed_as_well():
    client = asks(small(allow_host=("lab.example",)), "http://localhost")
    assert client.get("/", headers={"X-Forwarded-Host": "lab.example"}).status_code == 200
    assert client.get("/", headers={"X-Forwarded-Host": "lab.example, evil.example"}).status_code == 403
    assert client.get("/", headers={"X-Forwarded-Host": "evil.example"}).status_code == 403


@pytest.mark.parametrize(
    ("trusted", "peer", "headers", "client"),
    [
        ((), NEAR, {}, "127.0.0.1"),
        ((), NEAR, {"X-Forwarded-For": "127.0.0.1"}, SOMEBODY),
        ((), FAR, {"X-Forwarded-For": "127.0.0.1"}, SOMEBODY),
        ((), NEAR, {"Forwarded": "for=127.0.0.1"}, SOMEBODY),
        ((), NEAR, {"X-Real-IP": "127.0.0.1"}, SOMEBODY),
        (("127.0.0.1",), NEAR, {"X-Forwarded-For": "127.0.0.1, 203.0.113.7"}, "203.0.113.7"),
        (("127.0.0.1",), FAR, {"X-Forwarded-For": "127.0.0.1"}, SOMEBODY),
        (("10.0.0.0/8",), FAR, {"X-Forwarded-For": "203.0.113.7, 10.1.1.1"}, "203.0.113.7"),
        (("10.0.0.0/8",), FAR, {}, "10.0.0.9"),
    ],
)
def test_who_asks_is_believed_of_named_proxies_only(trusted, peer, headers, client):
    asked = asks(small(trusted_proxy=trusted), "http://localhost", peer).get("/", headers=headers)
    assert asked.json()["client"] == client


def test_the_server_s_own_requests_say_for_whom_they_are_sent():
    token = "own-" + TOKEN
    who = [Route("/", lambda request: JSONResponse({"client": request.client.host, "headers": dict(request.headers)}))]
    client = asks(Starlette(routes=who, middleware=guards(Settings(), PORT, TOKEN, token)), "http://localhost", NEAR)
    mine = {OWN_HEADER: token, "X-Forwarded-For": "203.0.113.7"}
    answer = client.get("/", headers=mine).json()
    assert answer["client"] == answer["headers"]["x-forwarded-for"] == "203.0.113.7"
    assert OWN_HEADER not in answer["headers"]
    assert client.get("/", headers=mine | {OWN_HEADER: "no"}).status_code == 401
    assert client.get("/", headers=mine | {OWN_HEADER: ""}).status_code == 401
    assert asks(small(token=TOKEN), "http://localhost").get("/", headers={OWN_HEADER: ""}).status_code == 401


def test_the_token_in_the_address_becomes_a_cookie():
    client = asks(small(token=TOKEN), "http://localhost")
    answer = client.get(f"/a%20b?x=1&token={TOKEN}&y=%26", headers=PAGE)
    assert (answer.status_code, answer.headers["location"]) == (303, "/a%20b?x=1&y=%26")
    cookie = answer.headers["set-cookie"]
    assert f"melbo-token-{PORT}={TOKEN}" in cookie and "HttpOnly" in cookie and "SameSite=lax" in cookie
    assert "Path=/" in cookie and "Secure" not in cookie
    assert client.get("/", headers=PAGE).json()["client"]  # with the cookie
    assert client.get(f"/?token={TOKEN}&a=1").json()["query"] == "a=1"  # a program is not sent anywhere
    assert asks(small(token=TOKEN), "http://localhost").get("/?token=no", headers=PAGE).status_code == 401
    elsewhere = client.get(f"/%2Fevil.example/?token={TOKEN}", headers=PAGE).headers["location"]
    assert elsewhere == "/evil.example/"


def test_behind_a_proxy_the_cookie_is_for_its_path_and_https_only():
    client = asks(small(token=TOKEN, root_path="/melbo", allow_host=("lab.example",)), "http://lab.example")
    answer = client.get(f"/melbo/?token={TOKEN}", headers=PAGE | {"X-Forwarded-Proto": "https"})
    assert answer.status_code == 303 and answer.headers["location"] == "/melbo/"
    assert "Path=/melbo/" in answer.headers["set-cookie"] and "Secure" in answer.headers["set-cookie"]
    embedded = asks(small(token=TOKEN, embed=("https://lab.example",)), "http://localhost")
    framed = embedded.get(f"/?token={TOKEN}", headers=PAGE | {"X-Forwarded-Proto": "https"})
    assert "SameSite=none" in framed.headers["set-cookie"] and "Secure" in framed.headers["set-cookie"]
    assert "frame-ancestors 'self' https://lab.example" in framed.headers["content-security-policy"]
    assert "x-frame-options" not in framed.headers


def test_a_person_without_the_token_is_asked_for_it():
    client = asks(small(token=TOKEN, root_path="/p"), "http://localhost")
    asked = client.get("/p/", headers=PAGE)
    assert asked.status_code == 401 and 'action="/p/"' in asked.text and "not the server" not in asked.text
    wrong = client.post("/p/", data={"token": "no"})
    assert wrong.status_code == 401 and "not the server" in wrong.text
    typed = client.post("/p/", data={"token": f" {TOKEN} "})
    assert (typed.status_code, typed.headers["location"]) == (303, "/p/")
    assert client.get("/p/", headers=PAGE).status_code == 200
    assert asks(small(token=TOKEN), "http://localhost").post("/", data={"token": "x" * 5000}).status_code == 401


def test_a_program_without_the_token_gets_the_sentence():
    answer = asks(small(token=TOKEN), "http://localhost").post("/gradio_api/queue/join", json={})
    assert answer.status_code == 401 and "Authorization: Bearer" in answer.json()["error"]


@pytest.mark.parametrize("headers", [{}, {"Origin": "http://evil.example", "Authorization": f"Bearer {TOKEN}"}])
def test_a_websocket_is_guarded_as_well(headers):
    client = asks(small(token=TOKEN), "http://localhost")
    with pytest.raises(WebSocketDisconnect), client.websocket_connect("/socket", headers=headers):
        pass


def test_elsewhere_than_on_this_machine_a_token_is_made():
    for host in ("0.0.0.0", "10.0.0.5", "::"):
        settings = Settings(host=host)
        token = token_of(settings)
        assert token is not None and len(token) >= 32 and token != token_of(settings)
        assert address_of(settings, PORT, token).endswith(f":{PORT}/?token={token}")
        assert "//0.0.0.0" not in address_of(settings, PORT, token)
        open_to_all = Settings(host=host, no_token=True)
        assert token_of(open_to_all) is None and "without a token" in warnings_of(open_to_all, None)[0]
    assert token_of(Settings(token=TOKEN)) == TOKEN
    assert token_of(Settings(host="127.0.0.2")) is None
    assert "MELBO_TOKEN" in warnings_of(Settings(allow_host="lab.example"), None)[0]


def test_on_other_addresses_an_address_needs_no_name():
    client = asks(small(host="0.0.0.0"))
    assert client.get("/", headers={"Host": "192.168.1.7:7860"}).status_code == 200
    assert client.get("/", headers={"Host": "192.168.1.7:7860", "Origin": "http://192.168.1.7:7860"}).status_code == 200
    assert client.get("/", headers={"Host": "192.168.1.7:7860", "Origin": "http://192.168.1.8:7860"}).status_code == 403
    assert client.get("/", headers={"Host": "evil.example"}).status_code == 403


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("allow_host", "lab.example."), ("allow_host", "https://lab.example"), ("allow_host", "*"),
        ("trusted_proxy", "nginx"), ("trusted_proxy", "*"), ("embed", "lab.example"), ("embed", "https://a; img-src *"),
        ("token", "short"), ("token", "sixteen letters; and more"),
    ],
)  # fmt: skip
def test_a_setting_that_would_open_more_than_was_meant_is_refused(name, value):
    with pytest.raises(ValidationError):
        Settings(**{name: value})


def test_settings_are_lists_with_commas(monkeypatch):
    monkeypatch.setenv("MELBO_ALLOW_HOST", "lab.example, *.lab.example ,")
    assert Settings().allow_host == ("lab.example", "*.lab.example")


def test_a_program_with_the_token_uploads_asks_and_downloads(tmp_path, monkeypatch):
    """The whole way of a client, against a server on a port."""
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path / "uploads"))
    monkeypatch.setenv("GRADIO_ANALYTICS_ENABLED", "False")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1,localhost")
    sent = tmp_path / "sent.txt"
    sent.write_text("here and back")
    with gr.Blocks() as page:
        file, back = gr.File(), gr.File()
        file.upload(lambda path: path, file, back, api_name="echo")
    with httpx.Client() as free:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        server = Server(application(page, guards(Settings(token=TOKEN), port, TOKEN)), "127.0.0.1", port)
        server.start()
        try:
            address = f"http://127.0.0.1:{port}"
            assert free.get(f"{address}/config").status_code == 401
            headers = {"Authorization": f"Bearer {TOKEN}"}
            client = Client(address, headers=headers, verbose=False, download_files=str(tmp_path))
            assert Path(client.predict(handle_file(sent), api_name="/echo")).read_text() == "here and back"
            for path in (__file__, f"{address}/config", str(tmp_path / "uploads" / ".." / "sent.txt")):
                stolen = {"path": path, "meta": {"_type": "gradio.FileData"}}
                called = free.post(f"{address}/gradio_api/call/echo", json={"data": [stolen]}, headers=headers).json()
                told = free.get(f"{address}/gradio_api/call/echo/{called['event_id']}", headers=headers).text
                assert "event: error" in told and "event: complete" not in told
        finally:
            server.close()


def test_closing_ends_the_server_s_thread(tmp_path):
    async def app(scope, receive, send):
        await asyncio.sleep(0)

    server = Server(app, "127.0.0.1", 0)
    server.start()
    server.close()
    assert not server._thread.is_alive()


def test_a_call_over_mcp_needs_the_token_and_comes_from_its_client(tmp_path, monkeypatch):
    """Gradio's MCP server asks its own page over HTTP: behind our guards, and in its client's name."""
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path / "uploads"))
    monkeypatch.setenv("GRADIO_ANALYTICS_ENABLED", "False")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1,localhost")

    def who() -> str:
        """Who asks."""
        return visitor()

    with gr.Blocks() as page:
        gr.api(who)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    settings, address = Settings(token=TOKEN, trusted_proxy="127.0.0.1", cache_dir=tmp_path), f"http://127.0.0.1:{port}"
    server = Server(application(page, guards(settings, port, TOKEN, "own"), mcp=True), "127.0.0.1", port)
    ask_itself_at(page, address, {OWN_HEADER: "own"})

    async def call() -> str:
        headers = {"Authorization": f"Bearer {TOKEN}", "X-Forwarded-For": "203.0.113.7"}
        async with (
            httpx.AsyncClient(headers=headers, trust_env=False) as client,
            streamable_http_client(f"{address}/gradio_api/mcp/", http_client=client) as (read, write, _),
            ClientSession(read, write) as session,
        ):
            await session.initialize()
            return (await session.call_tool("who", {})).content[0].text

    server.start()
    try:
        with ThreadPoolExecutor() as elsewhere:  # in this thread a browser's loop may run
            assert elsewhere.submit(asyncio.run, call()).result() == "203.0.113.7"
    finally:
        server.close()
