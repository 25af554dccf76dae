"""Training methods: each is a generator that yields progress and returns a ``TrainingResult``."""
