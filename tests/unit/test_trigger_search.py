"""The search for triggers: gradients against finite differences, losses against plain passes, a known trigger found."""

from dataclasses import dataclass

import pytest
import torch
from tiny_models import lent, tiny
from torch import nn

from melbo_app.engine.encoding import encode
from melbo_app.engine.prompt import Prompt
from melbo_app.engine.trigger_loss import Toward, TriggerLoss, mean_states
from melbo_app.engine.trigger_place import keep_their_tokens, places, printable_tokens, with_trigger
from melbo_app.engine.trigger_search import Vocabulary, search, swaps
from melbo_app.errors import InputError, Stopped

PROMPTS = [Prompt("see the house"), Prompt("take tea, and the wind")]
BARE = [Prompt(one.user, template=False) for one in PROMPTS]
TEXT = (20, 31, 42)


def around(lm, prompts, where="end"):
    return places(lm, prompts, where)


def toward(lm, prompts=PROMPTS, target=2, weight=1.0, scope=2):
    """A text and a direction at once."""
    directions = torch.randn(len(prompts), lm.hidden_size, generator=torch.Generator().manual_seed(3))
    bases = torch.randn(len(prompts), lm.hidden_size, generator=torch.Generator().manual_seed(4))
    return Toward(TEXT, target, directions, bases, scope, weight)


def by_hand(lm, places, asked, ids, embedded=None):
    """The loss by one plain pass a prompt; ``embedded`` [n, d] stands for the trigger's embeddings."""
    total = 0.0
    for number, place in enumerate(places):
        row = torch.tensor([[*place.before, *ids.tolist(), *place.after, *asked.text]])
        rows = lm.model.get_input_embeddings()(row)
        if embedded is not None:
            begin = len(place.before)
            rows = torch.cat([rows[:, :begin], embedded[None], rows[:, begin + len(ids) :]], dim=1)
        out = lm.model(inputs_embeds=rows, output_hidden_states=True, use_cache=False)
        read = len(place.before) + len(ids) + len(place.after)
        logs = out.logits[0].log_softmax(-1)
        nats = -sum(logs[read - 1 + at, token] for at, token in enumerate(asked.text)) / len(asked.text)
        state = out.hidden_states[asked.target + 1][0, max(0, read - asked.scope) : read].mean(0) - asked.bases[number]
        total = total + nats + asked.weight * (1 - nn.functional.cosine_similarity(state, asked.directions[number], 0))
    return total / len(places)


@pytest.mark.parametrize("family", ["llama", "gpt2", "gemma3", "mamba", "bloom"])
@pytest.mark.parametrize("where", ["end", "begin"])
def test_exact_losses_are_those_of_plain_passes(family, where):
    lm = lent(family)
    # transformers counts the hidden states of Mamba in another way
    some, asked = around(lm, PROMPTS, where), toward(lm, weight=0.0 if family == "mamba" else 1.0)
    ids = torch.tensor([[30, 41, 52], [60, 61, 62], [30, 41, 99]])
    found = TriggerLoss(lm, some, asked).exact(ids)
    with torch.no_grad():
        wanted = [float(by_hand(lm, some, asked, one)) for one in ids]
    assert found.tolist() == pytest.approx(wanted, abs=2e-4)
    assert TriggerLoss(lm, some, asked, rows_at_once=1).exact(ids).tolist() == pytest.approx(wanted, abs=2e-4)


@pytest.mark.parametrize("family", ["llama", "gpt2"])
def test_a_scope_may_reach_into_the_prompt(family):
    lm = lent(family)
    for prompts, scope in ((BARE, 6), (PROMPTS, 40), (BARE, 2)):
        some, asked = around(lm, prompts), toward(lm, scope=scope)
        ids = torch.tensor([[30, 41, 52], [60, 61, 62]])
        with torch.no_grad():
            wanted = [float(by_hand(lm, some, asked, one)) for one in ids]
        assert TriggerLoss(lm, some, asked).exact(ids).tolist() == pytest.approx(wanted, abs=2e-4)


def test_a_direction_alone_reads_no_further_than_its_block():
    lm = tiny("llama")
    some, asked = around(lm, PROMPTS), toward(lm)
    alone = Toward((), asked.target, asked.directions, asked.bases, asked.scope)
    ids = torch.tensor([[30, 41, 52]])
    both = TriggerLoss(lm, some, asked).parts(ids)
    runs: list[int] = []
    lm.blocks[3].register_forward_hook(lambda *_: runs.append(1))
    parts = TriggerLoss(lm, some, alone).parts(ids)
    assert parts[1].tolist() == pytest.approx(both[1].tolist(), abs=1e-5) and parts[0].tolist() == [0]
    assert len(runs) == len(PROMPTS)  # only where the prompts' beginnings are read, which the cache needs


