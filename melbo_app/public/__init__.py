"""A page that strangers use: what each of them may do with the workbench, how much of it, and what none is message."""
