"""A study that is one file and one line in the list is at every door: command line, HTTP, MCP, Python and jobs."""

import json
import re
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any, ClassVar, Literal

import gradio as gr
import httpx
import pytest
from benches import PROMPT, listen, save_tiny, settings
from counting import CountTokens
from patience import PATIENCE
from pydantic import BaseModel, Field
from test_cli import Ask, ask, cache, environment  # noqa: F401

from melbo_app import api, studies
from melbo_app.engine.decoding import Decoding
from melbo_app.engine.prompt import Prompt
from melbo_app.engine.stopping import Stop
from melbo_app.errors import InputError, Stopped
from melbo_app.jobs.bench import Bench
from melbo_app.jobs.generators import result_of
from melbo_app.jobs.progress import Progress
from melbo_app.jobs.study import How, Study
from melbo_app.studies import STUDIES, read_study
from melbo_app.ui.http_api import publish_api
from melbo_app.ui.verbs.study_verb import study_verb
from melbo_app.workbench import Workbench

TEXTS = ["hello there", "the heath"]
PROMPTS = [Prompt(text) for text in TEXTS]


@pytest.fixture(scope="module", autouse=True)
def listed() -> Iterator[None]:
    STUDIES.append(CountTokens)
    yield
    STUDIES.remove(CountTokens)


def counts(bench: Workbench) -> list[int]:
    tokenizer = bench.bench.model.get().tokenizer
    return [len(tokenizer(text).input_ids) for text in TEXTS]


def test_the_kinds_and_the_verbs_of_all_studies_differ_and_each_says_what_it_does():
    assert len({one.kind for one in STUDIES}) == len({one.verb for one in STUDIES}) == len(STUDIES)
    assert all(one.__doc__ and one.__doc__ != one.__base__.__doc__ for one in STUDIES)


# --- the command line -------------------------------------------------------------------------------------------------


def test_the_command_line_has_its_help_its_options_and_its_json(ask: Ask, bench: Workbench):  # noqa: F811
    helped = " ".join(ask("count-tokens", "--help").out.split())
    assert "Count the tokens of prompts." in helped and "Returns" not in helped
    assert re.search(r"--seconds <float> Seconds between two prompts", helped) and "--pause" not in helped
    asked = [word for text in TEXTS for word in ("--prompt", text)]
    assert ask("count-tokens", *asked, "--json").json == {"tokens": counts(bench), "total": sum(counts(bench))}
    assert ask("count-tokens", *asked).out == f"{sum(counts(bench))} tokens in 2 prompts\n"
    refused = ask("count-tokens", *asked, "--most", 1)
    assert (refused.code, refused.sentence) == (2, "prompts: there are 2. Give at most 1.")
    assert ask("count-tokens").sentence == "prompt: none was given. Give one with --prompt."


# --- HTTP and MCP -----------------------------------------------------------------------------------------------------


@pytest.fixture
def url(bench: Workbench, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[str]:
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path / "uploads"))
    monkeypatch.setenv("GRADIO_ANALYTICS_ENABLED", "False")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1,localhost")
    with gr.Blocks(analytics_enabled=False) as blocks:
        publish_api(bench)
    _, url, _ = blocks.launch(
        server_name="127.0.0.1", prevent_thread_lock=True, quiet=True, ssr_mode=False, mcp_server=True
    )
    yield url.rstrip("/")
    blocks.close(verbose=False)


def test_http_and_mcp_have_its_schema_and_answer(url: str, bench: Workbench):
    endpoint = httpx.get(f"{url}/gradio_api/info").json()["named_endpoints"]["/count_tokens"]
    taken = {one["parameter_name"]: one for one in endpoint["parameters"]}
    assert list(taken) == ["prompts", "most", "pause", "system", "template"]
    assert taken["most"]["type"]["type"] == "integer" and taken["most"]["parameter_default"] == 100
    assert taken["pause"]["type"]["description"] == "seconds between two prompts"
    tools = {one["name"]: one for one in httpx.get(f"{url}/gradio_api/mcp/schema").json()}
    [tool] = [one for name, one in tools.items() if name.endswith("count_tokens")]
    assert tool["description"].startswith("Count the tokens of prompts.")
    assert {*tool["inputSchema"]["properties"]} == {*taken}
    sent = httpx.post(f"{url}/gradio_api/call/count_tokens", json={"data": [TEXTS, 9, 0.0, None, None]}).json()
    events = httpx.get(f"{url}/gradio_api/call/count_tokens/{sent['event_id']}", timeout=PATIENCE).text
    assert "event: complete" in events
    answer = json.loads(events.rpartition("data: ")[2])[0]
    assert answer == {"tokens": counts(bench), "total": sum(counts(bench))}
    [record] = bench.jobs()
    assert (record.kind, record.who, record.state) == ("count-tokens", "a program", "done")


