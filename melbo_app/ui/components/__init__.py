"""Reusable HTML components of the page."""
