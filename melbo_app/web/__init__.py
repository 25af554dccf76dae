"""Between the network and the page: pure ASGI, each file one reason to refuse or to change a request."""
