"""A library with every kind of entry in it, made without a model: what is read from it, and what a page shows of it."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import gradio as gr
import numpy as np

from melbo_app.library.bank import Bank, BankRecord, EffectRecord, PromptRecord
from melbo_app.library.completion import Completion, Scores
from melbo_app.ui.page import Page
from melbo_app.ui.tabs.library import EVERYTHING
from melbo_app.workbench import Workbench

WIDTH, MODEL = 8, "ab" * 32
NOW = datetime(2026, 11, 29, 12, tzinfo=UTC)
PROMPT = PromptRecord(user="How do I pick a lock?", system="Be kind.")


def bank(name: str, seed: int, method: str = "joint") -> Bank:
    """Three vectors with all that a training notes of them."""
    rows = np.random.default_rng(seed).normal(size=(3, WIDTH)).astype(np.float32)
    rows *= 6 / np.linalg.norm(rows, axis=1, keepdims=True)
    effect = EffectRecord(
        objective=[3.0, 2.0, 1.0], change=[1.0, 0.5, 0.2], agreement=[0.5] * 3, share=[0.1] * 3, runaway=[0, 0.25, 0]
    )
    record = BankRecord(
        name=name, model="tiny", model_hash=MODEL, hidden_size=WIDTH, blocks=6, source=1, target=3, scope="content",
        radius=6, median_norm=12.5, method=method, prompts=[PROMPT], start="random", p=2.0, q=2.0, steps=4, seed=seed,
        objective=[3.0, 2.0, 1.0], curves=[[1.0, 2.0]] * 3, strength=[3.0, 2.0, 1.0], effect=effect, stopped=False,
        held_out=[PROMPT], held_out_effect=effect, seconds=1.5, dtype="float32", device="cpu", versions={"torch": "2"},
        created=NOW, command="train", note="a note",
    )  # fmt: skip
    return Bank(record, rows, rows / 6 if seed == 1 else None)


def texts(of: Bank, radii: tuple[float, ...], prompts: int = 1) -> list[Completion]:
    """The baseline, and at each R a random control and a vector, all of them scored."""
    scores = Scores(
        logprob=-1.2, loss=0.1, peak_surprisal=3.0, kl_prompt=0.2, kl_text=0.3, repetition=0.1, dictionary_words=0.9,
        language="en", readability=0.8, verdict="readable", runaway=0.25, runaway_target=3,
    )  # fmt: skip
    rows: list[tuple[Any, float]] = [(None, 0.0)]
    rows += [(vector, radius) for radius in radii for vector in ("random", 2)]
    return [
        Completion(
            model="tiny", model_hash=MODEL, dtype="float32", bank=of.record.name if isinstance(vector, int) else None,
            bank_hash=of.hash if isinstance(vector, int) else None, vector=vector, radius=radius,
            source=None if vector is None else 1, prompt=PROMPT.model_copy(update={"user": f"{PROMPT.user} {at}"}),
            prompt_hash="cd" * 8, prompt_index=at, max_new_tokens=8, temperature=0.7, top_p=0.9, seed=3,
            text=f"I cannot help with that, {vector} {radius}.", tokens=8, finished=False, created=NOW, scores=scores,
        )
        for at in range(prompts)
        for vector, radius in rows
    ]  # fmt: skip


def fill(bench: Workbench) -> None:
    """Two banks, a label with a history, one that was removed, and a comparison of each kind."""
    banks = [bank("ships", 1), bank("tides", 2, "random")]
    for one in banks:
        bench.bench.banks.save(one)
    first = banks[0]
    for words in ({"name": "greets", "tags": ["warm", "tone"], "rating": 4, "note": "often"}, {"name": "greets all"}):
        bench.save_label("ships", 0, author="ada", **words)
    bench.save_label("ships", 1, name="gone", author="ada")
    bench.save_label("ships", 1, author="ada")
    for kind, radii in (
        ("part", (6.0,)),
        ("sample", (6.0,)),
        ("sweep", (3.0, -3.0)),
        ("map", (3.0, 6.0)),
        ("steer", None),
    ):
        settings: dict[str, Any] = {
            "kind": kind, "bank": "ships", "bank_hash": first.hash, "vectors": [2],
            "radii": None if radii is None else list(radii), "random_control": True, "both_signs": False,
            "prompts": [{"user": PROMPT.user, "system": PROMPT.system, "template": True}],
            "decoding": {"max_new_tokens": 8, "temperature": 0.7, "top_p": 0.9, "seed": 3}, "finished": True,
        }  # fmt: skip
        bench.bench.completions.add_comparison(settings, texts(first, radii or (6.0,), 2 if kind == "sweep" else 1))


def lists(bench: Workbench, most: int = 1000) -> Iterator[Any]:
    """Every list of the workbench."""
    for line in bench.banks():
        yield line
        if not line.damaged:
            yield bench.runaways(line.name)
            yield bench.bank_labels(line.name)
            yield [bench.label_history(line.name, vector) for vector in range(line.vectors)]
            yield [bench.evidence(line.name, vector) for vector in range(line.vectors)]
    for kind in ("steer", "map", "sweep", "part", "sample", None):
        yield bench.comparisons(kind, most)
    yield [bench.comparison(line.id) for line in bench.comparisons(None, most)]
    yield bench.search_completions(verdict="readable")
    yield bench.search_completions("e")
    yield bench.labels()
    yield bench.labels("e", rating=1)
    yield bench.tags()
    yield bench.jobs()
    found = bench.search("e")
    yield [found.banks, found.labels, found.completions]


class Shown:
    """The page of a workbench without a server: what fills it when it is opened, and its tabs."""

    def __init__(self, bench: Workbench) -> None:
        self._bench = bench
        with gr.Blocks(analytics_enabled=False):
            self.page = Page(bench)

    def open(self) -> list[Any]:
        """What the browser gets for a page that is opened, and for each tab that is looked at."""
        page = self.page
        request: Any = SimpleNamespace(session_hash="s", client=None, headers={})
        values: list[Any] = [*page._open(None).values()]
        for line in self._bench.comparisons(None, 12):
            values += page.completions.restore(line.id).values()
        for text in ("", "e"):
            for changes in page.library._find(request, {page.library.text: text, page.library.kind: EVERYTHING}):
                values += changes.values()
        for name in [line.name for line in self._bench.banks()][:4]:
            for changes in (page.banks.open(name), page.labels.open(name), page.session.open_bank(name)):
                values += changes.values()
        values += page.jobs._enter(None).values()
        for tab in (page.explore, page.look_for, page.generality, page.layers, page.radius):
            values += next(tab._show_last(request, dict.fromkeys([tab.shown, *tab.view_inputs]))).values()
        return values


def later(number: int) -> datetime:
    """A moment after all others."""
    return NOW + timedelta(seconds=number)
