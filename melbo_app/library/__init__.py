"""The library: weights, banks, completions and labels. Only this package writes to disk."""
