"""Made-up texts in a cache: banks with many vectors, and their completions at many R."""

import random
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np

from melbo_app.library.bank import Bank, BankRecord, PromptRecord
from melbo_app.library.completion import Completion, Scores
from melbo_app.library.model_catalogue import BUNDLED
from melbo_app.settings import Settings
from melbo_app.workbench import Workbench

PROMPT = PromptRecord(user="What do you do on a rainy weekend?")
WIDTH, BLOCKS, SOURCE, TARGET = 576, 30, 7, 21
TOKENS = 40
START = datetime(2026, 11, 1, 12, tzinfo=UTC)
WORDS = [
    "rain",
    "tea",
    "reading",
    "walking",
    "slowly",
    "never",
    "book",
    "window",
    "garden",
    "music",
    "pirate",
    "ship",
    "equation",
    "therefore",
    "quiet",
    "light",
]


def fill(cache: Path, vectors: int, radii: list[float], name: str, *, longest: int = TOKENS) -> None:
    """Put a bank into the cache, and a comparison with a random control for each R; a fifth of the texts say what the
    baseline says. ``longest`` is the number of words of the longest text."""
    bench = Workbench(Settings(cache_dir=cache, database_url=None)).bench
    bank = made_up_bank(name, vectors)
    bench.banks.save(bank)
    for place, radius in enumerate(radii):
        settings: dict[str, Any] = {
            "kind": "steer", "bank": name, "bank_hash": bank.hash, "vectors": list(range(vectors)), "radii": [radius],
            "random_control": True, "both_signs": False, "finished": True,
            "prompts": [PROMPT.model_dump(include={"user", "system", "template"})],
            "decoding": {"max_new_tokens": TOKENS, "temperature": 0.0, "top_p": 1.0, "seed": 0},
        }  # fmt: skip
        rows: list[tuple[Any, float]] = [(None, 0.0), ("random", radius), *((one, radius) for one in range(vectors))]
        made = START + timedelta(minutes=place)
        texts = [text(bank, vector, at, made, longest) for vector, at in rows]
        bench.completions.add_comparison(settings, texts)


def made_up_bank(name: str, vectors: int) -> Bank:
    """Random directions of norm 12 for the bundled model."""
    rows = np.random.default_rng(vectors).normal(size=(vectors, WIDTH)).astype(np.float32)
    rows *= 12 / np.linalg.norm(rows, axis=1, keepdims=True)
    record = BankRecord(
        name=name, model=BUNDLED.name, model_hash=BUNDLED.sha256, hidden_size=WIDTH, blocks=BLOCKS,
        source=SOURCE, target=TARGET, scope="assistant", radius=12, median_norm=60.0, method="joint", prompts=[PROMPT],
        created=START,
    )  # fmt: skip
    return Bank(record, rows)


def text(bank: Bank, vector: Any, radius: float, made: datetime, longest: int) -> Completion:
    """One text, the same on every run."""
    draw = random.Random(f"{vector} {radius}")
    baseline = "On a rainy weekend I like to stay at home, read a book and drink tea with friends."
    said = baseline
    if vector is not None and draw.random() > 0.2:
        length = longest if vector == 3 else draw.randint(12, TOKENS)
        said = "On a rainy weekend " + " ".join(draw.choice(WORDS) for _ in range(length))
    scores = Scores(
        logprob=-1.2, loss=0.3, peak_surprisal=3.0, kl_prompt=0.2, kl_text=0.3, repetition=0.1, dictionary_words=0.9,
        language="en", readability=0.8, verdict=draw.choice(["readable", "readable", "strange", "broken"]),
        runaway=0.0, runaway_target=TARGET,
    )  # fmt: skip
    of_bank = isinstance(vector, int)
    return Completion(
        model=BUNDLED.name, model_hash=BUNDLED.sha256, dtype="float32", bank=bank.record.name if of_bank else None,
        bank_hash=bank.hash if of_bank else None, vector=vector, radius=radius,
        source=None if vector is None else SOURCE, prompt=PROMPT, prompt_hash="cd" * 8, max_new_tokens=TOKENS,
        temperature=0.0, top_p=1.0, seed=0, text=said, tokens=min(TOKENS, len(said.split())), finished=True,
        created=made, scores=scores,
    )  # fmt: skip
