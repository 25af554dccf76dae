"""The workbench: models, tokens, banks of other models, similarity, maps and labels, on a tiny model in a folder."""

import json
import threading
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import psutil
import pytest
import torch
from benches import PROMPT, QUICK, StubEmbedder, listen, save_tiny, settings, shelved, trained
from patience import PATIENCE
from safetensors.numpy import save_file
from tiny_models import BLOCKS, CONTEXT

from melbo_app.engine.decoding import Decoding
from melbo_app.engine.prompt import Prompt
from melbo_app.errors import InputError
from melbo_app.jobs.generators import result_of
from melbo_app.library.bank import Bank
from melbo_app.studies import map as studies_map
from melbo_app.studies.map import DrawMap, MapOf
from melbo_app.studies.similarity import Compare
from melbo_app.studies.steer import Steer
from melbo_app.ui.present import model_status
from melbo_app.workbench import Workbench

SHORT = Decoding(max_new_tokens=4)


@pytest.fixture
def bank(bench: Workbench) -> Bank:
    return shelved(bench)


@pytest.fixture(scope="module")
def other_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Another model of the same width."""
    return save_tiny(tmp_path_factory.mktemp("models") / "other", seed=1)


def put(bench: Workbench, name: str, vectors: np.ndarray, bank: Bank, **changes: object) -> Bank:
    """A bank of these vectors on the shelf, otherwise like ``bank``."""
    record = bank.record.model_copy(update={"name": name, "objective": None, "curves": None, "effect": None, **changes})
    made = Bank(record, vectors)
    bench.bench.banks.save(made)
    return made


# --- models ----------------------------------------------------------------------------------------------------------


def test_before_the_model_is_loaded_its_state_can_be_asked(bench):
    state = bench.model_state()
    assert (state.name, state.loaded, state.loading, state.error) == (bench.settings.model, False, None, None)
    assert [entry.name for entry in bench.models()] == ["SmolLM2-135M-Instruct"]


def test_the_state_of_a_loaded_model(bench):
    state = bench.load_model()
    assert (state.name, state.loaded, state.blocks, state.hidden_size) == ("tiny", True, BLOCKS, 32)
    assert (state.context, state.dtype, state.device, state.has_template) == (CONTEXT, "float32", "cpu", True)
    assert [(entry.name, entry.loaded) for entry in bench.models()] == [
        ("SmolLM2-135M-Instruct", False),
        ("tiny", True),
    ]


def test_a_model_that_cannot_be_loaded_is_named_and_the_present_one_stays(bench, tmp_path):
    bench.load_model()
    with pytest.raises(InputError) as refused:
        bench.load_model(str(tmp_path / "nowhere"))
    assert refused.value.field == "model" and "nowhere" in refused.value.problem
    state = bench.model_state()
    assert state.loaded and state.name == "tiny" and state.error == str(refused.value) and state.loading is None
    assert bench.load_model(bench.settings.model).error is None


def test_while_another_model_is_loaded_the_chip_names_that_one(bench, other_folder, monkeypatch):
    bench.load_model()
    read, seen = bench.bench.model._read, []

    def slow(files, stop):
        seen.append(model_status(bench.model_state())["model"])
        return read(files, stop)

    monkeypatch.setattr(bench.bench.model, "_read", slow)
    state = bench.load_model(str(other_folder))
    assert seen == [f"loading {other_folder}: loading the weights …"]
    assert (state.name, state.coming) == ("other", None)


def test_two_folders_of_one_name_are_two_models(bench, tmp_path, monkeypatch):
    first = bench.load_model()
    save_tiny(tmp_path / "elsewhere" / "tiny", seed=3)
    monkeypatch.chdir(tmp_path / "elsewhere")
    second = bench.load_model("tiny")
    assert second.name == first.name and second.weights_hash != first.weights_hash


def test_the_same_folder_by_another_path_is_not_loaded_twice(bench, monkeypatch):
    bench.load_model()
    before = bench.bench.model.get()
    folder = Path(bench.settings.model)
    bench.load_model(str(folder / ".." / folder.name))
    assert bench.bench.model.get() is before


def test_another_model_leaves_nothing_of_the_first_in_memory(bench, other_folder):
    bench.tokens([PROMPT], "content")
    assert len(bench.bench.slices._slices) == 1
    bench.load_model(str(other_folder))
    assert len(bench.bench.slices._slices) == 0
    assert bench.model_state().name == "other"


def test_a_model_larger_than_the_free_memory_is_refused_with_the_numbers_and_the_present_one_stays(
    bench, other_folder, monkeypatch
):
    bench.load_model()
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(available=1000))
    with pytest.raises(
        InputError, match=r"model: other needs [\d.]+ kB of memory, and only 1 kB are free beside tiny"
    ) as no:
        bench.load_model(str(other_folder))
    assert f"MELBO_MODEL={other_folder}" in str(no.value)
    assert bench.model_state().name == "tiny"


def test_a_model_of_one_block_is_refused(tmp_path):
    bench = Workbench(settings(tmp_path / "cache", save_tiny(tmp_path / "flat", num_hidden_layers=1)))
    with pytest.raises(InputError, match="flat has only one block"):
        bench.load_model()


def test_a_model_without_a_template_trains_and_steers(tmp_path):
    folder = save_tiny(tmp_path / "base", chat_template=None)
    bench = Workbench(settings(tmp_path / "cache", folder))
    plain = [Prompt("hello there", template=False)]
    assert bench.load_model().has_template is False
    assert bench.suggestion().scope == "last:4"
    assert len(trained(bench, config=replace(QUICK, scope="last:4"), prompts=plain).vectors) == 3
    assert (
        len(result_of(bench.run(Steer(bank="a", prompts=plain, vectors=[0], radii=[6.0], decoding=SHORT))).completions)
        == 2
    )
    with pytest.raises(InputError, match="chat template: base has none. Switch the template off"):
        bench.tokens([PROMPT], "all")


# --- tokens ----------------------------------------------------------------------------------------------------------


def test_the_pieces_of_a_prompt_join_to_the_template_around_it(bench):
    prompts = [PROMPT, Prompt("naïve 🙂 日本\n\nlines", "be brief"), Prompt("no template", template=False)]
    texts = [
        "<|im_start|>user\nhello there<|im_end|>\n<|im_start|>assistant\n",
        "<|im_start|>system\nbe brief<|im_end|>\n<|im_start|>user\nnaïve 🙂 日本\n\nlines<|im_end|>\n"
        "<|im_start|>assistant\n",
        "no template",
    ]
    found = bench.tokens(prompts, "all")
    assert ["".join(tokens.pieces) for tokens in found] == texts
    assert [tokens.text for tokens in found] == texts
    for tokens in found:
        assert len(tokens.pieces) == len(tokens.counts) == sum(tokens.counts)


def test_the_scopes_count_what_they_say(bench):
    [everything] = bench.tokens([PROMPT], "all")
    assert all(everything.counts)
    [last] = bench.tokens([PROMPT], "last:3")
    assert last.counts == [False] * (len(last.counts) - 3) + [True] * 3
    [tail] = bench.tokens([PROMPT], "assistant")
    counted = "".join(piece for piece, counts in zip(tail.pieces, tail.counts, strict=True) if counts)
    assert counted == "<|im_end|>\n<|im_start|>assistant\n"
    assert tail.counts == sorted(tail.counts)
    [content] = bench.tokens([PROMPT], "content")
    assert 0 < sum(content.counts) <= len(content.counts)
    assert sum(bench.tokens([PROMPT], "last:500")[0].counts) == len(everything.counts)


def test_several_prompts_count_each_on_its_own(bench):
    prompts = [PROMPT, Prompt("a much longer prompt than the first")]
    for scope in ("all", "content", "assistant", "last:2"):
        together = bench.tokens(prompts, scope)
        alone = [bench.tokens([prompt], scope)[0] for prompt in prompts]
        assert together == alone


def test_content_leaves_the_attention_sink_out(bench, monkeypatch):
    model = bench.bench.model.get().model  # this process's own copy
    ids = bench.bench.model.get().tokenizer("<|im_start|>")["input_ids"]
    with torch.no_grad():
        model.get_input_embeddings().weight[ids[0]] *= 1000
    [content] = bench.tokens([Prompt("<|im_start|>hello", template=False)], "content", source=0, target=1)
    assert content.counts[0] is False and all(content.counts[1:])


@pytest.mark.parametrize("scope", ["", "ALL", "last", "last:0", "last:-1", "last:x", "first:2"])
def test_a_scope_that_is_not_known_is_refused(bench, scope):
    with pytest.raises(InputError, match="Write all, content, assistant or last:4"):
        bench.tokens([PROMPT], scope)


def test_the_target_layer_of_the_tokens_is_checked_even_where_it_is_zero(bench):
    with pytest.raises(InputError) as refused:
        bench.tokens([PROMPT], "content", source=1, target=0)
    assert refused.value.field == "target layer"


# --- banks of other models, and banks from elsewhere -----------------------------------------------------------------


@pytest.mark.parametrize("use", ["steer", "map", "similarity"])
def test_a_bank_of_other_weights_is_refused_and_both_models_are_named(bench, bank, other_folder, use):
    bench.load_model(str(other_folder))
    calls = {
        "steer": lambda: result_of(
            bench.run(Steer(bank="a", prompts=[PROMPT], vectors=[0], radii=[6.0], decoding=SHORT))
        ),
        "map": lambda: result_of(
            bench.run(DrawMap(bank="a", prompts=[PROMPT], vectors=[0], radii=[6.0], decoding=SHORT))
        ),
        "similarity": lambda: result_of(bench.run(Compare(bank="a"))),
    }
    with pytest.raises(InputError) as refused:
        calls[use]()
    assert refused.value.field == "bank"
    assert "“a”" in refused.value.problem and bank.record.model in refused.value.problem
    assert "loaded model other" in refused.value.problem
    assert refused.value.remedy.startswith(f"Load {bank.record.model}")


def test_a_bank_of_another_width_is_refused_with_both_numbers(bench, bank, tmp_path):
    bench.load_model(str(save_tiny(tmp_path / "wide", hidden_size=48, intermediate_size=64)))
    with pytest.raises(InputError) as refused:
        result_of(bench.run(Compare(bank="a")))
    assert "hidden size 32" in refused.value.problem and "wide has 48" in refused.value.problem


def test_a_bank_for_a_block_that_the_model_lacks_is_refused(bench, bank):
    put(bench, "deep", bank.vectors, bank, model_hash="", source=40, target=41, blocks=60)
    with pytest.raises(InputError, match="source layer: tiny has no block 40. Choose a block from 0 to 3"):
        result_of(bench.run(Steer(bank="deep", prompts=[PROMPT], vectors=[0], radii=[6.0], decoding=SHORT)))


def foreign(folder: Path, ending: str) -> Path:
    rows = np.random.default_rng(0).normal(size=(2, 32)).astype(np.float32)
    file = folder / f"theirs{ending}"
    if ending == ".pt":
        torch.save(torch.from_numpy(rows), file)
    else:
        save_file({"anything": rows}, file)
    return file


@pytest.mark.parametrize("ending", [".safetensors", ".pt"])
def test_a_bank_from_elsewhere_asks_for_its_source_layer_and_then_works(bench, tmp_path, ending):
    file = foreign(tmp_path, ending)
    with pytest.raises(InputError) as refused:
        bench.import_bank(file)
    assert refused.value.field == "source layer" and "--source" in refused.value.remedy
    assert not bench.model_state().loaded  # nobody waited for the model to hear that
    assert bench.banks() == []
    made = bench.import_bank(file, source=1)
    assert made.record.name == "theirs" and made.record.method == "imported"
    assert (made.record.model, made.record.model_hash) == (bench.settings.model, bench.model_state().weights_hash)
    assert made.record.radius == pytest.approx(float(np.median(np.linalg.norm(made.vectors, axis=1))), rel=1e-5)
    comparison = result_of(
        bench.run(Steer(bank="theirs", prompts=[PROMPT], vectors=[0, 1], radii=[made.record.radius], decoding=SHORT))
    )
    assert [entry.vector for entry in comparison.completions] == [None, 0, 1]
    assert result_of(bench.run(Compare(bank="theirs"))).delta.shape == (2, 2)


def test_a_control_vector_says_its_layer_and_what_is_missing_is_said_before_the_model_is_loaded(bench, bank, tmp_path):
    file = bench.export_bank("a", tmp_path / "one.gguf", vector=1, radius=4.0)
    fresh = Workbench(bench.settings)
    with pytest.raises(InputError, match="^source layer: the file holds nothing for layer 3. Choose from 1"):
        fresh.import_bank(file, source=3)
    with pytest.raises(InputError, match="^R: -2 cannot be used"):
        fresh.import_bank(file, radius=-2)
    assert not fresh.model_state().loaded
    made = fresh.import_bank(file)
    assert made.record.source == bank.record.source and made.record.radius == pytest.approx(4, rel=1e-6)
    assert np.allclose(made.vectors[0] / 4, bank.vectors[1] / np.linalg.norm(bank.vectors[1]), atol=1e-6)
    assert made.record.model_hash == bank.record.model_hash and made.record.median_norm


def test_one_vector_of_a_bank_goes_out_in_our_own_format_with_its_formula(bench, bank, tmp_path):
    made = bench.import_bank(bench.export_bank("a", tmp_path / "one.safetensors", vector=2))
    assert made.record.formula == "'a'[2]" and made.vectors.tolist() == bank.vectors[2:3].tolist()
    made = bench.import_bank(bench.export_bank("a", tmp_path / "all.safetensors", radius=-3))
    assert np.allclose(made.vectors, -bank.vectors / 2, atol=1e-6) and made.record.radius == pytest.approx(3)
    with pytest.raises(InputError, match="0 is not a norm"):
        bench.export_bank("a", tmp_path / "none.pt", radius=0)


def test_a_file_of_hidden_states_is_asked_about_once_the_model_says_how_many_blocks_it_has(bench, tmp_path):
    rows = np.random.default_rng(1).normal(size=(BLOCKS + 1, 32)).astype(np.float32)
    torch.save(torch.from_numpy(rows), tmp_path / "states.pt")
    with pytest.raises(InputError) as refused:
        bench.import_bank(tmp_path / "states.pt", rows="columns", source=2)
    assert refused.value.field == "rows" and not bench.model_state().loaded
    with pytest.raises(InputError) as refused:
        bench.import_bank(tmp_path / "states.pt", source=2)
    assert refused.value.field == "rows" and "--rows layers" in refused.value.remedy and bench.banks() == []
    made = bench.import_bank(tmp_path / "states.pt", source=2, rows="layers")
    assert made.record.source == 1 and np.array_equal(made.vectors, rows[2:3]) and made.record.median_norm
    torch.save(torch.from_numpy(rows[:, None].repeat(3, 1) * np.float32([[1], [2], [3]])), tmp_path / "places.pt")
    made = bench.import_bank(tmp_path / "places.pt", source=2, rows="layers", position=1)
    assert made.record.source == 1 and np.array_equal(made.vectors, 2 * rows[2:3])


def test_a_bank_from_elsewhere_for_another_model_loads_it(bench, tmp_path, other_folder):
    made = bench.import_bank(foreign(tmp_path, ".pt"), "b", model=str(other_folder), source=1, target=2)
    assert bench.model_state().name == "other"
    assert (made.record.model, made.record.source, made.record.target) == (str(other_folder), 1, 2)


@pytest.mark.parametrize(
    ("source", "target", "field"), [(BLOCKS, None, "source layer"), (-1, None, "source layer"), (2, 2, "target layer")]
)
def test_layers_of_an_import_that_cannot_be_are_refused(bench, tmp_path, source, target, field):
    with pytest.raises(InputError) as refused:
        bench.import_bank(foreign(tmp_path, ".pt"), source=source, target=target)
    assert refused.value.field == field and bench.banks() == []


def test_the_last_block_can_be_steered_and_its_similarity_says_why_not(bench, tmp_path):
    bench.import_bank(foreign(tmp_path, ".pt"), "top", source=BLOCKS - 1)
    assert (
        len(
            result_of(
                bench.run(Steer(bank="top", prompts=[PROMPT], vectors=[0], radii=[3.0], decoding=SHORT))
            ).completions
        )
        == 2
    )
    with pytest.raises(InputError, match="source layer: 3 is the last block of tiny"):
        result_of(bench.run(Compare(bank="top")))


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("empty.safetensors", b""),
        ("huge.safetensors", (10 * 2**30).to_bytes(8, "little") + b"{}"),
        ("words.safetensors", b"\x04\0\0\0\0\0\0\0nope"),
        (
            "pickle.pt",
            b"\x80\x04\x95\x17\0\0\0\0\0\0\0\x8c\x05posix\x94\x8c\x06system\x94\x93\x94\x8c\x02ls\x94\x85\x94R\x94.",
        ),
        ("text.pt", b"hello"),
        ("vectors.txt", b"1 2 3"),
    ],
)
def test_hostile_and_broken_files_give_one_sentence(bench, tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError) as refused:
        bench.import_bank(tmp_path / name, source=1)
    assert "\n" not in str(refused.value) and refused.value.field == "bank file"
    assert bench.banks() == []


@pytest.mark.parametrize("bad", [np.nan, np.inf, 0.0])
def test_rows_that_are_no_directions_are_refused_by_number(bench, tmp_path, bad):
    rows = np.ones((3, 32), dtype=np.float32)
    rows[1] = bad
    save_file({"vectors": rows}, tmp_path / "x.safetensors")
    with pytest.raises(InputError, match="bank file: row 1 "):
        bench.import_bank(tmp_path / "x.safetensors", source=1)


def test_export_delete_import_gives_the_same_bank_with_its_labels(bench, bank, tmp_path):
    bench.save_label("a", 1, name="pirate", tags=["speech"], rating=4)
    file = bench.export_bank("a", tmp_path / "out.safetensors")
    bench.delete_bank("a")
    with pytest.raises(InputError, match="there is no bank called “a”"):
        bench.label("a", 1)
    again = bench.import_bank(file, "b")
    assert again.hash == bank.hash and again.record.model_copy(update={"name": "a"}) == bank.record
    assert bench.label("b", 1).name == "pirate" and bench.label("b", 1).rating == 4
    assert bench.bank_labels("b")[1].tags == ("speech",)


# --- similarity ------------------------------------------------------------------------------------------------------


def test_similarity_is_symmetric_with_ones_on_its_diagonal_and_an_order_of_all(bench, bank):
    for scope in ("all", "content", "assistant", "last:2"):
        found = result_of(bench.run(Compare(bank="a", scope=scope)))
        assert found.scope == scope
        for matrix in (found.delta, found.theta):
            assert matrix.shape == (3, 3)
            np.testing.assert_allclose(matrix, matrix.T, atol=1e-6)
            np.testing.assert_allclose(np.diag(matrix), 1, atol=1e-6)
        assert sorted(found.order) == [0, 1, 2]
        off = ~np.eye(3, dtype=bool)
        assert found.mean_delta == pytest.approx(found.delta[off].mean(), abs=1e-6)
        assert found.mean_theta == pytest.approx(0, abs=1e-5)  # trained vectors are orthogonal


def test_equal_vectors_change_the_same_and_opposite_ones_something_else(bench, bank):
    one, two = bank.vectors[:2]
    put(bench, "twins", np.stack([one, two, one, -one]), bank)
    found = result_of(bench.run(Compare(bank="twins")))
    assert found.delta[0, 2] == pytest.approx(1, abs=1e-5)
    assert found.delta[0, 3] < 0 and found.theta[0, 3] == pytest.approx(-1, abs=1e-6)
    assert abs(found.order.index(0) - found.order.index(2)) == 1


def test_a_single_vector_has_no_mean(bench, bank):
    put(bench, "single", bank.vectors[:1], bank)
    found = result_of(bench.run(Compare(bank="single")))
    assert found.delta.shape == (1, 1) and found.mean_delta is None and found.mean_theta is None


def test_similarity_on_other_prompts_is_another_one(bench, bank):
    one, two = (
        result_of(bench.run(Compare(bank="a"))),
        result_of(bench.run(Compare(bank="a", prompts=[Prompt("quite another text")]))),
    )
    assert not np.allclose(one.delta, two.delta, atol=1e-3)
    np.testing.assert_array_equal(one.delta, result_of(bench.run(Compare(bank="a", prompts=[PROMPT]))).delta)


def test_similarity_equals_that_of_deltas_computed_one_by_one(bench, bank):
    """Δ by full forward passes, one vector at a time, with a hook of this test's own."""
    lm = bench.bench.model.get()
    ids = torch.tensor([lm.tokenizer(bench.tokens([PROMPT], "all")[0].text)["input_ids"]])

    def at_target(theta: torch.Tensor) -> torch.Tensor:
        seen = []
        handles = [
            lm.blocks[QUICK.source].register_forward_hook(lambda _m, _a, out: out + theta),
            lm.blocks[QUICK.target].register_forward_hook(lambda _m, _a, out: seen.append(out.clone())),
        ]
        with torch.no_grad():
            lm.model(ids)
        for handle in handles:
            handle.remove()
        return seen[0].flatten()

    zero = at_target(torch.zeros(32))
    flat = torch.stack([at_target(torch.tensor(row)) - zero for row in bank.vectors])
    expected = torch.nn.functional.cosine_similarity(flat[:, None], flat[None], dim=2)
    np.testing.assert_allclose(result_of(bench.run(Compare(bank="a", scope="all"))).delta, expected.numpy(), atol=1e-4)


