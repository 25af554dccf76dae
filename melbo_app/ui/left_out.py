"""What a list leaves out because it cannot be read: said once, while the rest of the list is shown."""

import html
from collections.abc import Sequence

import gradio as gr

from melbo_app.library.damage import Damage
from melbo_app.ui.present import sentence

NAMED = 3


def tell(damaged: Sequence[Damage]) -> None:
    """Name the first of them."""
    if damaged:
        named = [f"{sentence(str(one))}." for one in damaged[:NAMED]]
        more = [f"{len(damaged) - NAMED} more; “library check” names all of them."] if len(damaged) > NAMED else []
        gr.Warning(
            html.escape(" ".join([*named, *more])), title="Left out of this list, because it is damaged", duration=12
        )
