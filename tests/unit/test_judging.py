"""A judge, behind a stubbed endpoint or a tiny model: on only where it beats the built-in verdict."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from benches import finish, save_tiny, settings

from melbo_app.cli import main
from melbo_app.engine.decoding import Decoding
from melbo_app.engine.prompt import Prompt
from melbo_app.errors import InputError, StorageError
from melbo_app.jobs.endpoint import Endpoint
from melbo_app.jobs.judging import BUILT_IN, beats_built_in
from melbo_app.library.judges import JudgeScore, JudgeScores
from melbo_app.workbench import Workbench

GRADES = ("readable", "strange", "broken")


class Stub(HTTPServer):
    """Answers as an endpoint does: with the grade that a text names, or with what ``says`` is set to."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.status, self.says, self.delay = 200, None, threading.Event()
        self.asked: list[tuple[str, str | None, dict]] = []
        self.wait = 0.0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/v1"


class Handler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        server: Stub = self.server  # type: ignore[assignment]
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        server.asked.append((self.path, self.headers["Authorization"], body))
        server.delay.wait(server.wait)
        question = body["messages"][0]["content"].split("<text>")[1].split("</text>")[0]
        grade = next((one for one in GRADES if f"a {one} text" in question), "readable")
        says = f"Grade: {grade}\nBehaviour: talks about itself" if server.says is None else server.says
        answer = {"choices": [{"message": {"role": "assistant", "content": says}}]}
        data = says if isinstance(says, bytes) else json.dumps(answer).encode()
        self.send_response(server.status)
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def stub() -> Iterator[Stub]:
    server = Stub()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.delay.set()
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny(tmp_path_factory.mktemp("tiny"), max_position_embeddings=1024)


@pytest.fixture
def bench(tmp_path: Path, model: Path) -> Workbench:
    return Workbench(settings(tmp_path / "cache", model))


def graded(folder: Path, right: int, wrong: int) -> Path:
    """Held-out texts that the stub grades as the reader does, and others."""
    rows = [{"part": "fitted", "prompt": "p", "text": "a broken text", "grade": "readable"}]
    rows += [{"part": "held out", "prompt": "p", "text": "a strange text", "grade": "strange"}] * right
    rows += [{"part": "held out", "prompt": "p", "text": "a strange text", "grade": "broken"}] * wrong
    path = folder / "graded.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)), "utf-8")
    return path


def compared(bench: Workbench) -> int:
    """A comparison of one baseline."""
    return finish(bench.steer(None, [Prompt("hello there")], [], [], Decoding(3))).id


def test_a_judge_that_beats_the_built_in_verdict_is_on_and_one_that_does_not_is_off(bench, stub, tmp_path):
    endpoint, number = Endpoint(stub.url, "big"), compared(bench)
    with pytest.raises(InputError, match="never compared with a reader"):
        finish(bench.judge(number, endpoint))
    found = finish(bench.score_judge(endpoint, graded(tmp_path, right=4, wrong=1)))
    assert (found.texts, found.same, found.same_readable) == (5, 4, 5)  # 80 % where the built-in verdict has 83 %
    with pytest.raises(InputError, match=r"4 of 5 texts, and the built-in verdict of 58 of 70"):
        finish(bench.judge(number, endpoint))
    finish(bench.score_judge(endpoint, graded(tmp_path, right=9, wrong=1)))
    [(completion, said)] = finish(bench.judge(number, endpoint))
    assert (completion.vector, said.verdict, said.behaviour) == (None, "readable", "talks about itself")
    with pytest.raises(InputError, match="never compared"):  # another model there is another judge
        finish(bench.judge(number, Endpoint(stub.url, "small")))


def test_as_good_as_the_built_in_verdict_is_not_better():
    assert not beats_built_in(BUILT_IN)
    assert beats_built_in(BUILT_IN.model_copy(update={"same": BUILT_IN.same + 1}))


def test_a_stopped_scoring_keeps_the_last_score(bench, stub, tmp_path):
    endpoint, path = Endpoint(stub.url, "big"), graded(tmp_path, right=5, wrong=0)
    finish(bench.score_judge(endpoint, path))
    assert finish(bench.score_judge(endpoint, path, stop=lambda: True)) is None
    assert finish(bench.judge(compared(bench), endpoint))


