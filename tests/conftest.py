"""Imported before every test module: how threads wait is settled before torch is imported."""

import melbo_app  # noqa: F401
