"""What is kept: weights, banks, completions and labels. The only floor that writes to disk."""
