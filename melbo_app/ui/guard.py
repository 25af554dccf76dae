"""Events of the page: errors become readable messages, values go by component, and no event is public by accident."""

import functools
import html
import inspect
import logging
from collections.abc import Callable, Iterator, Sequence, Set
from contextlib import closing, contextmanager
from typing import Any

import gradio as gr
from gradio.blocks import Block
from gradio.components import Component

from melbo_app.errors import MelboError, Stopped
from melbo_app.paths import without_folders
from melbo_app.ui.present import sentence

logger = logging.getLogger(__name__)
Values = dict[Block, Any]
"""The inputs of an event that is bound to a set of components: their values, by component."""
Changes = dict[Block, Any]
"""The outputs of an event that is bound to a list of components: the new values of those that change."""


def toast(text: str) -> gr.Error:
    """A message near the top of the page."""
    # The toast renders HTML, and the text may quote a person or a file. A title would not arrive.
    return gr.Error(html.escape(sentence(text)), title="Cannot do that", print_exception=False, duration=12)


@contextmanager
def readable(message: Callable[[str], gr.Error] = toast) -> Iterator[None]:
    """Turn every error inside into a ``message``."""
    try:
        yield
    except (gr.Error, GeneratorExit):
        raise
    except Stopped:
        raise message("Stopped.") from None
    except MelboError as error:
        raise message(str(error)) from None
    except Exception as error:
        logger.exception("an event of the page failed")
        raise message(without_folders(f"Something went wrong: {type(error).__name__}: {error}")) from None


def guard(fn: Callable[..., Any], *, changes: bool = False) -> Callable[..., Any]:
    """Run ``fn``, a function or a generator function, inside ``readable``.

    With ``changes`` it gives ``Changes``, and none where nothing changes: Gradio would take that for an empty value.
    """
    if inspect.isgeneratorfunction(fn):

        @functools.wraps(fn)
        def generator(*args: Any) -> Iterator[Any]:
            with readable(), closing(fn(*args)) as steps:
                step = None
                for step in steps:
                    yield step or gr.skip() if changes else step
                if step is None:
                    yield gr.skip()

        return generator

    @functools.wraps(fn)
    def function(*args: Any) -> Any:
        with readable():
            given = fn(*args)
            return given or gr.skip() if changes else given

    return function


def bind(
    trigger: Callable[..., Any],
    fn: Callable[..., Any] | None,
    inputs: Component | Sequence[Component] | Set[Component] | None,
    outputs: Block | Sequence[Block] | None,
    **options: Any,
) -> Any:
    """Bind an event: guarded, private, without Gradio's own progress overlay unless asked for.

    A function gets the value of each component of a list of ``inputs``, or the ``Values`` of a set. It gives the value
    of a single output, or the ``Changes`` of a list.
    """
    if "show_progress" not in options:
        # an empty list as well as "hidden": otherwise each change of any event's state copies every earlier output
        options |= {"show_progress": "hidden", "show_progress_on": []}
    guarded = guard(fn, changes=isinstance(outputs, list)) if fn else None
    return trigger(guarded, inputs, outputs, api_visibility="private", **options)
