"""``python -m benchmarks.library [WORD]``: how fast the server looks things up in a large library, or only the work
whose name has the word.

Makes 200 banks of 32 vectors, 100,000 completions with made-up embeddings, 20,000 labels, and two more annotators of
all banks, in a temporary folder. Times are medians over several calls by the clock and by processor time, which ignores
other programs, and the time of the very first call.
"""

import hashlib
import os
import platform
import re
import statistics
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import gradio
import numpy as np
from sqlalchemy import insert

from melbo_app.analysis.embedding import DIMENSIONS, WEIGHTS_SHA256
from melbo_app.jobs.generators import result_of
from melbo_app.library.bank import Bank, BankRecord, EffectRecord, PromptRecord
from melbo_app.library.completion import Completion, Scores
from melbo_app.library.database import Database
from melbo_app.library.tables import (
    ComparisonRow,
    CompletionRow,
    EmbeddingRow,
    LabelRow,
    LabelVersionRow,
    ModelRow,
    PromptRow,
    TagRow,
)
from melbo_app.settings import Settings
from melbo_app.studies.search_meaning import SearchMeaning
from melbo_app.ui.page import Page
from melbo_app.ui.tabs.label_queue import ALL, DISAGREEMENTS
from melbo_app.workbench import Workbench

BANKS, VECTORS, WIDTH, STEPS = 200, 32, 576, 60
COMPLETIONS, IN_A_COMPARISON, PROMPTS = 100_000, 20, 400
LABELS, TAGS = 20_000, 40
ROUNDS = 7
MODEL, MODEL_HASH = "SmolLM2-135M-Instruct", "ab" * 32
BEGIN = datetime(2026, 1, 1, tzinfo=UTC)
WORDS = re.findall(
    r"\w+",
    "the of and a to in is you that it he was for on are as with his they I at be this have from or one had by word "
    "but not what all were we when your can said there use an each which she do how their if will up other about out "
    "many then them these so some her would make like him into time has look two more write go see number no way could "
    "people my than first water been call who oil its now find long down day did get come made may part pirate bomb",
)


def main() -> None:
    """Measure and print a table."""
    print(f"{platform.machine()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}\n")
    print("| work | ms | processor | first call |\n|---|---|---|---|")
    for row in measure(" ".join(sys.argv[1:])):
        print(f"| {row.what} | {row.wall:.1f} | {row.processor:.1f} | {row.first:.1f} |", flush=True)


@dataclass(frozen=True)
class Row:
    """Milliseconds of one kind of work: by the clock, by processor time, and by the clock on the very first call."""

    what: str
    wall: float
    processor: float
    first: float


def measure(word: str = "") -> Iterator[Row]:
    """Make the library and measure each kind of work whose name has ``word``."""
    with tempfile.TemporaryDirectory() as folder:
        cache = Path(folder)
        settings = Settings(cache_dir=cache, assets_dir=cache / "assets", database_url=None)
        hashes = make_banks(cache / "banks")
        rebuilt = timed(Workbench(settings).rebuild_library)
        make_rows(cache / "melbo.sqlite", hashes)
        bench = Workbench(settings)
        for what, work in figures(bench):
            if word not in what:
                continue
            (first, _), later = timed(work), [timed(work) for _ in range(ROUNDS)]
            wall, processor = (statistics.median(each) for each in zip(*later, strict=True))
            yield Row(what, wall, processor, first)
        if word:
            return
        yield Row("`library rebuild`", *rebuilt, rebuilt[0])
        checked = timed(bench.check_library)
        yield Row("`library check`", *checked, checked[0])
        tried = timed(lambda: bench.prune_library(0, dry_run=True))
        yield Row("`library gc --dry-run` of all that can go", *tried, tried[0])


