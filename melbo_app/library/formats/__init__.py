"""Formats of steering vectors: a file each, behind the interface of ``format.py``; ``known.py`` lists them."""
