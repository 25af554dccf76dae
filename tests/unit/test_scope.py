"""Token scopes: which positions count."""

import re

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tiny_models import encoded, tiny

from melbo_app.engine.encoding import encode
from melbo_app.engine.prompt import Prompt
from melbo_app.engine.scope import TokenScope, runaway_share, sinks
from melbo_app.engine.slice import ModelSlice
from melbo_app.errors import InputError

LM = tiny("llama")
WORDS = ("all", "content", "assistant")
NONE = torch.zeros(2, 5, dtype=torch.bool)


@pytest.mark.parametrize(
    ("scope", "expected"),
    [
        ("all", [[1, 1, 1, 1, 1], [0, 0, 0, 1, 1]]),
        ("content", [[1, 1, 1, 1, 1], [0, 0, 0, 1, 1]]),
        ("last:1", [[0, 0, 0, 0, 1], [0, 0, 0, 0, 1]]),
        ("last:2", [[0, 0, 0, 1, 1], [0, 0, 0, 1, 1]]),
        # the second prompt has two tokens only: all of them, and no padding
        ("last:4", [[0, 1, 1, 1, 1], [0, 0, 0, 1, 1]]),
        ("last:99", [[1, 1, 1, 1, 1], [0, 0, 0, 1, 1]]),
    ],
)
def test_known_answers(scope, expected):
    mask = TokenScope.parse(scope).mask(encoded(LM, "abcde", "ab"), NONE)
    assert mask.dtype == torch.bool
    assert mask.int().tolist() == expected


def test_assistant_is_the_tail_of_the_template():
    batch = encode(LM, [Prompt("hello"), Prompt("hi")])
    mask = TokenScope.parse("assistant").mask(batch)
    assert LM.tokenizer.decode(batch.input_ids[1][mask[1]]) == "<|im_end|>\n<|im_start|>assistant\n"
    assert mask.sum(dim=1).tolist() == [13, 13]


def test_content_leaves_out_what_is_given_as_sinks():
    planted = NONE.clone()
    planted[0, 0] = planted[1, 3] = True
    mask = TokenScope.parse("content").mask(encoded(LM, "abcde", "ab"), planted)
    assert mask.int().tolist() == [[0, 1, 1, 1, 1], [0, 0, 0, 0, 1]]


def test_a_norm_a_hundred_times_the_median_is_a_sink_and_padding_never_is():
    batch = encoded(LM, "abcde", "ab")
    norms = torch.tensor([[250.0, 2, 3, 2.5, 2], [9999, 9999, 9999, 4, 5]])
    assert sinks(norms, batch).int().tolist() == [[1, 0, 0, 0, 0], [0, 0, 0, 0, 0]]


def test_the_median_is_that_of_real_tokens():
    """With the padding's norms among them, either prompt would get another answer."""
    for padding in (0.0, 9999.0):
        norms = torch.tensor([[1.0, 1, 1, 1, 1], [padding, padding, padding, 4, 100]])
        assert sinks(norms, encoded(LM, "abcde", "ab")).int().tolist() == [[0] * 5, [0, 0, 0, 0, 1]]
        norms[1, 4] = 30
        assert not sinks(norms, encoded(LM, "abcde", "ab")).any()


@pytest.mark.parametrize(("factor", "found"), [(9.9, False), (10.1, True), (100, True)])
def test_a_sink_is_ten_times_the_median(factor, found):
    batch = encoded(LM, "abcde")
    norms = torch.full((1, 5), 2.0)
    norms[0, 1] *= factor
    assert sinks(norms, batch).tolist() == [[False, found, False, False, False]]


@pytest.mark.parametrize("layer", [0, 2])
def test_content_leaves_out_a_sink_at_the_source_or_the_target_layer(layer):
    lm = tiny("llama")

    def plant(_module, _args, output):
        grown = output.clone()
        grown[:, 3] *= 100  # an ordinary token in the middle becomes a sink
        return grown

    handle = lm.blocks[layer].register_forward_hook(plant)
    piece = ModelSlice(lm, encoded(lm, "abcdefgh"), 0, 2)
    handle.remove()
    assert piece.sinks.int().tolist() == [[0, 0, 0, 1, 0, 0, 0, 0]]
    assert piece.mask(TokenScope.parse("content")).int().tolist() == [[1, 1, 1, 0, 1, 1, 1, 1]]
    assert piece.mask(TokenScope.parse("all")).all()
    ordinary = torch.tensor([0, 1, 2, 4, 5, 6, 7])
    assert piece.median_norm == pytest.approx(float(piece.source_hidden[0, ordinary].norm(dim=-1).median()), rel=1e-5)


def test_assistant_without_a_template_is_refused_with_what_to_use():
    with pytest.raises(InputError, match="no token of prompt 1 is in the scope assistant. Use last:4") as caught:
        TokenScope.parse("assistant").mask(encoded(LM, "hello"))
    assert caught.value.field == "scope"


def test_the_prompt_without_a_token_in_scope_is_named():
    batch = encode(LM, [Prompt("hello"), Prompt("hello", template=False)])
    with pytest.raises(InputError, match="no token of prompt 2") as caught:
        TokenScope.parse("assistant").mask(batch)
    assert caught.value.field == "scope"


def test_content_of_sinks_alone_is_refused():
    with pytest.raises(InputError, match="no token of prompt 2 is in the scope content. Use all") as caught:
        TokenScope.parse("content").mask(encoded(LM, "abcde", "ab"), torch.tensor([[False] * 5, [True] * 5]))
    assert caught.value.field == "scope"


def test_content_cannot_be_told_without_knowing_the_sinks():
    with pytest.raises(ValueError, match="sinks"):
        TokenScope.parse("content").mask(encoded(LM, "abc"))


@given(st.sampled_from(WORDS) | st.integers(1, 999_999).map(lambda k: f"last:{k}"))
def test_scopes_are_written_as_they_are_read(text):
    assert str(TokenScope.parse(text)) == text
    assert TokenScope.parse(str(TokenScope.parse(text))) == TokenScope.parse(text)


@given(st.text().filter(lambda text: text not in WORDS and not re.fullmatch("last:[1-9][0-9]*", text, re.ASCII)))
def test_any_other_text_is_refused(text):
    with pytest.raises(InputError, match="Write all, content, assistant or last:4") as caught:
        TokenScope.parse(text)
    assert caught.value.field == "scope"


@pytest.mark.parametrize(
    "text", ["", "ALL", "last", "last:", "last:0", "last:-1", "last:1.5", " all", "last:2\n", "last:1٣"]
)
def test_scopes_that_are_none(text):
    with pytest.raises(InputError, match="Write all, content, assistant or last:4") as caught:
        TokenScope.parse(text)
    assert caught.value.field == "scope"


def test_the_runaway_share_counts_new_sinks_among_the_ordinary_tokens():
    batch = encoded(LM, "abcde", "ab")
    norms = torch.tensor([[250.0, 2, 3, 2.5, 2], [9999, 9999, 9999, 4, 5]])
    steered = torch.tensor([[300.0, 2, 26, 24, 2], [0, 0, 9999, 41, float("nan")]])
    assert runaway_share(steered, norms, batch).tolist() == [1 / 4, 1]
    assert runaway_share(norms, norms, batch).tolist() == [0, 0]
