"""The page's own scripts: a short one in its head, and one file with every component, which browsers keep."""

import functools
import hashlib

from melbo_app.settings import ROOT

SCRIPTS = ROOT / "assets" / "js"
IN_HEAD = ("selection", "mounting")  # which must be there before any component
SHORTCUTS = "shortcuts"  # a function that Gradio calls once the page is there
SHARED = ("dom", "stamp_strip")
TOGETHER = {
    "completion_grid": ("completion_card", "inspector", "completion_table", "completion_bar", "completion_grid"),
    "map_view": ("point_canvas", "map_view"),
}
"""Components of several scripts; each of the others has one of its own name."""


def read(*names: str) -> str:
    """The text of these scripts."""
    return "".join((SCRIPTS / f"{name}.js").read_text("utf-8") for name in names)


@functools.cache
def component_script() -> tuple[str, str]:
    """The path on the page of the script of all components, with a hash of its text, and the text."""
    apart = {*IN_HEAD, SHORTCUTS, *SHARED, *(part for parts in TOGETHER.values() for part in parts)}
    alone = {path.stem: (path.stem,) for path in sorted(SCRIPTS.glob("*.js")) if path.stem not in apart}
    defined = "".join(_definition(name, read(*parts)) for name, parts in {**alone, **TOGETHER}.items())
    text = f"(() => {{\n{read(*SHARED)}{defined}melbo.ready(components);\n}})();\n"
    return f"/explorer/components-{hashlib.sha256(text.encode()).hexdigest()[:16]}.js", text


def head() -> str:
    """What the page's head needs; the address is relative, so it also works below a prefix."""
    path, _ = component_script()
    return f'<script>{read(*IN_HEAD)}</script><script src="{path.lstrip("/")}"></script>'


def _definition(name: str, text: str) -> str:
    return f"define('{name}', ({{ element, trigger, props, watch, root, show }}) => {{\n{text}}});\n"
