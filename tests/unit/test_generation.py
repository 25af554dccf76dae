"""Generation: many rows in one batch say what each would say alone, without a cache, and in transformers' own loop."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tiny_models import CONTEXT, FAMILIES, KINDS, VOCABULARY, WIDTH, blocks_of, encoded, lent, random_thetas, tiny

from melbo_app.engine.decoding import Decoding
from melbo_app.engine.generation import Rows, _chooser, generate
from melbo_app.errors import InputError

TEXTS = ("the heath is wide", "hello")
SOURCE, NEW = 1, 14


def last(lm, batch, thetas, source, decoding, stop=None):
    """The final progress."""
    *_, progress = generate(Rows(lm, batch, thetas, source, decoding, stop))
    return progress


def ends(lm):
    """The tokenizer's end, and the mark that the chat template writes after an answer."""
    return [lm.tokenizer.eos_token_id, lm.tokenizer.convert_tokens_to_ids("<|im_end|>")]


def ids_without_cache(lm, family, text, theta, count):
    """Greedy tokens from full forward passes over one unpadded prompt, steered by a hook of this file's own."""

    def steering(_module, _args, output):
        return output + theta if isinstance(output, torch.Tensor) else (output[0] + theta, *output[1:])

    ids = lm.tokenizer(text)["input_ids"]
    prompt = len(ids)
    handle = blocks_of(lm, family)[SOURCE].register_forward_hook(steering)
    for _ in range(count):
        with torch.no_grad():
            logits = lm.model(torch.tensor([ids]), use_cache=False).logits[0, -1]
        ids.append(int(logits.argmax()))
        if ids[-1] in ends(lm):
            break
    handle.remove()
    return ids[prompt:]


def ids_by_transformers(lm, family, text, theta, count):
    """Greedy tokens of ``model.generate`` for one unpadded prompt, steered by a hook of this file's own."""

    def steering(_module, _args, output):
        return output + theta if isinstance(output, torch.Tensor) else (output[0] + theta, *output[1:])

    ids = torch.tensor([lm.tokenizer(text)["input_ids"]])
    handle = blocks_of(lm, family)[SOURCE].register_forward_hook(steering)
    made = lm.model.generate(
        ids, attention_mask=torch.ones_like(ids), do_sample=False, max_new_tokens=count, eos_token_id=ends(lm)
    )
    handle.remove()
    return made[0, ids.shape[1] :].tolist()


def text_of(lm, ids):
    ended = ids[-1] in ends(lm)
    return lm.tokenizer.decode(ids[:-1] if ended else ids, skip_special_tokens=True)


@pytest.mark.parametrize(
    ("family", "reference"),
    [*((family, ids_by_transformers) for family in FAMILIES), *((family, ids_without_cache) for family in KINDS)],
)
def test_greedy_rows_equal_one_prompt_and_vector_at_a_time(family, reference):
    lm = lent(family)
    thetas = torch.cat([torch.zeros(1, WIDTH), random_thetas(3, norm=20.0)])
    progress = last(lm, encoded(lm, *TEXTS), thetas, SOURCE, Decoding(max_new_tokens=NEW))
    expected = [reference(lm, family, text, theta, NEW) for theta in thetas for text in TEXTS]
    assert progress.texts == [text_of(lm, ids) for ids in expected]
    assert progress.tokens == [len(ids) for ids in expected]
    assert max(progress.tokens) == NEW
    assert len(set(progress.texts)) >= 4  # vectors and prompts do make a difference


def regrets(lm, family, text, theta, ids):
    """What each token's logit lacks to the highest, in standard deviations, in a pass with this file's own hook."""

    def steering(_module, _args, output):
        return output + theta if isinstance(output, torch.Tensor) else (output[0] + theta, *output[1:])

    prompt = lm.tokenizer(text)["input_ids"]
    handle = blocks_of(lm, family)[SOURCE].register_forward_hook(steering)
    with torch.no_grad():
        logits = lm.model(torch.tensor([prompt + ids]), use_cache=False).logits[0, len(prompt) - 1 : -1]
    handle.remove()
    return (logits.amax(dim=-1) - logits.gather(1, torch.tensor(ids)[:, None])[:, 0]) / logits.std(dim=-1)


def test_in_bfloat16_rows_say_what_their_own_vector_makes_likely(kind):
    lm = tiny(kind, dtype=torch.bfloat16)
    thetas = random_thetas(3, norm=20.0)
    progress = last(lm, encoded(lm, *TEXTS), thetas, SOURCE, Decoding(max_new_tokens=NEW))
    lm.model.float()  # the same weights: what remains is the rounding of activations
    rows = [(theta, text) for theta in thetas for text in TEXTS]
    own, opposite = (
        torch.cat(
            [regrets(lm, kind, text, sign * theta, ids) for (theta, text), ids in zip(rows, progress.ids, strict=True)]
        )
        for sign in (1, -1)
    )
    assert 10 * float(own.mean()) < min(1, float(opposite.mean()))


