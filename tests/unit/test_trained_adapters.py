"""Adapters do what the changed weights do, planted ones are found, and what is written is what was trained."""

import json
from pathlib import Path
from typing import Any

import benches
import pytest
import torch
from benches import listen
from planted import PlantedMap, unit_rows
from tiny_models import BLOCKS, WIDTH, encoded, plain, reference_hidden, tiny

from melbo_app.cli import main
from melbo_app.engine.adapter_band import AdapterBand
from melbo_app.engine.adapter_training import lora_files, shares_changed, texts_under
from melbo_app.engine.ascent import Ascent
from melbo_app.engine.decoding import Decoding
from melbo_app.engine.encoding import encode
from melbo_app.engine.generation import Rows, generate
from melbo_app.engine.lora import kept_lora
from melbo_app.engine.methods.transcoding import transcoding
from melbo_app.engine.prompt import Prompt
from melbo_app.engine.scope import TokenScope
from melbo_app.engine.slice import ModelSlice
from melbo_app.engine.stopping import GivingWay
from melbo_app.engine.training_config import TrainingConfig
from melbo_app.errors import InputError, Stopped
from melbo_app.jobs.generators import result_of
from melbo_app.studies.adapters import TrainAdapters
from melbo_app.workbench import Workbench

TEXTS = ("the heath is wide", "hello")
LAYERS = {"llama": "o_proj", "gpt2": "attn.c_proj", "gpt_neox": "dense"}
SOURCE, TARGET = 0, 2


def band_of(family: str, *texts: str) -> AdapterBand:
    lm = tiny(family)
    return AdapterBand(ModelSlice(lm, encoded(lm, *(texts or TEXTS)), SOURCE, TARGET), LAYERS[family])


def drawn(band: AdapterBand, count: int, radius: float = 2.0, seed: int = 0) -> torch.Tensor:
    return band.shaped(torch.randn(count, band.width, generator=torch.Generator().manual_seed(seed)), radius)


def write(band: AdapterBand, row: torch.Tensor) -> None:
    """Change the weights of the model by an adapter, by hand."""
    for name, (a, b) in zip(band.names, band.parts(row[None]), strict=True):
        weight = band.piece.lm.model.get_submodule(name).weight
        change = torch.outer(b[0], a[0])
        with torch.no_grad():
            weight += change if "c_proj" not in name else change.T  # GPT-2's layers are transposed


@pytest.mark.parametrize("family", LAYERS)
def test_an_adapter_changes_the_target_as_changed_weights_do(family):
    band = band_of(family)
    rows = drawn(band, 2)
    deltas = band.deltas(rows)
    assert deltas.shape == (2, len(TEXTS), band.piece.encoded.input_ids.shape[1], WIDTH)
    for number, row in enumerate(rows):
        changed = band_of(family)
        before = [reference_hidden(changed.piece.lm, family, text, 0, None)[TARGET] for text in TEXTS]
        write(changed, row)
        for prompt, (text, was) in enumerate(zip(TEXTS, before, strict=True)):
            want = reference_hidden(changed.piece.lm, family, text, 0, None)[TARGET] - was
            assert want.norm(dim=-1).min() > 0.05
            torch.testing.assert_close(deltas[number, prompt, -len(want) :], want, atol=2e-4, rtol=0)


def test_only_the_layers_of_the_band_are_changed_each_by_the_radius():
    band = band_of("llama")
    assert band.names == [f"model.layers.{block}.self_attn.o_proj" for block in range(SOURCE + 1, TARGET + 1)]
    rows = drawn(band, 3, radius=1.7)
    for a, b in band.parts(rows):
        torch.testing.assert_close(a.norm(dim=1) * b.norm(dim=1), torch.full((3,), 1.7))
    torch.testing.assert_close(rows.norm(dim=1), torch.full((3,), band.norm(1.7)))
    beside = band.beside_random(rows, 1.7, 5)
    assert beside.shape == (7, band.width) and not beside[0].any() and torch.equal(beside[1:4], rows)
    torch.testing.assert_close(beside[4:].norm(dim=1), torch.full((3,), band.norm(1.7)))
    assert torch.equal(beside, band.beside_random(rows, 1.7, 5))
    assert not torch.equal(beside, band.beside_random(rows, 1.7, 6))


def test_gradients_are_those_of_finite_differences():
    band = band_of("llama")
    row, along = drawn(band, 1, seed=1), drawn(band, 1, seed=2)
    leaf = row.clone().requires_grad_()
    gradient = torch.autograd.grad(band.deltas(leaf).square().sum(), leaf)[0]
    step = 1e-2
    ahead, behind = (float(band.deltas(row + sign * step * along).square().sum()) for sign in (1, -1))
    assert float((gradient * along).sum()) == pytest.approx((ahead - behind) / (2 * step), rel=2e-2)