# --- map -------------------------------------------------------------------------------------------------------------


def test_a_map_of_few_completions_is_pca_and_says_so(bench, bank):
    bench.bench.embedder = StubEmbedder()
    bench.save_label("a", 0, name="pirate")
    heard, found = listen(
        bench.run(DrawMap(bank="a", prompts=[PROMPT], vectors=[0, 1], radii=[6.0], decoding=SHORT, random_control=True))
    )
    assert found.method == "PCA" and "UMAP needs 15 or more" in found.note
    assert [(point.vector, point.radius, point.label) for point in found.points] == [
        (None, 0.0, ""),
        ("random", 6.0, ""),
        (0, 6.0, "pirate"),
        (1, 6.0, ""),
    ]
    for point in found.points:
        assert bench.completion(point.id).text == point.text
        assert np.isfinite([point.x, point.y]).all()
    assert heard[-1].stage == "finding clusters"
    assert bench.comparisons() == [] and bench.comparisons("map")[0].id == found.comparison
    # drawn again from what was kept, as it is labelled now
    bench.save_label("a", 1, name="cook")
    again = result_of(bench.run(MapOf(comparison=found.comparison)))
    assert [(point.id, point.x, point.y) for point in again.points] == [(p.id, p.x, p.y) for p in found.points]
    assert [point.label for point in again.points] == ["", "", "pirate", "cook"]


