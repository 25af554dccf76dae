"""Formats of steering vectors, one file each, behind the interface of ``format.py``; ``known.py`` lists them."""