def test_an_answer_names_what_the_study_could_not_store_and_nothing_else(bench: Workbench, monkeypatch):
    waiting, said = ["Not kept yet: 2 texts. The disk is full."], []

    def answer(study: CountTokens, result: list[int], not_kept: str | None) -> None:
        said.append(not_kept)

    monkeypatch.setattr(CountTokens, "answer", answer)
    monkeypatch.setattr(bench, "not_kept", lambda: list(waiting))
    count = study_verb(bench, CountTokens)
    count(prompts=TEXTS)
    run = CountTokens.run

    def unstored(study: CountTokens, *given: Any) -> Any:
        waiting.append("Not kept yet: 1 atlas. The disk is full.")
        return run(study, *given)

    monkeypatch.setattr(CountTokens, "run", unstored)
    count(prompts=TEXTS)
    assert said == [None, "Not kept yet: 1 atlas. The disk is full."]


# --- Python -----------------------------------------------------------------------------------------------------------


def test_python_does_it_with_a_workbench_and_in_a_notebook(bench: Workbench):
    heard, result = listen(bench.run(CountTokens(prompts=PROMPTS)))
    assert result == counts(bench) and [one.stage for one in heard] == ["prompt 1", "prompt 2"]
    stages: list[str] = []
    lm = bench.bench.model.get()
    assert api.run(lm, CountTokens(prompts=PROMPTS), progress=lambda now: stages.append(now.stage)) == result
    assert stages == ["prompt 1", "prompt 2"]
    with pytest.raises(InputError, match=r"^prompts: there are 2\. Give at most 1\.$"):
        api.run(lm, CountTokens(prompts=PROMPTS, most=1))
    with pytest.raises(InputError, match=r"^most: “many” cannot be used\."):
        CountTokens(prompts=PROMPTS, most="many")
    with pytest.raises(TypeError, match="CountTokens has no least"):
        CountTokens(prompts=PROMPTS, least=1)


# --- jobs -------------------------------------------------------------------------------------------------------------


def test_it_is_a_job_that_is_followed_kept_and_done_again(bench: Workbench, model_folder: Path, tmp_path: Path):
    bench.load_model()
    with pytest.raises(InputError, match="Give at most 1"):
        bench.start(CountTokens(prompts=PROMPTS, most=1))
    job = bench.start(CountTokens(prompts=PROMPTS), who="Ann")
    assert job.wait(PATIENCE) and (job.state, job.result) == ("done", counts(bench))
    record = bench.job(job.id)
    assert (record.kind, record.title, record.who) == ("count-tokens", "Count tokens", "Ann")
    kept = read_study(record.request)
    assert kept == CountTokens(
        prompts=PROMPTS, model=bench.bench.model.spec, model_hash=bench.bench.model.get().weights_hash
    )
    later = Workbench(settings(tmp_path / "cache", model_folder))
    later.load_model()
    again = later.run_again(job.id)
    assert again.wait(PATIENCE) and again.result == job.result


def test_a_stop_keeps_what_is_finished(bench: Workbench):
    many = bench.start(CountTokens(prompts=[PROMPT] * 100, pause=0.05))
    while many.progress is None or many.progress.done < 2:
        assert not many.wait(0.005)
    bench.stop_job(many.id)
    assert many.wait(PATIENCE) and many.state == "stopped" and 2 <= len(many.result) < 100
    with pytest.raises(Stopped):
        result_of(bench.run(CountTokens(prompts=PROMPTS), stop=lambda: True))


def test_the_next_server_goes_on_with_it_where_it_has_the_same_model(bench: Workbench, model_folder, tmp_path):
    bench.load_model()
    job = bench.start(CountTokens(prompts=[PROMPT] * 40, pause=0.05))
    while job.progress is None:
        assert not job.wait(0.005)
    assert bench.pause_jobs(PATIENCE) == ["Count tokens"]
    cache = bench.settings.cache_dir  # noqa: F811
    stranger = Workbench(settings(cache, save_tiny(tmp_path / "other", seed=1)))
    stranger.resume_jobs()
    assert stranger.job(job.id).state == "interrupted"
    with pytest.raises(InputError, match="Load that model first"):
        stranger.run_again(job.id)
    later = Workbench(settings(cache, model_folder))
    later.load_model()
    gone_on = later.run_again(job.id)
    assert gone_on.id == job.id and gone_on.wait(PATIENCE) and len(gone_on.result) == 40


