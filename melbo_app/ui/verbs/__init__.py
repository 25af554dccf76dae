"""What programs can do over HTTP and MCP, by what it is about: each public method is an endpoint."""
