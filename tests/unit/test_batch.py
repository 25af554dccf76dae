"""A batch that runs: members come and go between two tokens, and each says what it would have said alone."""

from types import SimpleNamespace

import pytest
import torch
from tiny_models import BLOCKS, FAMILIES, UNUSUAL, WIDTH, encoded, lent, random_thetas, tiny
from transformers import Qwen3NextConfig

from melbo_app.engine.batch import Batch
from melbo_app.engine.cache import can_merge
from melbo_app.engine.decoding import Decoding
from melbo_app.engine.generation import Rows, generate
from melbo_app.engine.trace import Trace
from melbo_app.errors import InputError, Stopped

LONG = "the heath is wide, and there is more of it than anybody ever walked"
ASKED = [
    ("the heath is wide", 2, 1, Decoding(14)),
    ("hello", 1, 2, Decoding(9, 1.5, 0.8, 3)),
    (LONG, 2, 0, Decoding(8, 1.5, 1.0, 3)),
    ("hello", 1, None, Decoding(5)),
    ("he", 1, BLOCKS - 1, Decoding(15, 0.7, 1.0, 1)),
]
"""Prompt, number of vectors, source layer, decoding: they differ in all of them."""


def rows_of(lm, number: int) -> Rows:
    text, count, source, decoding = ASKED[number]
    thetas = random_thetas(count, norm=12.0, seed=number)
    target = None if source is None or source >= BLOCKS - 1 else source + 1
    return Rows(lm, encoded(lm, text), thetas, source, decoding, trace=Trace(target))


def alone(lm, number: int) -> Rows:
    rows, batch = rows_of(lm, number), Batch(lm)
    batch.join(rows)
    while not rows.done:
        batch.step()
    return rows


@pytest.fixture
def widths() -> list[tuple[int, int]]:
    """Rows and columns (of the attention mask) of each forward pass of a ``watched`` model."""
    return []


def watched(lm, widths):
    lm.model.register_forward_pre_hook(
        lambda _module, _args, kwargs: widths.append(tuple(kwargs["attention_mask"].shape)), with_kwargs=True
    )
    return lm


def test_members_that_come_and_go_say_what_they_say_alone(family):
    lm = lent(family)
    assert can_merge(lm)
    expected = [alone(lm, number) for number in range(len(ASKED))]
    batch, members = Batch(lm), [rows_of(lm, number) for number in range(len(ASKED))]
    for rows in members:
        batch.join(rows)
        batch.step()
        batch.step()
    assert len(batch.members) == 3  # two are done by now
    while batch.members:
        batch.step()
    for rows, one in zip(members, expected, strict=True):
        assert rows.progress() == one.progress()
        torch.testing.assert_close(rows.trace.stacked(), one.trace.stacked(), atol=2e-4, rtol=2e-4)
        assert (rows.trace.norms is None) == (one.trace.norms is None)
        if one.trace.norms is not None:
            torch.testing.assert_close(rows.trace.norms, one.trace.norms)
    assert len({text for rows in members for text in rows.progress().texts}) >= 6


def test_a_call_alone_is_a_batch_of_one_member():
    lm = tiny("llama")
    *_, last = generate(Rows(lm, encoded(lm, "hello"), random_thetas(1, norm=12.0, seed=1), 2, ASKED[1][3]))
    assert last == alone(lm, 1).progress()


@pytest.mark.parametrize("family", ["llama", "mistral", "gemma3", "bloom", "opt"])
def test_who_leaves_early_takes_the_padding_along_and_disturbs_nobody(family, widths):
    lm = tiny(family)
    expected = [alone(lm, number).progress() for number in (0, 4)]
    batch, members = Batch(watched(lm, widths)), [rows_of(lm, number) for number in (0, 2, 4)]
    for rows in members:
        batch.join(rows)
    batch.step()
    wide = widths[-1][1]
    batch.leave(members[1])
    assert batch.members == (members[0], members[2])
    while batch.members:
        batch.step()
    assert [members[0].progress(), members[2].progress()] == expected
    longest = members[0].encoded.input_ids.shape[1]
    assert wide > 3 * longest  # the prompt of the one who left
    assert widths[4] == (3, longest + 2)
    assert widths[-1] == (1, members[2].columns - 1)  # and of the one whose texts were done first


def in_one_go(lm, decoding):
    """Two prompts of unequal length under three vectors, and the prompt and vector of each row."""
    of, thetas = [0, 1] * 3, torch.cat([torch.zeros(1, WIDTH), random_thetas(2, norm=12.0)]).repeat_interleave(2, dim=0)
    asked = encoded(lm, "the heath is wide", "hello")
    rows, batch = Rows(lm, asked, thetas, 1, decoding, of=of, trace=Trace(2)), Batch(lm)
    batch.join(rows)
    while not rows.done:
        batch.step()
    return rows, asked, thetas, of