def test_without_a_source_the_model_runs_unsteered(kind):
    lm = lent(kind)
    thetas = random_thetas(2)
    progress = last(lm, encoded(lm, *TEXTS), thetas, None, Decoding(max_new_tokens=NEW))
    expected = [text_of(lm, ids_without_cache(lm, kind, text, torch.zeros(WIDTH), NEW)) for text in TEXTS]
    assert progress.texts == expected * 2


def test_the_sliding_window_is_shorter_than_the_prompt_and_matters():
    narrow, wide = tiny("mistral"), tiny("mistral", sliding_window=None)
    assert len(narrow.tokenizer(TEXTS[0])["input_ids"]) > narrow.model.config.sliding_window
    texts = [last(lm, encoded(lm, TEXTS[0]), random_thetas(2), SOURCE, Decoding()).texts for lm in (narrow, wide)]
    assert texts[0] != texts[1]


@pytest.mark.parametrize("decoding", [Decoding(12), Decoding(12, 1.5, 0.8, 3)])
def test_a_row_does_not_depend_on_the_rows_beside_it(kind, decoding):
    lm = lent(kind)
    thetas = random_thetas(2)
    together = last(lm, encoded(lm, *TEXTS), thetas, SOURCE, decoding).texts
    for v in range(2):
        for p, text in enumerate(TEXTS):
            alone = last(lm, encoded(lm, text), thetas[v : v + 1], SOURCE, decoding).texts
            assert alone == [together[v * len(TEXTS) + p]]


def test_the_same_vector_twice_gives_the_same_text_twice():
    lm = tiny("llama")
    texts = last(lm, encoded(lm, TEXTS[0]), random_thetas(1).repeat(2, 1), SOURCE, Decoding(20, 1.0)).texts
    assert texts[0] == texts[1]


def test_the_seed_decides_the_sample():
    lm = tiny("llama")
    batch, thetas = encoded(lm, *TEXTS), random_thetas(2)
    texts = [last(lm, batch, thetas, SOURCE, Decoding(20, 2.0, 1.0, seed)).texts for seed in (0, 0, 1)]
    assert texts[0] == texts[1]
    assert all(one != other for one, other in zip(texts[0], texts[2], strict=True))


def test_sampling_does_not_touch_the_global_random_numbers():
    lm = tiny("llama")
    torch.manual_seed(1)
    expected = torch.rand(3)
    torch.manual_seed(1)
    last(lm, encoded(lm, TEXTS[0]), random_thetas(1), SOURCE, Decoding(5, 1.0))
    assert torch.equal(torch.rand(3), expected)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
def test_sampled_tokens_follow_the_softmax_of_the_tempered_logits(temperature):
    logits = torch.tensor([2.0, 1.0, 0.5, -1.0, -3.0])
    choose = _chooser(Decoding(1, temperature), torch.device("cpu"))
    draws = 6000
    counts = torch.bincount(torch.stack([choose(logits[None])[0] for _ in range(draws)]), minlength=5)
    expected = draws * torch.softmax(logits / temperature, dim=0)
    # chi-square with 4 degrees of freedom; the seed is fixed, so this passes always or never
    assert float(((counts - expected) ** 2 / expected).sum()) < 13.3


@pytest.mark.parametrize(("top_p", "nucleus"), [(0.5, {0}), (0.8, {0, 1}), (0.95, {0, 1, 2}), (1.0, {0, 1, 2, 3})])
def test_top_p_picks_from_the_nucleus_only_and_from_all_of_it(top_p, nucleus):
    logits = torch.tensor([[0.6, 0.25, 0.1, 0.05]]).log()
    choose = _chooser(Decoding(1, 1.0, top_p), torch.device("cpu"))
    assert {int(choose(logits)) for _ in range(400)} == nucleus


def test_top_p_keeps_the_proportions_inside_the_nucleus():
    logits = torch.tensor([[0.6, 0.25, 0.1, 0.05]]).log()
    choose = _chooser(Decoding(1, 1.0, 0.8), torch.device("cpu"))
    first = sum(int(choose(logits)) == 0 for _ in range(3000)) / 3000
    assert first == pytest.approx(0.6 / 0.85, abs=0.03)


