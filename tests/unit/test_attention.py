"""Attention in half precision: written out for short texts, against torch's own."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface

from melbo_app.engine import attention


class Grouped(nn.Module):
    """What transformers' own function looks at in a module."""

    is_causal = True

    def __init__(self, groups: int) -> None:
        super().__init__()
        self.num_key_value_groups = groups


def states(rows: int, heads: int, kept: int, tokens: int, before: int, dtype: torch.dtype) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(rows + 7 * heads + 11 * tokens)
    shapes = [(rows, heads, tokens, 8), *[(rows, kept, before + tokens, 8)] * 2]
    return [torch.randn(shape, generator=generator).to(dtype).requires_grad_() for shape in shapes]


def ours(made: list[torch.Tensor], mask: torch.Tensor | None, **more: object) -> torch.Tensor:
    query, key, _ = made
    module = Grouped(query.shape[1] // key.shape[1])
    return AttentionInterface()[attention.NAME](module, *made, mask, **more)[0]


def theirs(made: list[torch.Tensor], mask: torch.Tensor | None, scaling: float | None = None) -> torch.Tensor:
    query, key, value = (tensor.double() for tensor in made)
    each = query.shape[1] // key.shape[1]
    if mask is not None and mask.is_floating_point():
        mask = mask.double()
    return scaled_dot_product_attention(
        query,
        key.repeat_interleave(each, 1),
        value.repeat_interleave(each, 1),
        attn_mask=mask,
        is_causal=mask is None,
        scale=scaling,
    ).transpose(1, 2)


def slopes(output: torch.Tensor, made: list[torch.Tensor]) -> list[torch.Tensor]:
    weights = torch.linspace(-1, 1, output.numel(), dtype=output.dtype).reshape(output.shape)
    return list(torch.autograd.grad((output * weights).sum(), made))


@given(
    rows=st.integers(1, 3), kept=st.integers(1, 3), each=st.integers(1, 3), tokens=st.integers(2, 9),
    before=st.integers(0, 4), blank=st.integers(0, 3), kind=st.sampled_from(["none", "bool", "added", "by head"]),
    scaling=st.sampled_from([None, 0.3]),
)  # fmt: skip
@settings(max_examples=60, deadline=None)
def test_attention_and_its_gradients_are_those_of_torch(rows, kept, each, tokens, before, blank, kind, scaling):
    before = 0 if kind == "none" else before
    made = states(rows, kept * each, kept, tokens, before, torch.float32)
    seen = torch.ones(tokens, before + tokens, dtype=torch.bool).tril(before)[None, None].repeat(rows, 1, 1, 1)
    seen[0, :, :, : min(blank, before)] = False  # padding on the left, as far as every token still sees itself
    mask = {"none": None, "bool": seen, "added": None, "by head": None}[kind]
    if kind in ("added", "by head"):
        slant = torch.randn(1, kept * each if kind == "by head" else 1, 1, before + tokens)
        mask = torch.where(seen, slant, torch.finfo(torch.float32).min)
    got, want = ours(made, mask, scaling=scaling), theirs(made, mask, scaling)
    torch.testing.assert_close(got.double(), want, atol=1e-5, rtol=1e-5)
    for one, other in zip(slopes(got, made), slopes(want, made), strict=True):
        torch.testing.assert_close(one, other, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("fill", [None, torch.finfo(torch.bfloat16).min, -torch.inf])
def test_a_token_that_sees_nothing_gets_nothing_and_moves_no_other(fill):
    made = states(2, 2, 1, 5, 0, torch.bfloat16)
    seen = torch.ones(5, 5, dtype=torch.bool).tril()[None, None].repeat(2, 1, 1, 1)
    seen[0, :, :, :2] = False  # two tokens of padding, which see nothing at all
    mask = seen if fill is None else torch.zeros(seen.shape, dtype=torch.bfloat16).masked_fill(~seen, fill)
    got, want = ours(made, mask), theirs(made, seen)
    assert not got[0, :2].any() and not want[0, :2].any()
    torch.testing.assert_close(got.double(), want, atol=0.02, rtol=0.02)


@pytest.mark.parametrize(
    ("tokens", "before", "more"),
    [(1, 4, {}), (attention.SHORT + 1, 0, {}), (4, 0, {"is_causal": False}), (4, 0, {"position_bias": torch.ones(4)})],
)
def test_what_is_not_written_out_is_left_to_the_library(monkeypatch, tokens, before, more):
    asked = []

    def library(_module, query, _key, _value, _mask, **_kwargs):
        asked.append(query.dtype)
        return query.transpose(1, 2), None

    monkeypatch.setattr(attention, "sdpa_attention_forward", library)
    assert ours(states(1, 2, 1, tokens, before, torch.bfloat16), None, **more).dtype == torch.bfloat16
    assert asked == [torch.float32]
