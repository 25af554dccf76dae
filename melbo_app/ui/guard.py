"""Events of the page: every error becomes a readable message, and nothing is public by accident."""

import functools
import html
import inspect
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import gradio as gr
from gradio.blocks import Block

from melbo_app.errors import MelboError, Stopped
from melbo_app.paths import without_folders
from melbo_app.ui.present import sentence

logger = logging.getLogger(__name__)
Changes = dict[Block, Any]
"""What an event changes: parts of the page and their new values. Parts that are not in it stay as they are."""


def toast(text: str) -> gr.Error:
    """A message near the top of the page."""
    # The toast renders HTML, and the text may quote what a person or a file said. A title would not arrive.
    return gr.Error(html.escape(sentence(text)), title="Cannot do that", print_exception=False, duration=12)


@contextmanager
def readable(message: Callable[[str], gr.Error] = toast) -> Iterator[None]:
    """Turn what goes wrong inside into a ``message``."""
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


def guard(fn: Callable[..., Any]) -> Callable[..., Any]:
    """Run ``fn``, a function or a generator function, inside ``readable``."""
    if inspect.isgeneratorfunction(fn):

        @functools.wraps(fn)
        def generator(*args: Any, **kwargs: Any) -> Iterator[Any]:
            with readable():
                yield from fn(*args, **kwargs)

        return generator

    @functools.wraps(fn)
    def function(*args: Any, **kwargs: Any) -> Any:
        with readable():
            return fn(*args, **kwargs)

    return function


def bind(trigger: Callable[..., Any], fn: Callable[..., Any] | None, inputs: Any, outputs: Any, **options: Any) -> Any:
    """Bind an event: guarded, private, without Gradio's own progress overlay unless asked for."""
    if "show_progress" not in options:
        # an empty list, and not only "hidden": else each change of any event's state copies every output there ever was
        options |= {"show_progress": "hidden", "show_progress_on": []}
    return trigger(guard(fn) if fn else None, inputs, outputs, api_visibility="private", **options)
