"""Patching of heads and MLPs: against plain hooks, planted circuits, and attribution where the model is linear."""

import pytest
import torch
from tiny_models import FAMILIES, HEADS, WIDTH, lent, tiny
from torch import nn

from melbo_app.engine.answer_odds import Question, log_odds
from melbo_app.engine.circuit import smallest_set
from melbo_app.engine.encoding import encode
from melbo_app.engine.nodes import Node, find_nodes
from melbo_app.engine.patching import Patching, at_once
from melbo_app.engine.prompt import Prompt
from melbo_app.errors import InputError, Stopped
from melbo_app.jobs.generators import result_of

SHORT = Question((5, 6, 7, 8), (10,), (11,))
LONG = Question((5, 6, 7, 8), (9, 10, 12), (11, 13))


def theta(seed=1, length=3.0):
    return length * torch.nn.functional.normalize(
        torch.randn(WIDTH, generator=torch.Generator().manual_seed(seed)), dim=0
    )


def silent(lm, after):
    """The same model whose heads and MLPs after a block write nothing."""
    for block in lm.blocks[after + 1 :]:
        block.self_attn.o_proj.weight.data.zero_()
        block.mlp.down_proj.weight.data.zero_()
    return lm


@pytest.mark.parametrize("question", [SHORT, LONG])
@pytest.mark.parametrize("name", FAMILIES)
def test_no_node_restored_is_the_steered_run_and_all_nodes_are_what_plain_hooks_give(name, question):
    lm = lent(name)
    patching = Patching(lm, question, 1, theta())
    steered = patching.plain(theta()[None])[1:]
    none = torch.zeros(1, len(patching.nodes), dtype=torch.bool)
    assert torch.equal(patching.patched(none), steered)
    # an independent way: with every later node restored, the last residual stream is the unsteered one plus θ
    handle = lm.blocks[-1].register_forward_hook(
        lambda _m, _a, out: (out[0] + theta(), *out[1:]) if isinstance(out, tuple) else out + theta()
    )
    with torch.no_grad():
        wanted = log_odds(lm, [question])
    handle.remove()
    assert patching.patched(~none).tolist() == pytest.approx(wanted.tolist(), abs=1e-3)
    assert not any(block._forward_hooks or block._forward_pre_hooks for block in lm.blocks)


@pytest.mark.parametrize("name", FAMILIES)
def test_heads_are_query_heads_and_every_block_has_an_mlp(name):
    nodes, sites = find_nodes(lent(name), 1)
    assert [one for one in nodes if one.block == 2] == [
        *(Node(2, "head", head) for head in range(HEADS)),
        Node(2, "mlp"),
    ]
    assert len(nodes) == sum(site.count for site in sites) == 2 * (HEADS + 1)


def test_one_restored_head_is_what_a_plain_hook_gives():
    lm = tiny("llama")
    patching = Patching(lm, SHORT, 0, theta())
    kept = []
    at = lm.blocks[2].self_attn.o_proj
    handle = at.register_forward_pre_hook(lambda _m, args: kept.append(args[0].clone()))
    with torch.no_grad():
        log_odds(lm, [SHORT])
    handle.remove()

    def replace(_module, args):
        changed = args[0].clone()
        changed[..., 8:16] = kept[0][..., 8:16]
        return (changed,)

    handle = at.register_forward_pre_hook(replace)
    with torch.no_grad():
        wanted = log_odds(lm, [SHORT], (0, theta()[None]))
    handle.remove()
    restored = torch.tensor([[one == Node(2, "head", 1) for one in patching.nodes]])
    assert patching.patched(restored).tolist() == pytest.approx(wanted.tolist(), abs=1e-5)


@pytest.mark.parametrize("planted", [Node(2, "head", 1), Node(3, "mlp")])
def test_a_planted_part_is_found(planted):
    lm = tiny("llama")
    kept = {2: lm.blocks[2].self_attn.o_proj.weight.data.clone(), 3: lm.blocks[3].mlp.down_proj.weight.data.clone()}
    silent(lm, 0)
    if planted.kind == "head":
        lm.blocks[2].self_attn.o_proj.weight.data[:, 8:16] = kept[2][:, 8:16]
    else:
        lm.blocks[3].mlp.down_proj.weight.data.copy_(kept[3])
    # θ does not point towards either answer itself
    read = lm.model.lm_head.weight.data[[10, 11]] * lm.model.model.norm.weight.data
    basis = torch.linalg.qr(read.T).Q
    vector = theta() - basis @ (basis.T @ theta())
    patching = Patching(lm, SHORT, 0, vector)
    plain, steered = patching.plain(vector[None]).tolist()
    at = patching.nodes.index(planted)
    found = patching.attribution()
    assert int(found.abs().argmax()) == at and int((found.abs() > 1e-6).sum()) == 1
    masks = torch.eye(len(patching.nodes), dtype=torch.bool)
    exact = torch.cat([patching.patched(part) for part in at_once([*masks], 7)])
    lost = steered - exact
    assert int(lost.abs().argmax()) == at and int((lost.abs() > 1e-5).sum()) == 1
    assert float(lost[at]) * float(found[at]) > 0
    direct = float(patching.patched(torch.ones(1, len(masks), dtype=torch.bool)))
    assert float(exact[at]) == pytest.approx(direct, abs=1e-5)

    def keeping(sets):
        yield "one"
        live = torch.stack([torch.tensor([node in one for node in range(len(masks))]) for one in sets])
        parts = [patching.patched(~part) for part in at_once([*live], 8)]
        return ((torch.cat(parts) - direct) / (steered - direct)).tolist()

    order = found.abs().argsort(descending=True).tolist()
    assert result_of(smallest_set(order, 0.8, keeping)) == {at}
    assert plain != steered


