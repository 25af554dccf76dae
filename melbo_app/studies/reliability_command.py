"""The command line that repeats a reliability."""

import shlex

from melbo_app.library.contrast_sets import CONTRAST
from melbo_app.library.reliability import Reliability
from melbo_app.studies.generality import RANDOM
from melbo_app.studies.reliability import TOKENS
from melbo_app.studies.training_command import asked_with


def reliability_command(found: Reliability, vectors: int, model: str | None) -> str:
    """The command line of ``found``, whose bank has so many ``vectors``; settings that do not ship are files of their
    names, and ``model`` is left out where the bank names it."""
    first, *others = [one.name if one.name in CONTRAST else f"{one.name}.jsonl" for one in found.settings]
    words = ["python", "-m", "melbo_app", "reliability", found.bank, "--prompts", first]
    for one in others:
        words += ["--out-of-distribution", one]
    if found.vectors != tuple(range(vectors)):
        words += ["--vector", ",".join(map(str, found.vectors))]
    if found.measure is not None:
        form, _, answers = found.measure.partition(":")
        words += ["--answers", answers.replace(",", "|", 1)] if form == "logits" else ["--measure", found.measure]
        if form != "logits" and found.max_new_tokens != TOKENS:
            words += ["--max-new-tokens", str(found.max_new_tokens)]
    if found.radius is not None:
        words += ["--radius", repr(found.radius)]
    if found.random != RANDOM:
        words += ["--random", str(found.random)]
    if found.seed:
        words += ["--seed", str(found.seed)]
    words += asked_with(found.settings[0].inputs[0].prompt.asked)
    return shlex.join([*words, *(["--model", model] if model else []), "--json"])


def own_files(found: Reliability) -> list[str]:
    """The files of settings that do not ship."""
    return [f"{one.name}.jsonl" for one in found.settings if one.name not in CONTRAST]
