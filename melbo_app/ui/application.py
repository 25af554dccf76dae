"""The page as an ASGI application behind what guards it."""

from collections.abc import Sequence

import gradio as gr
from fastapi import FastAPI
from starlette.middleware import Middleware
from starlette.responses import FileResponse, Response
from starlette.routing import Route

from melbo_app.ui.components.plotly_view import PLOTLY_ROUTE, plotly_script
from melbo_app.ui.components.status_tracker import tracker_script
from melbo_app.ui.theme import SHORTCUTS, STYLES, theme

LARGEST_UPLOAD = "1gb"
LOOKS = 0.01  # seconds between two looks for new events; Gradio's own 0.001 takes a tenth of a core, with nobody there
AT_ONCE = 8  # events of the page
_KEEP = {"Cache-Control": "max-age=86400"}


def application(page: gr.Blocks, guards: Sequence[Middleware] = (), *, mcp: bool = False) -> FastAPI:
    """``page`` with its own scripts, mounted behind ``guards``.

    Mounted rather than launched: middleware handed to ``launch(app_kwargs=…)`` lies inside Gradio's own CORS
    middleware (gradio/routes.py, ``create_app``), and ``launch`` asks its own routes without a token.
    """
    page.queue(default_concurrency_limit=AT_ONCE)
    page._queue.sleep_when_free = LOOKS
    page._queue.progress_update_sleep_when_free = 1.0  # of progress that nothing here reports
    script, (tracker, text) = plotly_script(), tracker_script()
    scripts = [
        Route(PLOTLY_ROUTE, lambda request: FileResponse(script, headers=_KEEP)),
        Route(tracker, lambda request: Response(text, headers=_KEEP, media_type="text/javascript")),
    ]
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None, routes=list(scripts), middleware=list(guards))
    return gr.mount_gradio_app(
        app,
        page,
        path="/",
        app_kwargs={"docs_url": None, "redoc_url": None, "openapi_url": None},
        theme=theme(),
        css_paths=STYLES,
        js=SHORTCUTS.read_text("utf-8"),
        max_file_size=LARGEST_UPLOAD,
        footer_links=[],
        mcp_server=mcp,
        run_history=False,
        enable_monitoring=False,
        ssr_mode=False,
    )
