"""Training methods: each a generator of progress whose result is the vectors it found."""
