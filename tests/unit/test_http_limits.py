"""Strangers at the HTTP API: what cannot be comes back as one sentence, soon, and who leaves stops the work."""

import inspect
import json
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import benches
import gradio as gr
import httpx
import pytest
from patience import PATIENCE
from starlette.middleware import Middleware

from melbo_app.engine import generation
from melbo_app.engine.batch import Batch
from melbo_app.engine.decoding import Decoding
from melbo_app.engine.slice import ModelSlice
from melbo_app.errors import Stopped
from melbo_app.jobs.bench import Bench
from melbo_app.limits import MOST_CHARACTERS, MOST_PROMPTS
from melbo_app.studies.steer import Steer
from melbo_app.ui.http_api import publish_api
from melbo_app.ui.unknown_arguments import HANDLERS
from melbo_app.ui.verbs.ranges import NUMBERS
from melbo_app.web.presence import HEADER, Presence
from melbo_app.workbench import Workbench

LONG = 40  # tokens: with what each step is made to take, minutes
NOT_A_SENTENCE = re.compile(r"Error\b|Traceback|Exception|pydantic|\n|<class|object at 0x|FileData", re.IGNORECASE)
HOSTILE: list[Any] = [
    2**63, -(2**63) - 1, 10**400, -1, 1e308, float("nan"), float("inf"), True, 2.5, 3.0, "x", "7", "\ud800", "a\0b",
    "x" * (MOST_CHARACTERS + 1), [], [[1]], [None], ["x"] * (MOST_PROMPTS + 1), [float("nan")], [2**63], [True],
    ["y" * (MOST_CHARACTERS + 1)], [0] * 20_000, {}, {"path": "/etc/passwd"}, None,
]  # fmt: skip
VALID: dict[str, dict[str, Any]] = {  # what a verb needs, none of which leads to any work
    "train": {"name": "../x", "prompts": [" "]}, "job": {"id": 99}, "stop_job": {"id": 99},
    "steer": {"bank": "none"}, "sweep": {"bank": "none"}, "similarity": {"bank": "none"}, "map": {"bank": "none"},
    "search_meaning": {"text": " ", "seconds": -1}, "find": {"prompts": [" "], "score": "flag:none"},
    "generality": {"bank": "none"}, "watch": {"bank": "none", "clean": ["x"], "prompts": ["x"]},
    "adapters": {"prompts": [" "]}, "harden": {"method": "lat", "keep": ["x"]},
    "reliability": {"bank": "none"}, "triggers": {"toward": "text: "},
    "removal": {"edited": " ", "before": "none", "behaviour": "none"},
    "parts": {"bank": "none", "vector": 0, "prompt": "x", "measure": "logits:A,B"},
    "explore": {"prompt": " ", "scope": "none"}, "audit": {"prompts": [" "]}, "export_audit": {"key": "none"},
    "save_label": {"bank": "none", "vector": 0}, "label_agreement": {"bank": "none"},
    "suggest_labels": {"bank": "none"}, "export_bank": {"name": "none"},
    "import_labels": {"bank": "none", "file": {"path": "none", "meta": {"_type": "gradio.FileData"}}},
    "import_bank": {"file": {"path": "none", "meta": {"_type": "gradio.FileData"}}}, "load_model": {"spec": "none"},
}  # fmt: skip


class Page:
    """A server with the verbs and nothing else."""

    def __init__(self, bench: Workbench, url: str, blocks: gr.Blocks) -> None:
        self.bench, self.url, self.blocks = bench, url.rstrip("/"), blocks

    def arguments(self) -> dict[str, dict[str, str]]:
        """The arguments of each verb with their types."""
        info = httpx.get(f"{self.url}/gradio_api/info", timeout=PATIENCE).json()["named_endpoints"]
        return {
            verb[1:]: {one["parameter_name"]: one["python_type"]["type"] for one in endpoint["parameters"]}
            for verb, endpoint in info.items()
        }

    def post(self, verb: str, body: str) -> httpx.Response:
        """The first half of a call."""
        head = {"Content-Type": "application/json"}
        return httpx.post(f"{self.url}/gradio_api/call/v2/{verb}", content=body, headers=head, timeout=PATIENCE)

    def stream(self, verb: str, arguments: dict[str, Any]) -> str:
        """Where its second half waits."""
        event = self.post(verb, json.dumps(arguments)).json()["event_id"]
        return f"{self.url}/gradio_api/call/{verb}/{event}"

    def answer(self, verb: str, arguments: dict[str, Any]) -> tuple[str, Any]:
        """How a call ended: "error" with the sentence, or "complete" with the result."""
        asked = self.post(verb, json.dumps(arguments))
        if asked.status_code != 200:
            assert 400 <= asked.status_code < 500
            return "error", asked.json()["detail"]
        said = httpx.get(f"{self.url}/gradio_api/call/{verb}/{asked.json()['event_id']}", timeout=PATIENCE).text
        event, data = said.strip().split("\n")[-2:]
        found = json.loads(data.removeprefix("data: "))
        return event.removeprefix("event: "), found["error"] if "error" in event else found[0]


