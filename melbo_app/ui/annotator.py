"""The name under which the browser of the present request labels. The browser keeps it in a cookie."""

from urllib.parse import unquote

from gradio.context import LocalContext

from melbo_app.errors import InputError
from melbo_app.library.annotators import check_annotator
from melbo_app.workbench import Workbench

COOKIE = "melbo_annotator"
"""Also in assets/js/annotator_name.js."""


def annotator(workbench: Workbench) -> str:
    """The name; "" if none was given, outside a request, and where people may not choose their names."""
    request = LocalContext.request.get(None)
    if request is None or workbench.why_not("annotator_name"):
        return ""
    try:
        return check_annotator(unquote(request.cookies.get(COOKIE) or ""))
    except (InputError, AttributeError):  # a cookie that our page did not write; a request without any
        return ""