def test_a_text_ends_at_the_end_token_while_the_others_go_on():
    lm = tiny("llama")
    thetas = random_thetas(6, norm=20.0)
    open_ids = [ids_without_cache(lm, "llama", "hello", theta, NEW) for theta in thetas]
    end = next(token for token in open_ids[0][3:] if any(token not in ids for ids in open_ids))
    lm.model.generation_config.eos_token_id = [end]
    expected = [ids[: ids.index(end) + 1] if end in ids else ids for ids in open_ids]
    progress = last(lm, encoded(lm, "hello"), thetas, SOURCE, Decoding(NEW))
    assert progress.tokens == [len(ids) for ids in expected]
    assert progress.finished == [end in ids for ids in open_ids]
    assert set(progress.finished) == {True, False}
    want = [ids[:-1] if end in ids else ids for ids in expected]
    assert progress.texts == [lm.tokenizer.decode(ids, skip_special_tokens=True) for ids in want]
    assert not any("<pad>" in text for text in progress.texts)


def test_generation_stops_when_all_rows_have_ended():
    lm = tiny("llama")
    ids = ids_without_cache(lm, "llama", "hello", random_thetas(1)[0], NEW)
    lm.model.generation_config.eos_token_id = ids[3]
    progress = last(lm, encoded(lm, "hello"), random_thetas(1), SOURCE, Decoding(NEW))
    assert progress.step == ids.index(ids[3]) + 1 < NEW
    assert progress.total == NEW
    assert progress.finished == [True]


def test_the_end_token_of_the_tokenizer_counts_as_well():
    lm = tiny("llama")
    ids = ids_without_cache(lm, "llama", "hello", random_thetas(1)[0], NEW)
    lm.model.generation_config.eos_token_id = None
    lm.tokenizer.eos_token = lm.tokenizer.convert_ids_to_tokens(ids[3])
    progress = last(lm, encoded(lm, "hello"), random_thetas(1), SOURCE, Decoding(NEW))
    assert progress.step == ids.index(ids[3]) + 1
    assert progress.finished == [True]


def test_padding_that_the_model_itself_writes_is_not_taken_for_an_end():
    lm = tiny("llama")
    ids = ids_without_cache(lm, "llama", "hello", random_thetas(1)[0], NEW)
    lm.tokenizer.pad_token = lm.tokenizer.convert_ids_to_tokens(ids[2])
    progress = last(lm, encoded(lm, "hello"), random_thetas(1), SOURCE, Decoding(NEW))
    assert progress.tokens == [NEW]
    assert progress.finished == [False]


@pytest.mark.parametrize("count", [1, 2, 9])
def test_no_more_tokens_than_asked_for(count):
    lm = tiny("llama")
    progress = last(lm, encoded(lm, "hello"), random_thetas(2), SOURCE, Decoding(count))
    assert progress.tokens == [count, count]
    assert progress.finished == [False, False]
    assert (progress.step, progress.total) == (count, count)


def test_stop_ends_the_texts_after_the_token_at_hand():
    lm = tiny("llama")
    whole = [ids_without_cache(lm, "llama", "hello", theta, NEW) for theta in random_thetas(2)]
    asked, first = [], len(lm.blocks)  # once before each block of the first pass, then before each token
    progress = last(
        lm, encoded(lm, "hello"), random_thetas(2), SOURCE, Decoding(NEW),
        lambda: asked.append(1) or len(asked) == first + 5,
    )  # fmt: skip
    assert progress.tokens == [5, 5]
    assert progress.finished == [False, False]
    assert progress.texts == [lm.tokenizer.decode(ids[:5], skip_special_tokens=True) for ids in whole]


def test_stop_in_the_first_pass_ends_it_before_the_next_block_and_leaves_nothing_hooked():
    lm = tiny("llama")
    asked = []
    running = generate(
        Rows(
            lm,
            encoded(lm, "hello"),
            random_thetas(2),
            SOURCE,
            Decoding(NEW),
            lambda: asked.append(1) or len(asked) == 3,
        )
    )
    assert list(running) == []
    assert len(asked) == 3 < len(lm.blocks)
    assert not any(block._forward_hooks or block._forward_pre_hooks for block in lm.blocks)


def test_blocks_up_to_the_source_read_each_prompt_once_however_many_rows_there_are():
    lm = tiny("llama")
    assert lm.takes_rows_midway  # tried here, and not while passes are counted
    seen = []
    handles = [
        block.register_forward_hook(lambda _module, _args, output: seen.append(len(output))) for block in lm.blocks
    ]
    list(generate(Rows(lm, encoded(lm, *TEXTS), random_thetas(5), SOURCE, Decoding(1))))
    for handle in handles:
        handle.remove()
    assert seen == [2] * (SOURCE + 1) + [10] * (len(lm.blocks) - SOURCE - 1)