@pytest.mark.parametrize("family", ["llama", "gpt2", "gemma3"])
def test_the_gradient_is_that_of_finite_differences_in_the_one_hot_vectors(family):
    lm = lent(family, torch.float64)
    some, ids = around(lm, PROMPTS), torch.tensor([30, 41, 52])
    asked = toward(lm)
    asked = Toward(TEXT, 2, asked.directions.double(), asked.bases.double(), 2, 0.7)
    loss, slope = TriggerLoss(lm, some, asked).gradient(ids)
    with torch.no_grad():
        every = lm.model.get_input_embeddings()(torch.arange(lm.known_ids))
        assert loss == pytest.approx(float(by_hand(lm, some, asked, ids)), abs=1e-5)
        for position, token in ((0, 7), (1, 41), (2, 99)):
            step = torch.zeros(3, lm.hidden_size, dtype=torch.float64)
            step[position] = 2e-3 * every[token]  # norms of Llama are in float32
            up, down = (float(by_hand(lm, some, asked, ids, every[ids] + sign * step)) for sign in (1, -1))
            assert float(slope[position, token]) == pytest.approx((up - down) / 4e-3, rel=0.02, abs=1e-3)


def test_the_loss_without_a_trigger_is_that_of_the_prompts():
    lm = lent("llama")
    some, asked = around(lm, PROMPTS), toward(lm)
    with torch.no_grad():
        wanted = float(by_hand(lm, some, asked, torch.empty(0, dtype=torch.int64)))
    assert TriggerLoss(lm, some, asked).without() == pytest.approx(wanted, abs=1e-4)
    bare = Toward((), 2, *(torch.ones(2, lm.hidden_size), torch.zeros(2, lm.hidden_size)), 1)
    ids = [encode(lm, [one]).input_ids[0].tolist() for one in BARE]
    states = mean_states(lm, ids, 2, 1, None)
    cosines = nn.functional.cosine_similarity(states, bare.directions, dim=1)
    assert TriggerLoss(lm, around(lm, BARE), bare).without() == pytest.approx(1 - float(cosines.mean()), abs=1e-4)


@pytest.mark.parametrize("prompts", [PROMPTS, BARE, [Prompt("hello", "be brief"), Prompt("tea", "be brief")]])
@pytest.mark.parametrize("where", ["end", "begin"])
def test_places_are_those_of_the_rendered_prompts(prompts, where):
    lm = lent("llama")
    texts = printable_tokens(lm)
    ids = lm.tokenizer("qz7", add_special_tokens=False)["input_ids"]
    for prompt, place in zip(prompts, around(lm, prompts, where), strict=True):
        string = "".join(texts[one] for one in ids)
        whole = encode(lm, [with_trigger(prompt, string, where)]).input_ids[0].tolist()
        assert whole == [*place.before, *ids, *place.after]
        assert place.tail == (encode(lm, [prompt]).tail.sum() if prompt.template else 0)


def test_only_whole_printable_characters_and_no_special_tokens_may_stand_in_a_trigger():
    lm = lent("llama")
    texts = printable_tokens(lm)
    assert not {*texts} & {*lm.tokenizer.all_special_ids}
    assert all(text.isprintable() and text.strip() and "�" not in text for text in texts.values())
    assert "a" in texts.values() and "he" in texts.values() and " " not in texts.values() and "\n" not in texts.values()
    with pytest.raises(Stopped):
        printable_tokens(lm, lambda: True)


def test_strings_that_would_be_read_as_other_tokens_are_left_out():
    lm = lent("llama")
    some, texts = around(lm, PROMPTS), printable_tokens(lm)
    of = {text: token for token, text in texts.items()}
    rows = torch.tensor([[of["h"], of["e"]], [of["he"], of["e"]], [of["x"], of["h"]]])
    assert keep_their_tokens(lm, some, rows, texts).tolist() == [False, True, True]


# --- the search -------------------------------------------------------------------------------------------------------


@dataclass
class Planted:
    """A made-up loss, the distance from a planted string in an embedding: its gradient is known."""

    embedding: torch.Tensor
    wanted: torch.Tensor

    def exact(self, ids, stop=None):
        if stop is not None and stop():
            raise Stopped
        return (self.embedding[ids] - self.embedding[self.wanted]).square().sum(dim=(1, 2))

    def gradient(self, ids, stop=None):
        gap = self.embedding[ids] - self.embedding[self.wanted]
        return float(gap.square().sum()), 2 * gap @ self.embedding.T


