"""The page: components and events. The workbench does everything else."""

import inspect
from typing import Any


def _import_gradio() -> None:
    """Import Gradio without the stub files of its components.

    Gradio parses the source and the stub of all its 76 components at every import, which takes as long as the rest of
    it. It leaves out those whose source ``inspect`` cannot find.
    """
    getfile = inspect.getfile

    def no_components(thing: Any) -> str:
        if type(thing).__name__ == "ComponentMeta":
            raise OSError("stub files are for editors")
        return getfile(thing)

    vars(inspect)["getfile"] = no_components
    try:
        import gradio  # noqa: F401
    finally:
        vars(inspect)["getfile"] = getfile


_import_gradio()
