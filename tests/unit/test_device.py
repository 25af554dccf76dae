"""Devices and dtypes: what was asked for, what suits the machine, and a model that is larger than the first GPU."""

import pytest
import torch
from accelerate import dispatch_model
from pretended_devices import FIRST, SECOND, THIRD, PretendedDevices, place, say_spread
from tiny_models import BLOCK_PATHS, BLOCKS, encoded, random_thetas, tiny

from melbo_app.engine import device
from melbo_app.engine.calibration import calibrate, random_directions
from melbo_app.engine.decoding import Decoding
from melbo_app.engine.device import choose_device, choose_dtype, devices_to_load
from melbo_app.engine.effect import effects, share_changed
from melbo_app.engine.generation import Rows, generate
from melbo_app.engine.likelihood import Reading, likelihoods
from melbo_app.engine.scope import TokenScope
from melbo_app.engine.similarity import delta_cosines
from melbo_app.engine.slice import ModelSlice
from melbo_app.engine.top_tokens import top_tokens
from melbo_app.engine.trace import Trace
from melbo_app.engine.training import train
from melbo_app.engine.training_config import TrainingConfig
from melbo_app.errors import InputError


def test_the_device_is_what_was_asked_for():
    assert choose_device("cpu") == torch.device("cpu")
    assert choose_device("auto").type in {"cpu", "cuda", "mps"}


@pytest.mark.parametrize("wanted", ["gpu", "cuda:99", "meta", "", "cpu:x"])
def test_an_unknown_device_is_refused(wanted):
    with pytest.raises(InputError, match="cannot be used on this machine. Choose auto, cpu or cuda") as caught:
        choose_device(wanted)
    assert caught.value.field == "device"


def test_the_dtype_is_what_was_asked_for():
    cpu = torch.device("cpu")
    assert choose_dtype("float64", cpu) == torch.float64
    assert choose_dtype("bfloat16", cpu) == torch.bfloat16


@pytest.mark.parametrize(
    ("amx", "avx", "want"), [(1, 0, torch.bfloat16), (0, 1, torch.bfloat16), (0, 0, torch.float32)]
)
def test_bfloat16_is_chosen_where_the_cpu_multiplies_it_fast(monkeypatch, amx, avx, want):
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: bool(amx), raising=False)
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: bool(avx), raising=False)
    assert choose_dtype("auto", torch.device("cpu")) == want


def test_an_unknown_dtype_is_refused():
    with pytest.raises(InputError, match="'int8' is not known. Choose auto or one of float32, bfloat16") as caught:
        choose_dtype("int8", torch.device("cpu"))
    assert caught.value.field == "dtype"


@pytest.fixture
def two_gpus(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (1000, 2000))


@pytest.mark.parametrize(("need", "want"), [(700, ["cuda"]), (701, ["cuda:0", "cuda:1"])])
def test_a_model_is_spread_over_the_gpus_where_the_first_is_too_small(two_gpus, need, want):
    assert [str(place) for place in devices_to_load("auto", need)] == want
    assert device.free(torch.device("cuda", 1)) == 1000


def test_a_device_that_was_asked_for_is_the_only_one(two_gpus):
    assert devices_to_load("cpu", 10**9) == [torch.device("cpu")]


@pytest.mark.parametrize("family", ["llama", "gemma3", "gpt2", "mixtral"])
def test_a_model_whose_blocks_lie_on_several_devices_trains_and_completes_as_a_whole_one(family, tmp_path):
    """The disk stands for the second device: its blocks run behind the same hooks of accelerate."""
    found = []
    for spread in (False, True):
        lm = tiny(family)
        if spread:
            path = BLOCK_PATHS.get(family, "model.layers")
            places = {f"{path}.{block}": "cpu" if block < 2 else "disk" for block in range(BLOCKS)}
            leaves = [name for name, module in lm.model.named_modules() if not list(module.children())]
            places |= {name: "cpu" for name in leaves if not name.startswith(f"{path}.")}
            dispatch_model(lm.model, places, main_device="cpu", offload_dir=tmp_path)
            assert {str(place) for place in lm.devices} == {"cpu", "meta"}
        batch, thetas = encoded(lm, "the heath is wide", "hello"), random_thetas(3)
        piece = ModelSlice(lm, batch, 1, 3)
        *_, last = generate(Rows(lm, batch, thetas, 1, Decoding(8)))
        *_, progress = train(piece, TrainingConfig(1, 3, 3.0, 2, steps=5, scope="content"))
        found.append((piece.deltas(thetas), last.texts, progress.curves))
    assert torch.equal(found[0][0], found[1][0])
    assert found[0][1:] == found[1][1:]
    assert found[0][2][0][-1] > found[0][2][0][0]


CONTENT = TokenScope.parse("content")


def result(work):
    """What a generator returns."""
    while True:
        try:
            next(work)
        except StopIteration as end:
            return end.value


def texts_and_numbers(lm):
    """A training by several kinds of method, and whatever is measured and generated with its vectors."""
    batch, held_out = encoded(lm, "the heath is wide", "hello"), encoded(lm, "who goes there")
    piece, others = ModelSlice(lm, batch, 1, 2), ModelSlice(lm, held_out, 1, 2)
    numbers = [piece.median_norm, *piece.source_means(CONTENT).flatten().tolist()]
    trainings = {
        "joint": {"saturation": 0.3, "agreement": 0.5},
        "soft-delta": {"start": "jacobian"},
        "transcoding": {},
    }
    for method, changed in trainings.items():
        config = TrainingConfig(1, 2, 3.0, 2, method=method, steps=2, scope="content", **changed)
        trained = result(train(piece, config))
        numbers += trained.objective
    thetas = random_thetas(2)
    for effect in result(effects(thetas, config, piece, others, 1)):
        numbers += [*effect.objective, *effect.change, *effect.agreement, *effect.runaway]
    numbers.append(share_changed(piece, CONTENT, thetas))
    directions = random_directions(piece.width, 0)[:3]
    numbers += result(calibrate(piece, piece.mask(CONTENT), directions, (4.0, 8.0), 8)).departures
    trace = Trace(2)
    *_, last = generate(Rows(lm, batch, thetas, 1, Decoding(6, temperature=1, top_p=0.9), trace=trace))
    texts = zip(last.ids, trace.stacked(), trace.norms, strict=True)
    readings = [Reading(row % 2, ids, states, norms) for row, (ids, states, norms) in enumerate(texts)]
    for score in result(likelihoods(lm, batch, readings, 2)):
        numbers += [score.logprob, score.kl_prompt, score.kl_text, score.runaway]
    for tokens in result(top_tokens(piece, thetas, 3)):
        numbers += [by for _, by in tokens.promoted + tokens.suppressed]
    return last.texts, [*numbers, *result(delta_cosines(piece, thetas, CONTENT)).flatten().tolist()]


def test_source_target_and_embedding_on_three_devices_give_what_one_device_gives():
    texts, numbers = texts_and_numbers(tiny("llama"))
    lm = tiny("llama")
    with PretendedDevices():
        say_spread(lm, [FIRST, SECOND, THIRD, SECOND])
        piece = ModelSlice(lm, encoded(lm, "hello"), 1, 2)
        assert (lm.device, piece.device, place(piece.baseline)) == (FIRST, SECOND, THIRD)
        again = texts_and_numbers(lm)
    assert again == (texts, pytest.approx(numbers, rel=1e-3, abs=1e-5))
