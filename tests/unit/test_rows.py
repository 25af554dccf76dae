"""What the rows of a file are: asked where their shape does not say, and counted as the layers that they are."""

import json
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file

from melbo_app.errors import InputError
from melbo_app.library.bank import Bank, ImportHints
from melbo_app.library.banks import Banks
from melbo_app.library.formats.format import Given
from melbo_app.library.formats.known import OURS
from melbo_app.library.formats.layer_name import layer_of

BLOCKS, WIDTH = 6, 8


def table(*shape: int) -> np.ndarray:
    return np.random.default_rng(len(shape)).normal(size=(*shape, WIDTH)).astype(np.float32)


@pytest.fixture
def take(tmp_path):
    """Import what is saved, as the file ``name``, with hints."""
    banks = Banks(tmp_path / "own", tmp_path / "samples")

    def take(value, name: str = "x.pt", format: str | None = None, **hints) -> Bank:
        path = tmp_path / name
        if isinstance(value, bytes):
            path.write_bytes(value)
        elif path.suffix == ".safetensors":
            save_file(value, path)
        else:
            torch.save(value, path)
        known = {"model": "tiny", "hidden_size": WIDTH, "blocks": BLOCKS}
        bank = banks.import_file(path, name=None, hints=ImportHints(**(known | hints)), format=format)
        banks.delete(bank.record.name)
        return bank

    return take


def refusal(take, *given, **options) -> str:
    with pytest.raises(InputError) as raised:
        take(*given, **options)
    assert "\n" not in str(raised.value)
    return str(raised.value)


# --- a table ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(BLOCKS + 1,), (BLOCKS,), (BLOCKS + 1, 1), (1, BLOCKS)])
@pytest.mark.parametrize("name", ["x.pt", "x.safetensors"])
def test_as_many_rows_as_layers_are_asked_about(take, shape, name):
    rows = table(*shape)
    value = {"anything": rows} if name.endswith("safetensors") else torch.from_numpy(rows)
    told = refusal(take, value, name, source=2)
    assert told.startswith("rows: the file has") and "--rows layers" in told and "--rows vectors" in told
    assert len(take(value, name, source=2, rows="vectors").vectors) == max(shape)


@pytest.mark.parametrize("count", [1, 2, BLOCKS - 1, BLOCKS + 2, 3 * BLOCKS])
def test_another_number_of_rows_is_vectors_and_nobody_is_asked(take, count):
    bank = take(torch.from_numpy(table(count)), source=2)
    assert np.array_equal(bank.vectors, table(count)) and bank.record.source == 2
    assert refusal(take, torch.from_numpy(table(count)), source=2, rows="layers").startswith("rows: ")


def test_without_a_model_a_table_is_vectors(take):
    bank = take(torch.from_numpy(table(BLOCKS)), source=2, blocks=None)
    assert len(bank.vectors) == BLOCKS


@pytest.mark.parametrize("k", range(1, BLOCKS + 1))
def test_row_k_of_the_hidden_states_is_the_output_of_block_k_minus_1(take, k):
    rows = table(BLOCKS + 1)
    bank = take(torch.from_numpy(rows), source=k, rows="layers")
    assert bank.record.source == k - 1 and np.array_equal(bank.vectors, rows[k : k + 1])
    assert f"which is the output of block {k - 1}" in bank.record.note and "assumption" not in bank.record.note
    assert ("after the model's final norm" in bank.record.note) == (k == BLOCKS)


def test_the_first_hidden_state_is_the_output_of_no_block(take):
    told = refusal(take, torch.from_numpy(table(BLOCKS + 1)), source=0, rows="layers")
    assert told.startswith("source layer: the input of block 0 is not the output of any block")
    told = refusal(take, torch.from_numpy(table(BLOCKS + 1)), source=BLOCKS + 1, rows="layers")
    assert told.startswith(f"source layer: the file holds nothing for layer {BLOCKS + 1}. Choose from 0, 1")


def test_the_hidden_states_of_a_real_model_are_counted_like_its_blocks():
    from tiny_models import blocks_of, tiny

    lm = tiny("llama")
    seen = {}
    hooks = [
        block.register_forward_hook(lambda _m, _a, out, k=k: seen.update({k: out if torch.is_tensor(out) else out[0]}))
        for k, block in enumerate(blocks_of(lm, "llama"))
    ]
    with torch.no_grad():
        states = lm.model(torch.tensor([[5, 9, 20]]), output_hidden_states=True, use_cache=False).hidden_states
    for hook in hooks:
        hook.remove()
    assert len(states) == len(seen) + 1
    assert all(torch.equal(states[k], seen[k - 1]) for k in range(1, len(seen)))
    assert not torch.allclose(states[-1], seen[len(seen) - 1])  # after the final norm, as the note says


