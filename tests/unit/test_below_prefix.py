"""Below a proxy's prefix: every address that the browser is given lies there, and a stranger's header does nothing."""

import json
import re
from collections.abc import Iterator
from urllib.parse import urlsplit

import gradio as gr
import httpx
import pytest
from pydantic import ValidationError
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.responses import JSONResponse, PlainTextResponse
from starlette.routing import Mount, Route
from starlette.testclient import TestClient

import app
from melbo_app.prefix import read_prefix
from melbo_app.settings import Settings
from melbo_app.ui.components.plotly_view import PLOTLY_ROUTE, plotly_view
from melbo_app.ui.mended_scripts import mended_scripts
from melbo_app.web.below_prefix import BelowPrefix

HOSTILE = [
    "javascript:alert(1)", "/a\"onload=alert(1)", "/<script>", "/%3Cscript%3E", "/a'b", "/a`b", "/a{b}", "/a\\b",
    "/a?b=c", "/a#b", "/a b", "/a;b", "//evil.example", "https://evil.example/", "/a//b", "/../etc", "/a/..", "/a/./b",
    "/%2e%2e/a", "/a%0d%0ab", "/a&b", "/$a", "/" + 600 * "a", "/a,/<b>",
]  # fmt: skip


def echo(root_path: str = "") -> TestClient:
    """An app that says at which address it was asked."""

    def where(request) -> JSONResponse:
        return JSONResponse({"url": str(request.url), "base": str(request.base_url), "way": request["path"]})

    routes = [Route("/", where), Route("/x/y.js", where), Mount("/sub", routes=[Route("/z", where)])]
    middleware = [Middleware(BelowPrefix, root_path)]
    return TestClient(Starlette(routes=routes, middleware=middleware), base_url="http://host:7860")


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("/proxy/7991", "/proxy/7991"), ("proxy/7991/", "/proxy/7991"), ("/user/jo%40x/proxy/absolute/7991/", None),
        ("/user/j\u00e9-1_2~3/rstudio+:", "/user/j\u00e9-1_2~3/rstudio+:"), ("", ""), ("/", ""), ("  /a ", "/a"),
        ("/.hidden/..a", "/.hidden/..a"),
    ],
)  # fmt: skip
def test_a_prefix_is_read_however_it_is_written(written, read):
    assert read_prefix(written) == (written.replace("%40", "@").rstrip("/") if read is None else read)


@pytest.mark.parametrize("written", [text for text in HOSTILE if "," not in text])
def test_what_is_no_path_of_ordinary_characters_is_refused(written, monkeypatch, capsys):
    assert read_prefix(written) is None
    with pytest.raises(SystemExit, match="2"):
        app.main(["--root-path", written])
    assert re.match(r"root-path: “.*” cannot be used\. Write the path below which the page is", capsys.readouterr().err)
    monkeypatch.setenv("MELBO_ROOT_PATH", written)
    with pytest.raises(ValidationError):
        Settings()


@pytest.mark.parametrize("way", ["/", "/x/y.js", "/sub/z"])
@pytest.mark.parametrize(
    ("root_path", "said", "sent"),
    [
        ("", "/proxy/7991", ""),  # jupyter-server-proxy, Traefik
        ("", "/proxy/7991", "/proxy/7991"),  # a proxy that leaves it on and says so
        ("/proxy/7991", None, ""),  # nginx with a slash behind proxy_pass
        ("/proxy/7991", None, "/proxy/7991"),  # jupyter-server-proxy with absolute_url, nginx without the slash
        ("/elsewhere", "/proxy/7991", ""),  # the proxy knows better
        ("", "/proxy, /7991/", ""),  # two proxies in a row
    ],
)
def test_the_address_is_that_of_the_browser_whether_or_not_the_proxy_takes_the_prefix_off(root_path, said, sent, way):
    headers = {} if said is None else {"X-Forwarded-Prefix": said}
    found = echo(root_path).get(sent + way, headers=headers).json()
    assert found == {
        "url": f"http://host:7860/proxy/7991{way}",
        "base": "http://host:7860/proxy/7991/",
        "way": f"/proxy/7991{way}",
    }


def test_without_a_proxy_nothing_changes_and_with_one_the_server_can_be_asked_directly():
    assert echo().get("/x/y.js").json()["url"] == "http://host:7860/x/y.js"
    assert echo("/p").get("/x/y.js").json()["url"] == "http://host:7860/p/x/y.js"
    assert echo("/p").get("/p/x/y.js").json()["url"] == "http://host:7860/p/x/y.js"
    assert echo("/p").get("/pp/x/y.js").status_code == 404


