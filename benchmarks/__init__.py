"""Benchmarks: mostly ratios against plain baselines, measured in one process, taking turns."""
