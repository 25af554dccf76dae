"""Ratios against plain baselines, measured in one process, taking turns. Run by ``make bench``."""
