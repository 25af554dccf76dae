"""A warning about damaged entries that a list leaves out."""

import html
from collections.abc import Sequence

import gradio as gr

from melbo_app.library.damage import Damage
from melbo_app.ui.present import sentence

NAMED = 3


def tell(damaged: Sequence[Damage]) -> None:
    """Warn of them; the first ones by name."""
    if damaged:
        named = [f"{sentence(str(one))}." for one in damaged[:NAMED]]
        more = [f"{len(damaged) - NAMED} more; “library check” lists all."] if len(damaged) > NAMED else []
        gr.Warning(html.escape(" ".join([*named, *more])), title="Damaged entries are left out", duration=12)
