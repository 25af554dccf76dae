"""Long work: one worker, one compute lock, progress and stop."""
