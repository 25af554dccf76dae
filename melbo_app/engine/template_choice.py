"""The choice of a prompt's chat template and its options."""

import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import date
from types import MappingProxyType

from melbo_app.errors import InputError
from melbo_app.limits import MOST_NAME, check_text

FIELD = "chat template"
EXAMPLE = "tool_use enable_thinking=false"
DATE = "date"
"""The option that sets the current date for a template that writes it."""
_OPTION = re.compile(r"([A-Za-z_]\w*)=(.*)", re.ASCII | re.DOTALL)

Value = bool | int | str


@dataclass(frozen=True)
class TemplateChoice:
    """The name of a template (None: the model's default) and its options, such as ``enable_thinking``."""

    name: str | None = None
    options: Mapping[str, Value] = field(default_factory=lambda: MappingProxyType({}))

    @classmethod
    def parse(cls, text: str) -> "TemplateChoice":
        """Parse ``NAME OPTION=VALUE …``, all optional; values with spaces need quotes. true, false and whole numbers
        become bool and int. Raises InputError."""
        check_text(FIELD, text, MOST_NAME)
        try:
            words = shlex.split(text)
        except ValueError as error:
            raise InputError(FIELD, f"“{text}” has an open quote", f"Write it like this: {EXAMPLE}") from error
        found = [_OPTION.fullmatch(word) for word in words]
        names = [word for word, option in zip(words, found, strict=True) if option is None]
        options = {option[1]: _value(option[2]) for option in found if option is not None}
        if len(names) > 1:
            problem = f"“{text}” names {len(names)} templates"
            raise InputError(FIELD, problem, f"Write one name, then options, like this: {EXAMPLE}")
        if len(options) + len(names) < len(words):
            raise InputError(FIELD, f"“{text}” sets the same option twice", f"Write it like this: {EXAMPLE}")
        if DATE in options:
            _day(options[DATE])
        return cls(names[0] if names else None, MappingProxyType(options))

    @classmethod
    def of(cls, template: bool | str) -> "TemplateChoice":
        """The choice of a prompt's ``template``; raises InputError."""
        return cls.parse(template) if isinstance(template, str) else cls()

    def without(self, option: str) -> "TemplateChoice":
        """The choice without ``option``."""
        return replace(self, options={name: value for name, value in self.options.items() if name != option})

    @property
    def day(self) -> date | None:
        """The date for the template to write; None for today's."""
        return _day(self.options[DATE]) if DATE in self.options else None

    def __str__(self) -> str:
        """The text that ``parse`` reads; empty for the default."""
        words = [] if self.name is None else [shlex.quote(self.name)]
        return " ".join([*words, *(f"{option}={_written(value)}" for option, value in sorted(self.options.items()))])


def _value(text: str) -> Value:
    if text.lower() in ("true", "false"):
        return text.lower() == "true"
    return int(text) if re.fullmatch(r"-?[0-9]{1,9}", text, re.ASCII) else text


def _written(value: Value) -> str:
    return str(value).lower() if isinstance(value, bool) else shlex.quote(str(value))


def _day(value: Value) -> date:
    try:
        return date.fromisoformat(str(value))
    except ValueError:
        raise InputError(FIELD, f"“{value}” is not a date", "Write it as 2026-11-29") from None