def test_a_map_of_many_completions_is_umap_and_the_same_every_time(bench, bank):
    bench.bench.embedder = StubEmbedder()
    found = result_of(
        bench.run(
            DrawMap(
                bank="a",
                prompts=[PROMPT],
                vectors=[0, 1, 2],
                radii=[4.0, 12.0, 30.0, -4.0, -12.0, -30.0, 60.0, -60.0],
                decoding=SHORT,
            )
        )
    )
    assert len({point.text for point in found.points}) >= 15
    assert found.method == "UMAP" and len(found.points) == 25
    assert result_of(bench.run(MapOf(comparison=found.comparison))) == replace(found, layout="old")


@pytest.mark.parametrize("when", ["completing", "embedding", "before"])
def test_a_stopped_map_is_none(bench, bank, when, monkeypatch):
    bench.bench.embedder = StubEmbedder()
    embedded = []
    real = bench.bench.embedder.encode
    monkeypatch.setattr(bench.bench.embedder, "encode", lambda texts: embedded.append(texts) or real(texts))
    stopped = when == "before"
    work = bench.run(
        DrawMap(bank="a", prompts=[PROMPT], vectors=[0], radii=[6.0], decoding=SHORT), stop=lambda: stopped
    )

    def watched():
        nonlocal stopped
        while True:
            try:
                progress = next(work)
            except StopIteration as end:
                return end.value
            stopped = stopped or progress.stage.startswith(when)
            yield progress

    assert result_of(watched()) is None
    assert stopped
    assert not embedded  # no work for nobody


