"""The fields of a study as parameters, the same for the command line, the HTTP API and MCP."""
