"""``python -m benchmarks.growth [CALLS [VERB …]]``: memory that calls of each HTTP API verb leave behind.

Calls every verb with its smallest arguments, by plain HTTP, on a freshly started server with the bundled model: cheap
verbs 1,000 times, slower ones fewer times. A first round fills the caches. Growth is that of the server's resident
memory, in MB per 1,000 calls; the exit status is 1 if a verb exceeds ``BOUND``.
"""

import json
import os
import platform
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psutil

from benchmarks.page import ROOT, when_quiet
from melbo_app.settings import Settings
from melbo_app.ui.sessions import CAPACITY

BANK, START, PATIENCE = "weekend", 120.0, 600.0
BOUND = 50.0  # MB per 1,000 calls, of each verb
CALLS, SLOW, SLOWEST = 1000, 200, 50
REFUSED = {"stop_job": "is over"}
WARM = 0.2  # share of the calls made first as a warm-up
REST = 3.0  # seconds to wait before reading the memory, so that freed memory is returned


@dataclass(frozen=True)
class Row:
    """MB by which the server grew over ``calls`` calls of one verb, and the milliseconds of one call."""

    verb: str
    calls: int
    grown: float
    each: float

    @property
    def per_thousand(self) -> float:
        """MB that 1,000 calls would leave."""
        return self.grown * 1000 / self.calls


def main() -> int:
    """Measure and print a table; returns 1 if a verb exceeds the bound."""
    calls = int(sys.argv[1]) if sys.argv[1:] else CALLS
    print(f"{platform.machine()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}\n")
    print(f"| verb | calls | MB per 1,000 calls (bound: {BOUND:g}) | ms a call |\n|---|---|---|---|", flush=True)
    rows = []
    for row in measure(calls, sys.argv[2:]):
        rows.append(row)
        print(f"| `{row.verb}` | {row.calls} | {row.per_thousand:.1f} | {row.each:.0f} |", flush=True)
    return int(any(row.per_thousand > BOUND for row in rows))


