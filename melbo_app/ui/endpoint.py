"""One function as an endpoint of the HTTP API: what is sent is checked, what is refused comes back as one sentence."""

import functools
import inspect
import json
from collections.abc import Callable
from typing import Any

import gradio as gr
from gradio.components.api_component import Api
from gradio.context import LocalContext
from gradio.utils import get_function_description
from pydantic import ValidationError, validate_call
from pydantic_core import to_jsonable_python

from melbo_app.errors import InputError
from melbo_app.ui.answers import plain_error
from melbo_app.ui.guard import readable


def publish(fn: Callable[..., Any], *, queue: str, at_once: int) -> None:
    """Make ``fn`` the public endpoint of its name, inside a ``gr.Blocks``.

    Its type hints become the schema, and its docstring the description: the ``Args`` one line each. Of all endpoints
    with the same ``queue``, ``at_once`` run at a time, and the others wait.
    """
    event = gr.api(_guarded(fn), api_name=fn.__name__, concurrency_id=queue, concurrency_limit=at_once)
    root = gr.context.Context.root_block
    assert root is not None, "an endpoint belongs to a page"
    _, described, _ = get_function_description(fn)
    for component, name in zip(root.fns[event["id"]].inputs, described, strict=True):
        assert isinstance(component, Api)
        # gr.api takes no descriptions: this is where the client and OpenAPI look for them
        component._api_info |= {"additional_description": described[name], "description": described[name]}
        component.label = name


def _guarded(fn: Callable[..., Any]) -> Callable[..., Any]:
    signature, checked = inspect.signature(fn), validate_call(fn)

    @functools.wraps(fn)
    def endpoint(*values: Any) -> Any:
        with readable(plain_error):
            try:
                answer = checked(**signature.bind(*values).arguments)
            except ValidationError as error:
                if error.title != fn.__qualname__:  # not what was sent: a fault of ours
                    raise
                raise _refusal(error) from None
        if isinstance(answer, gr.FileData):
            return answer
        return _for_reader(to_jsonable_python(answer, inf_nan_mode="null"))

    return endpoint


def _refusal(error: ValidationError) -> InputError:
    first = error.errors()[0]
    name, *place = first["loc"]
    return InputError(f"{name}{''.join(f'[{key}]' for key in place)}", first["msg"][:1].lower() + first["msg"][1:])


def _for_reader(answer: Any) -> Any:
    """Over MCP, Gradio would write an object in Python's spelling; JSON is what every reader knows."""
    request = LocalContext.request.get(None)
    is_mcp = request is not None and request.headers.get("x-gradio-user") == "mcp"
    return json.dumps(answer, ensure_ascii=False) if is_mcp else answer
