"""MELBO Explorer: a browser workbench for unsupervised steering vectors."""

__version__ = "0.1.0"
