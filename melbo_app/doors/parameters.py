"""The fields of a study as the parameters of a command or an endpoint."""

import inspect
from dataclasses import dataclass
from types import UnionType
from typing import Any, Union, get_args, get_origin

from pydantic.fields import FieldInfo

from melbo_app.engine.decoding import Decoding
from melbo_app.engine.prompt import Prompt
from melbo_app.jobs.study import Option, Study

SYSTEM = "system text for all prompts"
TEMPLATE = "the model's chat template: true, false or as for --template; left out: if it has one"
REQUIRED = inspect.Parameter.empty
DECODING = {
    "max_new_tokens": "longest completion, in tokens",
    "temperature": "0 takes the likeliest token (greedy); at most 10",
    "top_p": "sample from the likeliest tokens of this total probability",
    "seed": "seed of all random numbers",
}


@dataclass(frozen=True)
class Parameter:
    """A parameter: its name and type in an endpoint, and a line of help. ``option`` is its form on the command line, if
    the field defines one. ``default`` is ``REQUIRED`` if there is none."""

    name: str
    type: Any
    default: Any
    help: str
    option: Option | None = None


def parameters(study: type[Study[Any]]) -> list[Parameter]:
    """The parameters of a study in the order of its fields, followed by the system text and template of its prompts.

    A ``Prompt`` becomes a string, a ``Decoding`` its four settings.
    """
    found: list[Parameter] = []
    prompted = False
    for name, field in offered(study).items():
        inner = without_none(field.annotation)
        if inner is Decoding:
            usual = field.default if isinstance(field.default, Decoding) else Decoding()
            found += [
                Parameter(one, type(getattr(usual, one)), getattr(usual, one), help) for one, help in DECODING.items()
            ]
            continue
        prompted = prompted or is_prompts(field) or inner is Prompt
        option = next((one for one in field.metadata if isinstance(one, Option)), None)
        help = field.description or name.replace("_", " ")
        found.append(Parameter(name, _plain(field), _default(field), help, option))
    if prompted:
        found.append(Parameter("system", str | None, None, SYSTEM))
        found.append(Parameter("template", bool | str | None, None, TEMPLATE))
    return found


def description(kind: type[Study[Any]]) -> str:
    """The help of a study: the part of its docstring that is meant for users."""
    text = inspect.getdoc(kind) or ""
    for part in ("Returns:", "Attributes:", "Raises"):
        text = text.partition(f"\n{part}")[0]
    return text.strip()


def offered(study: type[Study[Any]]) -> dict[str, FieldInfo]:
    """The fields that users can set; the model is always the loaded one."""
    beside = {"model", "model_hash", *study.hidden}
    return {name: field for name, field in study.model_fields.items() if name not in beside}


def is_prompts(field: FieldInfo) -> bool:
    """Whether a field holds several prompts."""
    inner = without_none(field.annotation)
    return get_origin(inner) is tuple and get_args(inner)[0] is Prompt


def without_none(annotation: Any) -> Any:
    """``X`` of ``X | None``."""
    if get_origin(annotation) not in (Union, UnionType):
        return annotation
    rest = [one for one in get_args(annotation) if one is not type(None)]
    return rest[0] if len(rest) == 1 else Union[tuple(rest)]  # noqa: UP007  (from a tuple)


def _default(field: FieldInfo) -> Any:
    if field.is_required():
        return REQUIRED
    return None if field.default == () else field.default


def _plain(field: FieldInfo) -> Any:
    """The type in programs: strings for prompts, lists for tuples."""
    inner = without_none(field.annotation)
    if inner is Prompt:
        inner = str
    elif get_origin(inner) is tuple:
        entry = get_args(inner)[0]
        inner = list[str if entry is Prompt else entry]  # type: ignore[misc]
    return inner if field.is_required() or (field.default is not None and field.default != ()) else inner | None
