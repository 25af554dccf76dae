"""The command line that repeats a watch."""

import shlex

from melbo_app.engine.prompt import Prompt
from melbo_app.studies.training_command import asked_with
from melbo_app.studies.usual_prompts import FALSE_ALARMS
from melbo_app.studies.watch import Watch


def watch_command(study: Watch, clean: str, prompts: str, model: str | None) -> str | None:
    """The command line of ``study`` with its prompts in files; ``clean`` may be a shipped set, ``model`` is left out
    where the bank names it. None if no command can: for the model's own template where the bank has another."""
    words = ["python", "-m", "melbo_app", "watch", study.bank, "--clean", clean, "--prompts", prompts]
    if study.system is not None:
        words += ["--system", study.system]
    if study.template is True:
        return None
    if study.template is not None:
        words += asked_with(Prompt("", template=study.template))
    if study.false_alarms != FALSE_ALARMS:
        words += ["--false-alarms", repr(study.false_alarms)]
    return shlex.join([*words, *(["--model", model] if model else []), "--json"])
