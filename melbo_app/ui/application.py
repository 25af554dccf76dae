"""The page as an ASGI application behind its guards."""

import functools
from collections.abc import Callable, Sequence

import gradio as gr
from fastapi import FastAPI
from gradio_client import Client  # type: ignore[import-untyped]
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from melbo_app.ui.components.plotly_view import PLOTLY_ROUTE, plotly_script
from melbo_app.ui.mended_scripts import mended_scripts
from melbo_app.ui.scripts import SHORTCUTS, component_script, head, read
from melbo_app.ui.sessions import CAPACITY
from melbo_app.ui.theme import STYLES, theme
from melbo_app.ui.unknown_arguments import HANDLERS

LARGEST_UPLOAD = "1gb"
LOOKS = 0.01  # seconds between two looks for new events; Gradio's 0.001 takes a tenth of a core on an idle server
AT_ONCE = 8  # events of the page that run at a time
_KEEP = {"Cache-Control": "max-age=86400"}
_KEEP_FOR_EVER = {"Cache-Control": "max-age=31536000, immutable"}  # another text has another address


def application(page: gr.Blocks, guards: Sequence[Middleware] = (), *, mcp: bool = False) -> FastAPI:
    """``page`` with its own scripts, mounted behind ``guards``.

    Mounted rather than launched: middleware handed to ``launch(app_kwargs=…)`` lies inside Gradio's own CORS
    middleware (gradio/routes.py, ``create_app``), and ``launch`` asks its own routes without a token.
    """
    page.state_session_capacity = CAPACITY
    page._queue.default_concurrency_limit = AT_ONCE  # page.queue(…) would also build Gradio's application once more
    page._queue.max_thread_count = page.max_threads
    page._queue.sleep_when_free = LOOKS
    page._queue.progress_update_sleep_when_free = 1.0  # for Gradio's own progress, which is unused here
    components, own = component_script()
    scripts = [
        Route(PLOTLY_ROUTE, lambda request: Response(plotly_script(), headers=_KEEP, media_type="text/javascript")),
        *(Route(path, _script(text, _KEEP)) for path, text in mended_scripts().items()),
        Route(components, _script(own, _KEEP_FOR_EVER)),
    ]
    # Gradio checks that a file was uploaded only if the page "has launched" (processing_utils.py, `_check_allowed`),
    # which mounting does not set: anyone who can call an endpoint could read the server's files.
    page.has_launched = True
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None, routes=list(scripts), middleware=list(guards))
    return gr.mount_gradio_app(
        app,
        page,
        path="/",
        app_kwargs={"docs_url": None, "redoc_url": None, "openapi_url": None, "exception_handlers": HANDLERS},
        theme=theme(),
        css_paths=STYLES,
        js=read(SHORTCUTS),
        head=head(),
        max_file_size=LARGEST_UPLOAD,
        footer_links=[],
        mcp_server=mcp,
        run_history=False,
        enable_monitoring=False,
        ssr_mode=False,
    )


def _script(text: str, headers: dict[str, str]) -> Callable[[Request], Response]:
    return lambda request: Response(text, headers=headers, media_type="text/javascript")


def ask_itself_at(page: gr.Blocks, address: str, headers: dict[str, str]) -> None:
    """Have the MCP tools of ``page`` call it at ``address`` with ``headers``.

    Gradio's MCP server sends each call to its own page over HTTP, to the host that the first request named
    (gradio/mcp.py, ``_get_or_create_client``), and without the headers that our guards require.
    """
    tools = getattr(page, "mcp_server_obj", None)
    if tools is None:
        return

    @functools.cache
    def client() -> Client:
        options = dict.fromkeys(("download_files", "verbose", "analytics_enabled", "_skip_components"), False)
        return Client(address, headers={"x-gradio-user": "mcp", **headers}, **options)

    tools._local_url, tools._get_or_create_client = address, client
