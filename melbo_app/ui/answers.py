"""Gradio Blocks that answer every refusal in words, even one that comes before the function is called."""

import logging
from collections.abc import Callable
from typing import Any

import gradio as gr
from gradio.blocks import BlockFunction
from gradio.components.api_component import Api
from gradio.data_classes import APIInfo, BlocksConfigDict
from gradio.exceptions import InvalidPathError

from melbo_app.errors import InputError
from melbo_app.ui.files import not_uploaded
from melbo_app.ui.guard import toast

logger = logging.getLogger(__name__)


def plain_error(text: str) -> gr.Error:
    """The unchanged text, for a program."""
    return gr.Error(text, print_exception=False)


class Answers(gr.Blocks):
    """Gradio answers ``error: null`` to any exception other than ``gr.Error``. The functions raise only that; Gradio
    itself raises others before it calls them (too few values, a path that was not uploaded) and afterwards.

    Gradio's ``show_error`` would send messages that name folders of the server.
    """

    async def process_api(
        self, block_fn: BlockFunction | int, inputs: list[Any], *args: Any, **kwargs: Any
    ) -> dict[str, Any]:
        """Handle an event; every failure becomes a ``gr.Error``."""
        fn = block_fn if isinstance(block_fn, BlockFunction) else self.fns[block_fn]
        message: Callable[[str], gr.Error] = plain_error if fn.api_visibility == "public" else toast
        if len(inputs) < len(fn.inputs):
            raise message(str(_too_few(len(inputs), len(fn.inputs))))
        try:
            return await super().process_api(block_fn, inputs, *args, **kwargs)
        except gr.Error:
            raise
        except InvalidPathError:
            raise message(str(not_uploaded())) from None
        except Exception as error:
            logger.exception("a request failed before or after its function")
            raise message(f"Something went wrong: {type(error).__name__}.") from None

    def get_config_file(self) -> BlocksConfigDict:
        """The configuration, in full for a program (/config); the page's own part is without the API."""
        config = super().get_config_file()
        events = {fn._id for fn in self.fns.values() if fn.api_visibility == "public"}
        arguments = {id for id, block in self.blocks.items() if isinstance(block, Api)}
        for page in config["page"].values():
            page["dependencies"] = [id for id in page["dependencies"] if id not in events]
            page["components"] = [id for id in page["components"] if id not in arguments]
            parts = page["layout"]["children"]
            page["layout"]["children"] = [one for one in parts if isinstance(one, int) or one["id"] not in arguments]
        return config

    def get_api_info(self, all_endpoints: bool = False, page: str | None = None) -> APIInfo:
        """The schema of the API, in full for a program; the page itself needs none of it."""
        if page is not None:
            return {"named_endpoints": {}, "unnamed_endpoints": {}}
        return super().get_api_info(all_endpoints)


def _too_few(given: int, wanted: int) -> InputError:
    return InputError("request", f"it has {given} values", f"Send {wanted}, as the schema lists them")