@pytest.mark.parametrize("step", ["project", "text_clusters"])
def test_a_stop_in_the_middle_of_a_map_is_answered_although_its_step_goes_on(bench, bank, monkeypatch, step):
    bench.bench.embedder = StubEmbedder()
    begun, go_on = threading.Event(), threading.Event()
    monkeypatch.setattr(studies_map, step, lambda *_: begun.set() or go_on.wait(PATIENCE))
    asked = DrawMap(bank="a", prompts=[PROMPT], vectors=[0], radii=[6.0], decoding=SHORT)
    assert result_of(bench.run(asked, stop=begun.is_set)) is None
    assert not go_on.is_set()
    go_on.set()


def test_a_map_that_is_not_there_is_refused(bench):
    with pytest.raises(InputError, match="comparison: there is no comparison 7"):
        result_of(bench.run(MapOf(comparison=7)))


def test_a_map_is_written_whole_and_over_nothing(bench, bank, tmp_path):
    bench.bench.embedder = StubEmbedder()
    found = result_of(bench.run(DrawMap(bank="a", prompts=[PROMPT], vectors=[0], radii=[6.0], decoding=SHORT)))
    out = bench.export_map(found, tmp_path / "map.html", "vector", title="a")
    page = out.read_text("utf-8")
    assert "plotly" in page and "</html>" in page and 'src="http' not in page
    with pytest.raises(InputError, match="already exists"):
        bench.export_map(found, out, "vector", title="a")
    assert bench.export_map(found, out, "radius", title="b", overwrite=True) == out


