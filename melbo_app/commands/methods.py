"""The methods of training."""

from melbo_app.commands.options import Json
from melbo_app.commands.output import show
from melbo_app.engine.training_config import METHOD_DESCRIPTIONS


def methods(as_json: Json = False) -> None:
    """List the training methods and their sources."""
    known = [
        {"name": name, "summary": found.summary, "source": found.source, "steps": found.steps}
        for name, found in METHOD_DESCRIPTIONS.items()
    ]
    show({"methods": known}, [f"{line['name']}: {line['summary']} ({line['source']})" for line in known], as_json)
