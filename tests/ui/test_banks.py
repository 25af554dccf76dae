"""Banks: files come and go, and a bad one changes nothing."""

import os
import pickle
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import steps
from playwright.sync_api import Page, expect
from safetensors.numpy import save_file

from melbo_app.library.bank import Bank
from melbo_app.library.banks import Banks
from melbo_app.settings import ROOT

pytestmark = pytest.mark.browser


KINDS = {
    ".safetensors": "safetensors (.safetensors)",
    ".pt": "published MELBO (.pt)",
    ".gguf": "GGUF control vector (.gguf)",
    ".zip": "DCT (V, U and R) (.zip)",
}


class Attack:
    """Makes a folder when it is unpickled."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.folder),)


def sample() -> Bank:
    return Banks(ROOT / "tests" / "banks", ROOT / "tests" / "banks").load(steps.SAMPLE)


def listed(page: Page) -> list[str]:
    return page.locator("#bank-table tr[data-key]").evaluate_all("rows => rows.map((row) => row.dataset.key)")


def give(page: Page, path: Path, name: str = "", *others: Path) -> None:
    """Choose a file, with others that belong to it, name it and press Import."""
    clear = page.locator("#bank-upload .top-panel").get_by_label("Clear")
    if clear.is_visible():  # the file before was refused
        clear.click()
    page.locator("#bank-upload input[type=file]").set_input_files([path, *others])
    expect(page.locator("#bank-upload")).to_contain_text(path.stem[:8])
    steps.settle(page)
    steps.fill(page, "bank-import-name", name)
    page.locator("#bank-import").click()


def export(page: Page, ending: str, folder: Path, vector: str = "") -> Path:
    steps.pick(page, "bank-export-as", KINDS[ending])
    steps.fill(page, "bank-export-vector", vector)
    with page.expect_download() as caught:
        page.locator("#bank-export").click()
    path = folder / caught.value.suggested_filename
    assert path.suffix == ending
    caught.value.save_as(path)
    return path


def test_the_figures_of_a_record_are_on_the_page(page: Page) -> None:
    bank = sample()
    effect = bank.record.effect
    assert effect is not None and effect.agreement is None
    steps.tab(page, "Banks")
    page.locator(f'#bank-table tr[data-key="{steps.SAMPLE}"]').click()
    rows = page.locator("#bank-effect tbody tr")
    expect(rows).to_have_count(1 + len(bank.vectors))
    figures = [f"{effect.objective[5]:.4g}", f"{effect.change[5]:.3g}", "–", "no"]
    expect(rows.nth(6).locator("td")).to_have_text(["5", "training", *figures])
    title = steps.cards(page).nth(5).get_attribute("title") or ""
    assert f"J {figures[0]} per prompt, mean ‖Δ‖ {figures[1]}" in title


def test_exported_bank_can_be_imported_used_and_deleted(page: Page, tmp_path: Path) -> None:
    steps.tab(page, "Banks")
    page.locator(f'#bank-table tr[data-key="{steps.SAMPLE}"]').click()
    expect(page.locator("#bank-details")).to_contain_text("8 vectors of 576 numbers")
    give(page, export(page, ".safetensors", tmp_path), "bomb again")
    row = page.locator('#bank-table tr[data-key="bomb again"]')
    expect(row).to_be_visible()
    expect(steps.field(page, "bank")).to_have_value("bomb again")
    steps.settle(page)
    steps.tab(page, "Completions")
    assert len(set(steps.steer(page))) >= 5

    steps.tab(page, "Banks")
    row.click()
    steps.settle(page)  # what the row opens hides the question that comes next
    page.locator("#bank-delete").click()
    confirm = page.locator("#bank-delete-confirm")
    expect(confirm).to_have_text("Delete “bomb again” permanently")
    page.locator("#bank-delete-keep").click()
    expect(confirm).to_be_hidden()
    expect(row).to_be_visible()
    steps.settle(page)
    page.locator("#bank-delete").click()
    confirm.click()
    expect(row).to_have_count(0)
    steps.settle(page)
    assert "bomb again" not in listed(page)
    assert steps.field(page, "bank").input_value() != "bomb again"


def test_bare_tensor_comes_back_with_what_the_person_says(page: Page, tmp_path: Path) -> None:
    steps.tab(page, "Banks")
    page.locator(f'#bank-table tr[data-key="{steps.SAMPLE}"]').click()
    expect(page.locator("#bank-details")).to_contain_text(steps.SAMPLE)
    path = export(page, ".pt", tmp_path)
    give(page, path, "bare")
    steps.refused(page, "ource layer")  # the file does not say it
    steps.fill(page, "bank-import-source", 7)
    page.locator("#bank-import").click()
    row = page.locator('#bank-table tr[data-key="bare"]')
    expect(row).to_contain_text("7 → ?")
    expect(page.locator("#bank-details")).to_contain_text("imported")


def test_what_the_rows_are_is_asked_and_chosen(page: Page, app: Any, tmp_path: Path) -> None:
    rows = np.random.default_rng(0).normal(size=(31, 576)).astype(np.float32)
    save_file({"states": rows}, tmp_path / "states.safetensors")
    steps.tab(page, "Banks")
    steps.fill(page, "bank-import-source", 13)
    give(page, tmp_path / "states.safetensors", "hidden")
    steps.refused(page, "Rows", "31 rows", "--rows layers")
    steps.pick(page, "bank-import-rows", "layers")
    page.locator("#bank-import").click()
    expect(page.locator('#bank-table tr[data-key="hidden"]')).to_contain_text("12 → ?")
    expect(page.locator("#bank-details")).to_contain_text("row k is the output of block k − 1")
    [vector] = Banks(app.cache / "banks", app.cache / "none").load("hidden").vectors
    assert np.array_equal(vector, rows[13])
    expect(steps.field(page, "bank-import-rows")).to_have_value("as in the file")  # not said of the next file


def test_control_vector_goes_out_with_its_command_and_comes_back(page: Page, app: Any, tmp_path: Path) -> None:
    steps.tab(page, "Banks")
    page.locator(f'#bank-table tr[data-key="{steps.SAMPLE}"]').click()
    expect(page.locator("#bank-details")).to_contain_text(steps.SAMPLE)
    path = export(page, ".gguf", tmp_path, "3")
    expect(page.locator("#bank-export-usage")).to_contain_text(f"llama-cli -m MODEL.gguf --control-vector {path.name}")
    give(page, path, "vector three")
    row = page.locator('#bank-table tr[data-key="vector three"]')
    expect(row).to_contain_text(f"{sample().record.source} → ?")  # the file says its layer
    expect(page.locator("#bank-details")).to_contain_text("as the file says")
    [vector] = Banks(app.cache / "banks", app.cache / "none").load("vector three").vectors
    assert np.array_equal(vector, sample().vectors[3])


def test_the_files_of_dct_are_given_together(page: Page, tmp_path: Path) -> None:
    steps.tab(page, "Banks")
    page.locator(f'#bank-table tr[data-key="{steps.SAMPLE}"]').click()
    expect(page.locator("#bank-details")).to_contain_text(steps.SAMPLE)
    zipfile.ZipFile(export(page, ".zip", tmp_path)).extractall(tmp_path)
    steps.fill(page, "bank-import-source", sample().record.source + 1)
    give(page, tmp_path / f"{steps.SAMPLE}_V.pt", "transcoded", tmp_path / f"{steps.SAMPLE}_R.pt")
    expect(page.locator('#bank-table tr[data-key="transcoded"]')).to_contain_text(f"{sample().record.source} → ?")
    expect(page.locator("#bank-details")).to_contain_text("That is an assumption: DCT is trained at the input")
    expect(page.locator("#bank-details")).to_contain_text("It came with R: 9")


def test_sample_cannot_be_deleted(page: Page) -> None:
    steps.tab(page, "Banks")
    page.locator('#bank-table tr[data-key="who-are-you"]').click()
    expect(page.locator("#bank-details")).to_contain_text("who-are-you")
    page.locator("#bank-delete").click()
    page.locator("#bank-delete-confirm").click()
    steps.refused(page, "“who-are-you” is a sample", "cannot be deleted")
    assert "who-are-you" in listed(page)


@pytest.mark.parametrize("kind", ["pickle", "truncated", "nan", "taken"])
def test_bad_file_is_refused_and_changes_nothing(page: Page, tmp_path: Path, kind: str) -> None:
    steps.tab(page, "Banks")
    expect(page.locator("#bank-table tr[data-key]").first).to_be_visible()
    before, bank = listed(page), sample()
    trace, path, name = tmp_path / "trace", tmp_path / f"bad-{kind}.safetensors", f"bad {kind}"
    if kind == "pickle":
        path = path.with_suffix(".pt")
        path.write_bytes(pickle.dumps(Attack(trace)))
        words = ["Bank file", "torch.save"]
    elif kind == "truncated":
        path.write_bytes(bank.to_bytes()[:-1000])
        words = ["Bank file", "Copy or download it again"]
    elif kind == "nan":
        good, row = bank.to_bytes(), bank.vectors[5].astype("<f4").tobytes()
        assert good.count(row) == 1
        path.write_bytes(good.replace(row, np.full_like(bank.vectors[5], np.nan).tobytes()))
        words = ["Bank file", "changed after it was saved"]
    else:
        path.write_bytes(bank.to_bytes())
        name, words = steps.SAMPLE.upper(), ["Name", "already"]
    give(page, path, name)
    steps.refused(page, *words)
    steps.settle(page)
    assert listed(page) == before
    assert not trace.exists()
    give_up = page.locator("#bank-import-name input, #bank-import-name textarea").first
    expect(give_up).to_have_value(name)  # what the person wrote is still there


def test_bank_of_another_width_is_shown_and_says_why_it_cannot_steer(page: Page, tmp_path: Path) -> None:
    bank = sample()
    narrow = bank.vectors[:, :64]
    narrow = narrow / np.linalg.norm(narrow, axis=1, keepdims=True) * bank.record.radius
    told = {"name": "narrow", "hidden_size": 64, "model": "somebody/narrow-model", "model_hash": "0" * 64}
    path = tmp_path / "narrow.safetensors"
    path.write_bytes(Bank(bank.record.model_copy(update=told), narrow).to_bytes())
    steps.tab(page, "Banks")
    give(page, path)
    expect(page.locator('#bank-table tr[data-key="narrow"]')).to_contain_text("somebody/narrow-model")
    expect(steps.field(page, "bank")).to_have_value("narrow")
    steps.settle(page)
    steps.tab(page, "Completions")
    steps.press_steer(page)
    steps.refused(page, "“narrow” was made for somebody/narrow-model", "hidden size 64", "576")
    steps.choose_bank(page, steps.SAMPLE)
    assert len(steps.steer(page)) == 9
