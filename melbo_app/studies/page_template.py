"""Templates of pages that need no network."""

from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template

from melbo_app.settings import ROOT


def page_template(name: str) -> Template:
    """The template ``name``; all that is put into it is escaped."""
    pages = Environment(
        loader=FileSystemLoader(ROOT / "assets" / "report"), autoescape=True, undefined=StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    return pages.get_template(name)
