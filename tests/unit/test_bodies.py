"""What requests may bring: uploads within a quota and the disk's reserve, other bodies up to a size; no halves."""

import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gradio as gr
import httpx
import pytest
from gradio import processing_utils
from patience import PATIENCE
from starlette.middleware import Middleware
from starlette.types import ASGIApp

from melbo_app.errors import InputError
from melbo_app.library import room as room_module
from melbo_app.library import uploads as uploads_module
from melbo_app.library.uploads import Uploads, mark_used
from melbo_app.ui.endpoint import publish
from melbo_app.ui.files import refuse_addresses, uploaded
from melbo_app.web import bodies
from melbo_app.web.bodies import Bodies

LIMIT = 100_000  # bytes of a body in these tests
HEAD = b"POST /gradio_api/call/v2/size HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"


def size(note: str) -> int:
    """Letters.

    Args:
        note: any
    """
    return len(note)


def lengths(file: gr.FileData, fail: bool = False) -> int:
    """Bytes of a file.

    Args:
        file: uploaded
        fail: whether it cannot be used
    """
    with uploaded(file) as path:
        if fail:
            raise InputError("file", "it cannot be used")
        return len(path.read_bytes())


class Server:
    """A page with a verb, behind the limits."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        with gr.Blocks(analytics_enabled=False) as self.page:
            publish(size, queue="look", at_once=8)
            publish(lengths, queue="look", at_once=8)
            gr.File()
        self.uploads = Uploads(folder)
        _, url, _ = self.page.launch(
            server_name="127.0.0.1", prevent_thread_lock=True, quiet=True, ssr_mode=False,
            app_kwargs={"middleware": [Middleware(self.behind_limits)]},
        )  # fmt: skip
        self.port = int(url.rstrip("/").rsplit(":", 1)[1])
        self.http = httpx.Client(base_url=url, timeout=PATIENCE)

    def behind_limits(self, app: ASGIApp) -> Bodies:
        self.bodies = Bodies(app, self.uploads)
        return self.bodies

    def upload(self, *contents: bytes, field: str = "files") -> httpx.Response:
        files = [(field, (f"{at}.bin", content)) for at, content in enumerate(contents)]
        return self.http.post("/gradio_api/upload", files=files)

    def lies(self) -> list[Path]:
        """Every file in the folder."""
        return sorted(path for path in self.folder.rglob("*") if path.is_file())

    def call(self, verb: str, **arguments: Any) -> str:
        asked = self.http.post(f"/gradio_api/call/v2/{verb}", json=arguments).json()
        return self.http.get(f"/gradio_api/call/{verb}/{asked['event_id']}").text.rstrip()

    def empty(self) -> None:
        for path in self.lies():
            path.unlink()

    def raw(self, request: bytes, *, more: bytes = b"") -> bytes:
        """What comes back for a request as it stands, when the connection is closed from here after ``more``."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=PATIENCE) as line:
            line.sendall(request)
            line.sendall(more)
            line.shutdown(socket.SHUT_WR)
            return b"".join(iter(lambda: line.recv(65536), b""))


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("uploads")
        patch.setenv("GRADIO_TEMP_DIR", str(folder))
        patch.setenv("GRADIO_ANALYTICS_ENABLED", "False")
        patch.setenv("NO_PROXY", "127.0.0.1,localhost")
        server = Server(folder)
        patch.setattr(processing_utils, "async_ssrf_protected_download", None)  # put back afterwards
        refuse_addresses()
        yield server
        server.page.close(verbose=False)


@pytest.fixture
def server(running: Server, monkeypatch: pytest.MonkeyPatch) -> Server:
    running.empty()
    monkeypatch.setattr(bodies, "LARGEST_BODY", LIMIT)
    return running


def disk(patch: pytest.MonkeyPatch, total: int, free: int) -> None:
    usage = SimpleNamespace(total=total, free=free)
    patch.setattr(room_module, "shutil", SimpleNamespace(disk_usage=lambda path: usage))


def test_an_upload_is_taken(server):
    answer = server.upload(b"one", b"two")
    assert answer.status_code == 200 and [Path(path).read_bytes() for path in answer.json()] == [b"one", b"two"]


def test_one_address_has_so_many_files_that_wait(server, monkeypatch):
    monkeypatch.setattr(uploads_module, "OWN_FILES", 3)
    assert server.upload(b"1", b"2").status_code == 200
    refused = server.upload(b"3", b"4")
    assert (refused.status_code, refused.text) == (
        413,
        "upload: 3 files of this address wait to be used. Import or merge some of them, or wait: unused files are "
        "removed after 60 minutes.",
    )
    assert len(server.lies()) == 2  # nothing of what was refused
    assert server.upload(b"3").status_code == 200


def test_what_was_used_makes_room(server, monkeypatch):
    monkeypatch.setattr(uploads_module, "OWN_FILES", 1)
    [path] = server.upload(b"1").json()
    assert server.upload(b"2").status_code == 413
    mark_used(Path(path))
    assert server.upload(b"2").status_code == 200
    assert Path(path).exists()  # whoever uploaded the same has it for a while
    monkeypatch.setattr(uploads_module, "USED", 0)
    server.uploads.tidy()
    assert [one.read_bytes() for one in server.lies()] == [b"2"] and not Path(path).parent.exists()