def test_rows_of_zeros_are_layers_that_are_not_steered(take):
    rows = table(BLOCKS + 1)
    rows[0], rows[3] = 0, 0
    assert "rows: the file has 7 rows" in refusal(take, torch.from_numpy(rows), source=2)
    assert np.array_equal(take(torch.from_numpy(rows), source=2, rows="layers").vectors, rows[2:3])
    assert "holds nothing for layer 3" in refusal(take, torch.from_numpy(rows), source=3, rows="layers")
    rows[0] = np.nan
    assert take(torch.from_numpy(rows), source=2, rows="layers").record.source == 1
    assert "NaN" in refusal(take, torch.from_numpy(rows), source=2, rows="vectors")


def test_a_row_for_each_block_is_its_output_or_as_was_said_its_input(take):
    rows = table(BLOCKS)
    bank = take(torch.from_numpy(rows), source=2, rows="layers")
    assert bank.record.source == 2 and np.array_equal(bank.vectors, rows[2:3])
    assert "That is an assumption: a file with a row for each block" in bank.record.note
    assert take(torch.from_numpy(rows), source=2, rows="layers", counted="input").record.source == 1


def test_the_layer_must_be_chosen(take):
    for rows in (None, "layers"):
        told = refusal(take, torch.from_numpy(table(BLOCKS + 1)), rows=rows)
        assert told.startswith(("rows: ", "source layer: "))
    told = refusal(take, torch.from_numpy(table(BLOCKS + 1)), rows="layers")
    assert (
        told.startswith("source layer: the file holds a vector for each of the layers 0, 1, 2") and "--source" in told
    )


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"rows": "columns"}, "rows: “columns” is not known. Choose layers or vectors."),
        ({"rows": "layers", "position": 0}, "position: the file holds no rows for several positions."),
        ({"position": 0, "rows": "vectors"}, "position: the file holds no rows for several positions."),
        ({"rows": "layers", "blocks": None}, "counted by: the model's number of blocks is unknown"),
    ],
)
def test_what_cannot_be_meant_is_refused(take, options, sentence):
    assert refusal(take, torch.from_numpy(table(BLOCKS + 1)), source=2, **options).startswith(sentence)


def test_turned_hidden_states_do_not_become_vectors_of_dct(take):
    turned = torch.from_numpy(table(BLOCKS + 1)).T.contiguous()
    assert "give its format as dct" in refusal(take, turned, source=2)
    assert refusal(take, turned, format="dct", source=2).startswith("rows: the file has 7 rows")
    bank = take(turned, format="dct", source=2, rows="layers")
    assert bank.record.source == 1 and np.array_equal(bank.vectors, table(BLOCKS + 1)[2:3])


# --- positions -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("position", "place"), [(None, 3), (0, 0), (2, 2), (-1, 3), (-4, 0)])
@pytest.mark.parametrize("layers", [BLOCKS + 1, BLOCKS])
@pytest.mark.parametrize("turned", [False, True])
def test_layers_and_positions_are_told_apart_by_the_model(take, position, place, layers, turned):
    rows = table(layers, 4)
    value = torch.from_numpy(rows.swapaxes(0, 1).copy() if turned else rows)
    told = refusal(take, value, source=2)
    assert told.startswith("rows: ") and "--rows layers" in told and "--position" in told
    bank = take(value, source=2, rows="layers", position=position)
    assert bank.record.source == (1 if layers == BLOCKS + 1 else 2)
    assert np.array_equal(bank.vectors, rows[2:3, place])
    words = "the last of 4 was taken" if position is None else f"position {place} of 4 was taken, as given"
    assert words in bank.record.note and ("[positions, layers" in bank.record.note) == turned


def test_what_is_no_table_of_layers_and_positions_is_refused(take):
    assert "the shape [4, 3, 8], and no dimension matches the model's 6 blocks" in refusal(
        take, table(4, 3), source=2, rows="layers"
    )
    assert "must be [vectors, hidden size]" in refusal(take, table(BLOCKS, 4), source=2, rows="vectors")
    told = refusal(take, table(BLOCKS, 4), source=2, rows="layers", position=4)
    assert told.startswith("position: there is no position 4. The file has 4: choose 0 to 3")
    assert "the shape [2, 3, 4, 8]" in refusal(take, table(2, 3, 4), source=2)