def test_nobody_else_computes_while_adapters_are_on_and_a_stop_ends_it():
    band, gave = band_of("llama"), []
    band.deltas(drawn(band, 2), GivingWay(lambda: False, lambda: gave.append(1)))
    assert not gave
    with pytest.raises(Stopped):
        band.deltas(drawn(band, 2), GivingWay(lambda: True, lambda: gave.append(1)))
    assert not gave


def test_planted_adapters_are_found_with_what_they_do():
    """Δ(a, b) = Σ α (b·y)(a·x) u: the adapters are the pairs (x, y), in the order of α."""
    width, planted = 24, 3
    ins, outs, effects = (torch.linalg.qr(unit_rows(planted, width, seed).T).Q.T for seed in (1, 2, 3))
    alphas = torch.tensor([3.0, 2.0, 1.2])

    def change(rows):
        a, b = rows.chunk(2, dim=1)
        found = (alphas * (a @ ins.T) * (b @ outs.T)) @ effects
        return torch.cat([found, torch.zeros_like(found)], dim=1)

    def shaped(rows):
        return torch.cat([torch.nn.functional.normalize(part, dim=1) for part in rows.chunk(2, dim=1)], dim=1)

    config = TrainingConfig(0, 1, 2**0.5, planted, "transcoding", 40, scope="all")
    found = result_of(transcoding(Ascent(PlantedMap(2 * width, change), config, 4), shaped, signed=False))
    a, b = found.vectors.chunk(2, dim=1)
    assert ((a * ins).sum(dim=1).abs() > 0.98).all() and ((b * outs).sum(dim=1).abs() > 0.98).all()
    assert found.strength == sorted(found.strength, reverse=True)
    assert found.output_directions is not None
    assert ((found.output_directions[:, :width] * effects).sum(dim=1).abs() > 0.98).all()


def test_texts_are_those_of_the_model_with_changed_weights_and_zeros_are_the_model_itself():
    band, decoding = band_of("llama"), Decoding(6)
    row = drawn(band, 1, radius=6.0)[0]
    rows = torch.stack([torch.zeros_like(row), row])
    said = texts_under(band, rows.repeat_interleave(2, dim=0), [0, 1, 0, 1], decoding)

    def alone(lm):
        found = [*generate(Rows(lm, encoded(lm, *TEXTS), torch.zeros(1, WIDTH), None, decoding))]
        return found[-1].ids

    assert said is not None and said.ids[:2] == alone(tiny("llama"))
    changed = band_of("llama")
    write(changed, row)
    assert said.ids[2:] == alone(changed.piece.lm) != said.ids[:2]
    assert texts_under(band, rows, [0, 1], decoding, lambda: True) is None
    assert alone(band.piece.lm) == alone(tiny("llama"))  # nothing stays


@pytest.mark.parametrize("family", LAYERS)
def test_what_is_exported_is_a_lora_that_does_the_same(family, tmp_path):
    band = band_of(family)
    rows = drawn(band, 2)
    ids = torch.tensor([band.piece.lm.tokenizer(TEXTS[0])["input_ids"]])
    files = lora_files(band, rows, "base")
    assert files == lora_files(band, rows, "base") and len(files) == 2
    with torch.no_grad():
        for number, each in enumerate(files):
            folder = tmp_path / f"{number}"
            folder.mkdir()
            for name, data in each.items():
                (folder / name).write_bytes(data)
            assert json.loads(each["adapter_config.json"])["r"] == 1
            with band.on(rows[number : number + 1]):
                want = band.piece.lm.model(ids).logits
            with kept_lora(band.piece.lm, folder):
                torch.testing.assert_close(band.piece.lm.model(ids).logits, want, atol=2e-4, rtol=0)
            assert (band.piece.lm.model(ids).logits - want).abs().max() > 1e-2


def test_the_share_that_is_changed_is_the_mean_over_the_tokens_in_scope():
    band = band_of("llama", "hello there")
    rows, scope = drawn(band, 2), TokenScope.parse("last:3")
    deltas, norms = band.deltas(rows)[:, 0, -3:].norm(dim=-1), band.baseline[0, -3:].norm(dim=-1)
    assert shares_changed(band, rows, scope) == pytest.approx((deltas / norms).mean(dim=1).tolist(), rel=1e-5)
    assert shares_changed(band, torch.zeros_like(rows), scope) == [0.0, 0.0]


# --- the study and its command ----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    return benches.save_tiny(tmp_path_factory.mktemp("base") / "model")


@pytest.fixture
def bench(tmp_path, model) -> Workbench:
    bench = Workbench(benches.settings(tmp_path / "cache", model))
    bench.bench.embedder = benches.StubEmbedder()  # type: ignore[misc]
    return bench