def figures(bench: Workbench) -> list[tuple[str, Callable[[], Any]]]:
    """The work to measure, by name."""
    name = bench.banks()[BANKS // 2].name
    count = iter(range(10**6))

    def add() -> None:
        bench.bench.completions.add_comparison({"kind": "steer"}, [completion(next(count), name, "cd" * 32)])

    return [
        ("opening the page", opening(bench, name)),
        ("labelling: saving a label and showing the next vector", labelling(bench, name, ALL)),
        ("labelling: the next disagreement", labelling(bench, name, DISAGREEMENTS)),
        ("agreement of a bank's three annotators, with intervals", lambda: bench.label_agreement(name)),
        ("listing the banks", bench.banks),
        ("listing 500 labels", lambda: bench.labels(limit=500)),
        (f"listing all {LABELS:,} labels, as for an export", bench.labels),
        ("labels of one bank", lambda: bench.bank_labels(name)),
        ("the last 20 comparisons", bench.comparisons),
        ("searching everything, a frequent word", lambda: bench.search("pirate")),
        ("searching everything, a word that occurs nowhere", lambda: bench.search("xylophone")),
        ("completions with a word", lambda: bench.search_completions("xylophone")),
        ("completions of a bank and vector", lambda: bench.search_completions(bank=name, vector=3)),
        ("completions of a bank with a word", lambda: bench.search_completions("water", bank=name)),
        ("completions with a rare verdict", lambda: bench.search_completions(verdict="broken")),
        ("completions with a verdict that none has", lambda: bench.search_completions(verdict="missing")),
        ("searching by meaning", lambda: result_of(bench.run(SearchMeaning(text=f"Pirates at sea, {next(count)}")))),
        ("labels with a word", lambda: bench.labels("xylophone")),
        ("labels with a tag and a rating", lambda: bench.labels(tag="tag 7", rating=4)),
        ("looking a completion up by its key", lambda: bench.bench.completions.find(completion(7, name, "cd" * 32))),
        ("adding a completion", add),
    ]


def opening(bench: Workbench, bank: str) -> Callable[[], Any]:
    """What the server does when a returning browser opens the page."""
    warnings.filterwarnings("ignore", module="gradio")  # outside the page, Gradio warns about its lists
    with gradio.Blocks():
        page = Page(bench)
    kept = {"prompt": "Who are you?", "scope": "assistant", "bank": bank, "vectors": [0, 1, 2], "radius": 9.5}
    return lambda: page._open(kept)


def labelling(bench: Workbench, bank: str, queue: str) -> Callable[[], Any]:
    """What the server does when a person presses Enter in Label; in the queue of disagreements nothing is written."""
    with gradio.Blocks():
        room = Page(bench).labels
    form, order = room.label_form, {room.order: queue, room._session.bank: bank}
    shown = room.open(bank, 0, [], queue == DISAGREEMENTS)
    count = iter(range(10**6))

    def press() -> None:
        nonlocal shown
        held = shown[form.of]["held"]
        name, *others = held["fields"]
        written = [f"name {next(count)}" if queue == ALL else name, *others]
        values = {**order, form.of: shown[form.of], form.clash: {}, room.vector: held["vector"]}
        shown = {**shown, **room._go_on(values | dict(zip(form.fields, written, strict=True)))}

    return press


def timed(work: Callable[[], Any]) -> tuple[float, float]:
    """Milliseconds of a call: by the clock, and by processor time."""
    start, processor = time.perf_counter(), time.process_time()
    work()
    return 1000 * (time.perf_counter() - start), 1000 * (time.process_time() - processor)


def make_banks(folder: Path) -> list[str]:
    """Write banks as training does; returns their hashes."""
    folder.mkdir(parents=True)
    numbers = np.random.default_rng(0)
    hashes = []
    for number in range(BANKS):
        vectors = numbers.normal(size=(VECTORS, WIDTH)).astype(np.float32)
        vectors *= np.float32(9.5) / np.linalg.norm(vectors, axis=1, keepdims=True)
        curves = numbers.normal(size=(VECTORS, STEPS)).tolist()
        effect = EffectRecord(objective=[1.5] * VECTORS, change=[0.5] * VECTORS, agreement=None)
        record = BankRecord(
            name=f"bank {number:03}", model=MODEL, model_hash=MODEL_HASH, hidden_size=WIDTH, blocks=30, source=7,
            target=21, scope="assistant", radius=9.5, median_norm=130.0, method="joint",
            prompts=[PromptRecord(user=text(numbers, 12))], steps=STEPS, seed=number, effect=effect,
            objective=[curve[-1] for curve in curves], curves=curves, seconds=9.0, command="python -m melbo_app train",
            created=BEGIN + timedelta(hours=number),
        )  # fmt: skip
        bank = Bank(record, vectors)
        hashes.append(bank.hash)
        (folder / f"{record.name}.safetensors").write_bytes(bank.to_bytes())
    return hashes


def make_rows(path: Path, hashes: list[str]) -> None:
    """Write completions and labels; labels in excess of the vectors belong to deleted banks."""
    numbers = np.random.default_rng(1)
    prompts = [text(numbers, 12) for _ in range(PROMPTS)]
    scores = Scores(
        logprob=-1.23456789, loss=0.456789, kl_prompt=1.23456, kl_text=0.98765, repetition=0.0123,
        dictionary_words=0.9876, language="en", readability=0.87654, verdict="readable", runaway=0.0,
    )  # fmt: skip
    with Database(path).write() as session:
        model = ModelRow(name=f"{MODEL} of the benchmark", hash=MODEL_HASH)
        rows = [PromptRow(hash=sha256(f"benchmark {one}"), user=one, template=True) for one in prompts]
        session.add_all([model, *rows])
        session.flush()
        ids = [row.id for row in rows]
        comparisons, completions = [], []
        for number in range(COMPLETIONS):
            comparison, position = divmod(number, IN_A_COMPARISON)
            bank = comparison % BANKS
            if position == 0:
                settings = {"kind": "steer", "bank": f"bank {bank:03}", "bank_hash": hashes[bank], "radii": [9.5]}
                comparisons.append({"id": comparison + 1, "kind": "steer", "created": BEGIN, "settings": settings})
            verdict = "broken" if number % 1000 == 7 else "readable"
            completions.append({
                "comparison_id": comparison + 1, "position": position, "key": sha256(str(number)),
                "kind": "vector" if position else "baseline",
                "bank": f"bank {bank:03}" if position else None, "bank_hash": hashes[bank] if position else None,
                "vector": (number // BANKS) % VECTORS if position else None, "radius": 9.5 if position else 0.0,
                "source": 7, "prompt_id": ids[comparison % PROMPTS], "prompt_index": 0, "text": text(numbers, 40),
                "tokens": 40, "finished": False, "model_id": model.id, "dtype": "float32", "max_new_tokens": 40,
                "temperature": 0.0, "top_p": 1.0, "seed": 0, "created": BEGIN,
                "scores": scores.model_dump() | {"verdict": verdict},
            })  # fmt: skip
        session.execute(insert(ComparisonRow), comparisons)
        for start in range(0, COMPLETIONS, 10_000):
            some = [one["text"] for one in completions[start : start + 10_000]]
            vectors = numbers.normal(size=(len(some), DIMENSIONS)).astype("<f4")
            session.execute(insert(EmbeddingRow), [
                {"text_hash": sha256(text), "embedder": WEIGHTS_SHA256, "vector": row.tobytes()}
                for text, row in zip(some, vectors, strict=True)
            ])  # fmt: skip
        session.execute(insert(CompletionRow), completions)
        labels, tags, versions = [], [], []
        for number in range(LABELS):
            bank, vector = divmod(number, VECTORS)
            digest = hashes[bank] if bank < BANKS else sha256(f"deleted {bank}")
            facts = {
                "bank": f"bank {bank:03}", "bank_hash": digest, "vector": vector, "name": text(numbers, 4),
                "rating": number % 5 + 1, "note": text(numbers, 15), "updated": BEGIN,
            }  # fmt: skip
            labels.append({"id": number + 1, **facts})
            tags += [{"label_id": number + 1, "tag": f"tag {(number * part) % TAGS}"} for part in (7, 11)]
            versions.append(facts | {"tags": ["tag 1"], "author": "somebody"})
        for number in range(2 * BANKS * VECTORS):
            rest, who = divmod(number, 2)
            bank, vector = divmod(rest, VECTORS)
            said = labels[rest] | {"annotator": ("Ada", "Bea")[who], "rating": (number * 7 + bank) % 5 + 1}
            labels.append(said | {"id": LABELS + number + 1, "counts": False})
            tags.append({"label_id": LABELS + number + 1, "tag": f"tag {number % TAGS}"})
            versions.append({key: said[key] for key in said if key != "id"} | {"tags": ["tag 2"], "author": "somebody"})
        session.execute(insert(LabelRow), labels)
        session.execute(insert(TagRow), [dict(pair) for pair in {tuple(tag.items()) for tag in tags}])
        session.execute(insert(LabelVersionRow), versions)


def text(numbers: np.random.Generator, words: int) -> str:
    """``words`` random words."""
    return " ".join(WORDS[at] for at in numbers.integers(0, len(WORDS), words))


def completion(number: int, bank: str, digest: str) -> Completion:
    """A new completion."""
    return Completion(
        bank=bank, bank_hash=digest, vector=3, radius=9.5, source=7, prompt=PromptRecord(user=f"Who, {number}?"),
        text=f"I am number {number}. " + " ".join(WORDS[:35]), tokens=40, finished=True, model=MODEL,
        model_hash=MODEL_HASH, dtype="float32", max_new_tokens=40, temperature=0.0, top_p=1.0, seed=number,
        created=datetime.now(UTC),
    )  # fmt: skip


def sha256(words: str) -> str:
    """A stand-in hash."""
    return hashlib.sha256(words.encode()).hexdigest()


if __name__ == "__main__":
    main()
