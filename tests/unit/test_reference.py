"""What a prompt of a token or two cannot tell is taken from a text of our own: its only token may be a sink."""

import pytest
import torch
from benches import listen, save_tiny, settings, trained
from tiny_models import BLOCKS, CONTEXT, FAMILIES, encoded, random_thetas, tiny
from transformers import AutoModelForCausalLM

from melbo_app.engine import reference as module
from melbo_app.engine.effect import effects, radius_of_change
from melbo_app.engine.encoding import encode
from melbo_app.engine.prompt import Prompt
from melbo_app.engine.reference import reference, usual_norms
from melbo_app.engine.scope import TokenScope, median_norm, runaway_share, sinks
from melbo_app.engine.slice import ModelSlice
from melbo_app.engine.training_config import TrainingConfig
from melbo_app.errors import InputError
from melbo_app.workbench import Workbench

LONG = "the weather in the south was warm"
ALL, LAST = TokenScope("all"), TokenScope("last", 4)


def with_sink(grown: float = 1e4):
    """GPT-2 adds what stands at position 0 to the first token only."""
    lm = tiny("gpt2")
    with torch.no_grad():
        lm.model.transformer.wpe.weight[0] *= grown
    return lm


def slice_of(lm, *texts: str) -> ModelSlice:
    return ModelSlice(lm, encoded(lm, *texts), 1, 3)


@pytest.mark.parametrize("grown", [4.0, 200.0, 1e4])
@pytest.mark.parametrize("texts", [("a",), ("ab",), ("a", "b", "c"), ("a", "bc", "d"), ("a",) * 9, (LONG, "a", "b")])
def test_the_median_norm_of_short_prompts_is_about_that_of_a_long_one(texts, grown):
    lm = with_sink(grown)
    long = slice_of(lm, LONG)
    assert not long.norm_is_usual
    found = slice_of(lm, *texts)
    assert found.median_norm == pytest.approx(long.median_norm, rel=0.3)
    assert found.norm_is_usual == (LONG not in texts)
    if grown > 200:
        first = encoded(lm, *texts)
        assert torch.equal(found.sinks, first.attention_mask.bool() & (first.position_ids == 0))


def test_a_prompt_of_sinks_alone_has_the_usual_norm():
    """As a text of one token again and again has in SmolLM2."""
    lm = tiny("llama")
    plain = slice_of(lm, LONG).median_norm
    with torch.no_grad():
        lm.model.get_input_embeddings().weight[lm.tokenizer("z")["input_ids"]] *= 1e4
    found = slice_of(lm, "zzzzzz", "zz")
    assert found.median_norm == pytest.approx(plain, rel=0.5)
    assert torch.equal(found.sinks, found.encoded.attention_mask.bool())


def test_a_model_with_a_mark_before_every_text(monkeypatch):
    lm = with_sink()
    add = type(lm.tokenizer).__call__

    def marked(tokenizer, text, **options):
        found = add(tokenizer, text, **options)
        if options.get("add_special_tokens"):
            found["input_ids"] = [1, *found["input_ids"]]
        return found

    monkeypatch.setattr(type(lm.tokenizer), "__call__", marked)
    one, long = (ModelSlice(lm, encode(lm, [Prompt(text, template=False)]), 1, 3) for text in ("a", LONG))
    assert one.encoded.input_ids.shape == (1, 2) and reference(lm).input_ids[0, 0] == 1
    assert one.median_norm == pytest.approx(long.median_norm, rel=0.3)


def test_the_usual_norm_leaves_out_the_first_token_and_is_measured_once(monkeypatch):
    lm = with_sink()
    batch = reference(lm)
    with torch.no_grad():
        states = lm.model(batch.input_ids, output_hidden_states=True).hidden_states[1:BLOCKS]  # the last one is normed
    want = [float(state[0, 1:].norm(dim=-1).median()) for state in states]
    assert usual_norms(lm)[:-1] == pytest.approx(want, rel=1e-4)
    monkeypatch.setattr(module, "reference", lambda lm: pytest.fail("measured twice"))
    assert len(usual_norms(lm)) == BLOCKS


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_has_usual_norms_that_a_long_prompt_bears_out(family):
    lm = tiny(family)
    found = ModelSlice(lm, encoded(lm, LONG), 1, 2)
    assert found.median_norm == pytest.approx(usual_norms(lm)[1], rel=0.3)