def test_the_prefix_itself_leads_to_the_folder_of_that_name():
    answer = echo("/p q".replace(" ", "-")).get("/p-q?theme=dark", follow_redirects=False)
    assert (answer.status_code, answer.headers["location"]) == (307, "/p-q/?theme=dark")


@pytest.mark.parametrize("said", HOSTILE)
def test_a_stranger_s_header_is_ignored(said):
    found = echo().get("/x/y.js", headers={"X-Forwarded-Prefix": said.encode()}).json()
    assert found["url"] == "http://host:7860/x/y.js"
    assert echo("/p").get("/x/y.js", headers={"X-Forwarded-Prefix": said.encode()}).json()["url"].endswith("/p/x/y.js")


def test_the_public_host_is_kept_together_with_the_prefix():
    headers = {"X-Forwarded-Prefix": "/p", "X-Forwarded-Host": "public.example, inner", "X-Forwarded-Proto": "https"}
    assert echo().get("/x/y.js", headers=headers).json()["url"] == "http://public.example/p/x/y.js"


@pytest.fixture(scope="module")
def gradio(tmp_path_factory) -> Iterator[httpx.Client]:
    """A page as ours: an event, a file to download, a script in its head and two routes of our own."""
    with gr.Blocks() as page:
        plotly_view(elem_id="plot")
        word, file = gr.Textbox(), gr.File()
        word.submit(lambda text: __file__, word, file, api_name="fetch")
    (tracker, text), *_ = mended_scripts().items()
    scripts = [
        Route(PLOTLY_ROUTE, lambda request: PlainTextResponse("plotly")),
        Route(tracker, lambda request: PlainTextResponse(text)),
    ]
    middleware = [Middleware(BelowPrefix, "/left/on")]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GRADIO_TEMP_DIR", str(tmp_path_factory.mktemp("uploads")))
        patch.setenv("GRADIO_ANALYTICS_ENABLED", "False")
        patch.setenv("NO_PROXY", "127.0.0.1,localhost")
        kwargs = {"routes": scripts, "middleware": middleware}
        page.launch(server_name="127.0.0.1", app_kwargs=kwargs, prevent_thread_lock=True, quiet=True, ssr_mode=False)
    with httpx.Client(base_url=page.local_url, trust_env=False) as client:
        yield client
    page.close(verbose=False)


@pytest.mark.parametrize(
    ("headers", "sent", "root"),
    [
        ({"X-Forwarded-Prefix": "/taken/off"}, "", "http://{here}/taken/off"),
        ({"X-Forwarded-Prefix": "/taken/off", "X-Forwarded-Host": "a.example"}, "", "http://a.example/taken/off"),
        (
            {"X-Forwarded-Prefix": "/taken", "X-Forwarded-Host": "a.example", "X-Forwarded-Proto": "https"},
            "",
            "https://a.example/taken",
        ),
        ({}, "/left/on", "http://{here}/left/on"),
        ({"X-Forwarded-Host": "a.example"}, "/left/on", "http://a.example/left/on"),
        ({}, "", "http://{here}/left/on"),
        ({"X-Forwarded-Prefix": "/</script><script>alert(1)//"}, "", "http://{here}/left/on"),
    ],
)
def test_all_that_gradio_tells_the_browser_lies_below_the_prefix(gradio, headers, sent, root):
    root = root.format(here=gradio.base_url.netloc.decode())
    page = gradio.get(f"{sent}/", headers=headers).text
    [config] = re.findall(r"window\.gradio_config = (\{.*?\});</script>", page, flags=re.DOTALL)
    assert json.loads(config)["root"] == root and "alert(1)" not in page
    assert gradio.get(f"{sent}/config", headers=headers).json()["root"] == root
    assert f'src="{PLOTLY_ROUTE}"' not in page  # relative to the base
    base = f'<base href="{urlsplit(root).path}/" />'
    assert page.count("<base") == 1 and 0 < page.index(base) < page.index('src="./assets/')
    assert gradio.head(f"{sent}/", headers=headers).status_code in (200, 405)
    tracker, *_ = mended_scripts()
    for way in (PLOTLY_ROUTE, tracker, "/theme.css", "/gradio_api/info"):
        assert gradio.get(sent + way, headers=headers).status_code == 200
    asked = gradio.post(f"{sent}/gradio_api/call/fetch", json={"data": ["x"]}, headers=headers).json()
    told = gradio.get(f"{sent}/gradio_api/call/fetch/{asked['event_id']}", headers=headers).text
    assert f'"url":"{root}/gradio_api/file=' in told.replace(": ", ":")