def test_the_key_is_sent_and_kept_nowhere(bench, stub, tmp_path, caplog):
    caplog.set_level("DEBUG")
    endpoint = Endpoint(stub.url, "big", "sk-very-secret")
    finish(bench.score_judge(endpoint, graded(tmp_path, right=1, wrong=0)))
    path, key, body = stub.asked[0]
    assert (path, key, body["model"]) == ("/v1/chat/completions", "Bearer sk-very-secret", "big")
    assert "sk-very-secret" not in caplog.text
    kept = [file for file in (tmp_path / "cache").rglob("*") if file.is_file()]
    assert kept and not any(b"sk-very-secret" in file.read_bytes() for file in kept)


@pytest.mark.parametrize(
    ("status", "says", "sentence"),
    [
        (401, None, "status 401. Set MELBO_JUDGE_KEY"),
        (500, None, "status 500"),
        (302, None, "status 302"),
        (200, b"<html>", "no chat completion"),
        (200, b'{"choices": []}', "no chat completion"),
        (200, b" " * (2**20 + 1), "longer than a megabyte"),
        (200, "I would rather not say.", "is none of readable, strange and broken"),
    ],
)
def test_every_failure_of_an_endpoint_is_a_sentence(bench, stub, tmp_path, status, says, sentence):
    stub.status, stub.says = status, says
    with pytest.raises(InputError, match=sentence.replace(".", r"\.")):
        finish(bench.score_judge(Endpoint(stub.url, "big"), graded(tmp_path, right=1, wrong=0)))


def test_an_endpoint_that_does_not_answer_is_given_up(stub):
    stub.wait = 30.0
    with pytest.raises(InputError, match=r"did not answer within 0\.2 seconds"):
        Endpoint(stub.url, "big", seconds=0.2).ask("Who are you?", 5)


def test_an_endpoint_that_is_not_there_is_named(stub):
    stub.server_close()
    with pytest.raises(InputError, match="cannot be reached"):
        Endpoint(stub.url, "big").ask("Who are you?", 5)


@pytest.mark.parametrize(
    ("url", "key", "sentence"),
    [
        ("example.org/v1", None, "no address"),
        ("ftp://example.org", None, "no address"),
        ("http://[::1", None, "no address"),
        ("https://me:pw@example.org/v1", None, "has a name"),
        ("http://example.org/v1", "k", "unencrypted"),
        ("https://example.org/v1", "k\nX: y", "characters that cannot be sent"),
        ("https://example.org/v1", "schlüssel", "characters that cannot be sent"),
    ],
)
def test_an_address_that_cannot_be_used_is_refused_before_anything_is_sent(url, key, sentence):
    with pytest.raises(InputError, match=sentence):
        Endpoint(url, "big", key)


def test_the_loaded_model_judges_by_the_likeliest_word_and_names_the_behaviour(bench, tmp_path, model):
    score = finish(bench.score_judge(None, graded(tmp_path, right=2, wrong=1)))
    assert score.texts == 3 and score.judge.startswith(model.name)
    # its three texts are the same, so that it says one word for all of them
    assert score.same in (0, 1, 2)
    best = score.model_copy(update={"same": 3})
    JudgeScores(tmp_path / "cache" / "judges.json").keep(best)
    [(_, said)] = finish(bench.judge(compared(bench), None))
    assert said.verdict in GRADES and isinstance(said.behaviour, str)


def test_a_damaged_file_of_scores_is_named(tmp_path):
    path = tmp_path / "judges.json"
    path.write_text("{", "utf-8")
    with pytest.raises(StorageError, match="damaged"):
        JudgeScores(path).find("x")
    path.write_text(json.dumps({"x": {"judge": "x", "texts": 0, "same": 0, "same_readable": 0}}), "utf-8")
    with pytest.raises(StorageError, match="damaged"):
        JudgeScores(path).keep(JudgeScore(judge="y", texts=1, same=1, same_readable=1))


def test_the_command_scores_a_judge_on_the_graded_texts_and_says_what_came_of_it(stub, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("MELBO_CACHE_DIR", str(tmp_path))
    with pytest.raises(SystemExit) as ended:
        main(["judge", "--score", "--endpoint", stub.url, "--endpoint-model", "big", "--json"])
    told = json.loads(capsys.readouterr().out)
    assert ended.value.code == 0 and len(stub.asked) == told["judge"]["texts"] == 70
    # the stub finds every text readable, and so does the reader of three in four
    assert (told["judge"]["same"], told["built_in"]["same"], told["on"]) == (54, 58, False)
    for words, sentence in ((["judge"], "either its number or --score"), (["judge", "1", "--score"], "either its")):
        with pytest.raises(SystemExit) as ended:
            main(words)
        assert ended.value.code == 2 and sentence in capsys.readouterr().err
