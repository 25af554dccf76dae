"""Word directions are those along which the model rather says the one word than the other."""

import pytest
import torch
from tiny_models import lent, tiny

from melbo_app.engine.unembedding import word_difference
from melbo_app.errors import InputError


def test_a_residual_that_moves_along_it_changes_the_logits_by_its_square(family):
    lm = lent(family)
    direction = word_difference(lm, "yes", "no")
    head = lm.model.get_output_embeddings()
    yes, no = (lm.tokenizer(word)["input_ids"][0] for word in ("yes", "no"))
    base = torch.randn(direction.shape, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        change = head(base + direction) - head(base)
    assert float(change[yes] - change[no]) == pytest.approx(float(direction @ direction), rel=1e-4)
    torch.testing.assert_close(word_difference(lm, "no", "yes"), -direction)


@pytest.mark.parametrize(
    ("words", "part"),
    [(("yes", "yellow"), "“yes” and “yellow” begin with the same token"), (("", "no"), "“” has no token")],
)
def test_words_that_say_nothing_are_refused(words, part):
    with pytest.raises(InputError, match=part) as caught:
        word_difference(tiny("llama"), *words)
    assert caught.value.field == "words"
