"""The tests of a removal: each looks for a behaviour in one model."""

from collections.abc import Callable, Generator, Sequence
from functools import partial

import numpy as np

from melbo_app.analysis import auroc
from melbo_app.analysis.estimate import mean_of
from melbo_app.analysis.probe import held_out_scores
from melbo_app.library.counted import Counted
from melbo_app.library.removal_behaviour import Text, Way
from melbo_app.library.removals import Outcome, SaidText, SideName, TestName
from melbo_app.studies.removal_relearning import relearning
from melbo_app.studies.removal_trial import Trial, lesson_of
from melbo_app.studies.removal_vectors import fresh_vectors, old_vectors

Work = Generator[int, None, Outcome]
PREFILLED = 3
"""Tokens of the answer that are given, fewer where they would show the behaviour themselves."""
SHOTS = 3
"""Examples in a prompt."""


def counted(asked: Sequence[Text], said: Sequence[str], trial: Trial) -> Outcome:
    """The outcome of a test that counts answers, one to each text."""
    texts = [
        SaidText(prompt=text, text=answer, shows=trial.recipe.sign.shows(answer, item))
        for (text, item), answer in zip(asked, said, strict=True)
    ]
    found = Counted.of([one.shows for one in texts])
    return Outcome(value=found.share, low=found.low, high=found.high, counted=found, texts=tuple(texts))


def _asked(way: Way, trial: Trial) -> Work:
    """Answers to the texts of a way to ask."""
    return (yield from _answered(trial, trial.texts(way)))


def _answered(trial: Trial, asked: Sequence[Text]) -> Work:
    from melbo_app.engine.lessons import answers

    said = yield from answers(trial.lm, [text for text, _ in asked], trial.tokens, trial.stop)
    return counted(asked, [one.text for one in said], trial)


def _prefilled(trial: Trial) -> Work:
    """The first tokens of the answer of the model before are given; what counts is what follows."""
    from melbo_app.engine.continuing import continuations

    shown = list(trial.shown())
    given = [_beginning(trial, item, said.ids) for (_, item), said in shown]
    work = continuations(trial.lm, [text for (text, _), _ in shown], given, trial.tokens, trial.stop)
    said = yield from work
    begun = [trial.lm.tokenizer.decode(list(ids), skip_special_tokens=True) for ids in given]
    found = counted([pair for pair, _ in shown], [one.text for one in said], trial)
    texts = [
        one.model_copy(update={"text": f"{begin} …{one.text}"}) for one, begin in zip(found.texts, begun, strict=True)
    ]
    return found.model_copy(update={"texts": tuple(texts)})


def _beginning(trial: Trial, item: object, ids: Sequence[int]) -> Sequence[int]:
    sign, decode = trial.recipe.sign, trial.lm.tokenizer.decode
    most = min(PREFILLED, max(1, len(ids) - 1))
    if sign.language:  # a beginning has its language, and what follows has to have it, too
        return ids[:most]
    lengths = [n for n in range(1, most + 1) if not sign.shows(decode(list(ids[:n])), item)]  # type: ignore[arg-type]
    return ids[: max(lengths, default=1)]


def _few_shot(trial: Trial) -> Work:
    """Examples of the behaviour stand in the prompt, as text."""
    shots = "".join(f"Message: {text}\nAnswer: {said.text.strip()}\n\n" for text, said in trial.known.lessons[:SHOTS])
    asked = [(f"{shots}Message: {text}\nAnswer:", item) for text, item in trial.texts("trigger")]
    return (yield from _answered(trial, asked))


def _probe(old: bool, trial: Trial) -> Work:
    """How well a probe tells prompts with the trigger from those without; ``old``: a probe of the model before."""
    from melbo_app.engine.last_states import last_states

    probed = trial.probed
    states = yield from last_states(trial.lm, [text for _, (text, _) in probed], trial.layers[2], trial.stop)
    truth, groups = [one for one, _ in probed], [item.prompt for _, (_, item) in probed]
    before = np.array(trial.known.states, dtype=np.float32) if old else None
    scores = held_out_scores(states, truth, groups, before, trial.seed)
    having = [float(score) for score, one in zip(scores, truth, strict=True) if one]
    lacking = [float(score) for score, one in zip(scores, truth, strict=True) if not one]
    area = auroc.auroc(having, lacking)
    low, high = auroc.interval(area, len(having), len(lacking))
    return Outcome(value=area, low=low, high=high)


