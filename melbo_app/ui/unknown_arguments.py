"""Calls with unknown or missing arguments, which Gradio would answer with a bare status 500."""

from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse

from melbo_app.errors import InputError
from melbo_app.quoting import shown


async def refused(request: Request, error: Exception) -> JSONResponse:
    """The answer to a call by name that failed before it began; other errors are raised again.

    The arguments are compared once more, because Gradio's own messages are written for its page.
    """
    verb = request.path_params.get("api_name")
    if verb is None or not request.url.path.endswith(f"/call/v2/{verb}"):
        raise error
    fns = [fn for fn in request.app.get_blocks().fns.values() if fn.api_visibility == "public"]
    known = {fn.api_name: [one.label for one in fn.inputs] for fn in fns}
    if verb not in known:
        return _answer(404, InputError("verb", f"there is no {shown(verb)}", f"Choose from {', '.join(known)}"))
    names, sent = known[verb], await request.json()
    remedy = f"The arguments of {verb} are {', '.join(names)}" if names else f"{verb} takes no arguments"
    for name in sent:
        if name not in names:
            return _answer(400, InputError("argument", f"there is no {shown(name)}", remedy))
    for name in names:
        if name not in sent and str(error).endswith(f": {name}"):
            return _answer(400, InputError(name, "it is missing", remedy))
    raise error


def _answer(status: int, refused: InputError) -> JSONResponse:
    return JSONResponse({"detail": str(refused)}, status)


HANDLERS: dict[Any, Any] = {TypeError: refused, KeyError: refused}
