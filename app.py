"""The door: ``python app.py`` serves the page; ``--help`` lists the options."""

import argparse
import atexit
import errno
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

from pydantic import ValidationError

from melbo_app.settings import Settings, fault

PORTS_TRIED = 20
QUIET = 20.0  # seconds before UMAP is compiled: that holds Python's lock, and the first texts are likelier to be wanted
PATIENCE = 5.0  # seconds that jobs get to write down where they stand when the server is told to end


def main() -> int:
    """Serve the page until Ctrl+C."""
    parser = argparse.ArgumentParser(prog="app.py", description="MELBO Explorer in the browser.")
    parser.add_argument("--host", help="address to listen on (default: this machine only)")
    parser.add_argument("--port", type=int, help="port to listen on (default: 7860, or the next free one)")
    parser.add_argument("--model", help="model to start with, such as qwen2.5-0.5b; one of the catalogue is downloaded")
    parser.add_argument("--root-path", help="path below which a proxy shows the page, such as /proxy/7860")
    several = {"action": "append", "metavar": "NAME"}
    parser.add_argument("--allow-host", **several, help="a name by which browsers reach the server: lab.example")
    parser.add_argument("--trusted-proxy", **several, help="a proxy's address, whose X-Forwarded-For is believed")
    parser.add_argument("--embed", **several, help="an origin whose pages may show this one: https://lab.example")
    parser.add_argument("--no-token", action="store_true", default=None, help="let others in without an access token")
    parser.add_argument("--public", action="store_true", default=None, help="strangers use the page (docs/serving.md)")
    parser.add_argument("--models", help="the only models that can be loaded, with commas between")
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
    from melbo_app.web.log import ShortLines

    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    lock = ServerLock(settings.cache_dir)
    try:
        lock.take(f"http://{host}:{port}")
    except BusyError as error:
        print(error, file=sys.stderr)
        return 2
    except StorageError as error:  # what is there can be looked at all the same
        print(f"Nothing can be saved: {error}", file=sys.stderr)
    sys.stdout, sys.stderr = ShortLines(sys.stdout), ShortLines(sys.stderr)  # type: ignore[assignment]
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    # Behind every event it would sum up all events so far, for a dashboard that is not served.
    os.environ["GRADIO_ANALYTICS_CACHE_FREQUENCY"] = str(sys.maxsize)
    os.environ["GRADIO_ANALYTICS_MAX_EVENTS"] = "1"  # and keep the last 10,000
    if settings.public and settings.uploads_dir is None:  # Gradio tells browsers the path of each file that they upload
        settings = settings.model_copy(update={"uploads_dir": Path(tempfile.mkdtemp(prefix="melbo-"))})
        atexit.register(shutil.rmtree, settings.uploads_dir, ignore_errors=True)
    os.environ["GRADIO_TEMP_DIR"] = str(settings.uploads)
    if not settings.mcp:
        sys.modules.setdefault("mcp", None)  # Gradio would import it, which takes a second, and leave it unused
    from melbo_app.library.offered_models import OfferedModels  # late: these take seconds; mistakes are told before
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
        for again in (signal.SIGINT, signal.SIGTERM):  # a second one means: at once
            signal.signal(again, signal.SIG_DFL)
        for title in workbench.pause_jobs(PATIENCE):
            print(f"{title} is interrupted; the next start goes on with it.", flush=True)
        for line in workbench.last_try():
            print(line, flush=True)
        server.close()
        lock.release()
    return 0


def say_late(line: str) -> None:
    """Print what a thread in the background has to say."""
    print(line, file=sys.stderr, flush=True)


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
