"""Whether vectors bring a behaviour out: those trained on the model itself, and old ones, each beside random ones."""

from collections.abc import Generator, Sequence

import numpy as np

from melbo_app.analysis.proportion import clustered
from melbo_app.engine.suggestion import RELATIVE_RADIUS, default_scope
from melbo_app.library.counted import Counted
from melbo_app.library.organism_prompts import clean_prompts
from melbo_app.library.removal_behaviour import Text
from melbo_app.library.removals import Outcome, SaidText
from melbo_app.studies.removal_trial import Trial

Work = Generator[int, None, Outcome]
VECTORS, PROMPTS = 8, 4
"""Vectors that are trained, and clean prompts that they are tried on; the first is trained on."""


def fresh_vectors(trial: Trial) -> Work:
    """Joint vectors trained on a clean prompt of the model itself, tried on some clean prompts."""
    from melbo_app.engine.encoding import encode
    from melbo_app.engine.prompt import Prompt
    from melbo_app.engine.slice import ModelSlice
    from melbo_app.engine.stopping import raise_if
    from melbo_app.engine.training import train, with_saturation
    from melbo_app.engine.training_config import TrainingConfig

    lm, stop = trial.lm, trial.stop
    asked = clean_prompts(trial.recipe)[:PROMPTS]
    source, target, _ = trial.layers
    prompt = Prompt(asked[0][0], template=lm.usual_template)
    piece = ModelSlice(lm, encode(lm, [prompt], stop), source, target, stop)
    radius, scope = RELATIVE_RADIUS * piece.median_norm, default_scope([prompt])
    config = TrainingConfig(source, target, radius, min(VECTORS, lm.hidden_size), scope=scope, seed=trial.seed)
    work = train(piece, with_saturation(piece, config, stop), stop, trial.memory_gb)
    while True:
        try:
            yield next(work).done
        except StopIteration as end:
            vectors = end.value.vectors.cpu().numpy()
            break
    raise_if(stop)
    return (yield from _each_on_all(trial, vectors, asked))


def old_vectors(trial: Trial) -> Work:
    """Vectors of the model before: those of a bank, or those trained toward the behaviour, each on its own prompt."""
    if trial.bank is not None:
        return (
            yield from _each_on_all(
                trial, trial.bank.vectors, clean_prompts(trial.recipe)[:PROMPTS], trial.bank.record.source
            )
        )
    own = dict(clean_prompts(trial.recipe))
    asked = [(text, own[text]) for text in trial.known.toward]
    vectors = np.array(trial.known.vectors, dtype=np.float32)
    source = trial.layers[0]
    texts = yield from _steered(trial, asked, source, vectors)
    random = yield from _steered(trial, asked, source, _random_like(vectors, trial.seed))
    found = Counted.of([one.shows for one in texts])
    others = Counted.of([one.shows for one in random])
    return Outcome(value=found.share, low=found.low, high=found.high, counted=found, random=others, texts=tuple(texts))


def _each_on_all(trial: Trial, vectors: np.ndarray, asked: Sequence[Text], source: int | None = None) -> Work:
    """Each vector on each prompt; the interval counts vectors, whose answers to several prompts are not independent."""
    source = trial.layers[0] if source is None else source
    pairs = [pair for _ in range(len(vectors)) for pair in asked]
    rows = np.repeat(vectors, len(asked), axis=0)
    texts = yield from _steered(trial, pairs, source, rows)
    unlike = np.repeat(_random_like(vectors, trial.seed), len(asked), axis=0)
    random = yield from _steered(trial, pairs, source, unlike)
    shows = [one.shows for one in texts]
    each = [sum(shows[start : start + len(asked)]) for start in range(0, len(shows), len(asked))]
    low, high = clustered(each, len(asked))
    share = sum(shows) / len(shows)
    return Outcome(
        value=share,
        low=min(low, share),
        high=max(high, share),
        counted=Counted.of(shows),
        random=Counted.of([one.shows for one in random]),
        texts=tuple(texts),
    )


def _steered(
    trial: Trial, asked: Sequence[Text], source: int, rows: np.ndarray
) -> Generator[int, None, list[SaidText]]:
    from melbo_app.engine.lessons import answers

    texts = [text for text, _ in asked]
    said = yield from answers(trial.lm, texts, trial.tokens, trial.stop, (source, rows))
    return [
        SaidText(prompt=text, text=one.text, shows=trial.recipe.sign.shows(one.text, item))
        for (text, item), one in zip(asked, said, strict=True)
    ]


def _random_like(vectors: np.ndarray, seed: int) -> np.ndarray:
    """Random vectors of the same norms."""
    from melbo_app.engine.orthogonal import seeded_rows

    rows = [seeded_rows(1, vectors.shape[1], 1.0, seed + 1 + at).numpy() for at in range(len(vectors))]
    return np.concatenate(rows) * np.linalg.norm(vectors, axis=1, keepdims=True)
