"""Between the network and the page: pure ASGI, one file for each reason to refuse or change a request."""
