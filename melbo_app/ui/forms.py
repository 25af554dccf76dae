"""From the page's fields to the arguments of the workbench."""

import re
from collections.abc import Iterable
from typing import Any

import gradio as gr

from melbo_app.engine.decoding import Decoding
from melbo_app.engine.prompt import Prompt
from melbo_app.errors import InputError
from melbo_app.limits import MOST_PROMPTS, check_count, check_texts_together

SEPARATOR = "\n---\n"
ON, OFF = "on", "off"
"""The model's own chat template, and none."""
_LINE = re.compile(r"^[ \t]*---[ \t]*$", re.MULTILINE)


def template_of(field: bool | str | None) -> bool | str:
    """A prompt's ``template`` from the field."""
    if field in (ON, OFF):
        return field == ON
    return True if field is None or field == "" else field


def template_field(template: bool | str) -> str:
    """The field's value for a prompt's template."""
    return template if isinstance(template, str) else ON if template else OFF


def prompts_from(text: str | None, system: str | None, template: bool | str | None) -> list[Prompt]:
    """The prompts in a field, separated by lines of three dashes."""
    check_texts_together("prompt", [text])
    parts = [part.strip("\n") for part in _LINE.split(text or "")]
    check_count("prompts", len(parts), MOST_PROMPTS)
    if not any(part.strip() for part in parts):
        raise InputError("prompt", "it is empty", "Write a text for the model to answer")
    if any(not part.strip() for part in parts):
        raise InputError("prompt", "one side of a line --- is empty", "Write a prompt on both sides")
    return [Prompt(user=part, system=system or None, template=template_of(template)) for part in parts]


def prompt_text(prompts: Iterable[Any]) -> str:
    """The prompt field's text for these prompts."""
    return SEPARATOR.join(prompt.user for prompt in prompts)


def whole(field: str, value: float | None) -> int:
    """A whole number from a number field."""
    if value is None or value != int(value):
        raise InputError(field, f"{value if value is not None else 'nothing'} is not a whole number", "Write 0, 1, 2 …")
    return int(value)


def optional_layer(field: str, value: float | None) -> int | None:
    """A layer from a number field; None if its tab was not opened yet."""
    return None if value is None else whole(field, value)


def optional_whole(field: str, text: str | None) -> int | None:
    """A whole number from a text field; None if it is empty. (An empty gr.Number sends 0.)"""
    number = optional_real(field, text)
    return None if number is None else whole(field, number)


def optional_real(field: str, text: str | None) -> float | None:
    """A number from a text field; None if it is empty."""
    if not (text or "").strip():
        return None
    try:
        return float(str(text).strip())
    except ValueError:
        raise InputError(field, f"“{text}” is not a number", "Write a number, or leave it empty") from None


def real(field: str, value: float | None) -> float:
    """A number from a number field."""
    if value is None:
        raise InputError(field, "it is empty", "Write a number")
    return float(value)


def decoding_from(
    max_new_tokens: float, mode: str, temperature: float, top_p: float, seed: float, *, control: bool = False
) -> Decoding:
    """The decoding in the fields. Greedy decoding ignores the others, except the seed of a random control."""
    tokens = whole("max new tokens", max_new_tokens)
    if mode == "greedy":
        return Decoding(max_new_tokens=tokens, seed=whole("seed", seed) if control else 0)
    warmth = real("temperature", temperature)
    if warmth <= 0:
        raise InputError("temperature", f"{warmth:g} is too low for sampling", "Choose a number above 0, or greedy")
    return Decoding(tokens, warmth, real("top-p", top_p), whole("seed", seed))


def words_of(text: str | None) -> list[str]:
    """The entries of a list such as ``8, 11, 14``."""
    return [word for word in re.split(r"[,;\s]+", text or "") if word]


def radii_from(text: str | None) -> list[float]:
    """The radii in a text such as ``8, 11, 14``."""
    try:
        radii = [float(word) for word in words_of(text)]
    except ValueError:
        raise InputError("R", f"“{text}” is not a list of numbers", "Write 8, 11, 14") from None
    if not radii:
        raise InputError("R", "it is empty", "Write 8, 11, 14")
    return list(dict.fromkeys(radii))


def radii_of(value: dict[str, Any] | None) -> list[float] | None:
    """The slider's R; None where vectors differ in norm and the slider is at the bank's R: then each keeps its own."""
    slider = value or {}
    radius = slider.get("radius")
    if not isinstance(radius, int | float):
        raise InputError("R", "it is not set", "Choose a bank, or write a number")
    return None if slider.get("norms") and radius == slider.get("trained") else [float(radius)]


def chosen(vectors: dict[str, Any] | None) -> list[int]:
    """The vectors that are chosen in the list, in order."""
    return sorted(int(vector) for vector in (vectors or {}).get("selected") or [])


def asked_by(request: gr.Request) -> str:
    """Who asks for a job: the name of a login, or the address of the browser."""
    host = request.client.host if request.client else ""
    return request.username or ("this machine" if host in ("127.0.0.1", "::1", "") else host)


def bank_chosen(name: str | None) -> str:
    """The chosen bank's name."""
    if not name:
        raise InputError("bank", "none is chosen", "Choose one above, or train one")
    return name
