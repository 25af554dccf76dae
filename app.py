"""The door: ``python app.py [--host H] [--port P] [--model M] [--root-path P] [--mcp]`` serves the page."""

import argparse
import errno
import importlib.util
import os
import signal
import socket
import sys
import threading
import time

from pydantic import ValidationError

from melbo_app.settings import Settings, fault

LOOPBACK = ("127.0.0.1", "::1", "localhost")
PORTS_TRIED = 20
LARGEST_UPLOAD = "1gb"
QUIET = 20.0  # seconds before UMAP is compiled: that holds Python's lock, and the first texts are likelier to be wanted
LOOKS = 0.01  # seconds between two looks for new events; Gradio's own 0.001 takes a tenth of a core, with nobody there
PATIENCE = 5.0  # seconds that jobs get to write down where they stand when the server is told to end
KEEP = {"Cache-Control": "max-age=86400"}


def main() -> int:
    """Serve the page until Ctrl+C."""
    parser = argparse.ArgumentParser(prog="app.py", description="MELBO Explorer in the browser.")
    parser.add_argument("--host", help="address to listen on (default: this machine only)")
    parser.add_argument("--port", type=int, help="port to listen on (default: 7860, or the next free one)")
    parser.add_argument("--model", help="model to start with, such as qwen2.5-0.5b; one of the catalogue is downloaded")
    parser.add_argument("--root-path", help="path below which a proxy shows the page, such as /proxy/7860")
    parser.add_argument("--mcp", action="store_true", default=None, help="offer the HTTP API as MCP tools as well")
    given = parser.parse_args()
    try:
        settings = Settings(**{name: value for name, value in vars(given).items() if value is not None})
    except ValidationError as error:
        print(fault(error, {name for name, value in vars(given).items() if value is not None}), file=sys.stderr)
        return 2
    if settings.mcp and importlib.util.find_spec("mcp") is None:
        print("mcp: the package mcp is not installed. Run: make install", file=sys.stderr)
        return 2
    # A port that somebody named is meant; only the default moves on to the next free one.
    tries = 1 if "port" in settings.model_fields_set else PORTS_TRIED
    try:
        port = free_port(settings.host, settings.port, tries)
    except OSError as error:
        print(f"host: {settings.host} is no address of this machine ({error.strerror}).", file=sys.stderr)
        return 2
    if port is None:
        hint = f"Choose another, such as --port {settings.port % 65535 + 1}."
        print(f"port: {settings.port} is in use, or not allowed. {hint}", file=sys.stderr)
        return 2
    return serve(settings, port)


