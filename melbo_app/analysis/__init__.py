"""Texts and points: embedding, projection, ordering, differences."""
