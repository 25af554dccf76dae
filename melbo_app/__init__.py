"""MELBO Explorer: a browser workbench for unsupervised steering vectors."""

import os

# Threads that spin at a barrier stand still when another program takes their core, and training
# takes several times as long. Read by the OpenMP library when torch is imported.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

__version__ = "0.1.0"
