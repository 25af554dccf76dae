"""Steering: θ is added to the output of one block, at every token, another θ in each row."""

import pytest
import torch
from tiny_models import WIDTH, blocks_of, encoded, lent, random_thetas, reference_hidden, tiny, write_bias

from melbo_app.engine.steering import add_rows, random_vector, steer
from melbo_app.errors import InputError

TEXTS = ("the heath is wide", "hello", "a b")
SOURCE = 1


def forward(lm, batch):
    with torch.no_grad():
        return lm.forward(batch.input_ids, batch.attention_mask, batch.position_ids).logits[:, -1]


def outputs_of_blocks(lm, family, batch):
    """Outputs of all blocks in one forward pass: L tensors [rows, tokens, d]."""
    seen = []
    handles = [
        block.register_forward_hook(
            lambda _module, _args, output: seen.append(output if isinstance(output, torch.Tensor) else output[0])
        )
        for block in blocks_of(lm, family)
    ]
    forward(lm, batch)
    for handle in handles:
        handle.remove()
    return seen


def test_a_batch_with_a_vector_per_row_equals_one_vector_at_a_time(kind):
    lm = lent(kind)
    thetas, batch = random_thetas(3), encoded(lm, *TEXTS)
    with steer(lm, SOURCE, add_rows(thetas)):
        together = forward(lm, batch)
    for row, text in enumerate(TEXTS):
        alone = encoded(lm, text)
        with steer(lm, SOURCE, add_rows(thetas[row : row + 1])):
            torch.testing.assert_close(together[row], forward(lm, alone)[0], atol=1e-4, rtol=0)
        assert (together[row] - forward(lm, alone)[0]).abs().max() > 0.1


def test_steering_equals_a_bias_written_into_the_output_of_the_block(family):
    lm = lent(family)
    thetas, batch = random_thetas(3), encoded(lm, *TEXTS)
    with steer(lm, SOURCE, add_rows(thetas)):
        steered = forward(lm, batch)
    for row in range(3):
        biased = tiny(family)
        write_bias(biased, family, SOURCE, thetas[row])
        torch.testing.assert_close(steered[row], forward(biased, batch)[row], atol=1e-4, rtol=0)


def test_one_vector_steers_all_rows(kind):
    lm = lent(kind)
    theta, batch = random_thetas(1), encoded(lm, *TEXTS)
    with steer(lm, SOURCE, add_rows(theta)):
        once = forward(lm, batch)
    with steer(lm, SOURCE, add_rows(theta.repeat(3, 1))):
        torch.testing.assert_close(once, forward(lm, batch), atol=0, rtol=0)


def test_below_the_source_nothing_changes_and_at_the_source_exactly_the_vector_is_added(family):
    lm = lent(family)
    thetas, batch = random_thetas(3), encoded(lm, *TEXTS)
    before = outputs_of_blocks(lm, family, batch)
    with steer(lm, SOURCE, add_rows(thetas)):
        after = outputs_of_blocks(lm, family, batch)
    assert all(torch.equal(before[k], after[k]) for k in range(SOURCE))
    assert torch.equal(after[SOURCE], before[SOURCE] + thetas[:, None, :])
    assert all((after[k] - before[k]).abs().max() > 0.1 for k in range(SOURCE, len(before)))


@pytest.mark.parametrize("text", TEXTS)
def test_left_padding_changes_nothing_at_real_tokens(kind, text):
    lm = lent(kind)
    theta = random_thetas(1)
    reference = reference_hidden(lm, kind, text, SOURCE, theta[0])
    with steer(lm, SOURCE, add_rows(theta)):
        padded = outputs_of_blocks(lm, kind, encoded(lm, text, "a longer text than any"))
    for ours, want in zip(padded, reference, strict=True):
        torch.testing.assert_close(ours[0, -len(want) :], want, atol=1e-4, rtol=0)


def test_padding_must_be_masked_for_this_to_hold(kind):
    """Without the mask the padding is seen: the tests of padding above could fail."""
    lm = lent(kind)
    batch = encoded(lm, "ab", "the heath is wide")
    with torch.no_grad():
        blind = lm.forward(batch.input_ids, torch.ones_like(batch.attention_mask), batch.position_ids).logits[0, -1]
    assert (blind - forward(lm, batch)[0]).abs().max() > 0.01


def test_the_order_of_tokens_matters(kind):
    lm = lent(kind)
    logits = forward(lm, encoded(lm, "abcdefg", "cbadefg"))
    assert (logits[0] - logits[1]).abs().max() > 0.01


def test_steering_two_blocks_adds_both():
    lm = tiny("llama")
    thetas, batch = random_thetas(2), encoded(lm, TEXTS[0])
    both = tiny("llama")
    write_bias(both, "llama", 0, thetas[0])
    write_bias(both, "llama", 2, thetas[1])
    with steer(lm, 0, add_rows(thetas[:1])), steer(lm, 2, add_rows(thetas[1:])):
        torch.testing.assert_close(forward(lm, batch), forward(both, batch), atol=1e-4, rtol=0)