@pytest.mark.parametrize("chunked", [False, True])
def test_one_address_has_so_many_bytes(server, monkeypatch, chunked):
    monkeypatch.setattr(uploads_module, "OWN_BYTES", 300_000)
    assert server.upload(bytes(200_000)).status_code == 200
    refused = send(server, bytes(150_000), chunked)
    assert refused.status_code == 413
    assert refused.text.startswith(
        "upload: files of this address that wait to be used may have 300 kB, and 100 kB are left."
    )
    assert len(server.lies()) == 1
    assert send(server, bytes(90_000), chunked).status_code == 200


def send(server: Server, content: bytes, chunked: bool) -> httpx.Response:
    """An upload with or without its length."""
    head = b'--x\r\nContent-Disposition: form-data; name="files"; filename="a.bin"\r\n\r\n'
    body = head + content + b"\r\n--x--\r\n"
    pieces: Any = (body[at : at + 30_000] for at in range(0, len(body), 30_000)) if chunked else body
    return server.http.post(
        "/gradio_api/upload", content=pieces, headers={"content-type": "multipart/form-data; boundary=x"}
    )


def test_all_addresses_together_have_a_quota(server, monkeypatch):
    monkeypatch.setattr(uploads_module, "FILES", 2)
    assert server.upload(b"1", b"2").status_code == 200
    assert server.upload(b"3").text.startswith("upload: 2 files on this server wait to be used.")


def test_addresses_have_quotas_of_their_own(tmp_path):
    uploads = Uploads(tmp_path)
    first = uploads.begin("2001:db8::1", None)
    for _ in range(uploads_module.OWN_FILES):
        first.file()
    with pytest.raises(uploads_module.RequestRefused):
        uploads.begin("2001:db8::2", None)  # the same network
    for other in ("2001:db8:0:1::1", "192.0.2.1", "::ffff:192.0.2.2", "unix:"):
        uploads.end(uploads.begin(other, None), [])


@pytest.mark.parametrize("chunked", [False, True])
def test_a_disk_keeps_its_reserve(server, monkeypatch, chunked):
    disk(monkeypatch, 150_000_000, 15_000_000)  # a tenth of it
    refused = send(server, bytes(50_000), chunked)
    assert (refused.status_code, refused.text) == (
        507,
        "upload: the server's disk has room for files of 0 bytes in all. Ask whoever runs the server to make room.",
    )
    assert server.lies() == []
    disk(monkeypatch, 150_000_000, 16_000_000)
    assert send(server, bytes(50_000), chunked).status_code == 200


def test_a_disk_that_fills_meanwhile_ends_the_upload_without_a_half(server, monkeypatch):
    monkeypatch.setattr(uploads_module, "_LOOK", 100_000)
    seen: list[int] = []

    def usage(path: object) -> SimpleNamespace:
        seen.append(1)
        return SimpleNamespace(total=10**9, free=900_000_000 if len(seen) < 3 else 0)

    monkeypatch.setattr(room_module, "shutil", SimpleNamespace(disk_usage=usage))
    assert send(server, bytes(1_000_000), chunked=True).status_code == 507
    assert server.lies() == []


@pytest.mark.parametrize("end", [b"", b"\r\n--x"], ids=["broken off", "in the boundary"])
def test_an_upload_that_is_broken_off_leaves_nothing(server, end):
    head = (
        b"POST /gradio_api/upload HTTP/1.1\r\nHost: x\r\nContent-Type: multipart/form-data; boundary=x\r\n"
        b"Content-Length: 1000000\r\n\r\n"
    )
    part = b'--x\r\nContent-Disposition: form-data; name="files"; filename="a.bin"\r\n\r\n'
    server.raw(head + part, more=bytes(300_000) + end)
    until(lambda: server.lies() == [])
    assert not server.uploads._arriving


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        (
            b'--x\r\nContent-Disposition: form-data; name="files"; filename="a"\r\n\r\nabc',
            "the form is incomplete",
        ),
        (
            b'--x\r\nContent-Disposition: form-data; name="a"; filename="a"\r\n\r\nabc\r\n--x--\r\n',
            "a part of the form is not a file in the field “files”",
        ),
        (
            b'--x\r\nContent-Disposition: form-data; name="files"\r\n\r\nabc\r\n--x--\r\n',
            "a part of the form is not a file in the field “files”",
        ),
    ],
    ids=["cut", "field", "text"],
)
def test_forms_that_would_leave_something_are_refused(server, body, sentence):
    answer = server.http.post(
        "/gradio_api/upload", content=body, headers={"content-type": "multipart/form-data; boundary=x"}
    )
    assert answer.status_code == 400 and answer.text.startswith(f"upload: {sentence}"), answer.text
    assert server.lies() == []


@pytest.mark.parametrize("name", ["..", "", "a/../../b", "a\0b", "x" * 300])
def test_names_of_files_leave_no_halves(server, name):
    server.http.post("/gradio_api/upload", files={"files": (name, b"content")})
    until(lambda: all(path.parent != server.folder for path in server.lies()))


