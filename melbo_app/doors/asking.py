"""From the values of parameters to a study."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from melbo_app.defaults import check_texts, own_prompts
from melbo_app.doors.parameters import DECODING, is_prompts, offered, without_none
from melbo_app.engine.decoding import Decoding
from melbo_app.engine.prompt import Prompt
from melbo_app.errors import InputError
from melbo_app.jobs.study import Study
from melbo_app.library.bank import Bank

Asked = TypeVar("Asked", bound=Study[Any])


@dataclass(frozen=True)
class Door:
    """A door: its name for prompts in error messages, and the remedy if there are none."""

    prompts: str
    remedy: str


PROGRAM = Door("prompts", "Give one")
COMMAND = Door("prompt", "Give one with --prompt")


def study_from(
    kind: type[Asked], values: Mapping[str, Any], bank: Bank | None, has_template: Callable[[], bool], door: Door
) -> Asked:
    """The study described by these values of its parameters; None keeps the default.

    Args:
        bank: the bank among the values; its prompts are used if none are given.
        has_template: whether prompts get a chat template if ``template`` is None; called only if there are texts.

    Raises:
        InputError: prompts are missing or empty, or a value cannot be used.
    """
    fields: dict[str, Any] = {}
    system, template = values.get("system"), values.get("template")

    def prompts(texts: list[str] | None) -> list[Prompt]:
        checked = check_texts(texts, door.remedy)
        wrapped = has_template() if template is None else template
        return [Prompt(text, system or None, wrapped) for text in checked]

    for name, field in offered(kind).items():
        inner, value = without_none(field.annotation), values.get(name)
        if inner is Decoding:
            fields[name] = Decoding(**{one: values[one] for one in DECODING})
        elif inner is Prompt:
            fields[name] = prompts(None if value is None else [value])[0]
        elif is_prompts(field):
            if value is not None or bank is None:
                fields[name] = prompts(value)
            elif bank.record.prompts:
                if system is not None or template is not None:
                    fields[name] = own_prompts(bank, system, template)
            elif field.default == () or system or template is not None:  # the study needs prompts
                raise InputError(door.prompts, f"the bank “{bank.record.name}” has none", door.remedy)
        elif value is not None:
            fields[name] = value
    return kind(**fields)
