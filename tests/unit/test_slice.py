"""ModelSlice: the part of a model between two layers gives what the whole model gives."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_models import BLOCKS, KINDS, WIDTH, encoded, lent, random_thetas, reference_hidden, tiny

import melbo_app.engine.slice as slice_module
from melbo_app.engine.scope import TokenScope
from melbo_app.engine.slice import ModelSlice
from melbo_app.errors import InputError, Stopped

LONG, SHORT = "the heath is wide", "hello"


def reference_deltas(lm, family, texts, thetas, source, target):
    """One prompt and one vector at a time, unpadded: for each vector and prompt Δ at its real tokens [T, d]."""
    result = []
    for theta in thetas:
        row = []
        for text in texts:
            baseline = reference_hidden(lm, family, text, source, None)[target]
            row.append(reference_hidden(lm, family, text, source, theta)[target] - baseline)
        result.append(row)
    return result


@pytest.mark.parametrize(
    ("source", "target", "texts", "vectors"),
    [
        (0, 2, (LONG, SHORT), 3),
        (0, 2, ("abcd", "wxyz"), 1),
        (1, BLOCKS - 1, (SHORT,), 1),
        (1, BLOCKS - 1, (SHORT, LONG, "a b"), 3),
        (0, BLOCKS - 1, (LONG, "a"), 2),
    ],
)
def test_deltas_equal_the_difference_of_two_full_passes(family, source, target, texts, vectors):
    lm = lent(family)
    thetas = random_thetas(vectors)
    deltas = ModelSlice(lm, encoded(lm, *texts), source, target).deltas(thetas)
    expected = reference_deltas(lm, family, texts, thetas, source, target)
    assert deltas.shape[:2] == (vectors, len(texts))
    assert torch.isfinite(deltas).all()  # at the padding, too
    for v in range(vectors):
        for p in range(len(texts)):
            want = expected[v][p]
            assert want.norm(dim=-1).min() > 0.1  # the vector does change something at every token
            torch.testing.assert_close(deltas[v, p, -len(want) :], want, atol=1e-4, rtol=0)


LAYERS = st.tuples(st.integers(0, BLOCKS - 2), st.integers(1, BLOCKS - 1)).filter(lambda pair: pair[0] < pair[1])


@settings(max_examples=25)
@given(
    st.sampled_from(KINDS),
    st.lists(st.text("abeht w", min_size=1, max_size=14), min_size=1, max_size=4),
    LAYERS,
    st.integers(1, 4),
    st.sampled_from(["all", "last:1", "last:3", "content"]),
)
def test_whatever_stands_beside_it_a_prompt_is_what_it_is_alone(family, texts, layers, vectors, scope):
    lm = lent(family)
    thetas, scope = random_thetas(vectors), TokenScope.parse(scope)
    piece = ModelSlice(lm, encoded(lm, *texts), *layers)
    deltas, mask = piece.deltas(thetas), piece.mask(scope)
    longest = max(len(lm.tokenizer(text)["input_ids"]) for text in texts)
    assert deltas.shape == (vectors, len(texts), longest, WIDTH) and mask.shape == (len(texts), longest)
    for row, text in enumerate(texts):
        alone = ModelSlice(lm, encoded(lm, text), *layers)
        tokens = alone.baseline.shape[1]
        torch.testing.assert_close(deltas[:, row, longest - tokens :], alone.deltas(thetas)[:, 0], atol=2e-4, rtol=1e-4)
        assert mask[row, longest - tokens :].tolist() == alone.mask(scope)[0].tolist()
        assert not mask[row, : longest - tokens].any()
        torch.testing.assert_close(piece.source_means(scope)[row], alone.source_means(scope)[0], atol=1e-4, rtol=1e-4)


def test_deltas_are_exact_in_float64():
    lm = tiny("gpt2", dtype=torch.float64)
    thetas = random_thetas(3, dtype=torch.float64)
    deltas = ModelSlice(lm, encoded(lm, LONG, SHORT), 0, 2).deltas(thetas)
    assert deltas.dtype == torch.float64
    for v, row in enumerate(reference_deltas(lm, "gpt2", (LONG, SHORT), thetas, 0, 2)):
        for p, want in enumerate(row):
            torch.testing.assert_close(deltas[v, p, -len(want) :], want, atol=1e-9, rtol=0)


def test_baseline_and_source_are_the_hidden_states_that_transformers_reports(family):
    lm = tiny(family)  # transformers leaves hooks on a model that it was asked for them
    batch = encoded(lm, LONG)
    piece = ModelSlice(lm, batch, 1, 2)
    with torch.no_grad():
        states = lm.model(batch.input_ids, output_hidden_states=True).hidden_states
    torch.testing.assert_close(piece.source_hidden, states[2], atol=1e-4, rtol=0)
    torch.testing.assert_close(piece.baseline, states[3], atol=1e-4, rtol=0)
    assert not torch.allclose(states[2], states[3], atol=0.1)
    assert not torch.allclose(states[1], states[2], atol=0.1)


def test_the_number_of_vectors_may_change_from_call_to_call(kind):
    lm = lent(kind)
    thetas = random_thetas(4)
    piece = ModelSlice(lm, encoded(lm, LONG, SHORT), 0, 2)
    whole = piece.deltas(thetas)
    apart = torch.cat([piece.deltas(thetas[:1]), piece.deltas(thetas[1:3]), piece.deltas(thetas[3:])])
    torch.testing.assert_close(whole, apart, atol=1e-4, rtol=0)


@pytest.mark.parametrize("family", [*KINDS, "bloom", "mixtral"])
def test_prompts_as_many_as_tokens_or_heads_are_kept_apart(family):
    """Two, four and eight prompts, of as many tokens: sizes that could be mistaken for one another."""
    lm = lent(family)
    thetas = random_thetas(2)
    for count in (2, 4, 8):
        texts = tuple("abcdefgh"[n:] + "abcdefgh"[:n] for n in range(count))
        texts = tuple(text[:count] for text in texts)
        deltas = ModelSlice(lm, encoded(lm, *texts), 0, 2).deltas(thetas)
        expected = reference_deltas(lm, family, texts, thetas, 0, 2)
        for v in range(2):
            for p in range(count):
                torch.testing.assert_close(deltas[v, p], expected[v][p], atol=1e-4, rtol=0)


def test_median_norm_is_that_of_the_source_at_real_tokens(kind):
    lm = lent(kind)
    norms = [reference_hidden(lm, kind, text, 0, None)[1].norm(dim=-1) for text in (LONG, SHORT)]
    piece = ModelSlice(lm, encoded(lm, LONG, SHORT), 1, 3)
    assert not piece.sinks.any()
    assert piece.median_norm == pytest.approx(float(torch.cat(norms).median()), rel=1e-4)


def test_sinks_are_left_out_of_the_median_norm_and_of_the_content():
    lm = tiny("gpt2")
    batch = encoded(lm, LONG, SHORT)
    plain = ModelSlice(lm, batch, 0, 2)
    with torch.no_grad():  # GPT-2 adds what stands here to the first token only
        lm.model.transformer.wpe.weight[0] *= 200
    piece = ModelSlice(lm, batch, 0, 2)
    first = torch.zeros_like(piece.sinks)
    first[0, 0] = first[1, batch.attention_mask[1].argmax()] = True
    assert torch.equal(piece.sinks, first)
    assert torch.equal(piece.mask(TokenScope.parse("content")), batch.attention_mask.bool() & ~first)
    ordinary = batch.attention_mask.bool() & ~first
    assert piece.median_norm == pytest.approx(float(piece.source_hidden.norm(dim=-1)[ordinary].median()), rel=1e-6)
    assert piece.median_norm < 2 * plain.median_norm


def test_gradients_flow_to_the_vectors_alone(family):
    lm = lent(family)
    thetas = random_thetas(2).requires_grad_()
    piece = ModelSlice(lm, encoded(lm, LONG, SHORT), 0, 2)
    piece.deltas(thetas).square().sum().backward()
    assert torch.isfinite(thetas.grad).all()
    assert (thetas.grad.norm(dim=1) > 0.1).all()
    assert all(parameter.grad is None for parameter in lm.model.parameters())


def test_nothing_is_left_hooked_on_the_model(kind):
    lm = lent(kind)
    ModelSlice(lm, encoded(lm, SHORT), 0, 2).deltas(random_thetas(2))
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in lm.blocks)


def test_bfloat16_on_a_cpu_passes_its_own_check_and_stays_near_float32(family):
    exact, rough = lent(family), lent(family, torch.bfloat16)
    thetas = random_thetas(3)
    want = ModelSlice(exact, encoded(exact, LONG, SHORT), 0, 2).deltas(thetas)[:, :, -5:]
    deltas = ModelSlice(rough, encoded(rough, LONG, SHORT), 0, 2).deltas(thetas)[:, :, -5:]
    assert deltas.dtype == torch.float32
    assert (deltas - want).norm() < 0.2 * want.norm()


def test_a_block_that_keeps_state_between_calls_is_refused():
    lm = tiny("llama")

    class Forgetful(torch.nn.Module):
        """Adds something else each time it is called."""

        def __init__(self, inner):
            super().__init__()
            self.inner, self.calls = inner, 0

        def forward(self, hidden, *args, **kwargs):
            self.calls += 1
            return self.inner(hidden, *args, **kwargs) + self.calls

    lm.model.model.layers[1] = Forgetful(lm.model.model.layers[1])
    with pytest.raises(InputError, match="blocks 1 to 2 of tiny llama give other outputs when they run alone"):
        ModelSlice(lm, encoded(lm, SHORT), 0, 2)


@pytest.mark.parametrize(
    ("source", "target", "field", "part"),
    [
        (-1, 2, "source layer", "from 0 to 3"),
        (4, 5, "source layer", "from 0 to 3"),
        (1, 4, "target layer", "from 0 to 3"),
        (2, 2, "target layer", "Choose 3 or more"),
        (2, 1, "target layer", "not above the source layer 2"),
    ],
)
def test_layers_that_do_not_exist_or_stand_the_wrong_way_round_are_refused(source, target, field, part):
    lm = tiny("llama")
    with pytest.raises(InputError, match=part) as caught:
        ModelSlice(lm, encoded(lm, SHORT), source, target)
    assert caught.value.field == field


@pytest.mark.parametrize("after", [0, 1, 2])
def test_stop_is_asked_before_every_block_forwards(after):
    lm = tiny("llama")
    piece = ModelSlice(lm, encoded(lm, SHORT), 0, 3)
    ran = []
    handles = [block.register_forward_hook(lambda *_: ran.append(1)) for block in lm.blocks]
    with pytest.raises(Stopped):
        piece.activations(random_thetas(1), lambda: len(ran) >= after)
    for handle in handles:
        handle.remove()
    assert len(ran) == after


@pytest.mark.parametrize("after", [1, 2])
def test_stop_is_asked_before_every_block_backwards(after):
    lm = tiny("llama")
    piece = ModelSlice(lm, encoded(lm, SHORT), 0, 3)
    ran = []
    handles = [block.register_full_backward_hook(lambda *_: ran.append(1)) for block in lm.blocks]
    deltas = piece.deltas(random_thetas(1).requires_grad_(), lambda: len(ran) >= after)
    with pytest.raises(Stopped):
        deltas.square().sum().backward()
    for handle in handles:
        handle.remove()
    assert len(ran) == after


def test_blocks_share_the_masks_and_positions_made_for_several_vectors():
    lm = tiny("llama")
    piece = ModelSlice(lm, encoded(lm, LONG, SHORT), 0, 3)
    masks = []
    handles = [
        block.register_forward_pre_hook(
            lambda _module, _args, kwargs: masks.append(kwargs["attention_mask"]), with_kwargs=True
        )
        for block in lm.blocks
    ]
    piece.deltas(random_thetas(5))
    for handle in handles:
        handle.remove()
    assert [len(mask) for mask in masks] == [10, 10, 10]
    assert len({mask.data_ptr() for mask in masks}) == 1


MANY = ("the heath is wide", "hello", "a b", "abcd", "wxyz", "hello there")


def in_parts(monkeypatch, tokens: int) -> None:
    monkeypatch.setattr(slice_module, "TOKENS_AT_ONCE", tokens)
    monkeypatch.setattr(slice_module, "PART_TOKENS", tokens)


def test_many_prompts_go_through_in_parts_and_give_what_they_give_together(kind, monkeypatch):
    lm, thetas = lent(kind), random_thetas(3)
    whole = ModelSlice(lm, encoded(lm, *MANY), 1, 3)
    leaf = thetas.clone().requires_grad_()
    whole.deltas(leaf).square().sum().backward()
    in_parts(monkeypatch, 2 * whole.encoded.input_ids.shape[1])
    parts = ModelSlice(lm, encoded(lm, *MANY), 1, 3)
    assert [part.rows for part in parts._parts] == [slice(0, 2), slice(2, 4), slice(4, 6)]
    torch.testing.assert_close(parts.baseline, whole.baseline, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(parts.deltas(thetas), whole.deltas(thetas), atol=1e-4, rtol=1e-4)
    again = thetas.clone().requires_grad_()
    parts.deltas(again).square().sum().backward()
    torch.testing.assert_close(again.grad, leaf.grad, atol=1e-3, rtol=1e-3)
    assert parts.median_norm == pytest.approx(whole.median_norm, rel=1e-4)


def test_the_first_run_is_stopped_between_two_parts_and_leaves_nothing_hooked(monkeypatch):
    lm = tiny("llama")
    in_parts(monkeypatch, 8)
    asked = []

    def stop() -> bool:
        asked.append(1)
        return len(asked) > 2 * BLOCKS

    with pytest.raises(Stopped):
        ModelSlice(lm, encoded(lm, *MANY), 1, 3, stop)
    assert len(asked) == 2 * BLOCKS + 1  # not once more
    assert not any(block._forward_hooks or block._forward_pre_hooks for block in lm.blocks)


def test_others_may_compute_between_two_blocks_with_the_same_slice(unusual):
    """Blocks of some families hand something on in what they are called with: two passes must not share it."""
    lm, thetas, other = tiny(unusual), random_thetas(2), random_thetas(2) * 3.0
    piece = ModelSlice(lm, encoded(lm, LONG, SHORT), 0, 2)
    alone = piece.deltas(thetas)

    def meanwhile() -> bool:
        piece.deltas(other)
        return False

    torch.testing.assert_close(piece.deltas(thetas, meanwhile), alone, atol=0, rtol=0)
