"""Copies of weights in the processor's order: the same products, whatever happens to the weights."""

import copy
import pickle

import benches
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from test_generation import SOURCE, TEXTS
from tiny_models import encoded, random_thetas, tiny
from torch import nn

from melbo_app.engine import packing
from melbo_app.engine.decoding import Decoding
from melbo_app.engine.generation import Rows, generate
from melbo_app.engine.packing import PackedLinear, pack
from melbo_app.jobs.loaded_model import LoadedModel


def layer(inner: int = 8, outer: int = 6, bias: bool = True) -> nn.Linear:
    torch.manual_seed(0)
    return nn.Linear(inner, outer, bias=bias).requires_grad_(False)


def packed(plain: nn.Linear) -> PackedLinear:
    module = nn.Sequential(plain)
    assert pack(module) == plain.weight.nbytes
    assert type(module[0]) is PackedLinear
    return module[0]


@pytest.fixture
def packed_products(monkeypatch):
    """Counts the products with a packed weight."""
    seen = []
    real = packing.Copy.of

    def of(self, weight):
        seen.append(tuple(weight.shape))
        return real(self, weight)

    monkeypatch.setattr(packing.Copy, "of", of)
    return seen


@given(st.integers(1, 70), st.integers(1, 70), st.integers(1, 40), st.booleans(), st.booleans())
@settings(max_examples=60, deadline=None)
def test_products_are_those_of_a_plain_layer(inner, outer, rows, bias, apart):
    plain = layer(inner, outer, bias)
    mine = packed(copy.deepcopy(plain))
    given_rows = torch.randn(2, rows, 2 * inner)[..., ::2] if apart else torch.randn(2, rows, inner)
    with torch.no_grad():
        torch.testing.assert_close(mine(given_rows), plain(given_rows), atol=1e-5, rtol=1e-5)


def test_weights_changed_in_place_or_replaced_are_used(packed_products):
    mine, rows = packed(layer()), torch.randn(4, 8)
    packed_products.clear()
    with torch.no_grad():
        before = mine(rows)
        mine.weight.mul_(2)
        torch.testing.assert_close(mine(rows), 2 * before - mine.bias, atol=1e-5, rtol=1e-5)
        mine.weight = nn.Parameter(torch.zeros(6, 8), requires_grad=False)
        torch.testing.assert_close(mine(rows), mine.bias.expand(4, 6))
    assert len(packed_products) == 3


def test_where_gradients_are_wanted_the_plain_product_gives_them(packed_products):
    mine, rows = packed(layer()), torch.randn(4, 8, requires_grad=True)
    packed_products.clear()
    (gradient,) = torch.autograd.grad(mine(rows).sum(), rows)
    torch.testing.assert_close(gradient, mine.weight.sum(dim=0).expand(4, 8))
    assert not packed_products


def test_a_single_row_is_multiplied_plainly(packed_products):
    mine = packed(layer())
    packed_products.clear()
    with torch.no_grad():
        mine(torch.randn(1, 1, 8))
        assert not packed_products
        mine(torch.randn(1, 2, 8))
        assert packed_products


@pytest.mark.parametrize("again", [copy.deepcopy, lambda mine: pickle.loads(pickle.dumps(mine))])
def test_a_packed_layer_that_was_used_can_be_copied(again):
    mine, rows = packed(layer()), torch.randn(4, 8)
    with torch.no_grad():
        want = mine(rows)
        assert torch.equal(again(mine)(rows), want)


def test_texts_of_a_packed_model_are_those_of_a_plain_one(kind, packed_products):
    texts = []
    for make in (lambda model: 0, pack):
        lm = tiny(kind)
        size = make(lm.model)
        *_, last = generate(Rows(lm, encoded(lm, *TEXTS), random_thetas(3), SOURCE, Decoding(6), of=[0, 1, 1]))
        texts.append(last.texts)
    assert texts[0] == texts[1]
    assert bool(packed_products) == bool(size)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_other_dtypes_are_left_alone(dtype):
    assert pack(tiny("llama", dtype=dtype).model) == 0


def test_where_memory_is_short_nothing_is_packed(monkeypatch):
    lm = tiny("llama")
    linear = sum(module.weight.nbytes for module in lm.model.modules() if isinstance(module, nn.Linear))
    monkeypatch.setattr(packing, "free", lambda _device: 8 * linear - 8)
    assert pack(lm.model) == 0
    monkeypatch.setattr(packing, "free", lambda _device: 8 * linear)
    assert pack(lm.model) == linear


def test_a_torch_that_cannot_do_it_is_left_alone(monkeypatch):
    def fail(_self, _weight):
        raise RuntimeError("no such operation")

    monkeypatch.setattr(packing.Copy, "of", fail)
    model = nn.Sequential(layer())
    assert pack(model) == 0
    assert type(model[0]) is nn.Linear


@pytest.mark.parametrize("wanted", [True, False])
def test_the_workbench_packs_and_a_notebook_does_not(tmp_path, wanted):
    folder = benches.save_tiny(tmp_path / "tiny")
    asked = benches.settings(tmp_path, folder).model_copy(update={"dtype": "float32"})
    lm = LoadedModel(asked, packed=wanted).load()
    assert any(type(module) is PackedLinear for module in lm.model.modules()) == wanted
