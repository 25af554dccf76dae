"""Families whose blocks are called in unusual ways: they give what a plain hook gives, or the model is refused."""

import json

import benches
import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny_models import BLOCKS, blocks_of, encoded, random_thetas, reference_hidden, tiny

from melbo_app.engine.decoding import Decoding
from melbo_app.engine.generation import Rows, generate
from melbo_app.engine.likelihood import Reading, likelihoods
from melbo_app.engine.slice import ModelSlice
from melbo_app.engine.suitability import refuse_unsuitable
from melbo_app.engine.trace import Trace
from melbo_app.errors import InputError
from melbo_app.jobs.loaded_model import LoadedModel

ONE, AS_MANY_AS_HEADS = ("hello",), ("abcd", "the heath", "cdab", "a")
SOURCE = 1


def plain_logits(lm, family, ids, theta):
    """Of one text without padding or cache, steered by a hook of this file's own: [tokens, vocabulary]."""

    def steering(_module, _args, output):
        return output + theta if isinstance(output, torch.Tensor) else (output[0] + theta, *output[1:])

    handle = blocks_of(lm, family)[SOURCE].register_forward_hook(steering)
    with torch.no_grad():
        logits = lm.model(torch.tensor([ids]), use_cache=False).logits[0]
    handle.remove()
    return logits