@pytest.mark.parametrize("decoding", [Decoding(14), Decoding(14, 1.5, 0.8, 3)])
@pytest.mark.parametrize("kind", [*FAMILIES, *UNUSUAL])
def test_a_text_that_is_continued_is_the_one_written_in_one_go(kind, decoding):
    lm = lent(kind)
    whole, asked, thetas, of = in_one_go(lm, decoding)
    written, said = whole._kept(14), whole.progress()
    for count in (1, 5, 13):
        open_ = [row for row, ids in enumerate(written) if len(ids) > count]
        begun = [written[row][:count] for row in open_]
        assert open_ or count > 1
        if not open_:
            break
        rows = Rows(
            lm, asked, thetas[open_], 1, decoding, of=[of[row] for row in open_], trace=Trace(2), written=begun
        )  # fmt: skip
        beside, batch = Rows(lm, encoded(lm, LONG), thetas[:1], 1, decoding), Batch(lm)
        batch.join(*((rows, beside) if can_merge(lm) else (rows,)))  # who begins reads along
        assert rows.begun and rows.remaining == 13 - count
        while not rows.done:
            batch.step()
        progress = rows.progress()
        assert progress.ids == [said.ids[row] for row in open_] and progress.step <= 14
        assert progress.texts == [said.texts[row] for row in open_]
        assert progress.finished == [said.finished[row] for row in open_]
        assert torch.equal(rows.of, torch.tensor(of)[open_]) and rows.encoded is asked
        steps = len(rows.trace.states)
        expected = whole.trace.stacked()[open_, :steps]
        for row, at in enumerate(open_):
            end = len(written[at])
            torch.testing.assert_close(rows.trace.stacked()[row, :end], expected[row, :end], atol=3e-4, rtol=3e-4)
        real = asked.attention_mask[rows.of].bool()
        torch.testing.assert_close(rows.trace.norms[real], whole.trace.norms[open_][real], atol=3e-4, rtol=3e-4)


def test_those_who_wrote_the_same_are_read_once(widths):
    lm = watched(tiny("llama"), widths)
    asked = encoded(lm, "hello")
    rows = Rows(lm, asked, torch.zeros(4, WIDTH), 1, Decoding(9), of=[0] * 4, written=[[8, 9], [8, 9], [8, 7], [8, 9]])
    Batch(lm).join(rows)
    assert widths[-1:] == [(2, asked.input_ids.shape[1] + 2)]


def test_the_vector_of_one_changes_nothing_for_the_other_even_where_numbers_overflow():
    lm = tiny("llama")
    wild = Rows(lm, encoded(lm, "hello"), torch.full((1, WIDTH), 1e38), 1, Decoding(10))
    batch, rows = Batch(lm), rows_of(lm, 0)
    batch.join(wild)
    batch.join(rows)
    while batch.members:
        batch.step()
    assert rows.progress() == alone(lm, 0).progress()


@pytest.mark.parametrize(
    ("change", "error"),
    [({"source": 99}, InputError), ({"stop": lambda: True}, Stopped)],
)
def test_who_cannot_join_leaves_the_others_as_they_were(change, error):
    lm = tiny("llama")
    batch, rows = Batch(lm), rows_of(lm, 0)
    batch.join(rows)
    asked = {"source": 1, "stop": None} | change
    with pytest.raises(error):
        batch.join(Rows(lm, encoded(lm, LONG), random_thetas(1), asked["source"], Decoding(5), asked["stop"]))
    while batch.members:
        batch.step()
    assert rows.progress() == alone(lm, 0).progress()
    assert not any(block._forward_hooks or block._forward_pre_hooks for block in lm.blocks)


def test_each_stops_for_itself():
    lm = tiny("llama")
    asked, other = [], rows_of(lm, 0)
    short = Rows(
        lm, encoded(lm, "he"), random_thetas(1), 1, Decoding(9), lambda: asked.append(1) or len(asked) > BLOCKS
    )
    batch = Batch(lm)
    batch.join(other)
    batch.join(short)
    assert short.done and short.progress().tokens == [1] and batch.members == (other,)
    while batch.members:
        batch.step()
    assert other.progress() == alone(lm, 0).progress()


def test_models_that_remember_otherwise_than_by_keys_and_values_do_not_share():
    config = Qwen3NextConfig(num_hidden_layers=4, layer_types=["linear_attention", "full_attention"] * 2)
    assert not can_merge(SimpleNamespace(model=SimpleNamespace(config=config), has_cache=True))
    assert not can_merge(SimpleNamespace(model=SimpleNamespace(config=tiny("llama").model.config, _is_stateful=True)))
