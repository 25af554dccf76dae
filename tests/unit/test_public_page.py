"""A public page as strangers reach it: by its own events and by HTTP, each with his own quotas, and no folders."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from benches import PROMPT, QUICK, save_tiny, settings, trained
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError
from patience import PATIENCE
from starlette.middleware import Middleware

from melbo_app.engine.decoding import Decoding
from melbo_app.library.offered_models import OfferedModels
from melbo_app.public.quotas import JOBS
from melbo_app.public.workbench import public_workbench
from melbo_app.studies.sweep import Sweep
from melbo_app.studies.train import Train
from melbo_app.ui.page import build_page
from melbo_app.ui.visitor import visitor
from melbo_app.workbench import Workbench

ADDRESS = b"x-stands-at"


class StandsAt:
    """Stands for the middleware that finds out who is behind the proxies."""

    def __init__(self, app: Any) -> None:
        self._app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        said = [value.decode() for name, value in scope.get("headers", ()) if name == ADDRESS]
        await self._app({**scope, "client": (said[0], 1)} if said else scope, receive, send)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("where it is") / "kept"


@pytest.fixture(scope="module")
def bench(folder: Path) -> Workbench:
    """With a bank from a time when the server was not public."""
    model = save_tiny(folder / "models" / "tiny")
    given = settings(folder / "cache", model).model_copy(update={"public": True})
    trained(Workbench(given), "old")
    (folder / "cache" / "banks" / "damaged.safetensors").write_bytes(b"no")
    bench = Workbench(given, offered=OfferedModels.of(given))
    assert str(folder) in bench.bank("old").record.model
    bench.load_model("tiny")
    return bench


@pytest.fixture(scope="module")
def url(bench: Workbench, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GRADIO_TEMP_DIR", str(tmp_path_factory.mktemp("uploads")))
        patch.setenv("GRADIO_ANALYTICS_ENABLED", "False")
        patch.setenv("NO_PROXY", "127.0.0.1,localhost")
        page = build_page(public_workbench(bench, visitor))
        page.queue(default_concurrency_limit=8)
        _, address, _ = page.launch(
            server_name="127.0.0.1", prevent_thread_lock=True, quiet=True, ssr_mode=False,
            app_kwargs={"middleware": [Middleware(StandsAt)]},
        )  # fmt: skip
        yield address.rstrip("/")
        page.close(verbose=False)


def program(url: str, address: str) -> Client:
    return Client(url, verbose=False, headers={ADDRESS.decode(): address})


def refusal(client: Client, *given: Any, **said: Any) -> str:
    with pytest.raises(AppError) as refused:
        client.predict(*given, **said)
    return str(refused.value)


def long(bench: str = "old") -> Sweep:
    radii = tuple(map(float, range(1, 200)))
    return Sweep(bank=bench, prompts=(PROMPT,), vectors=(0,), radii=radii, decoding=Decoding(3))


def test_nothing_that_is_fetched_names_a_folder(url, folder):
    for path in ("", "/config", "/gradio_api/info", "/gradio_api/openapi.json", "/gradio_api/startup-events"):
        answer = httpx.get(f"{url}{path}")
        assert answer.status_code == 200 and str(folder) not in answer.text, path


def small(value: Any) -> Any:
    """As few tokens, steps and vectors as are allowed: what comes back names the same things."""
    return min(value, 4) if type(value) in (int, float) else value


def test_no_event_of_the_page_by_its_number_names_a_folder(url, folder):
    """Each is sent the values that its fields begin with, in small numbers, and those that a stranger would try."""
    config = httpx.get(f"{url}/config").json()
    props = {one["id"]: one["props"] for one in config["components"]}
    events = {event["id"]: event for event in config["dependencies"] if event["backend_fn"]}
    for session, spoiled in (("plain", None), ("odd", f"{folder}/models/tiny")):
        with httpx.Client(timeout=PATIENCE, headers={ADDRESS.decode(): "203.0.113.5"}) as http:
            for number, event in events.items():
                values = [small(props[one].get("value")) for one in event["inputs"]]
                data = [spoiled if spoiled and isinstance(value, str) else value for value in values]
                body = {
                    "data": data,
                    "fn_index": number,
                    "session_hash": session,
                    "event_data": {"key": spoiled or "x"},
                }
                assert http.post(f"{url}/gradio_api/queue/join", json=body).status_code == 200
            told = http.get(f"{url}/gradio_api/queue/data", params={"session_hash": session}).text
        assert told.count('"process_completed"') == len(events) > 100
        said = told.replace(spoiled, "") if spoiled else told  # one's own words may come back
        assert str(folder) not in said, [line for line in said.splitlines() if str(folder) in line][:3]


def test_what_programs_are_told_names_no_folder(url, folder, tmp_path):
    client = program(url, "203.0.113.6")
    for verb in ("/models", "/banks", "/jobs", "/labels", "/load_model"):
        told = json.dumps(client.predict(api_name=verb))
        assert str(folder) not in told and "cache" not in told, verb
    file = client.predict("old", api_name="/export_bank")
    assert str(folder).encode() not in Path(file).read_bytes()
    assert [line["spec"] for line in client.predict(api_name="/models")["models"]] == ["tiny"]
    for spec in (f"{folder}/models/tiny", "/root/.ssh", "/nonexistent", str(folder)):
        told = refusal(client, spec, api_name="/load_model")
        assert told == f"model: “{spec[:80]}” is not ready to be loaded. Choose a spec that models lists."
    bad = tmp_path / "bad.safetensors"
    bad.write_bytes(b"no")
    assert str(tmp_path.parent) not in refusal(client, handle_file(bad), api_name="/import_bank")


def test_visitors_have_their_own_quotas_and_stop_their_own_jobs(url, bench):
    anna, ben = program(url, "203.0.113.7"), program(url, "203.0.113.8")
    sweep = {"bank": "old", "radii": [float(one) for one in range(1, 100)], "max_new_tokens": 3, "api_name": "/sweep"}
    under_way = [anna.submit(**sweep) for _ in range(JOBS)]
    for _ in range(200):
        mine = [job for job in anna.predict(api_name="/jobs")["jobs"] if job["state"] in ("waiting", "running")]
        if len(mine) == JOBS:
            break
    assert len(mine) == JOBS and len({job["who"] for job in mine}) == 1 and mine[0]["who"].startswith("visitor ")
    assert refusal(anna, **sweep).startswith(f"Each visitor can have {JOBS} jobs at a time.")
    told = refusal(ben, mine[0]["id"], api_name="/stop_job")
    assert told == "job: it is somebody else's. Only the person who started it can stop it."
    assert ben.predict(**{**sweep, "radii": [6.0]})["completions"]
    for job in mine:
        anna.predict(job["id"], api_name="/stop_job")
    for one in under_way:
        one.exception(PATIENCE)
    anna.predict("old", 2, name="hers", api_name="/save_label")
    assert refusal(ben, "old", 2, name="his", api_name="/save_label").startswith("label: somebody else has labelled")
    assert bench.label("old", 2).name == "hers"


def test_buttons_that_are_refused_are_not_there_and_the_reason_is(url):
    config = httpx.get(f"{url}/config").json()
    by_id = {one["props"].get("elem_id"): one["props"] for one in config["components"]}
    for gone in ("bank-delete", "bank-delete-confirm", "library-bundle", "judge-endpoint", "judge-endpoint-model"):
        assert by_id[gone]["visible"] is False, gone
    assert by_id["bank-delete-refused"]["value"]["lines"] == [
        "Nothing is deleted on a public page. Ask whoever runs it."
    ]
    assert len(by_id["library-bundle-refused"]["value"]["lines"]) == 2
    assert [choice[1] for choice in by_id["judge-who"]["choices"]] == ["loaded model"]
    assert by_id["model-spec"]["placeholder"] == "one of tiny"


def test_a_page_that_is_not_public_has_them(tmp_path, model_folder):
    page = build_page(Workbench(settings(tmp_path / "cache", model_folder)))
    by_id = {one["props"].get("elem_id"): one["props"] for one in page.get_config_file()["components"]}
    assert by_id["bank-delete"]["visible"] and by_id["library-bundle"]["visible"] and by_id["judge-endpoint"]["visible"]
    assert "bank-delete-refused" not in by_id and by_id["model-spec"]["placeholder"].startswith("hub name")


def test_a_job_that_a_program_starts_is_the_visitor_s(bench, monkeypatch):
    """``who`` of a verb is not what is kept."""
    mine = public_workbench(bench, lambda: "203.0.113.9")
    job = mine.start(Train(prompts=[PROMPT], config=QUICK, name="by-a-program"), who="a program")
    assert job.wait(PATIENCE) and job.record().who.startswith("visitor ") and job.record().bank == "by-a-program"
