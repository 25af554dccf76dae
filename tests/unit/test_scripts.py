"""The page's own scripts reach the browser once, and what only programs read does not reach it at all."""

import json
import re
from typing import Any

import gradio as gr
import pytest
from benches import trained
from starlette.testclient import TestClient

from melbo_app.ui.application import application
from melbo_app.ui.page import build_page
from melbo_app.ui.scripts import SCRIPTS, SHORTCUTS, TOGETHER, component_script, head, read

NAMES = ("gradio_config", "gradio_api_info")
STUB = re.compile(r"melbo\.mount\(\(all\) => all\.(\w+)\(\{ [\w, ]+ \}(, '[\w-]+')?\)\); //((?: '\w+')*) ?")


@pytest.fixture
def page(bench: Any) -> gr.Blocks:
    trained(bench)
    return build_page(bench)


def test_each_script_is_sent_once():
    _, components = component_script()
    sent = head() + components + read(SHORTCUTS)
    assert {path.name: sent.count(path.read_text("utf-8")) for path in SCRIPTS.glob("*.js")} == {
        path.name: 1 for path in SCRIPTS.glob("*.js")
    }


def test_a_component_names_the_events_that_its_script_triggers_and_no_others(page):
    stubs = {block.elem_id: block.js_on_load for block in page.blocks.values() if isinstance(block, gr.HTML)}
    defined = re.findall(r"^define\('(\w+)'", component_script()[1], flags=re.MULTILINE)
    for elem_id, stub in stubs.items():
        found = STUB.fullmatch(stub)
        assert found, (elem_id, stub)
        name, button, named = found.groups()
        script = read(*TOGETHER.get(name, (name,)), *(["stamp_strip"] if button else []))
        triggered = {*re.findall(r"\btrigger\('(\w+)'", script)}
        events = {*re.findall(r"'(\w+)'", named)}
        assert name in defined and triggered <= events, elem_id
        assert all(f"'{event}'" in script or event.endswith("_opened") for event in events), elem_id


def test_a_visit_gets_no_schema_of_the_api_and_a_program_all_of_it(page):
    client = TestClient(application(page))
    text = client.get("/").text
    sent = [json.loads(re.findall(rf"window\.{name} = (\{{.*?\}});</script>", text)[0]) for name in NAMES]
    visited, schema = sent
    known = client.get("/config").json()
    public = {event["id"] for event in known["dependencies"] if event["api_visibility"] == "public"}
    arguments = {part["id"] for part in known["components"] if part["type"] == "api"}
    assert len(public) > 10 and arguments and client.get("/gradio_api/info").json()["named_endpoints"]["/steer"]
    assert {event["id"] for event in known["dependencies"]} - public == {one["id"] for one in visited["dependencies"]}
    assert {part["id"] for part in known["components"]} - arguments == {one["id"] for one in visited["components"]}
    assert not arguments & {*_ids(visited["layout"])}
    assert schema == {"named_endpoints": {}, "unnamed_endpoints": {}}


def test_the_script_of_the_components_is_kept_by_browsers_until_it_changes(page):
    client = TestClient(application(page))
    [path] = re.findall(r'src=\\"(explorer/components-\w{16}\.js)\\"', client.get("/").text.replace("\\u003c", "<"))
    answer = client.get(f"/{path}")
    assert answer.text == component_script()[1] and "immutable" in answer.headers["cache-control"]


def _ids(layout: dict[str, Any]) -> list[int]:
    return [layout["id"], *(id for child in layout.get("children", []) for id in _ids(child))]