def test_steering_one_block_twice_adds_both():
    lm = tiny("llama")
    thetas, batch = random_thetas(2), encoded(lm, TEXTS[0])
    with steer(lm, 0, add_rows(thetas[:1])), steer(lm, 0, add_rows(thetas[1:])):
        twice = forward(lm, batch)
    with steer(lm, 0, add_rows(thetas.sum(dim=0, keepdim=True))):
        torch.testing.assert_close(twice, forward(lm, batch), atol=1e-4, rtol=0)


def test_nothing_steered_is_an_error():
    lm = tiny("llama")
    with pytest.raises(RuntimeError, match="nothing was steered: block 1"), steer(lm, 1, add_rows(random_thetas(1))):
        pass
    assert not lm.blocks[1]._forward_hooks


def test_the_hook_is_gone_after_an_error_and_the_error_is_the_one_that_was_raised():
    lm = tiny("llama")
    with pytest.raises(KeyError, match="mine"), steer(lm, 1, add_rows(random_thetas(1))):
        raise KeyError("mine")
    assert not lm.blocks[1]._forward_hooks


def test_the_hook_is_gone_afterwards_and_the_model_is_as_before(kind):
    lm = lent(kind)
    batch = encoded(lm, *TEXTS)
    before = forward(lm, batch)
    with steer(lm, SOURCE, add_rows(random_thetas(3))):
        assert not torch.equal(forward(lm, batch), before)
    assert torch.equal(forward(lm, batch), before)


@pytest.mark.parametrize("rows", [2, 4])
def test_a_wrong_number_of_vectors_is_an_error(rows):
    lm = tiny("llama")
    batch = encoded(lm, *TEXTS)
    message = f"{rows} vectors cannot steer a batch of 3 rows"
    with pytest.raises(InputError, match=message), steer(lm, SOURCE, add_rows(random_thetas(rows))):
        forward(lm, batch)


class Returning(torch.nn.Module):
    """A block that returns its hidden states in some container, and keeps what it returned."""

    def __init__(self, block, pack):
        super().__init__()
        self.block, self.pack, self.kept = block, pack, None

    def forward(self, *args, **kwargs):
        output = self.block(*args, **kwargs)
        self.kept = output
        return self.pack(output)


@pytest.mark.parametrize(
    ("pack", "kind"), [(lambda x: x, torch.Tensor), (lambda x: (x, "more"), tuple), (lambda x: [x, "more"], list)]
)
def test_tensors_tuples_and_lists_are_steered_and_none_is_written_in_place(pack, kind):
    lm = tiny("llama")
    thetas = random_thetas(3)
    hidden = torch.randn(3, 5, WIDTH, generator=torch.Generator().manual_seed(0))
    lm.blocks[SOURCE] = block = Returning(torch.nn.Identity(), pack)
    with steer(lm, SOURCE, add_rows(thetas)):
        output = block(hidden)
    assert isinstance(output, kind)
    steered = output if kind is torch.Tensor else output[0]
    assert torch.equal(steered, hidden + thetas[:, None])
    assert kind is torch.Tensor or output[1] == "more"
    assert block.kept.data_ptr() == hidden.data_ptr() != steered.data_ptr()


def test_the_unsteered_output_stays_as_it_was():
    lm = tiny("llama")
    batch = encoded(lm, *TEXTS)
    blocks = blocks_of(lm, "llama")
    blocks[SOURCE] = spy = Returning(blocks[SOURCE], lambda output: output)
    forward(lm, batch)
    before = spy.kept.clone()
    with steer(lm, SOURCE, add_rows(random_thetas(3))):
        forward(lm, batch)
    assert torch.equal(spy.kept, before)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_the_dtype_of_the_model_is_kept(dtype):
    lm = tiny("llama", dtype=dtype)
    batch = encoded(lm, *TEXTS)
    with steer(lm, SOURCE, add_rows(random_thetas(3))):
        outputs = outputs_of_blocks(lm, "llama", batch)
        assert forward(lm, batch).dtype == dtype
    assert {output.dtype for output in outputs} == {dtype}


def test_a_source_layer_that_does_not_exist_is_refused():
    lm = tiny("llama")
    steering = steer(lm, 4, add_rows(random_thetas(1)))
    with pytest.raises(InputError, match="Choose a block from 0 to 3") as caught:
        steering.__enter__()
    assert caught.value.field == "source layer"


def test_random_controls_of_one_seed_point_in_one_direction():
    one, other = random_vector(WIDTH, 2.0, 5), random_vector(WIDTH, -7.0, 5)
    assert float(one.norm()) == pytest.approx(2.0, rel=1e-5)
    assert float(other.norm()) == pytest.approx(7.0, rel=1e-5)
    torch.testing.assert_close(other, -3.5 * one)
    assert abs(float(torch.cosine_similarity(one, random_vector(WIDTH, 2.0, 6), dim=0))) < 0.9
