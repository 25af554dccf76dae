"""From where the present request comes."""

from gradio.context import LocalContext

from melbo_app.public.visitors import PROGRAMS


def visitor() -> str:
    """The address as ``gr.Request`` has it; what stands for MCP; "" where there is no request, or it does not say."""
    request = LocalContext.request.get(None)
    if request is None:
        return ""
    if request.headers.get("x-gradio-user") == "mcp":
        return PROGRAMS
    return request.client.host if request.client else ""
