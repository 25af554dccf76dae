"""Steered generation: one batch against one vector at a time, and against the same batch unsteered."""

import torch

from benchmarks.turns import ratio, take_turns
from melbo_app.engine.decoding import Decoding
from melbo_app.engine.encoding import encode
from melbo_app.engine.generation import Rows, generate
from melbo_app.engine.model import LanguageModel
from melbo_app.engine.orthogonal import random_rows
from melbo_app.engine.prompt import Prompt

PROMPT, SOURCE, RADIUS = Prompt("Tell me a long story about a lighthouse."), 7, 8.0
VECTORS, TOKENS = 16, 32


def measure(lm: LanguageModel, rounds: int) -> dict[str, float]:
    """Ratios for 16 vectors of 32 tokens each; texts that end early make both sides equally cheaper."""
    one = _run(lm, 1, SOURCE)
    seconds = take_turns(
        {
            "batch": _run(lm, VECTORS, SOURCE),
            "unsteered": _run(lm, VECTORS, None),
            "single": lambda: [one() for _ in range(VECTORS)],
            "many": _run(lm, 2 * VECTORS, SOURCE),
            "many unsteered": _run(lm, 2 * VECTORS, None),
        },
        rounds,
    )
    middle = sorted(seconds["batch"])[rounds // 2]
    return {
        "single_over_batch": ratio(seconds["single"], seconds["batch"])[0],
        "steered_over_unsteered": ratio(seconds["batch"], seconds["unsteered"])[0],
        "many_rate": ratio(seconds["many unsteered"], seconds["many"])[0],
        "tokens_per_second": VECTORS * TOKENS / middle,
        "batch_seconds": middle,
    }


def _run(lm: LanguageModel, rows: int, source: int | None):
    """Complete with a vector in each row. Without a source, run the batch the ordinary way: every row reads the prompt
    itself."""
    encoded = encode(lm, [PROMPT] if source is not None else [PROMPT] * rows)
    thetas = random_rows(rows, lm.hidden_size, RADIUS, torch.Generator().manual_seed(0))
    of = [0] * rows if source is not None else range(rows)

    def run() -> None:
        for _ in generate(Rows(lm, encoded, thetas, source, Decoding(TOKENS), of=of)):
            pass

    return run