def test_many_parts_are_refused_before_they_are_files(server):
    refused = server.upload(*[b"x"] * 500)
    assert refused.status_code == 413 and refused.text.startswith("upload: 30 files of this address")
    assert server.lies() == []


def test_a_form_for_another_door_is_no_upload(server):
    answer = server.http.post("/gradio_api/component_server", files={"files": ("a", bytes(LIMIT + 1))})
    assert answer.status_code == 413 and server.lies() == []


@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize(
    "path", ["/gradio_api/call/v2/size", "/gradio_api/call/size", "/gradio_api/queue/join", "/gradio_api/run/size", "/"]
)
def test_other_bodies_have_a_limit(server, path, chunked):
    body = b'{"note": "' + b"x" * LIMIT + b'"}'
    pieces: Any = (body[at : at + 10_000] for at in range(0, len(body), 10_000)) if chunked else body
    refused = server.http.post(path, content=pieces, headers={"content-type": "application/json"})
    if path == "/" and chunked:  # nobody reads it
        assert refused.status_code in (405, 413)
        return
    assert refused.status_code == 413
    assert refused.text == ("body: the request has more than 100 kB. Send less at a time, and upload files first.")


@pytest.mark.parametrize("fail", [False, True])
def test_a_file_that_was_imported_counts_no_longer_and_one_that_was_not_does(server, monkeypatch, fail):
    monkeypatch.setattr(uploads_module, "OWN_FILES", 1)
    [path] = server.upload(b"four").json()
    answer = server.call("lengths", file={"path": path, "meta": {"_type": "gradio.FileData"}}, fail=fail)
    assert answer.startswith("event: error" if fail else "event: complete\ndata: [4]"), answer
    assert server.upload(b"other").status_code == (413 if fail else 200)


def test_no_address_is_fetched(server):
    answer = server.call("lengths", file={"path": "http://example.org/a", "meta": {"_type": "gradio.FileData"}})
    assert answer.startswith('event: error\ndata: {"error": "file: it was not uploaded.')


def test_a_body_within_the_limit_is_read(server):
    assert server.call("size", note="x" * 90_000) == "event: complete\ndata: [90000]"


def test_large_bodies_do_not_come_all_at_once(server, monkeypatch):
    monkeypatch.setattr(bodies, "ALL_BODIES", 120_000)
    head = HEAD + b"Content-Length: 90000\r\n\r\n"
    with socket.create_connection(("127.0.0.1", server.port), timeout=PATIENCE) as line:
        line.sendall(head + b"[" * 50_000)
        until(lambda: server.bodies.held == 50_000)  # else the next body may be counted first, and this one refused
        until(lambda: server.http.post("/gradio_api/call/v2/size", json={"note": "x" * 90_000}).status_code == 503)
    until(lambda: server.http.post("/gradio_api/call/v2/size", json={"note": "x" * 90_000}).status_code == 200)


def test_a_body_that_stalls_is_given_up(server, monkeypatch):
    monkeypatch.setattr(bodies, "PATIENCE", 0.3)
    head = HEAD + b"Content-Length: 900\r\n\r\n"
    with socket.create_connection(("127.0.0.1", server.port), timeout=PATIENCE) as line:
        line.sendall(head)
        assert b" 408 " in line.recv(65536)


def test_long_addresses_and_headers_are_refused(server):
    assert server.http.get("/" + "x" * 8_001).status_code == 414
    assert server.http.get("/", params={"x": "y" * 8_001}).text.startswith("address: it has 8,0")
    refused = server.http.get("/config", headers={"x": "y" * 32_001})
    assert refused.status_code == 431 and refused.text.startswith("headers: they have 32,")
    assert server.http.get("/config", headers={"x": "y" * 20_000}).status_code == 200


def test_what_nobody_uses_is_removed(server, monkeypatch):
    server.upload(b"1", b"2")
    (server.folder / "tmpabcd").mkdir()
    (server.folder / "tmpabcd" / "made.gguf").write_bytes(b"3")
    (server.folder / "tmphalf").write_bytes(b"half")
    (server.folder / "notes.txt").write_bytes(b"somebody's")
    server.uploads.tidy()
    assert len(server.lies()) == 5
    monkeypatch.setattr(uploads_module, "UNUSED", 0)
    monkeypatch.setattr(uploads_module, "STALLED", 0)
    server.uploads.tidy()
    assert [path.name for path in server.lies()] == ["notes.txt"]
    (server.folder / "notes.txt").unlink()


def test_two_uploads_at_once_do_not_pass_the_quota_together(server, monkeypatch):
    monkeypatch.setattr(uploads_module, "OWN_BYTES", 1_000_000)
    found: list[int] = []
    threads = [
        threading.Thread(target=lambda at=at: found.append(send(server, bytes([at]) * 600_000, True).status_code))
        for at in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(path.stat().st_size for path in server.lies()) <= 1_000_000 and found.count(200) <= 1


def until(is_so: Any) -> None:
    end = time.monotonic() + 60
    while not is_so():
        assert time.monotonic() < end
        time.sleep(0.05)