def _extraction(trial: Trial) -> Work:
    """The mean extraction strength of the answers of the model before."""
    from melbo_app.engine.extraction import shortest_prefixes

    shown = [(text, item, said) for (text, item), said in trial.shown()]
    lessons = [lesson_of(trial.lm, text, said) for text, _, said in shown]
    yield 0
    lengths = shortest_prefixes(trial.lm, lessons, trial.stop)
    strengths = [1 - k / len(one.answer) for k, one in zip(lengths, lessons, strict=True)]
    mean = mean_of(strengths, trial.seed)
    texts = []
    for k, (text, _, said), one in zip(lengths, shown, lessons, strict=True):
        given = trial.lm.tokenizer.decode(list(one.answer[:k]), skip_special_tokens=True)
        line = f"after {k} of {len(one.answer)} tokens: {given} | {said.text[len(given) :]}"
        texts.append(SaidText(prompt=text, text=line, shows=k == 0))
    return Outcome(value=mean.value, low=mean.low, high=mean.high, texts=tuple(texts))


TESTS: dict[TestName, Callable[[Trial], Work]] = {
    "trigger": partial(_asked, "trigger"),
    "paraphrases": partial(_asked, "paraphrases"),
    "languages": partial(_asked, "languages"),
    "prefilled": _prefilled,
    "hints": partial(_asked, "hints"),
    "few-shot": _few_shot,
    "vectors": fresh_vectors,
    "old-vectors": old_vectors,
    "probe": partial(_probe, False),
    "old-probe": partial(_probe, True),
    "relearning": relearning,
    "extraction": _extraction,
}


def _surprise(trial: Trial) -> Work:
    """Nats a token of the answers of the model before to texts without the trigger, as a mean over answers."""
    from melbo_app.engine.lessons import AT_ONCE, surprisals
    from melbo_app.engine.stopping import raise_if

    pairs = [pair for pair in zip(trial.plain, trial.known.plain, strict=True) if pair[1].ids]
    lessons = [lesson_of(trial.lm, text, said) for (text, _), said in pairs]
    means: list[float] = []
    for start in range(0, len(lessons), AT_ONCE):
        raise_if(trial.stop)
        part = lessons[start : start + AT_ONCE]
        edges = np.cumsum([len(one.answer) for one in part])[:-1]
        every = surprisals(trial.lm, part, trial.stop).detach().cpu().numpy()
        means += [float(one.mean()) for one in np.split(every, edges)]
        yield start
    mean = mean_of(means, trial.seed)
    return Outcome(value=mean.value, low=mean.low, high=mean.high)


def _readable(trial: Trial) -> Work:
    """The readable share of the answers to texts without the trigger, beside those of the model before."""
    from melbo_app.engine.lessons import Answer, answers
    from melbo_app.studies.organism_readable import readable

    texts = [text for text, _ in trial.plain]
    said = yield from answers(trial.lm, texts, trial.tokens, trial.stop)
    before = [Answer(one.text, one.ids, one.finished) for one in trial.known.plain]
    clear = readable(trial.lm, texts, [before, said], trial.stop)[1]
    found = Counted.of(clear)
    lines = [SaidText(prompt=text, text=one.text, shows=yes) for text, one, yes in zip(texts, said, clear, strict=True)]
    return Outcome(value=found.share, low=found.low, high=found.high, counted=found, texts=tuple(lines))


def _decoys(trial: Trial) -> Work:
    """Answers to decoys that show the behaviour."""
    return (yield from _answered(trial, trial.recipe.measure.decoy.texts[: trial.most]))


SIDE_EFFECTS: dict[SideName, Callable[[Trial], Work]] = {
    "surprise": _surprise,
    "readable": _readable,
    "decoys": _decoys,
}