def made_up(size=60, seed=0):
    embedding = torch.nn.functional.normalize(
        torch.randn(size, 12, generator=torch.Generator().manual_seed(seed)), dim=1
    )
    words = Vocabulary(torch.arange(5, size), lambda ids: torch.tensor([23 not in row for row in ids.tolist()]))
    return Planted(embedding, torch.tensor([11, 40, 7, 55])), words


def hunted(seed=0, steps=60, loss=None, stop=None):
    made, words = made_up()
    generator = torch.Generator().manual_seed(seed)
    start = words.draw(1, 4, generator)[0]
    work = search(
        loss or made, words, start, steps=steps, candidates=24, top=12, generator=generator, stop=stop
    )  # fmt: skip
    return list(work)


def test_a_planted_string_is_found_and_the_loss_never_rises():
    found = hunted()
    assert found[-1].ids == (11, 40, 7, 55) and found[-1].loss == 0
    losses = [found[0].start, *(one.loss for one in found)]
    assert losses == sorted(losses, reverse=True) and [one.step for one in found] == [*range(1, 61)]


def test_its_seed_determines_a_search():
    assert hunted(seed=4) == hunted(seed=4) != hunted(seed=5)


def test_strings_never_hold_tokens_that_are_not_allowed_or_do_not_keep():
    loss, words = made_up()
    generator = torch.Generator().manual_seed(0)
    drawn = words.draw(200, 4, generator)
    some = swaps(drawn[0], loss.gradient(drawn[0])[1], words, 30, 12, generator)
    for rows in (drawn, some):
        assert int(rows.min()) >= 5 and not (rows == 23).any()
    assert ((some != drawn[0]).sum(dim=1) == 1).all() and len(some.unique(dim=0)) == len(some) == 30


def test_a_search_stops():
    asked = iter([False] * 6 + [True] * 100)
    with pytest.raises(Stopped):
        hunted(stop=lambda: next(asked))


def known_trigger():
    """A model in which the token 77 makes the token 50 likely: its embedding lies along one direction, which the blocks
    hardly change and the output reads."""
    lm = tiny("llama")
    with torch.no_grad():
        for name, parameter in lm.model.named_parameters():
            if "o_proj" in name or "down_proj" in name:
                parameter.mul_(0.05)
        direction = torch.zeros(lm.hidden_size)
        direction[3] = 1
        rows = lm.model.get_input_embeddings().weight
        rows[:, 3] = 0
        rows[77] = 8 * direction
        head = lm.model.get_output_embeddings().weight
        head[:, 3] = 0
        head[50, 3] = 6
    return lm


def test_a_known_trigger_of_a_model_is_found():
    lm = known_trigger()
    some, texts = around(lm, BARE), printable_tokens(lm)
    words = Vocabulary(torch.tensor(sorted(texts)), lambda ids: keep_their_tokens(lm, some, ids, texts))
    loss = TriggerLoss(lm, some, Toward((50,)))
    generator = torch.Generator().manual_seed(1)
    start = words.draw(1, 3, generator)[0]
    *_, found = search(loss, words, start, steps=12, candidates=48, top=24, generator=generator)
    assert 77 in found.ids and found.loss < 0.5 < found.start
    one = torch.tensor([found.ids])
    assert keep_their_tokens(lm, some, one, texts).all() and {*found.ids} <= {*texts}


def test_a_model_without_gradients_is_named():
    lm = tiny("llama")
    lm.model.get_input_embeddings().register_forward_hook(lambda _m, _a, output: output.detach().clone() * 1)
    handle = lm.blocks[1].register_forward_hook(lambda _m, _a, output: output.detach())
    with pytest.raises(InputError, match="gives no gradient"):
        TriggerLoss(lm, around(lm, PROMPTS), Toward(TEXT)).gradient(torch.tensor([30, 41, 52]))
    handle.remove()


def test_reading_stops():
    lm = lent("llama")
    loss, ids = TriggerLoss(lm, around(lm, PROMPTS), toward(lm)), torch.tensor([[30, 41, 52]])
    for work in (lambda: loss.exact(ids, lambda: True), lambda: loss.gradient(ids[0], lambda: True)):
        with pytest.raises(Stopped):
            work()
    asked = iter([False] * 9 + [True] * 99)
    with pytest.raises(Stopped):
        loss.gradient(ids[0], lambda: next(asked))
    assert not lm.model.get_input_embeddings()._forward_hooks
    assert all(float(one) for one in loss.exact(ids))
