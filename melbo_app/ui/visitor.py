"""The client of the present request."""

from gradio.context import LocalContext


def visitor() -> str:
    """Its address as ``gr.Request`` has it, over MCP that of the MCP client; "" without a request or an address."""
    request = LocalContext.request.get(None)
    return request.client.host if request is not None and request.client else ""
