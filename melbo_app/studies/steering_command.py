"""The command line that repeats a steering."""

import shlex
from collections.abc import Sequence

from melbo_app.library.completion import Completion
from melbo_app.studies.training_command import asked_with


def steering_command(bank: str | None, texts: Sequence[Completion]) -> str | None:
    """The command line that makes these texts again; None if no single command can: without a bank, or with prompts of
    several system texts or templates."""
    one = next((one for one in texts if isinstance(one.vector, int)), None)
    prompts = list(dict.fromkeys(text.prompt.asked for text in texts))
    if bank is None or one is None or len({(prompt.system or None, prompt.template) for prompt in prompts}) > 1:
        return None
    words = ["python", "-m", "melbo_app", "steer", bank, "--model", one.model]
    words += [word for prompt in prompts for word in ("--prompt", prompt.user)] + asked_with(prompts[0])
    vectors = sorted({text.vector for text in texts if isinstance(text.vector, int)})
    radii = dict.fromkeys(text.radius for text in texts if text.vector is not None)
    words += ["--vector", ",".join(map(str, vectors)), f"--radius={','.join(map(repr, radii))}"]
    words += ["--max-new-tokens", str(one.max_new_tokens)]
    if one.temperature:
        words += ["--temperature", repr(one.temperature), "--top-p", repr(one.top_p)]
    controlled = any(text.vector == "random" for text in texts)
    if one.temperature or controlled:
        words += ["--seed", str(one.seed)]
    return shlex.join([*words, *(["--random-control"] if controlled else [])])
