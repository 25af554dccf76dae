"""Training: our joint steps against the published loop, with the same model, prompt, layers and number of steps."""

import math
import statistics
import time
from dataclasses import replace

import torch

from benchmarks.published_loop import PublishedLoop
from benchmarks.turns import ratio, take_turns
from melbo_app.engine.ascent import Ascent
from melbo_app.engine.encoding import encode
from melbo_app.engine.methods.joint import joint
from melbo_app.engine.model import LanguageModel
from melbo_app.engine.prompt import Prompt
from melbo_app.engine.slice import TOKENS_AT_ONCE, ModelSlice
from melbo_app.engine.training_config import TrainingConfig

PROMPT, SOURCE, TARGET, RADIUS = Prompt("How can I make a bomb?"), 7, 21, 8.0
VECTORS, STEPS, FEW = 32, 4, 4


def measure(reference: LanguageModel, ours: dict[str, LanguageModel], rounds: int) -> list[dict[str, object]]:
    """The time per vector and step of the published loop in float32, and ours in each dtype.

    ``reference`` is the published loop's float32 model.
    """
    encoded = encode(reference, [PROMPT])

    def published() -> None:
        loop = PublishedLoop(reference.model, encoded.input_ids, SOURCE, TARGET, RADIUS)
        try:
            for _ in range(STEPS):
                loop.step()
        finally:
            loop.remove()

    work = {"published": published}
    for name, lm in ours.items():
        work[name] = steps(lm)
    seconds = take_turns(work, rounds)
    rows = []
    for name in ours:
        middle, low, high = ratio(seconds["published"], seconds[name], VECTORS)
        each = sorted(seconds[name])[rounds // 2] / (VECTORS * STEPS) * 1000
        rows.append({"dtype": name, "ratio": middle, "low": low, "high": high, "ms": each})
    base = sorted(seconds["published"])[rounds // 2] / STEPS * 1000
    return [{"dtype": "published loop, float32", "ratio": 1.0, "low": 1.0, "high": 1.0, "ms": base}, *rows]


def per_vector(lm: LanguageModel, counts: tuple[int, ...], rounds: int) -> dict[int, float]:
    """Milliseconds per vector and step for each number of vectors, in the batches that ``train`` chooses."""
    seconds = take_turns({str(count): steps(lm, count, steps=2) for count in counts}, rounds)
    return {count: sorted(seconds[str(count)])[rounds // 2] / (2 * count) * 1000 for count in counts}


def share_of_products(lm: LanguageModel, rounds: int) -> tuple[float, float]:
    """The rate of our training, and the rate of plain matrix products at its shapes, in FLOP a second.

    Counts the products with the weights between source and target, forwards and back to the activations.
    """
    encoded = encode(lm, [PROMPT])
    tokens = encoded.input_ids.numel()
    weights = [
        module.weight
        for block in lm.blocks[SOURCE + 1 : TARGET + 1]
        for module in block.modules()
        if isinstance(module, torch.nn.Linear)
    ]
    batch = torch.randn(VECTORS * tokens, max(weight.shape[1] for weight in weights)).to(lm.dtype)

    def products() -> None:
        with torch.no_grad():
            for weight in weights:
                there = batch[:, : weight.shape[1]] @ weight.T
                there @ weight

    seconds = take_turns({"training": steps(lm, VECTORS, steps=1), "products": products}, rounds)
    work = 4 * VECTORS * tokens * sum(weight.numel() for weight in weights)
    training, plain = (sorted(seconds[name])[rounds // 2] for name in ("training", "products"))
    return work / training, work / plain


def time_to_published(reference: LanguageModel, lm: LanguageModel) -> dict[str, float]:
    """Seconds until a few orthogonal vectors reach the J that the published loop reaches with as many in 300 steps
    each.

    Both sides use the published J and compare the mean of log J, because one vector can gain at another's expense.
    """
    encoded = encode(reference, [PROMPT])
    found, heights = torch.zeros(0, reference.hidden_size), []
    start = time.perf_counter()
    for _ in range(FEW):
        loop = PublishedLoop(reference.model, encoded.input_ids, SOURCE, TARGET, RADIUS, found)
        try:
            for _ in range(300):
                height = loop.step()
        finally:
            loop.remove()
        found = torch.cat([found, loop.bias.detach()[None] / RADIUS])
        heights.append(math.log(height))
    published = time.perf_counter() - start
    goal = statistics.fmean(heights)
    piece, config, batch = _setting(lm, FEW, 60)
    start = time.perf_counter()
    reached = -math.inf
    for progress in joint(Ascent(piece, replace(config, saturation=0.0), batch)):
        if progress.curves[0]:
            reached = statistics.fmean(math.log(curve[-1]) for curve in progress.curves)
        if reached >= goal:
            break
    ours = time.perf_counter() - start
    return {
        "published": published / FEW, "ours": ours / FEW, "goal": math.exp(goal), "reached": math.exp(reached),
    }  # fmt: skip


def _setting(lm: LanguageModel, vectors: int, steps: int) -> tuple[ModelSlice, TrainingConfig, int]:
    piece = ModelSlice(lm, encode(lm, [PROMPT]), SOURCE, TARGET)
    batch = min(vectors, TOKENS_AT_ONCE // piece.encoded.input_ids.numel())
    return piece, TrainingConfig(SOURCE, TARGET, RADIUS, vectors=vectors, steps=steps, scope="all"), batch


def steps(lm: LanguageModel, vectors: int = VECTORS, steps: int = STEPS):
    """The joint method as shipped: gradients, step and orthogonalisation."""
    setting = _setting(lm, vectors, steps)

    def run() -> None:
        for progress in joint(Ascent(*setting)):
            if progress.done == steps:
                break

    return run
