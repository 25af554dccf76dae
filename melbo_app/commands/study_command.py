"""Makes the command of a study, with an option for each field."""

import inspect
import json
from collections.abc import Callable
from typing import Annotated, Any, Literal, get_args, get_origin

import typer

from melbo_app.commands.options import (
    Json,
    ModelOption,
    NoTemplateOption,
    PromptOption,
    SystemOption,
    TemplateOption,
    fetch,
    load,
    numbers,
    template_of,
    unkept,
)
from melbo_app.commands.output import StopOnInterrupt, run, show
from melbo_app.doors.asking import COMMAND, study_from
from melbo_app.doors.parameters import REQUIRED, Parameter, description, parameters, without_none
from melbo_app.errors import InputError
from melbo_app.jobs.study import Study
from melbo_app.settings import Settings
from melbo_app.workbench import Workbench

SINGULAR = {"vectors": "vector", "radii": "radius"}
"""Lists whose options have a singular name."""
LAYERS = {"sources": "source layers", "targets": "target layers"}
"""Names of fields in error messages."""
PROMPTED: dict[str, Any] = {
    "prompts": PromptOption, "system": SystemOption, "template": TemplateOption, "no_template": NoTemplateOption,
}  # fmt: skip
Show = Callable[..., None]


def study_command(
    kind: type[Study[Any]], shown: Show | None = None, check: Callable[..., None] | None = None
) -> Callable[..., None]:
    """A function for typer.

    Args:
        shown: prints a result; called with the workbench, the study, the result, ``as_json`` and options of its own,
            which are its keyword arguments. None: print the study's own lines or answer.
        check: called with these options, to refuse wrong ones before the model is loaded.
    """
    taken = parameters(kind)
    own = {} if shown is None else _keywords(shown)
    options = [option for one in taken for option in _options(one)]
    options += [_option("model", ModelOption, None)]
    options += [_option(name, one.annotation, one.default) for name, one in own.items()]
    options += [_option("as_json", Json, False)]

    def command(**given: Any) -> None:
        extra = {name: given[name] for name in own}
        values = {one.name: _read(one, given) for one in taken}
        if check is not None:
            check(**extra)
        workbench = Workbench(Settings())
        bank = workbench.bank(values["bank"]) if values.get("bank") else None
        # before the model is loaded, which takes seconds
        study_from(kind, values, bank, lambda: True, COMMAND).bound(workbench.bench).check(workbench.bench)
        if kind.loads:
            spec = given["model"] or workbench.settings.model
            if workbench.is_absent(spec):
                fetch(workbench, spec)
            study = study_from(kind, values, bank, lambda: True, COMMAND).model_copy(update={"model": spec})
        else:
            state = load(workbench, given["model"], bank.record.model if bank else None)
            study = study_from(kind, values, bank, lambda: bool(state.has_template), COMMAND)
        result = run(workbench.run(study, stop=StopOnInterrupt()))
        if shown is not None:
            shown(workbench, study, result, given["as_json"], **extra)
        else:
            show(study.answer(result, unkept(workbench)), study.lines(result), given["as_json"])

    command.__name__ = kind.verb
    command.__doc__ = description(kind)
    required_first = sorted(options, key=lambda one: one.default is not REQUIRED)
    command.__signature__ = inspect.Signature(required_first)  # type: ignore[attr-defined]
    command.__annotations__ = {one.name: one.annotation for one in options}
    return command


def _keywords(shown: Show) -> dict[str, inspect.Parameter]:
    given = inspect.signature(shown, eval_str=True).parameters
    return {name: one for name, one in given.items() if one.kind is inspect.Parameter.KEYWORD_ONLY}


def _option(name: str, annotation: Any, default: Any) -> inspect.Parameter:
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)


def _options(one: Parameter) -> list[inspect.Parameter]:
    help = f"{one.help[:1].upper()}{one.help[1:]}."
    if one.name == "template":
        return [_option(name, PROMPTED[name], usual) for name, usual in (("template", None), ("no_template", False))]
    if one.name in PROMPTED:
        return [_option(one.name, PROMPTED[one.name], None)]
    if one.name == "bank" and one.default is REQUIRED:
        return [_option("bank", Annotated[str, typer.Argument(metavar="BANK", help="Name of a bank.")], REQUIRED)]
    name = f"--{_written(one).replace('_', '-')}"
    if one.default is True:
        name = f"{name}/--no-{name[2:]}"
    written = typer.Option(name, help=help, metavar=_example(one))
    if one.option is not None and one.option.parse is not None:
        return [_option(one.name, Annotated[str, written], one.option.default)]
    if _is_list(one):
        return [_option(one.name, Annotated[str | None, written], None)]
    kind = without_none(one.type)
    if kind in (bool, int, float, str):
        return [_option(one.name, Annotated[one.type, written], one.default)]
    if get_origin(kind) is Literal:  # an unknown value is refused with the list of choices
        return [_option(one.name, Annotated[str if one.default is REQUIRED else str | None, written], one.default)]
    return [_option(one.name, Annotated[str if one.default is REQUIRED else str | None, written], None)]


def _example(one: Parameter) -> str | None:
    if not _is_list(one) or (one.option is not None and one.option.parse is not None):
        return None
    return "0,1,5" if get_args(without_none(one.type)) == (int,) else "8,11"


def _written(one: Parameter) -> str:
    if one.option is not None:
        return one.option.name
    return SINGULAR.get(one.name, one.name) if _is_list(one) else one.name


def _is_list(one: Parameter) -> bool:
    return get_origin(without_none(one.type)) is list and one.name != "prompts"


def _read(one: Parameter, given: dict[str, Any]) -> Any:
    """The value of a parameter, from the options."""
    value = given[one.name]
    if one.name == "template":
        return template_of(value, given["no_template"])
    if one.option is not None and one.option.parse is not None:
        return one.option.parse(value)
    if _is_list(one):
        [entry] = get_args(without_none(one.type))
        field = LAYERS.get(one.name, _written(one))
        return numbers(field, value, entry) if entry in (int, float) else value and value.split(",")
    kind = without_none(one.type)
    if value is None or kind in (bool, int, float, str) or get_origin(kind) in (Literal, list):
        return value
    try:
        return json.loads(value)
    except ValueError:
        raise InputError(one.name, f"“{value}” is not JSON", 'Write an object such as {"name": 1}') from None
