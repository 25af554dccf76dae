"""How a study is asked for, the same for the command line, the HTTP API and MCP: its fields become parameters."""
