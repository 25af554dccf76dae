"""Decoder blocks are found in every family, by number of blocks and not by name."""

import pytest
import torch
from tiny_models import blocks_of, lent, tiny

from melbo_app.engine.block import find_blocks, hidden_of, with_hidden
from melbo_app.errors import InputError


def test_the_blocks_are_those_of_the_family(family):
    lm = lent(family)
    assert find_blocks(lm.model) is blocks_of(lm, family)
    assert len(lm.blocks) == lm.model.config.num_hidden_layers


def test_the_outermost_list_is_taken_where_others_have_as_many_entries():
    lm = tiny("llama")
    for layer in lm.model.model.layers:
        layer.mlp.experts = torch.nn.ModuleList(torch.nn.Identity() for _ in lm.model.model.layers)
    assert find_blocks(lm.model) is lm.model.model.layers


def test_a_model_without_blocks_is_refused():
    lm = tiny("llama")
    lm.model.config.num_hidden_layers = 5
    with pytest.raises(InputError, match="no list of 5 decoder blocks.*decoder-only") as caught:
        find_blocks(lm.model)
    assert caught.value.field == "model"


def test_hidden_states_are_found_and_replaced_in_any_container():
    old, new = torch.zeros(1, 2, 3), torch.ones(1, 2, 3)
    assert hidden_of(old) is hidden_of((old, "more")) is hidden_of([old, "more"]) is old
    assert with_hidden(old, new) is new
    assert with_hidden((old, "more"), new) == (new, "more")
    assert with_hidden([old, "more"], new) == [new, "more"]
