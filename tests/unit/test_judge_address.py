"""A judge's key belongs to one address, the operator's: whatever else is named, on a page or in a command, has none."""

import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from judge_stub import running

from melbo_app.cli import main
from melbo_app.errors import InputError
from melbo_app.settings import Settings
from melbo_app.studies.judge_address import ADDRESS, JudgeAddress
from melbo_app.studies.judge_endpoint import KEY, Endpoint

OURS = "https://judge.example/v1"
SECRET = "sk-very-secret"


@pytest.fixture(autouse=True)
def _key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(KEY, SECRET)
    monkeypatch.delenv(ADDRESS, raising=False)


def key_of(endpoint: Endpoint) -> str | None:
    return endpoint._key


@pytest.mark.parametrize("url", [OURS, f"{OURS}/", "HTTPS://JUDGE.example/v1", "https://judge.example:443/v1"])
def test_the_operator_s_address_gets_the_key_in_his_own_spelling(url):
    address = JudgeAddress(OURS, "big")
    for endpoint in (
        address.named_on_a_page(url, "m", here=False),
        address.named_on_a_page(url, "m", here=True),
        address.named_in_a_command(url, "m"),
    ):
        assert (key_of(endpoint), endpoint.url, endpoint.model) == (SECRET, OURS, "m")


@pytest.mark.parametrize(
    "url",
    [
        "https://evil.example/v1", "https://judge.example.evil.example/v1", "https://judge.example/v2",
        "https://judge.example/v1/../v2", "https://judge.example:8443/v1", "https://judge.example/v1/x",
        "https://judge.example./v1", "https://judge.exampl\u0435/v1", "http://127.0.0.1:9/v1",
    ],
)  # fmt: skip
def test_no_other_address_gets_the_key_and_strangers_may_name_none(url):
    for address in (JudgeAddress(OURS, ""), JudgeAddress("", "")):
        assert key_of(address.named_on_a_page(url, "m", here=True)) is None
        with pytest.raises(InputError, match="only the operator's endpoint"):
            address.named_on_a_page(url, "m", here=False)
    assert key_of(JudgeAddress(OURS, "").named_in_a_command(url, "m")) is None


@pytest.mark.parametrize(
    "url", ["https://evil@judge.example/v1", "https://judge.example/v1?x", "https://judge.example/v1#x", "//x", "x", ""]
)
def test_what_is_no_plain_address_is_refused(url):
    for here in (True, False):
        with pytest.raises(InputError):
            JudgeAddress(OURS, "").named_on_a_page(url, "m", here=here)


def test_a_page_sends_no_key_where_the_operator_named_no_address():
    assert key_of(JudgeAddress("", "").named_on_a_page("https://host/v1", "m", here=True)) is None


def test_who_runs_a_command_gives_both_himself():
    assert key_of(JudgeAddress("", "").named_in_a_command("https://host/v1", "m")) == SECRET


def test_the_command_sends_the_key_to_the_address_that_it_is_for_and_to_no_other(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("MELBO_CACHE_DIR", str(tmp_path))
    with running() as ours, running() as other:
        for named, asked, sent in ((None, ours, True), (ours.url, ours, True), (ours.url, other, False)):
            if named:
                monkeypatch.setenv(ADDRESS, named)
            asked.asked.clear()
            with pytest.raises(SystemExit):
                main(["judge", "--score", "--endpoint", asked.url, "--endpoint-model", "m"])
            assert {key for _, key, _ in asked.asked} == {f"Bearer {SECRET}" if sent else None}
    assert SECRET not in capsys.readouterr().out


class Elsewhere(BaseHTTPRequestHandler):
    """Sends whatever asks on to ``target``."""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(self.server.status)  # type: ignore[attr-defined]
        self.send_header("Location", self.server.target)  # type: ignore[attr-defined]
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_neither_key_nor_texts_follow_a_redirect(status):
    with running() as target:
        server = HTTPServer(("127.0.0.1", 0), Elsewhere)
        server.status, server.target = status, f"{target.url}/chat/completions"  # type: ignore[attr-defined]
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        endpoint = Endpoint(f"http://127.0.0.1:{server.server_port}/v1", "m", SECRET)
        with pytest.raises(InputError, match="which gets neither texts nor the key"):
            endpoint.ask("Hello?", 5)
        server.shutdown()
        server.server_close()
        assert target.asked == []


def test_a_key_for_this_machine_passes_no_proxy(monkeypatch):
    with running() as stub, running() as proxy:
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
            monkeypatch.setenv(name, proxy.url.removesuffix("/v1"))
        for name in ("NO_PROXY", "no_proxy"):
            monkeypatch.delenv(name, raising=False)
        Endpoint(stub.url, "m", SECRET).ask("<text>\nHi\n</text>", 5)
        assert len(stub.asked) == 1 and proxy.asked == []


def test_settings_show_no_key():
    assert SECRET not in repr(Settings(cache_dir=Path("x"), judge_url=OURS))
