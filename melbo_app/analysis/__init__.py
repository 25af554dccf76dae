"""Analysis of texts and vectors: embedding, projection, ordering, differences, flags, figures."""
