"""Programs as users: the endpoints are the main verbs and no others, and docs/http-api.md runs as it stands."""

import asyncio
import base64
import json
import re
import subprocess
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, get_args

import httpx
import numpy as np
import pytest
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError
from mcp import ClientSession
from mcp.client.streamable_http import streamable_http_client
from mcp.types import CallToolResult, TextContent, Tool
from safetensors.numpy import save_file

from melbo_app.library.formats.known import FORMATS, READ
from melbo_app.ui.verbs.library import ReadFormat, WrittenFormat

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "http-api.md").read_text("utf-8")
ADDRESS = "http://127.0.0.1:7860"
REQUIRED = {
    "models": [], "load_model": [], "banks": [], "train": ["name", "prompts"], "jobs": [], "job": ["id"],
    "stop_job": ["id"], "steer": ["bank"], "sweep": ["bank"], "similarity": ["bank"], "map": ["bank"],
    "search_meaning": ["text"], "find": ["prompts", "score"], "generality": ["bank"], "labels": [],
    "watch": ["bank", "clean", "prompts"], "adapters": ["prompts"],
    "harden": ["method", "keep"],
    "parts": ["bank", "vector", "prompt", "measure"],
    "reliability": ["bank"],
    "triggers": ["toward"],
    "removal": ["edited", "before", "behaviour"],
    "explore": ["prompt"], "audit": ["prompts"], "export_audit": ["key"],
    "label_agreement": ["bank"], "suggest_labels": ["bank"], "save_label": ["bank", "vector"],
    "import_labels": ["file", "bank"], "import_bank": ["file"], "export_bank": ["name"],
}  # fmt: skip
LOOPED = ("banks", "explorations", "audits", "generality")
"""Folders in which the loop of an audit leaves something."""
MADE = ("from-a-program", "from-a-file", "from-curl", "from-mcp", "from-gguf")


@pytest.fixture(scope="module")
def client(app: Any) -> Iterator[Client]:
    """A program's connection; what it made is gone afterwards, for the tests that look at the page."""
    program = Client(app.url, verbose=False)
    before = {path for folder in LOOPED for path in (app.cache / folder).glob("*")}
    yield program
    shelf = [bank["name"] for bank in program.predict(api_name="/banks")["banks"]]
    if MADE[0] in shelf:
        program.predict(MADE[0], 0, name="", tags=[], rating=0, note="", api_name="/save_label")
    for name in MADE:
        (app.cache / "banks" / f"{name}.safetensors").unlink(missing_ok=True)
    for path in {path for folder in LOOPED for path in (app.cache / folder).glob("*")} - before:
        path.unlink(missing_ok=True)


@pytest.fixture(scope="module")
def examples(app: Any, client: Client, tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], Path]:
    """The names after the page's Python examples have run, and the folder in which they did."""
    folder, names = tmp_path_factory.mktemp("examples"), {}
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for block in re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL):
            _elsewhere(exec, compile(block.replace(ADDRESS, app.url), "docs/http-api.md", "exec"), names)
    return names, folder


