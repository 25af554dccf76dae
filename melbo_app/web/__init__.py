"""What stands between the network and the page: pure ASGI middleware, one noun a file, without Gradio."""
