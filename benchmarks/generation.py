"""Steered generation: one batch against one vector at a time, and against the same batch unsteered."""

import torch

from benchmarks.turns import ratio, take_turns
from melbo_app.engine.decoding import Decoding
from melbo_app.engine.encoding import encode
from melbo_app.engine.generation import generate
from melbo_app.engine.model import LanguageModel
from melbo_app.engine.orthogonal import random_rows
from melbo_app.engine.prompt import Prompt

PROMPT, SOURCE, RADIUS = Prompt("Tell me a long story about a lighthouse."), 7, 8.0
VECTORS, TOKENS = 16, 32


def measure(lm: LanguageModel, rounds: int) -> dict[str, float]:
    """Ratios for 16 vectors of 32 tokens each; texts that end early would make both sides cheaper alike."""
    encoded, repeated = encode(lm, [PROMPT]), encode(lm, [PROMPT] * VECTORS)
    thetas = random_rows(VECTORS, lm.hidden_size, RADIUS, torch.Generator().manual_seed(0))
    decoding = Decoding(TOKENS)

    def run(rows: torch.Tensor) -> None:
        for _ in generate(lm, encoded, rows, SOURCE, decoding):
            pass

    def unsteered() -> None:
        """The same batch as anybody would run it: every row reads the prompt for itself."""
        for _ in generate(lm, repeated, thetas, None, decoding, of=range(VECTORS)):
            pass

    seconds = take_turns(
        {
            "batch": lambda: run(thetas),
            "unsteered": unsteered,
            "single": lambda: [run(row[None]) for row in thetas],
        },
        rounds,
    )
    single = ratio(seconds["single"], seconds["batch"])
    overhead = ratio(seconds["batch"], seconds["unsteered"])
    middle = sorted(seconds["batch"])[rounds // 2]
    return {
        "single_over_batch": single[0],
        "steered_over_unsteered": overhead[0],
        "tokens_per_second": VECTORS * TOKENS / middle,
        "batch_seconds": middle,
    }