def test_attribution_is_exact_where_the_answer_depends_linearly_on_a_part():
    lm = tiny("llama")
    lm.model.model.norm = nn.Identity()
    lm.blocks[3].mlp.down_proj.weight.data.zero_()
    patching = Patching(lm, SHORT, 1, theta())
    found = patching.attribution()
    steered = float(patching.plain(theta()[None])[1])
    last = [at for at, one in enumerate(patching.nodes) if one.block == 3]
    masks = torch.eye(len(patching.nodes), dtype=torch.bool)[last]
    lost = steered - patching.patched(masks)
    assert lost.tolist() == pytest.approx(found[last].tolist(), rel=1e-3, abs=1e-4)
    assert float(lost.abs().max()) > 0.01


def test_attribution_is_the_slope_of_restoring_a_little():
    """By finite differences, with half the way to the unsteered output and a tenth."""
    lm = tiny("llama")
    patching = Patching(lm, LONG, 1, theta(length=0.05))
    found = patching.attribution()
    masks = torch.eye(len(patching.nodes), dtype=torch.bool)
    steered = float(patching.plain(patching.theta[None])[1])
    lost = steered - torch.cat([patching.patched(part) for part in at_once([*masks], 4)])
    assert lost.tolist() == pytest.approx(found.tolist(), rel=0.2, abs=2e-4)


def test_texts_with_nothing_restored_are_the_steered_ones_and_with_everything_those_of_the_direct_path():
    from melbo_app.engine.decoding import Decoding
    from melbo_app.engine.generation import Rows, generate

    lm = tiny("llama")
    encoded = encode(lm, [Prompt("hill", template=False)])
    patching = Patching(lm, SHORT, 1, theta())
    none = torch.zeros(1, len(patching.nodes), dtype=torch.bool)
    [text, direct] = result_of(patching.texts(encoded, torch.cat([none, ~none]), 6))
    *_, whole = generate(Rows(lm, encoded, theta()[None], 1, Decoding(6)))
    assert text == whole.texts[0]
    *_, whole = generate(Rows(lm, encoded, theta()[None], 3, Decoding(6)))  # θ behind the last block alone
    assert direct == whole.texts[0]


def test_bfloat16_weights_have_float32_logits():
    """A difference of two logits that bfloat16 would round to multiples of 1/8 or so."""
    lm = lent("llama", torch.bfloat16)
    found = Patching(lm, SHORT, 1, theta()).plain(theta()[None])
    hidden = []
    handle = lm.model.lm_head.register_forward_pre_hook(lambda _m, args: hidden.append(args[0][:, -1].float()))
    with torch.no_grad():
        log_odds(lm, [SHORT])
    handle.remove()
    weight = lm.model.lm_head.weight.float()
    assert float(found[0]) == pytest.approx(float(hidden[0][0] @ (weight[10] - weight[11])), abs=1e-4)
    patching = Patching(lm, LONG, 1, theta())
    assert patching.attribution().isfinite().all() and not lm.model.lm_head._forward_hooks


def test_models_and_layers_that_cannot_be_patched_are_refused():
    with pytest.raises(InputError, match="last block"):
        find_nodes(lent("llama"), 3)
    with pytest.raises(InputError, match="no attention and MLP"):
        find_nodes(lent("mamba"), 1)
    nodes, _ = find_nodes(lent("mixtral"), 1)
    assert Node(2, "mlp") in nodes


def test_a_stop_ends_a_pass():
    patching = Patching(lent("llama"), SHORT, 1, theta())
    with pytest.raises(Stopped):
        patching.attribution(lambda: True)
    with pytest.raises(Stopped):
        patching.patched(torch.ones(2, len(patching.nodes), dtype=torch.bool), lambda: True)


def test_the_smallest_set_is_found_among_many():
    worth = {3: 0.5, 7: 0.3, 11: 0.15, 20: 0.05}
    asked = []

    def keeping(sets):
        asked.extend(sets)
        yield "measured"
        return [sum(worth.get(one, 0.0) for one in chosen) for chosen in sets]

    order = [3, 1, 2, 7, 4, 5, 6, 11, *range(8, 11), *range(12, 500)]
    assert result_of(smallest_set(order, 0.8, keeping)) == {3, 7}
    assert result_of(smallest_set(order, 0.79, keeping)) == {3, 7}
    assert result_of(smallest_set(order, 0.95, keeping)) >= {3, 7, 11}
    assert result_of(smallest_set(order, 0.0, keeping)) == frozenset()
    assert len(asked) < 400
