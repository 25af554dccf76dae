"""Devices and dtypes: what was asked for, what suits the machine, and a model that is larger than the first GPU."""

import pytest
import torch
from accelerate import dispatch_model
from tiny_models import BLOCK_PATHS, BLOCKS, encoded, random_thetas, tiny

from melbo_app.engine import device
from melbo_app.engine.decoding import Decoding
from melbo_app.engine.device import choose_device, choose_dtype, devices_to_load
from melbo_app.engine.generation import generate
from melbo_app.engine.slice import ModelSlice
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
        *_, last = generate(lm, batch, thetas, 1, Decoding(8))
        *_, progress = train(piece, TrainingConfig(1, 3, 3.0, 2, steps=5, scope="content"))
        found.append((piece.deltas(thetas), last.texts, progress.curves))
    assert torch.equal(found[0][0], found[1][0])
    assert found[0][1:] == found[1][1:]
    assert found[0][2][0][-1] > found[0][2][0][0]