@pytest.fixture(scope="module")
def page(model_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    """With a bank “a”."""
    folder = tmp_path_factory.mktemp("page")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GRADIO_TEMP_DIR", str(folder / "uploads"))
        patch.setenv("GRADIO_ANALYTICS_ENABLED", "False")
        patch.setenv("NO_PROXY", "127.0.0.1,localhost")
        patch.setattr(Bench, "embedder", benches.StubEmbedder())
        bench = Workbench(benches.settings(folder / "cache", model_folder))
        benches.trained(bench)
        with gr.Blocks(analytics_enabled=False) as blocks:
            publish_api(bench)
        _, url, _ = blocks.launch(
            server_name="127.0.0.1", prevent_thread_lock=True, quiet=True, ssr_mode=False,
            app_kwargs={"exception_handlers": HANDLERS, "middleware": [Middleware(Presence, "/gradio_api/mcp")]},
        )  # fmt: skip
        yield Page(bench, url, blocks)
        blocks.close(verbose=False)


def wait_until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.005)


def check_sentence(sentence: Any, about: Any) -> None:
    assert isinstance(sentence, str) and sentence.endswith("."), (about, sentence)
    assert not NOT_A_SENTENCE.search(sentence) and len(sentence) < 800, (about, sentence)


# --- what is sent ----------------------------------------------------------------------------------------------------


def sent_and_refused(page: Page, verb: str, arguments: dict[str, Any]) -> str | None:
    """The sentence of a refusal, without the way there; None where there is none."""
    [fn] = [one for one in page.blocks.fns.values() if one.api_name == verb]
    defaults = {name: one.default for name, one in inspect.signature(fn.fn).parameters.items()}
    try:
        fn.fn(*(arguments.get(one.label, defaults[one.label]) for one in fn.inputs))
    except gr.Error as error:
        return error.message
    return None


def test_every_argument_of_every_verb_refuses_what_it_cannot_be_in_one_sentence(page):
    walked, before = 0, page.bench.jobs()
    for verb, names in page.arguments().items():
        for name in names:
            for value in HOSTILE:
                walked, about = walked + 1, (verb, name, str(value)[:60])
                said = sent_and_refused(page, verb, {**VALID.get(verb, {}), name: value})
                if said is None:  # only where it is nothing out of the ordinary
                    assert value is None, about
                else:
                    check_sentence(said, about)
    assert walked > 2000 and not page.bench.active_jobs() and page.bench.jobs() == before


def test_over_http_it_is_the_same_sentence(page):
    for verb, names in page.arguments().items():
        for name in [*names][:1]:
            event, said = page.answer(verb, {**VALID.get(verb, {}), name: {"a": 2**63}})
            assert event == "error", (verb, name)
            check_sentence(said, (verb, name))


def test_every_number_has_a_range_that_is_said(page):
    for verb, names in page.arguments().items():
        for name, kind in names.items():
            if not re.search(r"\b(int|float)\b", kind):
                continue
            assert name in NUMBERS or f"{verb}.{name}" in NUMBERS, (verb, name)
            value: Any = 1e300 if re.search(r"\bfloat\b", kind) else 2**63
            arguments = {**VALID.get(verb, {}), name: [value] if "list" in kind else value}
            said = sent_and_refused(page, verb, arguments)
            assert said and re.match(rf"{name}(\[0\])?: {re.escape(str(value))} is out of range\. Choose ", said), said