def test_the_hidden_states_as_a_model_gives_them_are_read(take):
    rows = table(BLOCKS + 1, 5)
    states = tuple(torch.from_numpy(layer[None]) for layer in rows)  # [batch, positions, d] for each layer
    bank = take(states, source=4, rows="layers")
    assert bank.record.source == 3 and np.array_equal(bank.vectors, rows[4:5, -1])


# --- a row, a dict, a list -------------------------------------------------------------------------------------------

ROW = table(1)[0]
OTHER = table(1, 1)[0, 0]


@pytest.mark.parametrize(
    "value",
    [
        torch.from_numpy(ROW),
        torch.nn.Parameter(torch.from_numpy(ROW)),
        ROW,
        ROW[None, None],
        {"direction": torch.from_numpy(ROW), "coefficient": 4.0},
        {"vectors": ROW[None], "losses": torch.ones(30), "ids": torch.arange(3)},
        {"vector": torch.from_numpy(ROW).requires_grad_(), "name": "happy"},
        {"mean_diff": ROW[None], "layers": [3], "scores": [0.5, 0.25]},
        [torch.from_numpy(ROW)],
        ROW.tolist(),
    ],
    ids=str,
)
def test_a_single_row_is_one_vector(take, value):
    bank = take(value, source=3)
    assert np.array_equal(bank.vectors, ROW[None]) and bank.record.source == 3


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16, torch.float64])
def test_a_row_of_any_floats_is_read(take, kind):
    row = torch.from_numpy(ROW).to(kind)
    assert np.array_equal(take(row, source=3).vectors[0], row.float().numpy())
    assert np.array_equal(take({3: row}).vectors[0], row.float().numpy())


def test_a_single_row_in_safetensors_is_one_vector(take):
    assert np.array_equal(take({"v": ROW}, "x.safetensors", source=3).vectors, ROW[None])
    bank = take({"v": ROW[None], "ids": np.arange(3)}, "x.safetensors", source=3)
    assert "Not read from the file: “ids”" in bank.record.note


def test_the_weights_of_a_model_are_refused_before_they_are_read(take, tmp_path):
    weights = {f"model.layers.{k}.mlp.weight": np.ones((1000, 1000), np.float32) for k in range(2)}
    save_file(weights, tmp_path / "model.safetensors")
    given = Given("model.safetensors", (tmp_path / "model.safetensors").read_bytes())
    tracemalloc.start()
    try:
        with pytest.raises(InputError, match="no tensor “vectors”, but 2 others with two dimensions"):
            OURS.read(given)
        assert tracemalloc.get_traced_memory()[1] < 1.2 * len(given.data)  # what it is read from, and no tensor
    finally:
        tracemalloc.stop()


BY_LAYER = {
    "int": {2: ROW, 4: OTHER},
    "str": {"2": ROW, "4": OTHER},
    "numpy ints": {np.int64(2): ROW, np.int64(4): OTHER},
    "layer_": {"layer_2": ROW, "layer_4": OTHER},
    "model.layers": {"model.layers.2": ROW, "model.layers.4": OTHER},
    "resid_post": {"blocks.2.hook_resid_post": ROW, "blocks.4.hook_resid_post": OTHER},
    "tables of one row": {2: ROW[None], 4: OTHER[None]},
    "in a dict": {"directions": {2: ROW, 4: OTHER}, "model_type": "llama"},
    "steering-vectors": {"layer_activations": {2: ROW, 4: OTHER}, "layer_type": "decoder_block"},
    "a layer of zeros": {0: np.zeros(WIDTH, np.float32), 2: ROW, 4: OTHER},
}


@pytest.mark.parametrize("kind", BY_LAYER)
@pytest.mark.parametrize("tensors", [False, True])
def test_a_row_for_each_layer_is_read_by_its_name(take, kind, tensors):
    def torched(value):
        if isinstance(value, dict):
            return {key: torched(one) for key, one in value.items()}
        return torch.from_numpy(value) if isinstance(value, np.ndarray) else value

    value = torched(BY_LAYER[kind]) if tensors else BY_LAYER[kind]
    bank = take(value, source=4)
    assert bank.record.source == 4 and np.array_equal(bank.vectors, OTHER[None])
    assert ("assumption" in bank.record.note) == (kind not in ("resid_post", "steering-vectors"))
    assert "each of the layers 2, 4, and a bank has one source layer" in refusal(take, value)