def test_a_tokenizer_that_knows_nothing_of_the_text_and_a_context_of_a_few_tokens(monkeypatch):
    lm = tiny("gpt2")
    monkeypatch.setattr(type(lm.tokenizer), "__call__", lambda *_args, **_options: {"input_ids": []})
    assert reference(lm).input_ids.shape == (1, module.FEWEST) and usual_norms(lm)[0] > 0
    short = tiny("gpt2", n_positions=5)
    monkeypatch.undo()
    assert reference(short).input_ids.shape == (1, 5) and CONTEXT > 5
    assert usual_norms(short)[0] > 0


def test_the_first_token_counts_only_where_the_others_outnumber_it():
    lm = tiny("gpt2")
    few, many = encoded(lm, "abcd", "a", "b", "c", "d"), encoded(lm, "abcd", "a")
    for batch, want in ((few, 1.0), (many, 1.0)):
        norms = torch.where(batch.position_ids == 0, 2.0, 1.0)
        assert median_norm(norms, batch.attention_mask.bool(), batch, 1.0) == want
    norms = torch.tensor([[2.0, 1.0, 3.0, 3.0]])
    batch = encoded(lm, "abcd")
    assert median_norm(norms, batch.attention_mask.bool(), batch, 1.5) == 2.0
    assert median_norm(norms, batch.attention_mask.bool(), batch, 0.9) is None  # 3 is no ordinary norm: two are left


def test_a_prompt_whose_median_is_ordinary_keeps_its_own_as_the_measure():
    lm = tiny("gpt2")
    batch = encoded(lm, "abcde")
    norms = torch.tensor([[25.0, 2, 2, 2, 2]])
    assert sinks(norms, batch, usual=1.0).int().tolist() == [[1, 0, 0, 0, 0]]
    assert not sinks(norms * 0.7, batch, usual=1.0)[0, 1:].any()
    assert not sinks(torch.tensor([[19.0, 2, 2, 2, 2]]), batch, usual=1.0).any()


def test_content_of_a_lone_sink_is_refused_and_a_sink_is_no_runaway():
    lm = with_sink()
    found = slice_of(lm, "a")
    with pytest.raises(InputError, match="no token of prompt 1 is in the scope content. Use all"):
        found.mask(TokenScope("content"))
    norms = found.baseline.norm(dim=-1)
    assert runaway_share(norms * 20, norms, found.encoded, usual_norms(lm)[3]).tolist() == [0]
    assert runaway_share(norms * 20, norms, found.encoded).tolist() == [1]  # by its own norm
    config = TrainingConfig(1, 3, 1.0, 2, scope="all")
    _, (effect, _) = listen(effects(random_thetas(2, norm=1e6), config, found, None, 2))
    assert effect.runaway == [0, 0]


def test_the_r_that_changes_the_target_is_looked_for_where_there_is_an_ordinary_token():
    lm = with_sink()
    want = radius_of_change(slice_of(lm, LONG), LAST, 0.1)
    assert radius_of_change(slice_of(lm, "a"), LAST, 0.1) == pytest.approx(want, rel=0.5)
    assert radius_of_change(slice_of(lm, "a", "b"), ALL, 0.1) == pytest.approx(want, rel=0.5)


def test_a_bank_trained_on_one_token_says_whose_norm_its_r_is_a_multiple_of(tmp_path):
    folder = save_tiny(tmp_path / "model", "gpt2")
    model = AutoModelForCausalLM.from_pretrained(folder)
    with torch.no_grad():
        model.transformer.wpe.weight[0] *= 200
    model.save_pretrained(folder)
    bench = Workbench(settings(tmp_path / "cache", folder))
    one, long = (Prompt(text, template=False) for text in ("a", LONG))
    found, want = bench.suggestion([one]), bench.suggestion([long])
    assert found.radius == pytest.approx(want.radius, rel=0.3)
    config = TrainingConfig(found.source, found.target, found.radius, 2, steps=1, scope=found.scope)
    record = trained(bench, "one", config, [one]).record
    assert record.median_norm == pytest.approx(found.median_norm)
    assert record.relative_radius == pytest.approx(0.07, rel=0.1)
    assert "that of a reference text" in (record.note or "") and record.stopped is False
    assert trained(bench, "long", config, [long]).record.note is None
