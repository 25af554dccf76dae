"""An endpoint as OpenAI's API has it, on this machine: it grades as it is told to."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer

GRADES = ("readable", "strange", "broken")


class Stub(HTTPServer):
    """Answers with the grade that it knows of a text, or that the text names, or with what ``says`` is set to."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.status, self.says, self.delay = 200, None, threading.Event()
        self.asked: list[tuple[str, str | None, dict]] = []
        self.wait = 0.0
        self.known: dict[str, str] = {}
        self.behaviour = "talks about itself"
        self.reply: Callable[[str], str] | None = None  # what it says to other questions

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/v1"


class Handler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        server: Stub = self.server  # type: ignore[assignment]
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        server.asked.append((self.path, self.headers["Authorization"], body))
        server.delay.wait(server.wait)
        asked = body["messages"][0]["content"]
        if server.says is not None or server.reply is not None:
            says = server.says if server.reply is None else server.reply(asked)
        else:
            text = asked.split("<text>\n")[1].split("\n</text>")[0]
            grade = server.known.get(text) or next((one for one in GRADES if f"a {one} text" in text), "readable")
            says = f"Grade: {grade}\nBehaviour: {server.behaviour}"
        answer = {"choices": [{"message": {"role": "assistant", "content": says}}]}
        data = says if isinstance(says, bytes) else json.dumps(answer).encode()
        self.send_response(server.status)
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def running() -> Iterator[Stub]:
    """One that answers as long as this is entered."""
    server = Stub()
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    try:
        yield server
    finally:
        server.delay.set()
        server.shutdown()
        server.server_close()
