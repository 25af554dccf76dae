"""Long work: jobs, the compute lock, progress and stops."""