def _elsewhere(fn: Callable[..., Any], *arguments: Any) -> Any:
    """What ``fn`` returns in a thread of its own: the browser has its events in this one, and asyncio wants none."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(fn, *arguments).result()


def test_the_formats_are_those_that_are_known():
    assert get_args(ReadFormat) == tuple(format.key for format in READ)
    assert get_args(WrittenFormat) == tuple(format.key for format in FORMATS)


def said(app: Any, verb: str, arguments: dict[str, Any]) -> str:
    """The events of a call by plain HTTP."""
    asked = httpx.post(f"{app.url}/gradio_api/call/v2/{verb}", json=arguments).json()
    return httpx.get(f"{app.url}/gradio_api/call/{verb}/{asked['event_id']}").text


def test_the_verbs_are_public_and_nothing_else_is(client):
    public = client.view_api(return_format="dict", print_info=False)
    assert {*public["named_endpoints"]} == {f"/{verb}" for verb in REQUIRED} and public["unnamed_endpoints"] == {}
    events = client.config["dependencies"]
    assert {event["api_name"] for event in events if event["api_visibility"] != "private"} == {*REQUIRED}
    assert len(events) > 60
    private = next(event["api_name"] for event in events if event["api_visibility"] == "private")
    with pytest.raises(ValueError, match="api_name"):
        client.predict(api_name=f"/{private}")


def test_every_verb_and_every_argument_is_described_and_typed(app):
    for verb, endpoint in httpx.get(f"{app.url}/gradio_api/info").json()["named_endpoints"].items():
        assert endpoint["description"].endswith((".", "?")), verb
        assert endpoint["returns"][0]["type"].get("properties"), verb
        for argument in endpoint["parameters"]:
            assert argument["python_type"]["description"] and argument["python_type"]["type"] != "Any", (verb, argument)
            assert argument["parameter_has_default"] or argument["parameter_name"] in REQUIRED[verb[1:]], verb
        needed = [one["parameter_name"] for one in endpoint["parameters"] if not one["parameter_has_default"]]
        assert needed == REQUIRED[verb[1:]]
    paths = httpx.get(f"{app.url}/gradio_api/openapi.json").json()["paths"]
    assert {path.split("/")[-1] for path in paths if "/v2/" in path} == {*REQUIRED}
    body = paths["/gradio_api/call/v2/job"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    assert body["properties"]["id"] == {"type": "integer", "description": "its id, from `train` or `jobs`"}


def test_the_table_of_the_page_names_every_verb_and_what_it_needs():
    rows = re.findall(r"^\| `/(\w+)` \|.*\| (.*)\|$", PAGE, flags=re.MULTILINE)
    assert {verb: re.findall(r"`(\w+)`", needed) for verb, needed in rows} == REQUIRED


def test_the_python_of_the_page_runs_as_it_stands(examples, app):
    names, folder = examples
    assert [text["vector"] for text in names["found"]["completions"]] == [None, 3, 5]
    assert [line["radius"] for line in names["swept"]["radii"]] == [6, 9]
    assert all(sum(line["vectors"].values()) == sum(line["random"].values()) == 1 for line in names["swept"]["radii"])
    job = names["job"]
    assert (job["state"], job["bank"], job["error"]) == ("done", "from-a-program", None)
    newest = names["client"].predict(6, api_name="/jobs")["jobs"]
    assert [line["kind"] for line in newest] == ["audit", "generality", "explore", "map", "training", "sweep"]
    assert newest[4] == job and {line["who"] for line in newest} == {"a program"}
    assert len(names["alike"]["matrix"]) == 2 and len(names["drawn"]["points"]) == 3
    kept = (app.cache / "banks" / "from-a-program.safetensors").read_bytes()
    assert (folder / "mine.safetensors").read_bytes() == kept
    again = names["client"].predict("from-a-file", vectors=[0], max_new_tokens=4, api_name="/steer")
    assert again["completions"][1]["bank"] == "from-a-file"
    # over MCP the same text, which was looked up
    texts = {text["vector"]: text["text"] for text in names["found"]["completions"]}
    assert [(text["vector"], text["text"]) for text in names["steered"]["completions"]] == [
        (None, texts[None]),
        (3, texts[3]),
    ]


def test_the_lines_for_curl_run_as_they_stand(examples, app):
    _, folder = examples
    blocks = re.findall(r"```sh\n(.*?)```", PAGE, flags=re.DOTALL)
    results = []
    for block in blocks:
        ran = subprocess.run(
            ["sh", "-c", block.replace(ADDRESS, app.url)], cwd=folder, capture_output=True, text=True, check=True
        )
        event, data = ran.stdout.strip().split("\n")[-2:]
        assert event == "event: complete", ran
        results.append(json.loads(data.removeprefix("data: "))[0])
    assert [text["vector"] for text in results[0]["completions"]] == [None, 3]
    assert results[1]["name"] == "from-curl" and results[1]["vectors"] == 2


@pytest.mark.parametrize(
    ("arguments", "verb", "sentence"),
    [
        (
            ("no-such-bank",),
            "steer",
            "bank: there is no bank called “no-such-bank”. See the list of banks.",
        ),
        (("../../melbo",), "export_bank", "bank: there is no bank called “../../melbo”. See the list of banks"),
        (("bomb-question", "../x"), "export_bank", "format: “../x” is not known. Choose safetensors, melbo, gguf,"),
        (("/etc",), "load_model", "model: “/etc” is not ready to be loaded. Choose a spec that models lists."),
        (("../x", ["hello"]), "train", "name: “../x” cannot be used. Use 1 to 80 letters"),
        (("x", ["hello", " "]), "train", "prompt: prompt 2 is empty. Write a text for the model to answer."),
        (("x", "hello"), "train", "prompts: “hello” is not a list. Give one in square brackets."),
        (("bomb-question", None, [3, "x"]), "steer", "vectors[1]: “x” is not a whole number. Give one without quotes"),
        (("bomb-question", None, [99]), "steer", "vector: the bank has no vector 99. Choose from 0 to 7."),
        ((10**6,), "stop_job", "job: there is no job 1000000. See the list of jobs."),
        (("bomb-question", 0, None, None, 9), "save_label", "rating: 9 is out of range. Choose 0 to 5."),
    ],
)
def test_what_is_refused_is_one_sentence(client, arguments, verb, sentence):
    with pytest.raises(AppError) as refused:
        client.predict(*arguments, api_name=f"/{verb}")
    assert str(refused.value).startswith(sentence)


@pytest.mark.parametrize("meta", [{}, {"meta": {"_type": "gradio.FileData"}}])
def test_files_of_the_server_that_were_not_uploaded_cannot_be_read(app, client, meta):
    sample = ROOT / "tests" / "banks" / "bomb-question.safetensors"
    for path in (sample, app.cache / "uploads" / ".." / "melbo.sqlite", f"{app.url}/gradio_api/info"):
        told = said(app, "import_bank", {"file": {"path": str(path), **meta}, "name": "stolen"})
        assert "event: error" in told and "event: complete" not in told
    assert "stolen" not in str(client.predict(api_name="/banks"))


@pytest.mark.parametrize("path", ["melbo.sqlite", "uploads/../melbo.sqlite", "models"])
def test_files_of_the_server_that_were_not_made_for_download_cannot_be_fetched(app, path):
    assert httpx.get(f"{app.url}/gradio_api/file={app.cache}/{path}").status_code in (403, 404)


def test_an_export_is_written_among_the_uploads_and_nowhere_else(app, client):
    def files() -> set[Path]:
        return {path for path in app.cache.glob("*") if not path.name.startswith("melbo.sqlite")} | {
            *(app.cache / "banks").glob("*")
        }

    before = files()
    told = said(app, "export_bank", {"name": "bomb-question", "format": "melbo"})
    written = Path(json.loads(told.split("data: ")[1])[0]["path"])
    assert written.is_relative_to(app.cache / "uploads") and written.name == "bomb-question.pt"
    assert files() <= before | {app.cache / "uploads"}


def test_one_vector_goes_out_as_a_control_vector_and_comes_back(client):
    made = Path(client.predict("bomb-question", "gguf", vector=3, radius=6, api_name="/export_bank"))
    assert (made.name, made.read_bytes()[:4]) == ("bomb-question-3.gguf", b"GGUF")
    told = client.predict(handle_file(made), name="from-gguf", api_name="/import_bank")
    assert (told["name"], told["vectors"], round(told["radius"], 3)) == ("from-gguf", 1, 6.0)


def test_a_program_is_asked_what_the_rows_of_its_file_are(client, tmp_path):
    rows = np.random.default_rng(0).normal(size=(31, 576)).astype(np.float32)
    save_file({"states": rows}, tmp_path / "states.safetensors")
    file = handle_file(tmp_path / "states.safetensors")
    with pytest.raises(AppError, match="^rows: the file has 31 rows and the model 30 blocks"):
        client.predict(file, name="states", source=13, api_name="/import_bank")
    told = client.predict(file, name="states", source=13, rows="layers", api_name="/import_bank")
    assert told["vectors"] == 1 and "which is the output of block 12" in told["note"]


# --- MCP -------------------------------------------------------------------------------------------------------------


def talk(app: Any, *calls: tuple[str, dict[str, Any]]) -> tuple[list[Tool], list[CallToolResult]]:
    """The tools, and the answers to calls of them."""

    async def session() -> tuple[list[Tool], list[CallToolResult]]:
        address = f"{app.url}/gradio_api/mcp/"
        async with streamable_http_client(address) as (read, write, _), ClientSession(read, write) as session:
            await session.initialize()
            tools = (await session.list_tools()).tools
            return tools, [await session.call_tool(name, arguments) for name, arguments in calls]

    return _elsewhere(asyncio.run, session())


def text(answer: CallToolResult) -> str:
    first = answer.content[0]
    assert isinstance(first, TextContent)
    return first.text


def test_the_tools_are_the_verbs_with_their_descriptions(app):
    tools, _ = talk(app)
    assert {tool.name for tool in tools} == {*REQUIRED}
    for tool in tools:
        assert tool.description and "Returns:" in tool.description
        assert tool.inputSchema.get("required", []) == REQUIRED[tool.name]
        assert all(argument["description"] for argument in tool.inputSchema["properties"].values())


def test_a_tool_answers_in_json_and_refuses_in_one_sentence(app):
    sample = (ROOT / "tests" / "banks" / "bomb-question.safetensors").read_bytes()
    file = f"data:application/octet-stream;base64,{base64.b64encode(sample).decode()}"
    _, (shelf, unknown, wrong, brought, path, taken) = talk(
        app,
        ("banks", {}),
        ("steer", {"bank": "no-such-bank"}),
        ("steer", {"bank": 3}),
        ("import_bank", {"file": file, "file_name": "from-mcp.safetensors"}),
        ("import_bank", {"file": "/etc/passwd"}),
        ("export_bank", {"name": "bomb-question"}),
    )
    assert any(bank["name"] == "bomb-question" for bank in json.loads(text(shelf))["banks"])
    assert unknown.isError and text(unknown).startswith("bank: there is no bank called “no-such-bank”.")
    assert wrong.isError and "3 is not of type 'string'" in text(wrong)
    assert json.loads(text(brought)) == {"name": "from-mcp", "vectors": 8, "radius": 9.0, "note": None}
    assert path.isError and "Invalid file data" in text(path)
    assert httpx.get(text(taken)).content == sample