# --- history ---------------------------------------------------------------------------------------------------------


def test_the_history_has_the_newest_first_and_maps_apart(bench, bank):
    bench.bench.embedder = StubEmbedder()
    ids = [
        result_of(bench.run(Steer(bank="a", prompts=[PROMPT], vectors=[vector], radii=[6.0], decoding=SHORT))).id
        for vector in (0, 1)
    ]
    result_of(bench.run(DrawMap(bank="a", prompts=[PROMPT], vectors=[0], radii=[6.0], decoding=SHORT)))
    ids.append(
        result_of(bench.run(Steer(bank="a", prompts=[Prompt("later")], vectors=[2], radii=[6.0], decoding=SHORT))).id
    )
    found = bench.comparisons()
    assert [entry.id for entry in found] == ids[::-1]
    assert found[0].prompt == "later" and found[0].bank == "a" and found[0].settings["vectors"] == [2]
    assert [entry.id for entry in bench.comparisons(limit=1)] == ids[-1:]


def test_many_maps_do_not_hide_the_comparisons(bench, bank):
    bench.bench.embedder = StubEmbedder()
    first = result_of(bench.run(Steer(bank="a", prompts=[PROMPT], vectors=[0], radii=[6.0], decoding=SHORT))).id
    for _ in range(12):
        result_of(bench.run(DrawMap(bank="a", prompts=[PROMPT], vectors=[0], radii=[6.0], decoding=SHORT)))
    assert [entry.id for entry in bench.comparisons(limit=1)] == [first]


