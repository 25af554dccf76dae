"""The page: components and events. The workbench does everything else."""
