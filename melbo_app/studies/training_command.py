"""The command line that repeats a training."""

import shlex
from collections.abc import Sequence

from melbo_app.engine.prompt import Prompt
from melbo_app.engine.training_config import TrainingConfig


def command(spec: str, prompts: Sequence[Prompt], config: TrainingConfig, name: str) -> str | None:
    """The command line that repeats a training; None if no command can, because all its prompts share one system
    text and one template."""
    if len({(prompt.system or None, prompt.template) for prompt in (*prompts, *config.against, *config.held_out)}) > 1:
        return None
    words = ["python", "-m", "melbo_app", "train"]
    for prompt in prompts:
        words += ["--prompt", prompt.user]
    for prompt in config.against:
        words += ["--against", prompt.user]
    words += asked_with(prompts[0])
    words += ["--model", spec, "--source", str(config.source), "--target", str(config.target)]
    words += ["--scope", config.scope, "--radius", repr(config.radius), "--vectors", str(config.vectors)]
    words += ["--method", config.method, "--steps", str(config.total_steps), "--p", repr(config.p)]
    if config.q is not None:
        words += ["--q", repr(config.q)]
    if config.start != "random":
        words += ["--start", config.start]
    if config.saturation is not None:
        words += ["--saturation", repr(config.saturation)]
    if config.counts("orthogonality"):
        words += ["--orthogonality", repr(config.orthogonality)]
    if config.agreement:
        words += ["--agreement", repr(config.agreement), "--agreement-form", config.agreement_form]
        words += ["--temperature", repr(config.temperature)]
    for prompt in config.held_out:
        words += ["--held-out", prompt.user]
    words += ["--seed", str(config.seed), "--name", name]
    return shlex.join(words)


def asked_with(prompt: Prompt) -> list[str]:
    """The options for the system text and the template of a prompt."""
    words = ["--system", prompt.system] if prompt.system else []
    if not prompt.template:
        return [*words, "--no-template"]
    return [*words, "--template", prompt.template] if isinstance(prompt.template, str) else words
