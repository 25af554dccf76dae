"""The models."""

from melbo_app.commands.options import Json
from melbo_app.commands.output import show
from melbo_app.listings import known_models
from melbo_app.settings import Settings
from melbo_app.workbench import Workbench


def models(as_json: Json = False) -> None:
    """The models that can be loaded at once."""
    known = Workbench(Settings()).models()
    show(known_models(known), [f"{entry.name}  {entry.spec}" for entry in known], as_json)
