"""Serve the page: `melbo serve`, and `python app.py` in a clone."""

import atexit
import errno
import gc
import importlib.util
import os
import shutil
import signal
import socket
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from pydantic import ValidationError

from melbo_app.settings import Settings, fault

if TYPE_CHECKING:
    from melbo_app.workbench import Workbench

PORTS_TRIED = 20
QUIET = 20.0  # seconds before the map's parts are loaded, which holds Python's lock: people want texts sooner
PATIENCE = 5.0  # seconds for jobs to save their state when the server ends


def serve(
    host: Annotated[str | None, typer.Option(help="Address to listen on (default: this machine only).")] = None,
    port: Annotated[int | None, typer.Option(help="Port to listen on (default: 7860, or the next free one).")] = None,
    model: Annotated[
        str | None,
        typer.Option(help="Model to start with, such as qwen2.5-0.5b; models of the catalogue are downloaded."),
    ] = None,
    root_path: Annotated[
        str | None, typer.Option(help="Path below which a proxy shows the page, such as /proxy/7860.")
    ] = None,
    allow_host: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="A name by which browsers reach the server: lab.example."),
    ] = None,
    trusted_proxy: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="Address of a proxy whose X-Forwarded-For is trusted.")
    ] = None,
    embed: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="An origin whose pages may show this one: https://lab.example."),
    ] = None,
    no_token: Annotated[bool | None, typer.Option("--no-token", help="Let others in without an access token.")] = None,
    public: Annotated[bool | None, typer.Option("--public", help="Open to strangers (docs/serving.md).")] = None,
    models: Annotated[str | None, typer.Option(help="The only models that can be loaded, separated by commas.")] = None,
    mcp: Annotated[bool | None, typer.Option("--mcp", help="Also offer the HTTP API as MCP tools.")] = None,
) -> int:
    """Show the page in a browser, until Ctrl+C."""
    words: dict[str, Any] = {
        "host": host, "port": port, "model": model, "root_path": root_path, "allow_host": allow_host,
        "trusted_proxy": trusted_proxy, "embed": embed, "no_token": no_token, "public": public, "models": models,
        "mcp": mcp,
    }  # fmt: skip
    given = {name: value for name, value in words.items() if value not in (None, [])}
    try:
        settings = Settings(**given)
    except ValidationError as error:
        print(fault(error, given), file=sys.stderr)
        return 2
    if settings.mcp and importlib.util.find_spec("mcp") is None:
        print("mcp: the package mcp is not installed. Run: pip install mcp", file=sys.stderr)
        return 2
    # Only the default port may move on to the next free one.
    tries = 1 if "port" in settings.model_fields_set else PORTS_TRIED
    try:
        free = free_port(settings.host, settings.port, tries)
    except OSError as error:
        print(f"host: {settings.host} is not an address of this machine ({error.strerror}).", file=sys.stderr)
        return 2
    if free is None:
        hint = f"Choose another, such as --port {settings.port % 65535 + 1}."
        print(f"port: {settings.port} is in use, or not allowed. {hint}", file=sys.stderr)
        return 2
    return serve_at(settings, free)


def free_port(host: str, first: int, tries: int) -> int | None:
    """The first free port of ``tries`` ports from ``first`` on, or None. Raises OSError for a wrong host."""
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


