"""A function as an endpoint of the HTTP API: arguments are checked, and a refusal is one sentence."""

import functools
import inspect
import json
from collections.abc import Callable
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

import gradio as gr
from gradio.components.api_component import Api
from gradio.context import LocalContext
from gradio.utils import get_function_description
from pydantic import Strict, TypeAdapter, ValidationError
from pydantic_core import ErrorDetails, to_jsonable_python

from melbo_app.errors import InputError
from melbo_app.quoting import shown
from melbo_app.ui.answers import plain_error
from melbo_app.ui.guard import readable
from melbo_app.ui.verbs.ranges import check_arguments

_EXACT = (bool, int, float, str)
"""Types that are never converted: no text to a number, no fraction to a whole number, no truth value to either."""


def publish(fn: Callable[..., Any], *, queue: str, at_once: int) -> None:
    """Make ``fn`` a public endpoint under its own name, inside a ``gr.Blocks``.

    Its type hints become the schema, and its docstring the description, with one line for each of the ``Args``. Of the
    endpoints with the same ``queue``, ``at_once`` run at a time, and the others wait.
    """
    event = gr.api(_guarded(fn), api_name=fn.__name__, concurrency_id=queue, concurrency_limit=at_once)
    root = gr.context.Context.root_block
    assert root is not None, "an endpoint belongs to a page"
    _, described, _ = get_function_description(fn)
    for component, name in zip(root.fns[event["id"]].inputs, described, strict=True):
        assert isinstance(component, Api)
        # gr.api takes no descriptions; the client and OpenAPI look for them here
        component._api_info |= {"additional_description": described[name], "description": described[name]}
        component.label = name


def _guarded(fn: Callable[..., Any]) -> Callable[..., Any]:
    signature = inspect.signature(fn, eval_str=True)
    readers = {name: TypeAdapter(_exact(one.annotation)) for name, one in signature.parameters.items()}

    @functools.wraps(fn)
    def endpoint(*values: Any) -> Any:
        with readable(plain_error):
            sent = signature.bind(*values).arguments
            arguments = {name: _read(name, readers[name], value) for name, value in sent.items()}
            check_arguments(fn.__name__, arguments)
            answer = fn(**arguments)
        if isinstance(answer, gr.FileData):
            return answer
        return _for_reader(to_jsonable_python(answer, inf_nan_mode="null"))

    return endpoint


def _exact(annotation: Any) -> Any:
    """The same type without conversions."""
    if annotation in _EXACT:
        return Annotated[annotation, Strict()]
    parts = tuple(map(_exact, get_args(annotation)))
    if get_origin(annotation) in (Union, UnionType):
        return Union[parts]  # noqa: UP007  from a tuple
    return list[parts[0]] if get_origin(annotation) is list else annotation  # type: ignore[valid-type]


def _read(name: str, reader: TypeAdapter[Any], value: Any) -> Any:
    try:
        return reader.validate_python(value)
    except ValidationError as error:
        raise _refusal(name, error.errors()) from None


def _refusal(name: str, errors: list[ErrorDetails]) -> InputError:
    first, kinds = errors[0], {one["type"] for one in errors}
    field = name + "".join(f"[{key}]" for key in first["loc"] if isinstance(key, int))
    value = shown(first["input"])
    if len(kinds) > 1 and "string_type" in kinds:
        return InputError(field, f"{value} is neither a text nor a truth value", "Give a text, true or false")
    for kind, problem, remedy in (
        ("int", f"{value} is not a whole number", "Give one without quotes, such as 2"),
        ("float", f"{value} is not a number", "Give one without quotes, such as 2.5"),
        ("bool", f"{value} is not a truth value", "Give true or false, without quotes"),
        ("string", f"{value} is not a text", "Give one in quotes"),
        ("list", f"{value} is not a list", "Give one in square brackets"),
        ("literal", f"{value} is not known", f"Choose {first.get('ctx', {}).get('expected', '').replace(chr(39), '')}"),
    ):
        if first["type"].startswith(kind):
            return InputError(field, problem, remedy)
    return InputError(field, f"{value} is not an uploaded file", "Upload one, and send the answer to the upload")


def _for_reader(answer: Any) -> Any:
    """JSON for MCP, for which Gradio would write an object in Python's notation."""
    request = LocalContext.request.get(None)
    is_mcp = request is not None and request.headers.get("x-gradio-user") == "mcp"
    return json.dumps(answer, ensure_ascii=False) if is_mcp else answer