def measure(calls: int = CALLS, wanted: Sequence[str] = ()) -> Iterator[Row]:
    """One row for each verb, or for the ``wanted`` ones."""
    with tempfile.TemporaryDirectory() as folder, Server(Path(folder)) as server:
        for verb, share, arguments in verbs(server):
            if wanted and verb not in wanted:
                continue
            number = max(1, calls * share // CALLS)
            for at in range(max(3, int(WARM * number))):
                server.answer(verb, arguments(-1 - at))
            before, begin = server.resident(), time.perf_counter()
            for at in range(number):
                server.answer(verb, arguments(at))
            each = 1000 * (time.perf_counter() - begin) / number
            yield Row(verb, number, (server.resident() - before) / 1e6, each)


def verbs(server: "Server") -> Iterator[tuple[str, int, Callable[[int], dict[str, Any]]]]:
    """Each verb with its number of calls of 1,000 and its arguments, which change with each call that computes."""
    steered = {"bank": BANK, "vectors": [3], "max_new_tokens": 1}
    drawn = {"bank": BANK, "vectors": [0, 1], "max_new_tokens": 1}
    one = {"bank": BANK, "vectors": [3], "max_new_tokens": 1, "random": 4}
    given = {"vectors": 1, "steps": 1, "radius": 5.0, "template": False}
    yield "models", CALLS, lambda at: {}
    yield "load_model", CALLS, lambda at: {}
    yield "banks", CALLS, lambda at: {}
    yield "labels", CALLS, lambda at: {}
    yield "save_label", CALLS, lambda at: {"bank": BANK, "vector": 0, "note": f"note {at % 2}"}
    yield "export_bank", CALLS, lambda at: {"name": BANK}
    yield "steer", CALLS, lambda at: {**steered, "prompts": [f"hi {at}"]}
    yield "steer", CALLS, lambda at: {**steered, "prompts": ["hi"]}  # looked up
    yield "similarity", SLOW, lambda at: {"bank": BANK, "prompts": [f"hi {at}"], "template": False}
    yield "sweep", SLOW, lambda at: {**steered, "radii": [5.0], "prompts": [f"hey {at}"], "random_control": False}
    yield "map", SLOWEST, lambda at: {**drawn, "prompts": [f"you {at}"]}
    yield "generality", SLOW, lambda at: {**one, "prompts": [f"so {at}"]}
    yield "train", SLOWEST, lambda at: {"name": f"bank {at % 10**6}", "prompts": [f"hi {at}"], **given}
    last = server.call("jobs", {"limit": 1})["jobs"][0]["id"]
    yield "jobs", CALLS, lambda at: {"limit": 3}
    yield "job", CALLS, lambda at: {"id": last}
    yield "stop_job", CALLS, lambda at: {"id": last}  # refused: it is over
    file = Settings().assets_dir / "banks" / f"{BANK}.safetensors"
    yield "import_bank", SLOW, lambda at: {"file": server.upload(file), "name": f"imported {at % 10**6}"}


class Server:
    """``python app.py`` with its own cache, which holds only the unpacked model."""

    def __init__(self, cache: Path) -> None:
        (cache / "models").symlink_to(Settings().cache_dir.resolve() / "models")
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self._log = open(cache / "server.log", "wb")  # noqa: SIM115  closed with the server
        environment = os.environ | {"MELBO_CACHE_DIR": str(cache)}
        command = [sys.executable, str(ROOT / "app.py"), "--port", str(port)]
        self._process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=self._log, stderr=self._log)
        self._http = httpx.Client(base_url=f"http://127.0.0.1:{port}/gradio_api", timeout=PATIENCE)

    def __enter__(self) -> "Server":
        end = time.monotonic() + START
        while True:
            try:
                self.call("load_model", {})
                self._settle()
                return self
            except (httpx.TransportError, RuntimeError):
                if time.monotonic() > end or self._process.poll() is not None:
                    print((Path(self._log.name)).read_text()[-3000:], self._process.poll())
                    self.__exit__()
                    raise
                time.sleep(0.2)

    def __exit__(self, *error: Any) -> None:
        self._process.terminate()
        self._process.wait(30)
        self._log.close()
        self._http.close()

    def call(self, verb: str, arguments: dict[str, Any]) -> Any:
        """The result of one call. Raises RuntimeError with the server's message."""
        asked = self._http.post(f"/call/v2/{verb}", json=arguments)
        said = self._http.get(f"/call/{verb}/{asked.json()['event_id']}").text.rstrip()
        *_, event, data = said.splitlines()
        if event != "event: complete":
            raise RuntimeError(f"{verb}: {data}")
        return json.loads(data.removeprefix("data: "))[0]

    def answer(self, verb: str, arguments: dict[str, Any]) -> None:
        """Make one call. Raises RuntimeError if it is refused, or if it should be refused and is not."""
        try:
            self.call(verb, arguments)
        except RuntimeError as error:
            if REFUSED.get(verb, "never") not in str(error):
                raise
        else:
            if verb in REFUSED:
                raise RuntimeError(f"{verb} was not refused")

    def upload(self, file: Path) -> dict[str, Any]:
        """Upload a file; returns it as verbs take it."""
        path = self._http.post("/upload", files={"files": (file.name, file.read_bytes())}).json()[0]
        return {"path": path, "meta": {"_type": "gradio.FileData"}}

    def quiet(self) -> None:
        """Wait until no job is running."""
        while any(job["ended"] is None for job in self.call("jobs", {})["jobs"]):
            time.sleep(0.5)

    def _settle(self) -> None:
        """Wait until the server has loaded the embedder and, after ``serve.QUIET``, UMAP in the background.

        Each call opens a session, so this also fills the server with as many sessions as it keeps.
        """
        for _ in range(2 * CAPACITY):
            self.call("models", {})
        self.call("map", {"bank": BANK, "vectors": [*range(8)], "radii": [4.0, 8.0], "max_new_tokens": 1})
        when_quiet(psutil.Process(self._process.pid))

    def resident(self) -> int:
        """The server's resident bytes once it is idle."""
        self.quiet()
        time.sleep(REST)
        return psutil.Process(self._process.pid).memory_info().rss


if __name__ == "__main__":
    sys.exit(main())
