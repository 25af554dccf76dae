"""The verbs of HTTP and MCP that are not studies, grouped by subject: each public method is an endpoint."""