@pytest.mark.parametrize(
    ("verb", "arguments", "status", "sentence"),
    [
        ("jobs", {"limt": 3}, 400, "argument: there is no “limt”. The arguments of jobs are limit."),
        ("banks", {"x" * 500: 1}, 400, "banks takes no arguments."),
        ("job", {}, 400, "id: it is missing. The arguments of job are id."),
        ("steer", {"vectors": [0]}, 400, "bank: it is missing. The arguments of steer are bank, prompts, vectors,"),
        ("nothing", {}, 404, "verb: there is no “nothing”. Choose from models, load_model, banks, train,"),
    ],
)
def test_an_argument_that_is_unknown_or_missing_is_named_with_those_that_there_are(
    page, verb, arguments, status, sentence
):
    asked = page.post(verb, json.dumps(arguments))
    assert asked.status_code == status and sentence in asked.json()["detail"]
    check_sentence(asked.json()["detail"], verb)


def test_a_prompt_is_refused_by_its_characters_before_it_is_tokenized(page, monkeypatch):
    read = []
    tokenizer = page.bench.bench.model.get().tokenizer
    monkeypatch.setattr(type(tokenizer), "__call__", lambda self, *_, **__: read.append(1) or 1 / 0)
    for arguments in (
        {"prompts": ["a" * 20_000_000]},
        {"prompts": ["a"], "system": "b" * 20_000_000},
        {"prompts": ["c" * MOST_CHARACTERS] * 5},
        {"prompts": ["d"], "template": "e" * 5_000},
    ):
        event, said = page.answer("steer", {"bank": "a", **arguments})
        assert event == "error" and re.search(r"has [\d,]+ characters|have [\d,]+ characters in total", said), said
    assert not read


# --- who leaves ------------------------------------------------------------------------------------------------------


def leaves(page: Page, verb: str, arguments: dict[str, Any], begun: Callable[[], bool]) -> None:
    """Ask, wait until the work has begun, and go."""
    with httpx.stream("GET", page.stream(verb, arguments), timeout=PATIENCE) as answer:
        assert answer.status_code == 200
        wait_until(begun)


def nobody_works(page: Page) -> bool:
    return all(events is None for events in page.blocks._queue.active_jobs)


def test_a_client_that_leaves_ends_its_steering(page, monkeypatch):
    steps: list[float] = []
    real = Batch.step
    monkeypatch.setattr(Batch, "step", lambda self: steps.append(time.monotonic()) or time.sleep(0.2) or real(self))
    monkeypatch.setattr(generation, "STREAM_SECONDS", 0.0)
    asked = {"bank": "a", "prompts": ["hello there"], "vectors": [0, 1], "max_new_tokens": LONG}
    leaves(page, "steer", {**asked, "radii": [1.0]}, lambda: len(steps) > 3)
    left = time.monotonic()
    wait_until(lambda: nobody_works(page))
    wait_until(lambda: page.bench.bench.compute._holder is None and not page.bench.bench.batching._companies)
    done = len(steps)
    time.sleep(0.2)
    assert len(steps) == done, "it goes on"
    assert sum(at > left + 1.0 for at in steps) <= 1
    assert page.answer("steer", {**asked, "max_new_tokens": 2})[0] == "complete"


@pytest.mark.parametrize("verb", ["sweep", "map", "generality"])
def test_a_client_that_leaves_stops_the_job_that_it_waited_for(page, verb, monkeypatch):
    steps: list[int] = []
    real = Batch.step
    monkeypatch.setattr(Batch, "step", lambda self: steps.append(1) or time.sleep(0.2) or real(self))
    asked = {"bank": "a", "prompts": ["hello there", "a heath"], "vectors": [0], "max_new_tokens": LONG}
    asked |= {"random": 4} if verb == "generality" else {"radii": [2.0, 3.0]}
    leaves(page, verb, asked, lambda: len(steps) > 2)
    wait_until(lambda: not page.bench.active_jobs())
    record = page.bench.jobs(1)[0]
    assert record.kind == verb
    assert record.state == "stopped" and record.comparison is None
    assert [page.bench.comparisons(kind) for kind in ("part", "sweep", "map")] == [[], [], []]


def test_a_client_that_leaves_ends_a_comparison_of_vectors(page, monkeypatch):
    passes: list[int] = []
    real = ModelSlice._through

    def slow(self, part, thetas, stop):
        passes.append(1)
        wait_until(lambda: len(passes) < 4 or (stop is not None and stop()))
        return real(self, part, thetas, stop)

    monkeypatch.setattr(ModelSlice, "_through", slow)
    monkeypatch.setattr("melbo_app.engine.slice.TOKENS_AT_ONCE", 1)
    asked = {"bank": "a", "prompts": ["one two three", "four five", "six"], "scope": "all"}
    leaves(page, "similarity", asked, lambda: len(passes) >= 4)
    wait_until(lambda: nobody_works(page) and page.bench.bench.compute._holder is None)
    assert len(passes) == 4


