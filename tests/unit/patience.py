"""How long tests wait for what must come, also on a machine on which everything takes ten times as long."""

PATIENCE = 240.0
"""Seconds; nothing waits for it in vain unless a test fails."""
