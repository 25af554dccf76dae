"""Directions of words in the residual stream, from the unembedding."""

import torch

from melbo_app.engine.model import LanguageModel
from melbo_app.errors import InputError


def word_difference(lm: LanguageModel, toward: str, away: str) -> torch.Tensor:
    """The unembedding's row for the first token of ``toward`` minus that for ``away``: [d] float32 on the CPU.

    Moving the residual along it below the final norm makes ``toward`` likelier relative to ``away``. Raises InputError
    for a word without a token or a row in the unembedding, and for words with the same first token.
    """
    matrix = lm.model.get_output_embeddings().weight
    first, second = (_first_token(lm, word, len(matrix)) for word in (toward, away))
    if first == second:
        raise InputError("words", f"“{toward}” and “{away}” begin with the same token", "Choose others")
    return (matrix[first].float() - matrix[second].float()).cpu()


def _first_token(lm: LanguageModel, word: str, rows: int) -> int:
    ids = lm.tokenizer(word, add_special_tokens=False)["input_ids"]
    if not ids:
        raise InputError("words", f"“{word}” has no token", "Write a word")
    if ids[0] >= rows:
        problem = f"“{word}” begins with token {ids[0]:,}, and the unembedding of {lm.name} ends at {rows - 1:,}"
        raise InputError("words", problem, "Choose another word")
    return ids[0]