def test_runaways_are_those_of_the_training_of_prompts_kept_out_and_of_every_steering(bench, bank):
    effect = bank.record.effect
    assert effect is not None and effect.runaway == [0.0, 0.0, 0.0]
    assert bench.runaways("a") == {}
    result_of(bench.run(Steer(bank="a", prompts=[PROMPT], vectors=[1], radii=[5e5, -2e5], decoding=SHORT)))
    assert bench.runaways("a") == {1: {"steered": 2e5}}
    fled = effect.model_copy(update={"runaway": [0.0, 0.5, 1.0]})
    elsewhere = effect.model_copy(update={"runaway": [0.25, 0.0, 0.5]})
    told = {"name": "b", "effect": fled, "held_out_effect": elsewhere}
    bench.bench.banks.save(Bank(bank.record.model_copy(update=told), bank.vectors))
    assert bench.runaways("b") == {
        0: {"held out": 6.0},
        1: {"trained": 6.0, "steered": 2e5},
        2: {"trained": 6.0, "held out": 6.0},
    }


# --- labels ----------------------------------------------------------------------------------------------------------


def test_labels_are_kept_found_and_written(bench, bank, tmp_path):
    assert bench.label("a", 0).updated is None
    saved = bench.save_label("a", 0, name="Pirate", tags=["Speech", "fun", "speech"], rating=5, note="arr")
    assert bench.label("a", 0) == saved and saved.tags == ("fun", "speech") and saved.bank_hash == bank.hash
    bench.save_label("a", 2, tags=["refusal"])
    assert [label.vector for label in bench.labels()] == [0, 2]
    assert bench.tags() == ["fun", "refusal", "speech"]
    lines = [json.loads(line) for line in bench.export_labels(tmp_path / "x.jsonl").read_text("utf-8").splitlines()]
    assert [(line["tag:fun"], line["tag:refusal"], line["tag:speech"]) for line in lines] == [
        (True, False, True),
        (False, True, False),
    ]
    header, first, _second = bench.export_labels(tmp_path / "x.csv").read_text("utf-8-sig").splitlines()
    assert header.endswith("tag:fun,tag:refusal,tag:speech") and first.endswith("1,0,1")
    with pytest.raises(InputError, match="already exists"):
        bench.export_labels(tmp_path / "x.csv")