def study(**given: Any) -> TrainAdapters:
    asked = {"prompts": plain(*TEXTS), "count": 2, "steps": 3, "radius": 6.0, "max_new_tokens": 5}
    return TrainAdapters(**{**asked, **given})


def test_the_study_trains_answers_and_keeps_random_adapters_beside(bench, tmp_path):
    progress, found = listen(bench.run(study()))
    record = found.record
    assert [one.adapter for one in record.adapters] == [one.adapter for one in record.random] == [0, 1]
    assert (record.source, record.target, record.scope, record.module) == (1, 3, "last:4", "o_proj")
    assert all(now.done <= now.total for now in progress) and any("step 3 of 3" in now.stage for now in progress)
    lm = bench.bench.model.get()
    own = [*generate(Rows(lm, encoded(lm, *TEXTS), torch.zeros(1, WIDTH), None, Decoding(5)))][-1].texts
    assert [*record.baselines] == own
    every = [text for one in (*record.adapters, *record.random) for text in one.texts]
    assert [text.prompt for text in every] == [0, 1] * 4 and all(text.verdict for text in every)
    for text in every:
        same = text.text == record.baselines[text.prompt]
        assert not same or (text.distance < 1e-6 and text.change is None)
    assert min(one.share for one in record.adapters) > max(one.share for one in record.random)
    assert all(one.strength is not None and len(one.hash) == 64 for one in record.adapters)
    again = listen(bench.run(study()))[1]
    assert again.files == found.files != listen(bench.run(study(seed=1)))[1].files
    assert again.record.adapters == record.adapters

    bench.export_adapters(found, tmp_path / "out")
    kept = json.loads((tmp_path / "out" / "adapters.json").read_text("utf-8"))
    assert kept == study().answer(found, None)
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"0", "1", "adapters.json"}
    with pytest.raises(InputError, match="exists"):
        bench.export_adapters(found, tmp_path / "out")
    with pytest.raises(InputError, match="does not exist"):
        bench.export_adapters(found, tmp_path / "no" / "out")


def test_a_stop_keeps_nothing_and_wrong_requests_are_refused(bench):
    asked = []
    with pytest.raises(Stopped):
        result_of(bench.run(study(steps=50), stop=lambda: asked.append(1) or len(asked) > 40))
    for given, says in (
        ({"module": "gate"}, r"module: no layers of block 2 .* are called gate. Choose one of mlp.down_proj, "),
        ({"module": "proj"}, "no layers"),
        ({"count": 0}, "adapters: 0"),
        ({"radius": -1.0}, "R: must be a finite number greater than 0"),
        ({"source": 2, "target": 2}, "target layer"),
        ({"prompts": plain(" ")}, "prompt"),
        ({"steps": 0}, "steps"),
        ({"target": BLOCKS}, "target layer"),
    ):
        with pytest.raises(InputError, match=says):
            result_of(bench.run(study(**given)))


def test_the_command_writes_adapters_that_the_model_option_loads(model, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("melbo_app.jobs.bench.Bench.embedder", benches.StubEmbedder())
    for name, value in (("CACHE_DIR", tmp_path / "cache"), ("MODEL", model), ("DEVICE", "cpu"), ("DTYPE", "float32")):
        monkeypatch.setenv(f"MELBO_{name}", str(value))

    def ask(*words: object) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as end:
            main([*map(str, words)])
        told = capsys.readouterr()
        return end.value.code, told.out, told.err

    words = ("adapters", "--prompt", TEXTS[0], "--adapters", 2, "--steps", 3, "--radius", 6, "--max-new-tokens", 5)
    code, out, err = ask(*words, "--out", tmp_path / "out", "--json")
    made = json.loads(out)
    assert (
        code == 0 and made["out"] == str(tmp_path / "out") and len(made["adapters"]) == 2 and "reading the texts" in err
    )
    lines = ask(*words)[1].splitlines()
    assert lines[0].startswith("without") and sum(one.startswith("random") for one in lines) == 2
    code, out, err = ask(*words, "--out", tmp_path / "out")
    assert (code, out) == (2, "") and "exists. Give the name of a new folder." in err
    bench = Workbench(benches.settings(tmp_path / "other", tmp_path / "out" / "0"))
    lm = bench.bench.model.get()
    asked = encode(lm, [Prompt(TEXTS[0], template=lm.usual_template)])
    said = [*generate(Rows(lm, asked, torch.zeros(1, WIDTH), None, Decoding(5)))][-1].texts
    assert lm.name.endswith("+ adapter") and said == [made["adapters"][0]["texts"][0]["text"]] != made["baselines"]
