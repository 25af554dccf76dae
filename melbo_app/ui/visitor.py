"""From where the present request comes."""

from gradio.context import LocalContext


def visitor() -> str:
    """The address as ``gr.Request`` has it, over MCP that of its client; "" where there is no request, or it does not
    say."""
    request = LocalContext.request.get(None)
    return request.client.host if request is not None and request.client else ""