@pytest.mark.parametrize("names", [("2", "4"), ("layers.2", "layers.4"), ("layer_2", "layer_4")])
def test_a_tensor_for_each_layer_in_safetensors_is_read_by_its_name(take, names):
    bank = take(dict(zip(names, (ROW, OTHER[None]), strict=True)), "x.safetensors", source=4)
    assert bank.record.source == 4 and np.array_equal(bank.vectors, OTHER[None])


def test_a_file_of_one_layer_says_it(take):
    assert take({3: torch.from_numpy(ROW)}).record.source == 3
    assert take({"vector": torch.from_numpy(ROW), "layer": 3}).record.source == 3
    assert take({"hidden_states.3": torch.from_numpy(ROW)}).record.source == 2
    assert take({"blocks.3.hook_resid_pre": torch.from_numpy(ROW)}).record.source == 2
    assert take({3: torch.from_numpy(ROW)}, counted="input").record.source == 2
    assert "holds nothing for layer 4. Choose from 3" in refusal(take, {3: torch.from_numpy(ROW)}, source=4)


@pytest.mark.parametrize("first", [0, 1])
def test_layers_up_to_the_number_of_blocks_are_hidden_states(take, first):
    rows = table(BLOCKS + 1)
    bank = take({k: torch.from_numpy(rows[k]) for k in range(first, BLOCKS + 1)}, source=3)
    assert bank.record.source == 2 and np.array_equal(bank.vectors, rows[3:4])
    assert "layer k was taken as the output of block k − 1" in bank.record.note
    bank = take({k: torch.from_numpy(rows[k]) for k in range(BLOCKS)}, source=3)
    assert bank.record.source == 3 and np.array_equal(bank.vectors, rows[3:4])


def test_layers_are_counted_from_the_end_below_0(take):
    rows = {-k: torch.from_numpy(table(BLOCKS + 1)[-k]) for k in range(1, BLOCKS + 1)}
    bank = take(rows, source=-2)
    assert bank.record.source == BLOCKS - 2 and np.array_equal(bank.vectors[0], rows[-2].numpy())
    assert refusal(take, rows, source=-2, blocks=None).startswith("model: the file counts layers from the end")


def test_several_rows_for_a_layer_are_asked_about(take):
    value = {2: torch.from_numpy(table(3)), 4: torch.from_numpy(table(3))}
    told = refusal(take, value, source=4)
    assert told.startswith("rows: the file holds up to 3 rows for a layer") and "--position" in told
    assert np.array_equal(take(value, source=4, rows="vectors").vectors, table(3))
    assert np.array_equal(take(value, source=4, rows="layers").vectors, table(3)[-1:])
    assert np.array_equal(take(value, source=4, rows="layers", position=0).vectors, table(3)[:1])


@pytest.mark.parametrize(
    ("value", "sentence"),
    [
        ({2: ROW, "2": OTHER}, "bank file: it holds layer 2 twice"),
        ({2: ROW, 4: OTHER[:-1]}, "bank file: its rows have different lengths"),
        ({"layer_activations": {2: ROW}, "layer_type": "mlp"}, "bank file: its vectors are for the layer_type “mlp”"),
        ({"blocks.2.hook_mlp_out": ROW, "blocks.4.hook_mlp_out": ROW}, "bank file: it has no tensor “vectors”, but 2"),
        ({"lr": 3, "name": "x"}, "bank file: it holds a dict without vectors (“lr”, “name”)"),
        ({2: np.zeros(WIDTH, np.float32)}, "bank file: all its rows are zeros"),
        ({2: torch.arange(8)}, "bank file: layer 2: its tensor is of type int64"),
        ([ROW, OTHER[:-1]], "bank file: it holds a list of tensors of different shapes"),
        (3.0, "bank file: it holds a single number instead of vectors"),
        ("vectors", "bank file: it holds a str instead of vectors"),
        ([], "bank file: it holds a list of entries other than rows"),
    ],
    ids=str,
)
def test_what_means_nothing_is_refused(take, value, sentence):
    assert refusal(take, value, source=2).startswith(sentence)


