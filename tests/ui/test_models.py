"""The Models tab: the catalogue, and a press that gets a model."""

import re
import sys
import threading
from pathlib import Path
from types import SimpleNamespace

import pytest
import steps
from playwright.sync_api import Page, expect

sys.path.append(str(Path(__file__).resolve().parents[1] / "unit"))

pytestmark = pytest.mark.browser


def test_the_catalogue_is_listed_with_its_sizes_and_the_loaded_model_cannot_be_got_again(page: Page):
    steps.tab(page, "Models")
    cards = page.locator("#model-cards .mx-model")
    expect(cards).to_have_count(4)
    loaded = page.locator('.mx-model[data-key="smollm2-135m"]')
    expect(loaded).to_have_attribute("data-state", "loaded")
    expect(loaded.get_by_role("button", name="Loaded: SmolLM2-135M-Instruct")).to_be_disabled()
    for key in ("gemma-3-270m", "qwen2.5-0.5b", "qwen2.5-1.5b"):
        card = page.locator(f'.mx-model[data-key="{key}"]')
        expect(card.locator(".mx-model-state")).to_have_text(re.compile(r"^(Ready|Not here: [\d.]+ [MG]B)"))
        expect(card.locator(".mx-model-facts")).to_have_text(re.compile("Apache|Gemma"))


def test_a_press_gets_a_model_and_loads_it_and_stop_keeps_what_has_arrived(browser, monkeypatch, tmp_path):
    """In this process, where the catalogue can be one whose download takes no time."""
    import gradio as gr
    import torch
    from benches import save_tiny
    from patience import PATIENCE
    from test_weights import write_gguf
    from tiny_catalogue import KEY, put_into_catalogue

    from melbo_app.engine import model
    from melbo_app.library import hub
    from melbo_app.settings import Settings
    from melbo_app.ui.scripts import IN_HEAD, component_script, read
    from melbo_app.ui.tabs.models import ModelsTab
    from melbo_app.ui.theme import STYLES, theme
    from melbo_app.workbench import Workbench

    monkeypatch.setattr(hub, "find_file", lambda file, sha256: None)
    data = write_gguf(tmp_path / "source.gguf", blocks=2).read_bytes()
    _, shelf = put_into_catalogue(monkeypatch, tmp_path / "shelf", data)
    with gr.Blocks() as blocks:
        with gr.Tabs():
            with gr.Tab("Other"):
                gr.Markdown("other")
            with gr.Tab("Models") as tab:
                models = ModelsTab(Workbench(Settings(cache_dir=tmp_path / "cache", device="cpu")))
        models.bind(SimpleNamespace(opened=lambda view: tab.select), gr.Timer(60))
    scripts = f"<script>{read(*IN_HEAD)}\n{component_script()[1]}</script>"
    _, address, _ = blocks.launch(prevent_thread_lock=True, quiet=True, css_paths=STYLES, theme=theme(), head=scripts)
    page = browser.new_page()
    try:
        page.goto(address)
        page.get_by_role("tab", name="Models").click()
        card = page.locator(f'.mx-model[data-key="{KEY}"]')
        expect(card).to_have_attribute("data-state", "absent")
        assert shelf.asked == []  # looking is not pressing
        (shelf.folder / "slow").touch()
        card.get_by_role("button", name="Get: Tiny").click()
        card.get_by_role("button", name="Stop: Tiny").click()
        expect(page.locator("#model-progress .mx-progress-text")).to_have_text("Stopped: the downloaded part is kept.")
        expect(card).to_have_attribute("data-state", "absent")
        (shelf.folder / "slow").unlink()
        card.get_by_role("button", name="Get: Tiny").click()
        expect(card).to_have_attribute("data-state", "loaded")
        expect(page.locator("#model-progress .mx-progress-text")).to_have_text("Tiny is loaded.")
        expect(page.locator("#model-table")).to_contain_text(KEY)
        begun = threading.Event()

        def forever(*_):
            begun.set()
            while True:
                torch.ones(1).add(1)

        monkeypatch.setattr(model, "_model", forever)
        page.locator("#model-spec input, #model-spec textarea").fill(str(save_tiny(tmp_path / "other")))
        page.locator("#model-load").click()
        assert begun.wait(PATIENCE)
        page.locator("#model-stop").click()
        expect(page.locator("#model-progress .mx-progress-text")).to_have_text("Stopped; the previous model stays.")
        expect(card).to_have_attribute("data-state", "loaded")
    finally:
        page.close()
        blocks.close(verbose=False)
