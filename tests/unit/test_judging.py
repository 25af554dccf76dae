"""A judge, behind a stubbed endpoint or a tiny model: on only where it beats the built-in verdict."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from benches import LENT, save_tiny, settings
from judge_stub import GRADES, Stub, running

from melbo_app.cli import main
from melbo_app.engine.decoding import Decoding
from melbo_app.engine.prompt import Prompt
from melbo_app.errors import InputError, StorageError
from melbo_app.jobs.bench import Bench
from melbo_app.jobs.generators import result_of
from melbo_app.library.judges import JudgeScore, JudgeScores, held_out_texts
from melbo_app.studies.judge import JudgeTexts, ScoreJudge
from melbo_app.studies.judge_endpoint import Endpoint
from melbo_app.studies.judging import built_in
from melbo_app.studies.steer import Steer
from melbo_app.workbench import Workbench

GRADED = Bench.graded


@pytest.fixture
def stub() -> Iterator[Stub]:
    with running() as server:
        yield server


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = save_tiny(tmp_path_factory.mktemp("tiny"), max_position_embeddings=1024)
    LENT.add(str(folder))
    return folder


@pytest.fixture
def bench(tmp_path: Path, model: Path) -> Workbench:
    return Workbench(settings(tmp_path / "cache", model))


def graded(bench: Workbench, right: int, wrong: int) -> None:
    """Texts that the stub grades as the reader does, and others. The built-in verdict, readable, is right for half."""
    rows = [{"part": "fitted", "text": "a broken text", "grade": "readable"}]
    rows += [{"part": "held out", "text": "a strange text", "grade": "strange"}] * right
    rows += [{"part": "held out", "text": "a strange text", "grade": "broken"}] * wrong
    rows += [{"part": "held out", "text": "a readable text", "grade": "readable"}] * (right + wrong)
    same = {"prompt": "p", "tokens": 30, "loss": 0.1, "peak_surprisal": 1.0}
    bench.bench.graded = bench.settings.cache_dir.with_name("graded.jsonl")
    bench.bench.graded.write_text("\n".join(json.dumps(row | same) for row in rows), "utf-8")


def compared(bench: Workbench) -> int:
    """A comparison of one baseline."""
    return result_of(
        bench.run(Steer(bank=None, prompts=[Prompt("hello there")], vectors=[], radii=[], decoding=Decoding(3)))
    ).id


def test_a_judge_that_beats_the_built_in_verdict_is_on_and_one_that_does_not_is_off(bench, stub):
    endpoint, number = Endpoint(stub.url, "big"), compared(bench)
    graded(bench, right=0, wrong=2)
    assert not bench.judge_standing(endpoint).on
    with pytest.raises(InputError, match="never compared with a reader"):
        result_of(bench.run(JudgeTexts(comparison=number, endpoint=endpoint)))
    found = result_of(bench.run(ScoreJudge(endpoint=endpoint)))
    assert (found.score.texts, found.score.same, found.score.same_readable) == (4, 2, 4)
    assert (found.built_in.texts, found.built_in.same, found.built_in.same_readable) == (4, 2, 2)
    assert not found.on  # as good is not better
    with pytest.raises(InputError, match=r"2 of 4 texts, and the built-in verdict on 2 of 4"):
        result_of(bench.run(JudgeTexts(comparison=number, endpoint=endpoint)))
    graded(bench, right=1, wrong=1)
    assert result_of(bench.run(ScoreJudge(endpoint=endpoint))).on and bench.judge_standing(endpoint).on
    [(completion, said)] = result_of(bench.run(JudgeTexts(comparison=number, endpoint=endpoint)))
    assert (completion.vector, said.verdict, said.behaviour) == (None, "readable", "talks about itself")
    with pytest.raises(InputError, match="never compared"):  # another model there is another judge
        result_of(bench.run(JudgeTexts(comparison=number, endpoint=Endpoint(stub.url, "small"))))


def test_the_built_in_verdict_on_the_graded_texts_is_what_the_documentation_says():
    found = built_in(held_out_texts(GRADED))
    assert (found.texts, found.same, found.same_readable) == (70, 61, 62)


def test_a_stopped_scoring_keeps_the_last_score(bench, stub):
    endpoint = Endpoint(stub.url, "big")
    graded(bench, right=5, wrong=0)
    result_of(bench.run(ScoreJudge(endpoint=endpoint)))
    assert result_of(bench.run(ScoreJudge(endpoint=endpoint), stop=lambda: True)) is None
    assert result_of(bench.run(JudgeTexts(comparison=compared(bench), endpoint=endpoint)))


def test_what_was_judged_before_an_end_is_kept_and_not_asked_again(bench, stub):
    endpoint, prompts = Endpoint(stub.url, "big"), [Prompt("hello there"), Prompt("hello"), Prompt("there")]
    graded(bench, right=1, wrong=0)
    result_of(bench.run(ScoreJudge(endpoint=endpoint)))
    comparison = result_of(bench.run(Steer(bank=None, prompts=prompts, vectors=[], radii=[], decoding=Decoding(3))))
    first, second, third = comparison.completions
    assert bench.judgements(comparison.completions) == {}
    stub.asked.clear()
    assert (
        len(
            result_of(
                bench.run(JudgeTexts(comparison=comparison.id, endpoint=endpoint), stop=lambda: len(stub.asked) == 1)
            )
        )
        == 1
    )
    work = bench.run(JudgeTexts(comparison=comparison.id, endpoint=endpoint))
    assert [(step.done, step.total) for step in (next(work), next(work))] == [(0, 2), (1, 2)]
    stub.status = 429
    with pytest.raises(InputError, match="too many requests"):
        next(work)
    kept = bench.judgements(comparison.completions)
    assert set(kept) == {first.digest, second.digest} and kept[first.digest].model == "big"
    stub.status = 200
    assert [one.id for one, _ in result_of(bench.run(JudgeTexts(comparison=comparison.id, endpoint=endpoint)))] == [
        first.id,
        second.id,
        third.id,
    ]
    assert len(stub.asked) == 4  # the third text twice
    graded(bench, right=0, wrong=1)
    result_of(bench.run(ScoreJudge(endpoint=endpoint)))
    assert bench.judgements(comparison.completions) == {}  # a judge that is off says nothing


def test_the_key_is_sent_and_kept_nowhere(bench, stub, tmp_path, caplog):
    caplog.set_level("DEBUG")
    endpoint = Endpoint(stub.url, "big", "sk-very-secret")
    graded(bench, right=1, wrong=0)
    result_of(bench.run(ScoreJudge(endpoint=endpoint)))
    result_of(bench.run(JudgeTexts(comparison=compared(bench), endpoint=endpoint)))
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
        (200, b"<html>", "not a chat completion"),
        (200, b'{"choices": []}', "not a chat completion"),
        (200, b" " * (2**20 + 1), "longer than a megabyte"),
        (200, "I would rather not say.", "is not readable, strange or broken"),
    ],
)
def test_every_failure_of_an_endpoint_is_a_sentence(bench, stub, status, says, sentence):
    stub.status, stub.says = status, says
    graded(bench, right=1, wrong=0)
    with pytest.raises(InputError, match=sentence.replace(".", r"\.")):
        result_of(bench.run(ScoreJudge(endpoint=Endpoint(stub.url, "big"))))


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
        ("example.org/v1", None, "not an address"),
        ("ftp://example.org", None, "not an address"),
        ("http://[::1", None, "not an address"),
        ("https://me:pw@example.org/v1", None, "contains a user name"),
        ("http://example.org/v1", "k", "unencrypted"),
        ("https://example.org/v1", "k\nX: y", "characters that cannot be sent"),
        ("https://example.org/v1", "schlüssel", "characters that cannot be sent"),
    ],
)
def test_an_address_that_cannot_be_used_is_refused_before_anything_is_sent(url, key, sentence):
    with pytest.raises(InputError, match=sentence):
        Endpoint(url, "big", key)


def test_the_loaded_model_judges_by_the_likeliest_word_and_names_the_behaviour(bench, tmp_path, model):
    graded(bench, right=2, wrong=1)
    score = result_of(bench.run(ScoreJudge(endpoint=None))).score
    assert score.texts == 6 and score.judge.startswith(model.name)
    # the texts of each kind are the same, so that it says one word for all of them
    assert score.same in {strange + readable for strange in (0, 1, 2) for readable in (0, 3)}
    best = score.model_copy(update={"same": 6})
    JudgeScores(tmp_path / "cache" / "judges.json").keep(best)
    [(_, said)] = result_of(bench.run(JudgeTexts(comparison=compared(bench), endpoint=None)))
    assert said.verdict in GRADES and isinstance(said.behaviour, str)


def test_a_damaged_file_of_scores_is_named(tmp_path):
    path = tmp_path / "judges.json"
    path.write_text("{", "utf-8")
    with pytest.raises(StorageError, match="damaged"):
        JudgeScores(path).find("x")
    sound = {"judge": "y", "texts": 1, "same": 1, "same_readable": 1}
    path.write_text(json.dumps({"x": {**sound, "judge": "x", "texts": 0}, "y": sound, "z": [sound]}), "utf-8")
    scores = JudgeScores(path)
    assert (scores.find("x"), scores.find("y"), scores.find("z")) == (None, JudgeScore(**sound), None)
    assert [str(one).split(": ")[:2] for one in scores.damaged()] == [
        ["“x” in “judges.json”", "texts"],
        ["“z” in “judges.json”", "input should be a valid dictionary or instance of JudgeScore"],
    ]
    scores.keep(JudgeScore(judge="x", texts=1, same=1, same_readable=1))
    assert scores.find("x") is not None and [one.subject for one in scores.damaged()] == []


def test_the_command_scores_a_judge_on_the_graded_texts_and_says_what_came_of_it(stub, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("MELBO_CACHE_DIR", str(tmp_path))
    with pytest.raises(SystemExit) as ended:
        main(["judge", "--score", "--endpoint", stub.url, "--endpoint-model", "big", "--json"])
    told = json.loads(capsys.readouterr().out)
    assert ended.value.code == 0 and len(stub.asked) == told["judge"]["texts"] == 70
    # the stub finds every text readable, and so does the reader of three in four
    assert (told["judge"]["same"], told["built_in"]["same"], told["on"]) == (54, 61, False)
    for words, sentence in ((["judge"], "either its number or --score"), (["judge", "1", "--score"], "either its")):
        with pytest.raises(SystemExit) as ended:
            main(words)
        assert ended.value.code == 2 and sentence in capsys.readouterr().err