def test_an_export_of_labels_says_what_was_read(bench, bank, tmp_path):
    made = result_of(bench.run(Steer(bank="a", prompts=[PROMPT], vectors=[0], decoding=Decoding(3))))
    text = made.completions[1]
    assert bench.evidence("a", 0).texts == (text,) and bench.evidence("a", 0).baseline == made.completions[0]
    assert bench.evidence("a", 1) is None
    for vector in (0, 1):
        bench.save_label("a", vector, name="n")

    def lines(name):
        return [json.loads(line) for line in bench.export_labels(tmp_path / name).read_text("utf-8").splitlines()]

    known = {"R": bank.norms[0], "model": bank.record.model}
    about = known | {"prompt": PROMPT.user, "text": text.text, "text_R": text.radius}
    first, second = lines("x.jsonl")
    assert {name: first[name] for name in about} == about
    assert {name: second[name] for name in about} == dict.fromkeys(about) | known
    bench.delete_bank("a")
    first, second = lines("gone.jsonl")
    assert (first["R"], first["model"], first["text"]) == (None, text.model, text.text)
    assert (second["R"], second["model"], second["text"]) == (None, None, None)


@pytest.mark.parametrize("vector", [-1, 3])
def test_a_label_needs_a_vector_that_is_there(bench, bank, vector):
    with pytest.raises(InputError, match=f"“a” has no vector {vector}. Choose 0 to 2"):
        bench.save_label("a", vector, name="x")
    with pytest.raises(InputError, match="has no vector"):
        bench.label("a", vector)
