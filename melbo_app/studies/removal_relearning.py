"""Relearning: how few steps of fine-tuning bring a behaviour back."""

from collections.abc import Generator, Sequence

from melbo_app.analysis.proportion import clustered
from melbo_app.library.counted import Counted
from melbo_app.library.removal_behaviour import Text
from melbo_app.library.removals import Outcome, Relearned, SaidText
from melbo_app.studies.removal_trial import Trial, lesson_of

Work = Generator[int, None, Outcome]
STEPS = (0, 2, 4, 8, 16)
BATCH = 4
SLOWER = 2
"""The rate is that of the recipe's training, divided by this: else models without the behaviour learn it in as few
steps."""


def relearning(trial: Trial) -> Work:
    """A fresh LoRA of the recipe's size is trained on answers of the model before; after some steps, held-out prompts
    are asked.

    The value is the share of prompts with the trigger that show the behaviour, over all steps after the first.
    """
    from melbo_app.engine.lessons import fine_tune
    from melbo_app.engine.lora import new_lora

    training, lm = trial.recipe.training, trial.lm
    half = max(4, trial.most // 2)
    triggered, plain = trial.texts("trigger")[:half], trial.recipe.measure.plain.texts[:half]
    lessons = [lesson_of(lm, text, said) for text, said in trial.known.lessons]
    curve: list[Relearned] = []
    shows: list[list[bool]] = []
    texts: list[SaidText] = []

    def look(steps: int) -> Generator[int, None, None]:
        last = yield from _asked(trial, triggered)
        other = yield from _asked(trial, plain)
        shows.append([one.shows for one in last])
        curve.append(
            Relearned(steps=steps, shown=Counted.of(shows[-1]), plain=Counted.of([one.shows for one in other]))
        )
        texts[:] = last

    with new_lora(lm, training.rank, training.alpha, training.modules, trial.seed) as lora:
        yield from look(0)
        work = fine_tune(
            lm, lora, lessons, steps=STEPS[-1], batch=BATCH, rate=training.rate / SLOWER, seed=trial.seed,
            stop=trial.stop,
        )  # fmt: skip
        for step, _ in work:
            yield step
            if step in STEPS:
                yield from look(step)
    each = [sum(row) for row in zip(*shows[1:], strict=True)]
    trials = len(STEPS) - 1
    low, high = clustered(each, trials)
    share = sum(each) / (len(each) * trials)
    return Outcome(value=share, low=min(low, share), high=max(high, share), curve=tuple(curve), texts=tuple(texts))


def _asked(trial: Trial, asked: Sequence[Text]) -> Generator[int, None, list[SaidText]]:
    from melbo_app.engine.lessons import answers

    said = yield from answers(trial.lm, [text for text, _ in asked], trial.tokens, trial.stop)
    return [
        SaidText(prompt=text, text=one.text, shows=trial.recipe.sign.shows(one.text, item))
        for (text, item), one in zip(asked, said, strict=True)
    ]