def test_a_call_over_mcp_ends_with_its_client(page, monkeypatch):
    """Its stream is Gradio's own, which stays open: the header says whose call it is."""
    steps: list[int] = []
    real = Batch.step
    monkeypatch.setattr(Batch, "step", lambda self: steps.append(1) or time.sleep(0.2) or real(self))
    body = {"bank": "a", "prompts": ["hello"], "vectors": [0], "max_new_tokens": LONG}
    head = {HEADER: "a call whose client has left"}
    asked = httpx.post(f"{page.url}/gradio_api/call/v2/steer", json=body, headers=head, timeout=PATIENCE).json()
    said = httpx.get(f"{page.url}/gradio_api/call/steer/{asked['event_id']}", timeout=PATIENCE).text
    assert '"Stopped."' in said and len(steps) <= 1


# --- what takes long -------------------------------------------------------------------------------------------------


def test_a_training_on_many_prompts_is_in_the_list_at_once_and_others_steer_meanwhile(page, monkeypatch):
    parts: list[int] = []
    real = ModelSlice._capture

    def slow(self, encoded, stop):
        parts.append(len(encoded.prompts))
        time.sleep(0.02)
        return real(self, encoded, stop)

    monkeypatch.setattr(ModelSlice, "_capture", slow)
    monkeypatch.setattr("melbo_app.engine.slice.TOKENS_AT_ONCE", 64)
    monkeypatch.setattr("melbo_app.engine.slice.PART_TOKENS", 64)
    many = [f"hi {number}" for number in range(400)]
    asked = {"name": "many", "prompts": many, "relative_radius": 0.5, "vectors": 2, "steps": 2}
    event, job = page.answer("train", asked)
    assert event == "complete" and job["state"] in ("waiting", "running")
    assert len(parts) < 400, "the prompts were read before the answer"
    wait_until(lambda: len(parts) > 3)
    event, _ = page.answer("steer", {"bank": "a", "prompts": ["a heath"], "vectors": [0], "max_new_tokens": 2})
    read = len(parts)
    assert event == "complete" and max(parts) <= 64
    assert page.bench.job(job["id"]).state == "running" and "median norm" in page.bench.job(job["id"]).progress.stage
    page.answer("stop_job", {"id": job["id"]})
    wait_until(lambda: not page.bench.active_jobs())
    assert len(parts) <= read + 400 and page.bench.job(job["id"]).state == "stopped"


def test_what_is_found_wrong_while_a_training_prepares_fails_its_job_with_a_sentence(page):
    context = page.bench.bench.model.get().context
    event, job = page.answer("train", {"name": "long", "prompts": ["one two " * context], "relative_radius": 0.5})
    assert event == "complete"
    wait_until(lambda: not page.bench.active_jobs())
    record = page.bench.job(job["id"])
    assert record.state == "failed" and (record.error or "").startswith("prompt: prompt 1 has ")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"radii": [1 + number / 1e6 for number in range(100_000)]}, "radii: 100,000 are too many. Give at most 200"),
        ({"prompts": ["hi"] * 1_001}, "prompts: 1,001 are too many. Give at most 1,000 at once."),
        (
            {"prompts": ["hi"] * 1_000, "radii": [float(number) for number in range(1, 150)]},
            "texts: 1,000 prompts with 448 combinations of vector and R make 448,000 texts. At most 20,000 are allowed",
        ),
    ],
)
@pytest.mark.parametrize("verb", ["steer", "sweep"])
def test_too_much_is_refused_with_the_number(page, verb, arguments, sentence):
    before = page.bench.jobs()
    event, said = page.answer(verb, {"bank": "a", "random_control": False, "max_new_tokens": 2, **arguments})
    assert event == "error" and said.startswith(sentence)
    assert page.bench.jobs() == before


def test_a_comparison_of_nothing_is_not_kept(bench):
    """The unsteered text alone, found in the library, is nothing that anybody asked for."""
    benches.trained(bench)
    benches.listen(bench.run(Steer(bank=None, prompts=[benches.PROMPT], vectors=[], radii=None, decoding=Decoding(4))))
    before = bench.comparisons()
    with pytest.raises(Stopped, match="before the first token"):
        benches.listen(
            bench.run(
                Steer(bank="a", prompts=[benches.PROMPT], vectors=[0], radii=[6.0], decoding=Decoding(4)),
                stop=lambda: True,
            )
        )
    assert bench.comparisons() == before
