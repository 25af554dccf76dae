"""The layer in the name of an entry: 13, "13", "layer_13", "model.layers.13", "blocks.13.hook_resid_post"."""

import re
from typing import NamedTuple

from melbo_app.library.formats.format import Counted

_PLAIN = re.compile(
    r"(?:(?:[\w-]+[./])*(?:layers?|blocks?|h|l|directions?|(?P<hidden>hidden_?states?))[ ._/-]?)?"
    r"(?P<number>-?[0-9]{1,4})",
    re.ASCII | re.IGNORECASE,
)
_HOOK = re.compile(r"(?:[\w-]+\.)*blocks\.(?P<number>[0-9]{1,4})\.hook_resid_(?P<where>pre|post)", re.ASCII)


class LayerName(NamedTuple):
    """The number in the name (negative: from the end), and its meaning if the name says so."""

    number: int
    counted: Counted | None


def layer_of(name: object) -> LayerName | None:
    """The layer that ``name`` means, or None."""
    if type(name) is int:
        return LayerName(name, None) if abs(name) < 10_000 else None
    if not isinstance(name, str):
        return None
    if hook := _HOOK.fullmatch(name):
        return LayerName(int(hook["number"]), "input" if hook["where"] == "pre" else "output")
    if plain := _PLAIN.fullmatch(name.strip()):
        return LayerName(int(plain["number"]), "input" if plain["hidden"] else None)
    return None
