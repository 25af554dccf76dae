"""``python -m benchmarks.served``: twenty browser tabs, or programs, steering on a real server, against one."""

import json
import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Protocol

import psutil
import typer

from benchmarks.page import ROOT, when_quiet, when_reachable
from benchmarks.people import BANK, HEAD, KINDS, TOKENS, USERS, VECTORS, Answer, Heard, at_once, figures, row
from melbo_app.settings import Settings

ROUNDS = 3


class Visitor(Protocol):
    """Somebody who can press Steer."""

    def press(self, text: str, radius: float) -> tuple[float, float]: ...


class Tab:
    """A browser tab: sends what its page sends when it opens and when somebody presses Steer."""

    def __init__(self, address: str, number: int) -> None:
        self._address, self._session = address, f"tab{number}"
        self._parts = _asked(f"{address}/config")
        opening = self._dependency(lambda target, event: event == "load")
        shown = dict(zip(opening["outputs"], self._event(opening, [None])[-1]["output"]["data"], strict=True))
        values = {part["id"]: part["props"].get("value") for part in self._parts["components"]}
        self._values = values | {key: _value(shown[key], values.get(key)) for key in shown}

    def press(self, text: str, radius: float) -> tuple[float, float]:
        """Seconds to the first token and to the last score."""
        steer = self._dependency(lambda target, event: target == self._named("steer-button") and event == "click")
        own = {"prompt": text, "bank": BANK, "vectors": [*VECTORS], "max-new-tokens": TOKENS}
        values = self._values | {self._named(name): value for name, value in own.items()}
        slider = self._named("radius")
        values[slider] = values[slider] | {"value": radius}
        begin, first = time.perf_counter(), None
        for told in self._stream(steer, [values[key] for key in steer["inputs"]]):
            if first is None and "of up to" in json.dumps(told):
                first = time.perf_counter() - begin
            if told["msg"] == "process_completed" and not told["success"]:
                raise RuntimeError(told)
        return first or 0.0, time.perf_counter() - begin

    def _named(self, name: str) -> int:
        return next(part["id"] for part in self._parts["components"] if part["props"].get("elem_id") == name)

    def _dependency(self, wanted: Callable[[int | None, str], bool]) -> dict[str, Any]:
        return next(one for one in self._parts["dependencies"] if any(wanted(*target) for target in one["targets"]))

    def _event(self, dependency: dict[str, Any], data: list[Any]) -> list[dict[str, Any]]:
        return [told for told in self._stream(dependency, data) if told["msg"] == "process_completed"]

    def _stream(self, dependency: dict[str, Any], data: list[Any]) -> Iterator[dict[str, Any]]:
        body = {"data": data, "fn_index": dependency["id"], "session_hash": self._session, "trigger_id": None}
        _asked(f"{self._address}/gradio_api/queue/join", body)
        yield from _lines(f"{self._address}/gradio_api/queue/data?session_hash={self._session}")


class Program:
    """A program that calls the verb ``steer``; it gets nothing before the end."""

    def __init__(self, address: str, number: int) -> None:
        self._verb = f"{address}/gradio_api/call/v2/steer"

    def press(self, text: str, radius: float) -> tuple[float, float]:
        """As for a tab, but both are the time to the end."""
        begin = time.perf_counter()
        asked = {"bank": BANK, "prompts": [text], "vectors": [*VECTORS], "radii": [radius], "max_new_tokens": TOKENS}
        found = _asked(self._verb, asked)
        with urllib.request.urlopen(f"{self._verb.replace('/v2', '')}/{found['event_id']}") as stream:
            told = stream.read().decode()
        if "event: complete" not in told:
            raise RuntimeError(told)
        return (time.perf_counter() - begin,) * 2


WAYS: dict[str, Callable[[str, int], Visitor]] = {"tabs": Tab, "programs": Program}


def main(ways: str = ",".join(WAYS), kinds: str = "same,different", users: int = USERS, rounds: int = ROUNDS) -> None:
    """Measure one visitor and many, taking turns, on one server whose cache has no texts."""
    with tempfile.TemporaryDirectory() as cache:
        (Path(cache) / "models").symlink_to(Settings().cache_dir.resolve() / "models")
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        server = subprocess.Popen(
            [sys.executable, str(ROOT / "app.py"), "--port", str(port)],
            stdout=subprocess.DEVNULL, cwd=ROOT, env=os.environ | {"MELBO_CACHE_DIR": cache},
        )  # fmt: skip
        try:
            address = f"http://127.0.0.1:{port}"
            when_reachable(address, time.perf_counter())
            load, turn = Load(address, psutil.Process(server.pid)), 0
            load.run("tabs", "different", 1, turn)  # warms up
            when_quiet(load.server)
            print(f"{users} visitors, {rounds} rounds\n{HEAD}")
            for way in ways.split(","):
                for kind in kinds.split(","):
                    alone, everybody = [], []
                    for _ in range(rounds):
                        for count, heard in ((1, alone), (users, everybody)):
                            turn += 1
                            heard.append(load.run(way, kind, count, turn))
                    print(row(figures(f"{way}, {kind}", alone, everybody)), flush=True)
        finally:
            server.terminate()
            server.wait(60)


class Load:
    """Visitors of one server."""

    def __init__(self, address: str, server: psutil.Process) -> None:
        self._address, self.server, self._count = address, server, 0

    def run(self, way: str, kind: str, users: int, turn: int) -> Heard:
        """All press at the same moment, in open tabs. Texts that end early count as full length."""
        visitors: list[Visitor] = []
        for _ in range(users):
            self._count += 1
            visitors.append(WAYS[way](self._address, self._count))

        def visit(user: int) -> Iterator[Answer]:
            asked = KINDS[kind](user, 100 * turn)
            yield Answer(*visitors[user].press(asked.prompt.user, asked.radius), (1 + len(VECTORS)) * TOKENS)

        return at_once(users, visit, self._processor)

    def _processor(self) -> float:
        times = self.server.cpu_times()
        return times.user + times.system


def _value(told: Any, before: Any) -> Any:
    """A component's value after ``told``: a value, or an update that may have one."""
    if isinstance(told, dict) and told.get("__type__") == "update":
        return told.get("value", before)
    return told


def _asked(address: str, body: dict[str, Any] | None = None) -> Any:
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(address, data, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request) as answer:
        return json.load(answer)


def _lines(address: str) -> Iterator[dict[str, Any]]:
    """The events of a stream until the work is over."""
    with urllib.request.urlopen(address) as stream:
        for line in stream:
            if line.startswith(b"data:"):
                told = json.loads(line[5:])
                yield told
                if told["msg"] == "process_completed":
                    return


if __name__ == "__main__":
    typer.run(main)