def free_port(host: str, first: int, tries: int) -> int | None:
    """The first of ``tries`` ports from ``first`` on that can be listened on, or None; OSError for a wrong host."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    for port in range(first, min(first + tries, 65536)):
        with socket.socket(family) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((host, port))
            except OSError as error:
                if error.errno not in (errno.EADDRINUSE, errno.EACCES):
                    raise
                continue
            return port
    return None


def serve(settings: Settings, port: int) -> int:
    """Show the page first, then load what it needs in the background."""
    # scikit-learn and plotly import a half of it each, which import each other: two threads at once would deadlock
    import narwhals.stable  # noqa: F401

    from melbo_app.commands.output import Sparingly
    from melbo_app.errors import BusyError, MelboError, StorageError
    from melbo_app.library.server_lock import ServerLock

    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    lock = ServerLock(settings.cache_dir)
    try:
        lock.take(f"http://{host}:{port}")
    except BusyError as error:
        print(error, file=sys.stderr)
        return 2
    except StorageError as error:  # what is there can be looked at all the same
        print(f"Nothing can be saved: {error}", file=sys.stderr)
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    # Behind every event it would sum up all events so far, for a dashboard that is not served.
    os.environ["GRADIO_ANALYTICS_CACHE_FREQUENCY"] = str(sys.maxsize)
    os.environ["GRADIO_TEMP_DIR"] = str(settings.uploads_dir or settings.cache_dir / "uploads")
    past_the_proxy()
    if not settings.mcp:
        sys.modules.setdefault("mcp", None)  # Gradio would import it, which takes a second, and leave it unused
    from starlette.middleware import Middleware
    from starlette.responses import FileResponse, Response  # late: these take seconds, and mistakes are told before
    from starlette.routing import Route

    from melbo_app.ui.below_prefix import BelowPrefix
    from melbo_app.ui.components.plotly_view import PLOTLY_ROUTE, plotly_script
    from melbo_app.ui.components.status_tracker import tracker_script
    from melbo_app.ui.page import build_page
    from melbo_app.ui.theme import SHORTCUTS, STYLES, theme
    from melbo_app.workbench import Workbench

    try:
        workbench = Workbench(settings, Sparingly().say)
    except MelboError as error:
        print(error, file=sys.stderr)
        lock.release()
        return 2
    script, (tracker, text) = plotly_script(), tracker_script()
    scripts = [
        Route(PLOTLY_ROUTE, lambda request: FileResponse(script, headers=KEEP)),
        Route(tracker, lambda request: Response(text, headers=KEEP, media_type="text/javascript")),
    ]
    page = build_page(workbench)
    page.queue(default_concurrency_limit=8)
    page._queue.sleep_when_free = LOOKS
    page._queue.progress_update_sleep_when_free = 1.0  # of progress that nothing here reports
    page.launch(
        server_name=settings.host,
        server_port=port,
        app_kwargs={"routes": scripts, "middleware": [Middleware(BelowPrefix, settings.root_path)]},
        theme=theme(),
        css_paths=STYLES,
        js=SHORTCUTS.read_text("utf-8"),
        max_file_size=LARGEST_UPLOAD,
        footer_links=[],
        mcp_server=settings.mcp,
        run_history=False,
        enable_monitoring=False,
        ssr_mode=False,
        quiet=True,
        prevent_thread_lock=True,
        max_threads=page.max_threads,
    )
    print(workbench.kept_in, flush=True)
    print(f"MELBO Explorer: http://{host}:{port}  (Ctrl+C stops it)", flush=True)
    if settings.host not in LOOPBACK:
        print("Anybody who can reach this address can use the page; there is no login.", file=sys.stderr, flush=True)
    threading.Thread(target=warm_up, args=(workbench,), name="warm-up", daemon=True).start()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        threading.Event().wait()
    except KeyboardInterrupt:
        for again in (signal.SIGINT, signal.SIGTERM):  # a second one means: at once
            signal.signal(again, signal.SIG_DFL)
        for title in workbench.pause_jobs(PATIENCE):
            print(f"{title} is interrupted; the next start goes on with it.", flush=True)
        page.close(verbose=False)
        lock.release()
    return 0


def past_the_proxy() -> None:
    """Gradio asks its own page whether it is up; a proxy for everything else must not stand between."""
    for name in ("NO_PROXY", "no_proxy"):
        known = [host for host in os.environ.get(name, "").split(",") if host.strip()]
        os.environ[name] = ",".join([*known, *(host for host in LOOPBACK if host not in known)])


def warm_up(workbench) -> None:
    """Put in what ships with the samples, load the model and go on with what the last server left behind, then load
    what the map needs; a model that cannot be loaded is shown on the page."""
    from melbo_app.errors import MelboError

    try:
        workbench.put_in_samples()
    except MelboError as error:
        print(f"The samples have no texts and labels: {error}", file=sys.stderr, flush=True)
    try:
        workbench.load_model()
    except MelboError as error:
        print(f"The model was not loaded: {error}", file=sys.stderr, flush=True)
        return
    try:
        workbench.resume_jobs()
    except MelboError as error:
        print(f"Jobs that were interrupted wait for the next start: {error}", file=sys.stderr, flush=True)
    try:
        workbench.warm_up()
        time.sleep(QUIET)
        workbench.warm_up_map()
    except Exception as error:  # the embedder or UMAP: everything else works without them
        told = str(error) if isinstance(error, MelboError) else f"{type(error).__name__}: {error}"
        print(f"The map may not work, its parts were not loaded: {told}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