@pytest.mark.parametrize(
    ("name", "layer"),
    [
        (13, (13, None)), ("13", (13, None)), ("layer_13", (13, None)), ("Layer 13", (13, None)), ("L13", (13, None)),
        ("transformer.h.13", (13, None)), ("model.layers.13", (13, None)), ("blocks.13", (13, None)),
        ("direction.13", (13, None)), ("-3", (-3, None)), ("layer-13", (13, None)), ("hidden_state_13", (13, "input")),
        ("blocks.13.hook_resid_pre", (13, "input")), ("blocks.13.hook_resid_post", (13, "output")),
        ("model.layers.13.mlp", None), ("blocks.13.hook_attn_out", None), ("vectors", None), ("v2", None), ("", None),
        (True, None), (13.0, None), ("layer_13_14", None), (10**6, None), (None, None), ("1٣", None),
    ],
)  # fmt: skip
def test_the_names_of_layers(name, layer):
    assert layer_of(name) == layer


# --- names that look like DCT's --------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["vectors_R_9.pt", "vectors_U_9.pt", "vectors_V_9.pt", "R_x.pt", "run_V.pt"])
@pytest.mark.parametrize("count", [1, 3, WIDTH])
def test_ordinary_rows_are_read_whatever_their_file_is_called(take, name, count):
    bank = take(torch.from_numpy(3 * table(count)), name, source=2)
    assert np.array_equal(bank.vectors, 3 * table(count)) and bank.record.source == 2


def test_rows_of_length_1_and_a_dict_are_read_from_such_names_too(take):
    rows = table(3) / np.linalg.norm(table(3), axis=1, keepdims=True)
    assert np.array_equal(take(rows, "vectors_U_9.pt", source=2).vectors, rows)
    assert np.array_equal(take({4: ROW}, "vectors_R_9.pt").vectors, ROW[None])


def test_the_files_of_dct_are_known_by_what_is_in_them(take, tmp_path):
    columns = (table(3) / np.linalg.norm(table(3), axis=1, keepdims=True)).T
    torch.save(torch.from_numpy(3 * table(5)), tmp_path / "run_R.pt")
    told = refusal(take, torch.from_numpy(columns), "run_V.pt", source=2)
    assert told.startswith("R: the file holds directions and no R")  # rows of that name are no R
    for value in (8.5, torch.tensor(8.5), np.float64(8.5)):
        torch.save(value, tmp_path / "run_R.pt")
        bank = take(torch.from_numpy(columns), "run_V.pt", source=2)
        assert bank.record.source == 1 and bank.record.radius == pytest.approx(8.5)
        assert "belongs to a V file" in refusal(take, value, "run_R.pt", source=2)
    for kind in (torch.float16, torch.bfloat16):
        assert take(torch.from_numpy(columns).to(kind), "run_V.pt", source=2).record.source == 1


def test_files_that_do_not_belong_together_are_not_dropped_in_silence(tmp_path):
    for name in ("a_V.pt", "a_R.pt"):
        torch.save(torch.from_numpy(3 * table(3)), tmp_path / name)
    banks = Banks(tmp_path / "own", tmp_path / "samples")
    with pytest.raises(InputError, match="“a_V.pt” is read as published MELBO, which is a single file"):
        banks.import_file(
            tmp_path / "a_V.pt",
            name=None,
            hints=ImportHints(model="tiny", source=2),
            beside=[tmp_path / "a_R.pt"],
        )


# --- svec ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le-with-mark", "utf-32"])
@pytest.mark.parametrize("name", ["x.svec", "x.json"])
def test_a_svec_file_is_read_by_its_byte_order_mark(take, encoding, name):
    text = json.dumps({"model_type": "été", "directions": {"2": ROW.tolist()}}, ensure_ascii=False)
    data = b"\xff\xfe" + text.encode("utf-16-le") if encoding.endswith("mark") else text.encode(encoding)
    bank = take(data, name)
    assert bank.record.source == 2 and np.array_equal(bank.vectors, ROW[None]) and "“été”" in bank.record.note


@pytest.mark.parametrize("directions", [{"2": ROW.tolist(), "4": OTHER.tolist()}, {"layer_4": OTHER.tolist()}])
def test_json_with_a_list_for_each_layer_alone_is_read(take, directions):
    bank = take(json.dumps(directions).encode(), "x.json", source=4)
    assert bank.record.source == 4 and np.array_equal(bank.vectors, OTHER[None])


def test_the_question_is_the_same_for_our_own_file_as_for_r(take, tmp_path):
    own = take(torch.from_numpy(table(3)), source=2).to_bytes()
    Path(tmp_path / "own.safetensors").write_bytes(own)
    assert "the file is one of ours" in refusal(take, own, "own.safetensors", rows="vectors")
    assert "the file is one of ours" in refusal(take, own, "own.safetensors", position=0)
