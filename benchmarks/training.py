"""Training: our joint steps against the published loop, same model, prompt, layers and number of steps."""

from benchmarks.published_loop import PublishedLoop
from benchmarks.turns import ratio, take_turns
from melbo_app.engine.ascent import Ascent
from melbo_app.engine.encoding import encode
from melbo_app.engine.methods.joint import joint
from melbo_app.engine.model import LanguageModel
from melbo_app.engine.prompt import Prompt
from melbo_app.engine.slice import ModelSlice
from melbo_app.engine.training_config import TrainingConfig

PROMPT, SOURCE, TARGET, RADIUS = Prompt("How can I make a bomb?"), 7, 21, 8.0
VECTORS, STEPS = 32, 4


def measure(reference: LanguageModel, ours: dict[str, LanguageModel], rounds: int) -> list[dict[str, object]]:
    """Time a vector and step costs the published loop in float32, and us in each dtype.

    ``reference`` is the float32 model of the published loop.
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
        work[name] = _steps(lm)
    seconds = take_turns(work, rounds)
    rows = []
    for name in ours:
        middle, low, high = ratio(seconds["published"], seconds[name], VECTORS)
        each = sorted(seconds[name])[rounds // 2] / (VECTORS * STEPS) * 1000
        rows.append({"dtype": name, "ratio": middle, "low": low, "high": high, "ms": each})
    base = sorted(seconds["published"])[rounds // 2] / STEPS * 1000
    return [{"dtype": "published loop, float32", "ratio": 1.0, "low": 1.0, "high": 1.0, "ms": base}, *rows]


def _steps(lm: LanguageModel):
    """The joint method as a person gets it: gradients, step and orthogonalisation."""
    piece = ModelSlice(lm, encode(lm, [PROMPT]), SOURCE, TARGET)
    config = TrainingConfig(SOURCE, TARGET, RADIUS, vectors=VECTORS, steps=STEPS, scope="all")

    def run() -> None:
        for progress in joint(Ascent(piece, config, VECTORS)):
            if progress.done == STEPS:
                break

    return run