@pytest.mark.parametrize("texts", [ONE, AS_MANY_AS_HEADS])
def test_deltas_of_an_unusual_family_equal_the_difference_of_two_full_passes(unusual, texts):
    lm = tiny(unusual)
    thetas = random_thetas(3)
    for source, target in ((0, 2), (2, BLOCKS - 1)):
        piece = ModelSlice(lm, encoded(lm, *texts), source, target)
        for rows in (thetas[:1], thetas):
            deltas = piece.deltas(rows)
            for theta, changes in zip(rows, deltas, strict=True):
                for text, change in zip(texts, changes, strict=True):
                    plain, steered = (reference_hidden(lm, unusual, text, source, one)[target] for one in (None, theta))
                    torch.testing.assert_close(change[-len(plain) :], steered - plain, atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize("texts", [ONE, AS_MANY_AS_HEADS])
def test_texts_of_an_unusual_family_are_those_of_a_plain_hook(unusual, texts):
    lm = tiny(unusual)
    thetas, trace = random_thetas(2, norm=20.0, seed=2), Trace()
    batch = encoded(lm, *texts)
    *_, last = generate(Rows(lm, batch, thetas, SOURCE, Decoding(5), trace=trace))
    readings = []
    for row, ids in enumerate(last.ids):
        theta, prompt = thetas[row // len(texts)], lm.tokenizer(texts[row % len(texts)])["input_ids"]
        logits = plain_logits(lm, unusual, prompt + ids, theta)[len(prompt) - 1 :]
        assert ids and logits.argmax(dim=-1)[: len(ids)].tolist() == ids
        readings.append(Reading(row % len(texts), ids, trace.stacked()[row]))
    reader = likelihoods(lm, batch, readings)
    scores = benches.listen(reader)[1]
    for row, (reading, score) in enumerate(zip(readings, scores, strict=True)):
        prompt = lm.tokenizer(texts[reading.prompt])["input_ids"]
        ids = [*prompt, *reading.ids]
        before = plain_logits(lm, unusual, ids, torch.zeros(lm.hidden_size)).log_softmax(dim=-1)[len(prompt) - 1 : -1]
        after = plain_logits(lm, unusual, ids, thetas[row // len(texts)]).log_softmax(dim=-1)[len(prompt) - 1 : -1]
        assert score.logprob == pytest.approx(float(before[range(len(reading.ids)), reading.ids].mean()), abs=1e-3)
        kl = (after.exp() * (after - before)).sum(dim=-1)
        assert score.kl_text == pytest.approx(float(kl.mean()), abs=1e-3)


def test_a_model_of_an_unusual_family_is_not_refused(unusual):
    refuse_unsuitable(tiny(unusual))


@pytest.mark.parametrize("family", ["llama", "gemma3", "mixtral", "bloom"])
def test_a_model_in_bfloat16_is_not_refused_for_its_rounding(family):
    refuse_unsuitable(tiny(family, dtype=torch.bfloat16))


@pytest.mark.parametrize(
    ("family", "problem"),
    [
        ("rwkv", "its logits for several texts together differ"),
        ("minimax", "running it on several texts fails"),
        ("gemma3n", "running it on several texts fails"),
    ],
)
def test_a_family_that_comes_out_wrong_is_refused_when_it_is_loaded(family, problem, tmp_path):
    folder = benches.save_tiny(tmp_path / family, family)
    with pytest.raises(InputError, match=f"cannot be steered: {problem}.*Choose a model of another family") as caught:
        LoadedModel(benches.settings(tmp_path, folder)).load()
    assert caught.value.field == "model"


def test_a_model_whose_rows_come_out_otherwise_together_is_refused():
    lm = tiny("llama")
    inner = lm.model.model.layers[2]
    inner.register_forward_hook(lambda _module, _args, output: output + len(output))  # looks at how many rows there are
    with pytest.raises(InputError, match="its logits for several texts together differ"):
        refuse_unsuitable(lm)


def test_memory_that_ran_out_is_no_fault_of_the_family():
    lm = tiny("llama")

    def fail(*_args):
        raise MemoryError

    lm.blocks[0].register_forward_hook(fail)
    with pytest.raises(MemoryError):
        refuse_unsuitable(lm)


def overflowing(dtype: torch.dtype):
    """A model whose numbers are too large for float16 on every text, and for nothing wider."""
    lm = tiny("llama", dtype=dtype)
    with torch.no_grad():
        lm.model.get_output_embeddings().weight.mul_(3e5 / 3)
    return lm


def test_logits_beyond_float16_are_refused_with_the_dtype_that_holds_them():
    refuse_unsuitable(overflowing(torch.bfloat16))
    refuse_unsuitable(overflowing(torch.float32))
    with pytest.raises(
        InputError, match=r"not finite: they exceed the range of float16.*MELBO_DTYPE=bfloat16"
    ) as caught:
        refuse_unsuitable(overflowing(torch.float16))
    assert caught.value.field == "model" and "family" not in str(caught.value)


@pytest.mark.parametrize(
    ("dtype", "remedy"),
    [(torch.float16, "MELBO_DTYPE=bfloat16"), (torch.bfloat16, "MELBO_DTYPE=float32"), (torch.float32, "seem damaged")],
)
def test_an_overflow_that_only_a_text_brings_about_is_found(dtype, remedy):
    lm = tiny("llama", dtype=dtype)
    first = lm.tokenizer("T")["input_ids"][0]  # of a text; among the numbers that are tried it is not
    with torch.no_grad():
        lm.model.get_input_embeddings().weight[first] = float("inf")
    with pytest.raises(InputError, match=remedy):
        refuse_unsuitable(lm)


def quantise(folder, block: int = 16, scales: torch.dtype = torch.float32) -> None:
    """Turn the matrices of the blocks into FP8 with a scale for each square, as DeepSeek publishes its weights."""
    file = folder / "model.safetensors"
    made: dict[str, torch.Tensor] = {}
    for name, tensor in load_file(file).items():
        if tensor.dim() == 2 and "layers" in name:
            squares = tensor.unfold(0, block, block).unfold(1, block, block)
            scale = (squares.abs().amax(dim=(2, 3)) / 448).to(scales).float()
            spread = scale.repeat_interleave(block, 0).repeat_interleave(block, 1)
            made[name] = (tensor / spread).to(torch.float8_e4m3fn)
            made[f"{name}_scale_inv"] = scale.to(scales)
        else:
            made[name] = tensor.to(scales)
    save_file(made, file, metadata={"format": "pt"})
    how = {"quant_method": "fp8", "fmt": "e4m3", "activation_scheme": "dynamic", "weight_block_size": [block, block]}
    describe(folder, how)


def describe(folder, how: dict) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "quantization_config": how}))


@pytest.mark.parametrize("scales", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_weights_in_fp8_are_unpacked_into_the_dtype_that_is_computed_in(tmp_path, scales, dtype):
    folder = benches.save_tiny(tmp_path / "fp8")
    quantise(folder, scales=scales)
    settings = benches.settings(tmp_path, folder).model_copy(update={"dtype": dtype})
    lm, want = LoadedModel(settings).load(), tiny("llama")
    assert {parameter.dtype for parameter in lm.model.parameters() if parameter.dim() > 1} == {getattr(torch, dtype)}
    for name, parameter in lm.model.named_parameters():
        exact = want.model.get_parameter(name)
        assert (parameter.float() - exact).norm() < 0.05 * exact.norm()


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ({"quant_method": "gptq", "bits": 4, "group_size": 128}, r"GPTQ, 4 bits"),
        ({"quant_method": "awq", "bits": 4, "group_size": 128}, r"AWQ, 4 bits"),
        ({"quant_method": "bitsandbytes", "load_in_4bit": True}, r"bitsandbytes, 4 bits"),
        ({"quant_method": "compressed-tensors", "format": "float-quantized"}, r"compressed-tensors"),
        ({"quant_method": "hqq"}, r"HQQ"),
    ],
)
def test_quantised_weights_that_cannot_be_read_here_are_called_what_they_are(tmp_path, how, said):
    folder = benches.save_tiny(tmp_path / "packed")
    describe(folder, how)
    with pytest.raises(
        InputError,
        match=rf"weights are quantised \({said}\).*Use the unquantised weights that it was made from, or a .gguf file",
    ) as caught:
        LoadedModel(benches.settings(tmp_path, folder)).load()
    assert "family" not in str(caught.value)