def test_rows_may_be_any_choice_of_vectors_and_prompts(kind):
    lm = lent(kind)
    thetas, of = random_thetas(3, norm=20.0), [1, 0, 1]
    *_, together = generate(Rows(lm, encoded(lm, *TEXTS), thetas, SOURCE, Decoding(NEW), of=of))
    expected = [ids_without_cache(lm, kind, TEXTS[at], theta, NEW) for at, theta in zip(of, thetas, strict=True)]
    assert together.texts == [text_of(lm, ids) for ids in expected]


def test_texts_grow_while_they_are_written(monkeypatch):
    monkeypatch.setattr("melbo_app.engine.generation.STREAM_SECONDS", 0.0)
    lm = tiny("llama")
    steps = list(generate(Rows(lm, encoded(lm, "hello"), random_thetas(2), SOURCE, Decoding(6))))
    assert [progress.step for progress in steps] == [1, 2, 3, 4, 5, 6]
    assert [progress.tokens for progress in steps] == [[n, n] for n in range(1, 7)]


def test_nothing_is_left_hooked_when_the_reader_goes_away():
    lm = tiny("llama")
    running = generate(Rows(lm, encoded(lm, "hello"), random_thetas(1), SOURCE, Decoding(100)))
    next(running)
    running.close()
    assert not any(block._forward_hooks for block in lm.blocks)


def test_more_tokens_than_the_context_are_refused_with_the_number_that_fits():
    lm = tiny("llama")
    batch = encoded(lm, "hello")
    tokens = batch.input_ids.shape[1]
    with pytest.raises(InputError, match=f"Choose {CONTEXT - tokens} or fewer") as caught:
        last(lm, batch, random_thetas(1), SOURCE, Decoding(CONTEXT - tokens + 1))
    assert caught.value.field == "max new tokens"
    progress = last(lm, batch, random_thetas(1), SOURCE, Decoding(CONTEXT - tokens))
    assert progress.step <= CONTEXT - tokens


def test_a_model_without_a_context_limit_takes_any_number():
    lm = tiny("bloom")
    assert lm.context is None
    assert last(lm, encoded(lm, "hello"), random_thetas(1), SOURCE, Decoding(CONTEXT + 10)).step > 0


@pytest.mark.parametrize(
    ("values", "field", "part"),
    [
        ({"max_new_tokens": 0}, "max new tokens", "Choose 1 to 131,072"),
        ({"temperature": -0.1}, "temperature", "0 .greedy. to 10"),
        ({"temperature": float("nan")}, "temperature", "0 .greedy. to 10"),
        ({"temperature": float("inf")}, "temperature", "0 .greedy. to 10"),
        ({"top_p": 0.0}, "top-p", "above 0, up to 1"),
        ({"top_p": 1.1}, "top-p", "above 0, up to 1"),
        ({"top_p": float("nan")}, "top-p", "above 0, up to 1"),
        ({"seed": -1}, "seed", "Choose 0 to 9,223"),
        ({"seed": 2**63}, "seed", "Choose 0 to 9,223"),
        ({"max_new_tokens": 2**63}, "max new tokens", "9223372036854775808 is out of range. Choose 1 to 131,072"),
    ],
)
def test_decoding_that_makes_no_sense_is_refused(values, field, part):
    with pytest.raises(InputError, match=part) as caught:
        Decoding(**values)
    assert caught.value.field == field


@given(st.integers(0, 2**63 - 1), st.floats(0.01, 10), st.floats(0.01, 1))
def test_any_allowed_sampling_picks_a_token_that_exists(seed, temperature, top_p):
    logits = torch.randn(2, VOCABULARY, generator=torch.Generator().manual_seed(0))
    chosen = _chooser(Decoding(1, temperature, top_p, seed), torch.device("cpu"))(logits)
    assert ((chosen >= 0) & (chosen < VOCABULARY)).all()


@pytest.mark.parametrize("family", ["llama", "gpt2"])
def test_the_vocabulary_matrix_is_not_copied_once_a_row(family):
    """torch multiplies a view of the hidden states as a batch, for which it copies the matrix for each row."""
    lm = tiny(family)
    assert lm.takes_rows_midway  # which is tried once, and not counted
    seen = []
    head = lm.model.get_output_embeddings()
    handle = head.register_forward_pre_hook(
        lambda _module, args: seen.append((args[0].shape[1], args[0].is_contiguous()))
    )
    try:
        last(lm, encoded(lm, TEXTS[0]), torch.zeros(3, WIDTH), SOURCE, Decoding(2))
    finally:
        handle.remove()
    assert seen == [(1, True), (1, True)]