def serve_at(settings: Settings, port: int) -> int:
    """Show the page first, then load the model in the background."""
    # scikit-learn and plotly import one half each, and these import each other: two threads would deadlock
    import narwhals.stable  # noqa: F401

    from melbo_app.commands.output import Sparingly
    from melbo_app.errors import BusyError, MelboError, StorageError
    from melbo_app.library.server_lock import ServerLock
    from melbo_app.web.log import ShortLines

    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    lock = ServerLock(settings.cache_dir)
    try:
        lock.take(f"http://{host}:{port}")
    except BusyError as error:
        print(error, file=sys.stderr)
        return 2
    except StorageError as error:  # the library can still be read
        print(f"Nothing can be saved: {error}", file=sys.stderr)
    sys.stdout, sys.stderr = ShortLines(sys.stdout), ShortLines(sys.stderr)
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    # After every event Gradio would sum up all past events, for a dashboard that is not served.
    os.environ["GRADIO_ANALYTICS_CACHE_FREQUENCY"] = str(sys.maxsize)
    os.environ["GRADIO_ANALYTICS_MAX_EVENTS"] = "1"  # instead of the last 10,000
    if settings.public and settings.uploads_dir is None:  # Gradio tells browsers the path of each file that they upload
        passing = Path(tempfile.mkdtemp(prefix="melbo-"))
        settings = settings.model_copy(update={"uploads_dir": passing})
        atexit.register(shutil.rmtree, passing, ignore_errors=True)
    os.environ["GRADIO_TEMP_DIR"] = str(settings.uploads)
    if not settings.mcp:
        # Gradio would import it, which takes a second, and not use it
        sys.modules.setdefault("mcp", None)  # type: ignore[arg-type]
    from melbo_app.library.offered_models import OfferedModels  # late, because these imports take seconds
    from melbo_app.public.workbench import public_workbench
    from melbo_app.ui.application import application, ask_itself_at
    from melbo_app.ui.page import build_page
    from melbo_app.ui.visitor import visitor
    from melbo_app.web.access_token import new_token
    from melbo_app.web.guards import address_of, guards, own_address, token_of, warnings_of
    from melbo_app.web.proxies import OWN_HEADER
    from melbo_app.web.server import Server
    from melbo_app.workbench import Workbench

    try:
        workbench = Workbench(settings, Sparingly().say, OfferedModels.of(settings))
    except MelboError as error:
        print(error, file=sys.stderr)
        lock.release()
        return 2
    gc.freeze()  # collections skip what was imported, which never goes: they took a tenth of the start
    token, own = token_of(settings), new_token()
    page = build_page(public_workbench(workbench, visitor) if settings.public else workbench)
    server = Server(application(page, guards(settings, port, token, own), mcp=settings.mcp), settings.host, port)
    ask_itself_at(page, own_address(settings, port), {OWN_HEADER: own})
    try:
        server.start()
    except StorageError as error:
        print(error, file=sys.stderr)
        lock.release()
        return 2
    gc.freeze()  # and the page, which held visits up for 0.3 s
    print(workbench.kept_in, flush=True)
    print(f"MELBO Explorer: {address_of(settings, port, token)}  (Ctrl+C stops it)", flush=True)
    for warning in warnings_of(settings, token):
        print(warning, file=sys.stderr, flush=True)
    threading.Thread(target=warm_up, args=(workbench,), name="warm-up", daemon=True).start()
    if lock.is_held:
        threading.Thread(target=workbench.look_after, args=(say_late,), name="upkeep", daemon=True).start()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        threading.Event().wait()
    except KeyboardInterrupt:
        for again in (signal.SIGINT, signal.SIGTERM):  # a second one ends the program at once
            signal.signal(again, signal.SIG_DFL)
        for title in workbench.pause_jobs(PATIENCE):
            print(f"{title} is interrupted; the next start resumes it.", flush=True)
        for line in workbench.last_try():
            print(line, flush=True)
        server.close()
        lock.release()
    return 0


def say_late(line: str) -> None:
    """Print a line from a background thread."""
    print(line, file=sys.stderr, flush=True)


def warm_up(workbench: "Workbench") -> None:
    """Add the texts of the samples, load the model and resume the last server's jobs, then load the parts of the map.
    If the model cannot be loaded, the page says so."""
    from melbo_app.errors import MelboError

    try:
        workbench.put_in_samples()
    except MelboError as error:
        say_late(f"The samples have no texts and labels: {error}")
    try:
        workbench.load_model()
    except MelboError as error:
        say_late(f"The model was not loaded: {error}")
        return
    try:
        workbench.resume_jobs()
    except MelboError as error:
        say_late(f"Interrupted jobs wait for the next start: {error}")
    try:
        workbench.warm_up()
        time.sleep(QUIET)
        workbench.warm_up_map()
    except Exception as error:  # the embedder or UMAP: everything else works without them
        reason = str(error) if isinstance(error, MelboError) else f"{type(error).__name__}: {error}"
        say_late(f"The map may not work, because its parts were not loaded: {reason}")