def test_a_job_of_a_study_that_is_gone_stays_in_the_list_and_says_so(bench: Workbench, monkeypatch):
    bench.load_model()
    job = bench.start(CountTokens(prompts=PROMPTS))
    assert job.wait(PATIENCE)
    monkeypatch.setattr(studies, "STUDIES", [one for one in STUDIES if one is not CountTokens])
    assert [record.kind for record in bench.jobs()] == ["count-tokens"]
    with pytest.raises(InputError, match="it was saved by an incompatible version"):
        bench.run_again(job.id)


# --- fields of every kind ---------------------------------------------------------------------------------------------


class Place(BaseModel):
    block: int
    note: str = ""


class Everything(Study[dict[str, Any]]):
    """Give back what was asked for."""

    kind: ClassVar[str] = "everything"
    how: ClassVar[How] = "look"

    prompt: Prompt
    colour: Literal["red", "blue"] = "red"
    words: tuple[str, ...] | None = None
    layers: tuple[int, ...] = ()
    shares: tuple[float, ...] | None = Field(None, description="shares, all below 1")
    loud: bool = True
    name: str | None = None
    place: Place | None = None
    decoding: Decoding = Decoding(max_new_tokens=7)

    def run(self, bench: Bench, stop: Stop) -> Generator[Progress, None, dict[str, Any]]:
        yield Progress("looking", 0, 1)
        return self.model_dump(mode="json")


@pytest.fixture
def everything() -> Iterator[None]:
    STUDIES.append(Everything)
    yield
    STUDIES.remove(Everything)


ASKED = {
    "colour": "blue", "words": ["a", "b"], "layers": [1, 3], "shares": [0.5, 0.25], "loud": False, "name": "x",
    "place": {"block": 2, "note": "n"},
}  # fmt: skip


def test_a_field_of_any_kind_can_be_given_at_every_door(ask: Ask, everything, bench: Workbench):  # noqa: F811
    words = [
        "--colour",
        "blue",
        "--words",
        "a,b",
        "--layers",
        "1,3",
        "--shares",
        "0.5,0.25",
        "--no-loud",
        "--name",
        "x",
    ]
    words += ["--name", "x", "--place", '{"block": 2, "note": "n"}', "--max-new-tokens", 9, "--system", "be brief"]
    given = ask("everything", "--prompt", "hello", *words, "--json").json
    assert {name: given[name] for name in ASKED} == ASKED
    assert (given["prompt"]["user"], given["prompt"]["system"]) == ("hello", "be brief")
    assert (given["decoding"]["max_new_tokens"], given["decoding"]["temperature"]) == (9, 0.0)
    usual = ask("everything", "--prompt", "hello", "--json").json
    assert (usual["colour"], usual["layers"], usual["loud"], usual["place"]) == ("red", [], True, None)
    assert usual["decoding"]["max_new_tokens"] == 7
    for word, value, part in (
        ("--colour", "green", "colour: “green” cannot be used."),
        ("--layers", "one", "layers: 'one' is not a list of numbers."),
        ("--place", "there", "place: “there” is not JSON."),
        ("--place", '{"block": "up"}', "place.block: “up” cannot be used."),
    ):
        assert ask("everything", "--prompt", "hello", word, value).sentence.startswith(part)
    verb = study_verb(bench, Everything)
    answer = verb(prompt="hello", **ASKED)
    assert {name: answer[name] for name in ASKED} == ASKED


def test_such_a_study_has_an_endpoint(everything, url: str):
    taken = httpx.get(f"{url}/gradio_api/info").json()["named_endpoints"]["/everything"]["parameters"]
    names = [one["parameter_name"] for one in taken]
    assert names[:1] == ["prompt"] and {*ASKED, "max_new_tokens", "seed", "system", "template"} < {*names}
    data = ["hello", *(one["parameter_default"] for one in taken[1:])]
    sent = httpx.post(f"{url}/gradio_api/call/everything", json={"data": data}).json()
    events = httpx.get(f"{url}/gradio_api/call/everything/{sent['event_id']}", timeout=PATIENCE).text
    assert "event: complete" in events and json.loads(events.rpartition("data: ")[2])[0]["colour"] == "red"
