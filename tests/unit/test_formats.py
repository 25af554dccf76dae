"""Every format there and back: each is checked against the other party's own reader or writer, and steers the same."""

import errno
import io
import json
import os
import shlex
import sys
import types
import zipfile
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
import torch
from gguf import GGMLQuantizationType, GGUFReader, GGUFWriter
from safetensors.numpy import load
from tiny_models import BLOCKS, WIDTH, blocks_of, tiny

from melbo_app.engine.model import LanguageModel
from melbo_app.errors import InputError, StorageError
from melbo_app.library.bank import Bank, BankRecord, EffectRecord, ImportHints, PromptRecord
from melbo_app.library.banks import Banks
from melbo_app.library.formats import card, gguf
from melbo_app.library.formats.format import Given, Parcel
from melbo_app.library.formats.known import DCT, FORMATS, GGUF, MELBO, OURS, SNIPPET, SVEC, format_of
from melbo_app.library.label import Label

DAY = datetime(2026, 11, 21, tzinfo=UTC)
SOURCE, RADIUS = 2, 6.0
HINTS = ImportHints(model="tiny", model_hash="ab" * 32, hidden_size=WIDTH, blocks=BLOCKS, median_norm=50.0)
GOLDEN = Path(__file__).parent / "golden"
# Made by repeng 0.4.0: ControlVector("llama", {2: row}).export_gguf(…) with the first of these rows, and the same with
# the other three for the layers 1, 2 and 3.
GOLDEN_ROWS = np.random.default_rng(11).normal(size=(4, WIDTH)).astype(np.float32)


def rows(count: int = 3) -> np.ndarray:
    found = np.random.default_rng(5).normal(size=(count, WIDTH))
    return (RADIUS * found / np.linalg.norm(found, axis=1, keepdims=True)).astype(np.float32)


def bank(count: int = 3, **facts) -> Bank:
    said = {"model": "tiny", "model_hash": "ab" * 32, "source": SOURCE, "radius": RADIUS, "method": "joint"}
    said |= {"name": "first", "hidden_size": WIDTH, "created": DAY}
    directions = np.linalg.qr(np.random.default_rng(6).normal(size=(WIDTH, count)))[0].T
    return Bank(BankRecord(**(said | facts)), rows(count), directions.astype(np.float32))


@pytest.fixture
def banks(tmp_path) -> Banks:
    found = Banks(tmp_path / "own", tmp_path / "samples")
    found.save(bank())
    return found


@pytest.fixture(scope="module")
def lm() -> LanguageModel:
    return tiny("llama")


def logits(lm: LanguageModel, block: int, theta, *, at_input: bool = False) -> torch.Tensor:
    """Logits with ``theta`` added to the output, or to the input, of a block: a hook of this file's own."""
    theta = torch.as_tensor(np.array(theta, dtype=np.float32))
    module = blocks_of(lm, "llama")[block]

    def after(_module, _args, output):
        return output + theta if isinstance(output, torch.Tensor) else (output[0] + theta, *output[1:])

    def before(_module, args, kwargs):
        return (args[0] + theta, *args[1:]), kwargs

    hook = (
        module.register_forward_pre_hook(before, with_kwargs=True) if at_input else module.register_forward_hook(after)
    )
    try:
        with torch.no_grad():
            return lm.model(torch.tensor([[5, 9, 20, 31, 7]]), use_cache=False).logits
    finally:
        hook.remove()


# --- there and back --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("format", "ending", "vector", "source"),
    [
        (OURS, ".safetensors", None, None),
        (MELBO, ".pt", None, SOURCE),
        (DCT, ".zip", None, SOURCE + 1),  # DCT names the block at whose input it was trained
        (GGUF, ".gguf", 1, None),
        (SVEC, ".svec", 1, None),
    ],
    ids=lambda value: getattr(value, "key", None),
)
def test_a_bank_that_went_out_and_came_back_steers_the_same(banks, lm, tmp_path, format, ending, vector, source):
    whole = banks.load("first")
    chosen = None if vector is None else card.single(whole, vector)
    out = banks.export_file("first", tmp_path / f"out{ending}", format=format.key, chosen=chosen)
    if format is DCT:
        zipfile.ZipFile(out).extractall(tmp_path)
        assert sorted(path.name for path in tmp_path.glob("*.pt")) == ["out_R.pt", "out_U.pt", "out_V.pt"]
        out = tmp_path / "out_V.pt"
    hints = ImportHints(**(HINTS.__dict__ | {"source": source}))
    again = banks.import_file(out, name="again", hints=hints)
    assert again.record.source == SOURCE and again.record.radius == pytest.approx(RADIUS, rel=1e-6)
    for index, theta in enumerate((chosen or whole).vectors):
        before = logits(lm, SOURCE, theta)
        assert torch.allclose(logits(lm, again.record.source, again.vectors[index]), before, rtol=0, atol=1e-5)
        for other in (SOURCE - 1, SOURCE + 1):  # a convention that is off by one would be seen
            assert (logits(lm, other, theta) - before).abs().max() > 0.05
    if format is DCT:
        assert np.allclose(again.output_directions, whole.output_directions)


def saved(value) -> bytes:
    stream = io.BytesIO()
    torch.save(value, stream)
    return stream.getvalue()


def test_every_format_that_is_read_is_recognised_in_what_it_writes():
    for format in FORMATS:
        if format.read and format is not DCT:
            data = format.write(Parcel(card.single(bank(), 0), "x"))
            assert format_of(Given("x" + format.writes[0], data)) is format
    columns = saved(torch.eye(WIDTH)[:, :3])
    assert format_of(Given("run_3_V.pt", columns)) is DCT and format_of(Given("V_deepseek_16.pt", columns)) is DCT
    assert format_of(Given("header of 123 bytes.safetensors", b"{" + bytes(7))) is OURS
    assert format_of(Given("any.name", b"GGUF\3\0\0\0")) is GGUF
    assert format_of(Given("Valid.pt", b"PK\3\4")) is MELBO


# --- GGUF ------------------------------------------------------------------------------------------------------------


def test_the_gguf_package_reads_our_control_vector(tmp_path):
    path = tmp_path / "x.gguf"
    path.write_bytes(gguf.write(Parcel(card.single(bank(), 1), "x")))
    reader = GGUFReader(path)
    told = {key: field.contents() for key, field in reader.fields.items()}
    assert told["general.architecture"] == "controlvector" and told["controlvector.layer_count"] == 1
    assert told["controlvector.model_hint"] == told["general.base_model.0.name"] == "tiny"
    [tensor] = reader.tensors
    assert tensor.name == f"direction.{SOURCE}" and tensor.tensor_type == GGMLQuantizationType.F32
    assert tensor.data.shape == (WIDTH,) and np.array_equal(tensor.data, rows()[1])


def control_vector(path: Path, layers: dict[int, np.ndarray], **pairs: str) -> Path:
    """A control vector as llama.cpp's generator writes it: INT32, a tensor for every layer but the first."""
    writer = GGUFWriter(path, "controlvector")
    writer.add_string("controlvector.model_hint", "qwen2")
    writer.add_int32("controlvector.layer_count", len(layers))
    for key, value in pairs.items():
        writer.add_string(key.replace("__", "."), value)
    for layer, row in layers.items():
        writer.add_tensor(f"direction.{layer}", row)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def test_a_control_vector_of_repeng_is_read_as_repeng_wrote_it(banks):
    read = banks.import_file(GOLDEN / "repeng-one-layer.gguf", name="one", hints=HINTS)
    assert read.record.source == 2 and np.array_equal(read.vectors, GOLDEN_ROWS[:1])
    assert "for the model “llama”" in read.record.note and "The layer is 2, as the file says" in read.record.note
    hints = ImportHints(**(HINTS.__dict__ | {"source": 3}))
    read = banks.import_file(GOLDEN / "repeng-three-layers.gguf", name="three", hints=hints)
    assert read.record.source == 3 and np.array_equal(read.vectors, GOLDEN_ROWS[3:])
    assert "taken as the output of block 3" in read.record.note


def test_a_file_of_several_layers_asks_for_one(banks):
    for source, sentence in {
        None: "each of the layers 1, 2, 3, and a bank has one source layer. Choose",
        7: "holds nothing for la",
    }.items():
        hints = ImportHints(**(HINTS.__dict__ | {"source": source}))
        with pytest.raises(InputError, match=f"^source layer: .*{sentence}"):
            banks.import_file(GOLDEN / "repeng-three-layers.gguf", name="three", hints=hints)


def test_layers_of_zeros_are_layers_that_are_not_steered(banks, tmp_path):
    layers = {layer: np.zeros(WIDTH, np.float32) for layer in range(1, BLOCKS)} | {3: rows()[0]}
    read = banks.import_file(control_vector(tmp_path / "x.gguf", layers), name="x", hints=HINTS)
    assert read.record.source == 3 and np.array_equal(read.vectors, rows()[:1])


@pytest.mark.parametrize(
    ("layers", "pairs", "sentence"),
    [
        ({2: rows()[0]}, {"dspark__mode": "project"}, "dspark.mode = project: it is not meant to be added"),
        ({2: rows()[0]}, {"glp__mode": "reflect"}, "glp.mode = reflect"),
        ({2: rows()[0]}, {"glp__hook_point": "ffn_out_pre_residual"}, "hook_point = ffn_out_pre_residual"),
        ({0: rows()[0], 1: rows()[1]}, {}, "direction.0, which llama.cpp refuses"),
        ({1: rows()[0], 2: rows()[1][:-1]}, {}, "different lengths"),
        ({1: rows()[0].astype(np.float16)}, {}, "direction.1” is not one row of float32"),
        ({1: rows()}, {}, "direction.1” is not one row of float32"),
        ({"1.weight": rows()[0]}, {}, "“direction.1.weight” is not the direction of a layer"),
        ({1: np.zeros(WIDTH, np.float32)}, {}, "holds no direction"),
        ({1: np.full(WIDTH, np.nan, np.float32)}, {}, "row 0 holds NaN"),
    ],
)
def test_a_control_vector_that_means_something_else_is_refused(banks, tmp_path, layers, pairs, sentence):
    path = control_vector(tmp_path / "x.gguf", layers, **pairs)
    with pytest.raises(InputError, match=f"^bank file: .*{sentence}"):
        banks.import_file(path, name="x", hints=HINTS)


def test_a_vector_that_says_it_is_added_is_taken(banks, tmp_path):
    pairs = {"glp__mode": "add", "glp__hook_point": "residual_stream_post_layer"}
    path = control_vector(tmp_path / "x.gguf", {1: rows()[0]}, **pairs)
    assert banks.import_file(path, name="x", hints=HINTS).record.source == 1


def test_a_gguf_file_of_a_model_is_no_bank(banks, tmp_path):
    writer = GGUFWriter(tmp_path / "model.gguf", "llama")
    writer.add_tensor("token_embd.weight", rows())
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    with pytest.raises(InputError, match="its architecture is llama, not controlvector"):
        banks.import_file(tmp_path / "model.gguf", name="x", hints=HINTS)


def test_what_is_published_does_not_say_where_the_model_lies_on_this_machine():
    for model, name in {
        "/home/ada/secret/tiny.gguf": "tiny.gguf",
        "C:\\ada\\tiny": "tiny",
        "owner/name": "owner/name",
    }.items():
        parcel = Parcel(card.single(bank(model=model), 0), "x")
        for data in (*(format.write(parcel) for format in (GGUF, SVEC, SNIPPET)), card.files(parcel)["README.md"]):
            assert name.encode() in data and b"ada" not in data


@pytest.mark.parametrize("format", [GGUF, SVEC, SNIPPET])
def test_what_holds_one_vector_is_not_made_of_several(format):
    with pytest.raises(InputError, match="^vector: .* holds one.*, not 3. Choose one"):
        format.write(Parcel(bank(), "x"))


def test_the_first_block_cannot_be_said_in_a_control_vector():
    with pytest.raises(InputError, match="^source layer: llama.cpp cannot add a vector to the output of block 0"):
        gguf.write(Parcel(card.single(bank(source=0), 0), "x"))


def test_the_command_for_llama_is_one_line_whatever_the_prompt_is():
    line = gguf.command("my file.gguf", "/models/it's.gguf", "What's up?")
    words = ["llama-cli", "-m", "/models/it's.gguf", "--control-vector", "my file.gguf", "--temp", "0"]
    assert shlex.split(line) == [*words, "-p", "What's up?"]
    assert shlex.split(gguf.command("x.gguf", "owner/name", "two\nlines")) == [
        "llama-cli", "-m", "MODEL.gguf", "--control-vector", "x.gguf", "--temp", "0",
    ]  # fmt: skip


# --- DCT -------------------------------------------------------------------------------------------------------------


def published_dct(folder: Path, extra: int = 0) -> torch.Tensor:
    """The three files as the published script saves them: torch.save of V, U and R."""
    generator = torch.Generator().manual_seed(3)
    V, U = (
        torch.nn.functional.normalize(torch.randn(WIDTH, columns, generator=generator), dim=0)
        for columns in (5, 5 + extra)
    )
    for letter, value in {"V": torch.nn.Parameter(V), "U": torch.nn.Parameter(U), "R": 8.80906775924564}.items():
        torch.save(value, folder / f"run_exponential_0_{letter}.pt")
    return V


def test_dct_is_read_as_columns_of_norm_r_at_the_input_of_its_block(banks, lm, tmp_path):
    V = published_dct(tmp_path)
    hints = ImportHints(**(HINTS.__dict__ | {"source": 2}))
    read = banks.import_file(tmp_path / "run_exponential_0_V.pt", name="dct", hints=hints)
    assert read.record.source == 1 and read.vectors.shape == (5, WIDTH)
    assert read.record.radius == pytest.approx(8.80906775924564, rel=1e-6)
    for sentence in ("the input of block 2, which is the output of block 1", "That is an assumption", "It came with R"):
        assert sentence in read.record.note
    U = torch.load(tmp_path / "run_exponential_0_U.pt", weights_only=True)
    assert np.array_equal(read.output_directions, U.detach().numpy().T)
    theirs = logits(lm, 2, 8.80906775924564 * V[:, 3], at_input=True)
    assert torch.allclose(logits(lm, read.record.source, read.vectors[3]), theirs, rtol=0, atol=1e-5)


def test_dct_can_be_said_to_be_counted_by_output_and_to_have_another_r(banks, tmp_path):
    published_dct(tmp_path)
    hints = ImportHints(**(HINTS.__dict__ | {"source": 2, "counted": "output", "radius": 3.0}))
    read = banks.import_file(tmp_path / "run_exponential_0_V.pt", name="dct", hints=hints)
    assert read.record.source == 2 and np.allclose(np.linalg.norm(read.vectors, axis=1), 3)
    assert "counted as given: the output of block 2" in read.record.note and "assumption" not in read.record.note


def test_dct_files_from_different_folders_belong_together_when_they_are_given_together(banks, tmp_path):
    published_dct(tmp_path, extra=2)  # the linear method keeps all directions in U
    others = [tmp_path / "elsewhere" / f"run_exponential_0_{letter}.pt" for letter in "UR"]
    others[0].parent.mkdir()
    for path in others:
        (tmp_path / path.name).rename(path)
    path, hints = tmp_path / "run_exponential_0_V.pt", ImportHints(**(HINTS.__dict__ | {"source": 1}))
    with pytest.raises(InputError, match="^R: the file holds directions and no R. Give it with --radius"):
        banks.import_file(path, name="dct", hints=hints)
    read = banks.import_file(path, name="dct", hints=hints, beside=others)
    assert read.output_directions.shape == (5, WIDTH) and read.record.radius == pytest.approx(8.80906775924564)


def test_dct_says_what_is_wrong(banks, tmp_path):
    published_dct(tmp_path)
    hints = ImportHints(**(HINTS.__dict__ | {"source": 0}))
    with pytest.raises(InputError, match="Import “run_exponential_0_V.pt”, with this one beside it"):
        banks.import_file(tmp_path / "run_exponential_0_U.pt", name="dct", hints=hints)
    with pytest.raises(InputError, match="^source layer: the input of block 0 is not the output of any block"):
        banks.import_file(tmp_path / "run_exponential_0_V.pt", name="dct", hints=hints)
    renamed = (tmp_path / "run_exponential_0_V.pt").rename(tmp_path / "vectors.pt")
    with pytest.raises(InputError, match="It holds one vector per column: give its format as dct"):
        banks.import_file(renamed, name="dct", hints=ImportHints(**(HINTS.__dict__ | {"source": 1})))
    hints = ImportHints(**(HINTS.__dict__ | {"source": 1, "radius": 2.0}))
    assert len(banks.import_file(renamed, name="dct", hints=hints, format="dct").vectors) == 5
    for value, sentence in {
        (3.0,): "^bank file: it holds a list, not a bare number",
        -1.0: "^R: -1 in the R file cannot be used",
    }.items():
        torch.save(torch.eye(WIDTH), tmp_path / "again_V.pt")
        torch.save(value, tmp_path / "again_R.pt")
        with pytest.raises(InputError, match=sentence):
            banks.import_file(tmp_path / "again_V.pt", name="again", hints=hints)
    uneven = Bank(bank().record, rows() * np.array([[1], [2], [3]], np.float32))
    with pytest.raises(InputError, match="^R: the vectors' norms run from 6 to 18, and DCT has one R for all"):
        DCT.write(Parcel(uneven, "x"))


# --- svec, snippet ---------------------------------------------------------------------------------------------------


def test_a_svec_file_has_what_its_reader_asks_for():
    data = json.loads(SVEC.write(Parcel(card.single(bank(), 1), "x")))
    assert data["model_type"] == "tiny"
    assert {int(key): np.array(row, np.float32).tolist() for key, row in data["directions"].items()} == {
        SOURCE: rows()[1].tolist()
    }
    assert {int(key) for key in data["explained_variances"]} == {SOURCE}


def svec(path: Path, directions, **more) -> Path:
    path.write_text(json.dumps({"model_type": "mistral", "directions": directions, **more}))
    return path


@pytest.mark.parametrize(("counted", "source"), [(None, 2), ("output", 2), ("input", 1)])
def test_a_svec_file_is_counted_as_was_said_and_shows_what_was_assumed(banks, tmp_path, counted, source):
    path = svec(tmp_path / "x.svec", {"2": rows()[0].tolist()}, explained_variances={"2": 0.5})
    read = banks.import_file(path, name="x", hints=ImportHints(**(HINTS.__dict__ | {"counted": counted})))
    assert read.record.source == source and np.array_equal(read.vectors, rows()[:1])
    assert "model of the type “mistral”" in read.record.note
    assert ("That is an assumption" in read.record.note) == (counted is None)


def test_one_row_in_a_list_stands_for_itself_and_several_are_refused(banks, tmp_path):
    path = svec(tmp_path / "x.svec", {"2": [rows()[0].tolist()]})
    assert np.array_equal(banks.import_file(path, name="x", hints=HINTS).vectors, rows()[:1])
    path = svec(tmp_path / "y.svec", {"2": rows().tolist()})
    with pytest.raises(InputError, match="layer 2 has 3 rows, for single tokens or heads"):
        banks.import_file(path, name="y", hints=HINTS)


@dataclass
class StandIn:
    """What the package steering-vectors has under this name: block numbers, counted from 0, with what is added."""

    layer_activations: dict[int, torch.Tensor]
    layer_type: str


def test_the_snippet_makes_a_steering_vector_of_the_same_numbers_and_layer(monkeypatch):
    module = types.ModuleType("steering_vectors")
    module.SteeringVector = StandIn
    monkeypatch.setitem(sys.modules, "steering_vectors", module)
    told: dict = {}
    hostile = bank(model='x\'\n"""\nraise SystemExit', name="a\nraise SystemExit")
    exec(SNIPPET.write(Parcel(card.single(hostile, 1), "a b")).decode(), told)
    assert told["vector"].layer_type == "decoder_block"
    [(layer, numbers)] = told["vector"].layer_activations.items()
    assert layer == SOURCE and numbers.tolist() == rows()[1].tolist()


# --- the folder ------------------------------------------------------------------------------------------------------


def labelled(**facts) -> Parcel:
    effect = EffectRecord(objective=[9.0, 8, 7], change=[1.5, 2.5, 3.5], agreement=None, runaway=[0, 0.25, 0])
    prompts = [PromptRecord(user="Tell me\n```\nthe <b>truth</b>", system="Be brief.")]
    whole = bank(objective=[1.25, 2.25, 3.25], effect=effect, prompts=prompts, model="owner/name", **facts)
    label = Label(bank="first", bank_hash=whole.hash, vector=1, name="pi|rate <script>", tags=("speech",), rating=4)
    return Parcel(whole, "first", {1: label.model_copy(update={"note": "says *arr*"})})


def test_the_model_card_says_what_the_vectors_are_and_how_to_use_them():
    text = card.files(labelled(target=3))["README.md"].decode()
    for part in (
        'base_model: "owner/name"',
        "added to the output of block 2, counted from 0, trained for the output of block 3",
        "| R | 6 |",
        "| vector | label | tags | rating | norm | J | change | runaway share |",
        r"| 1 | pi\|rate \<script\> | speech | 4 | 6 | 2.25 | 2.5 | 0.25 |",
        "````text\nTell me\n```\nthe <b>truth</b>\n````",
        r"vector 1: says \*arr\*",
        "llama-cli -m MODEL.gguf --control-vector first-0.gguf",
        labelled(target=3).bank.hash,
    ):
        assert part in text


def test_the_folder_holds_the_bank_and_each_vector_for_others(banks, tmp_path):
    out = banks.export_file("first", tmp_path / "published")
    names = [f"published-{vector}{ending}" for vector in range(3) for ending in (".gguf", ".py")]
    assert sorted(path.name for path in out.iterdir()) == sorted(["README.md", "published.safetensors", *names])
    assert Bank.from_bytes((out / "published.safetensors").read_bytes()).hash == bank().hash
    [tensor] = GGUFReader(out / "published-2.gguf").tensors
    assert np.array_equal(tensor.data, rows()[2])
    with pytest.raises(InputError, match="^file: .* already exists"):
        banks.export_file("first", out, overwrite=True)  # a folder may hold what nobody wants to lose
    packed = zipfile.ZipFile(io.BytesIO(banks.export_file("first", tmp_path / "published.zip").read_bytes()))
    assert {Path(name).name for name in packed.namelist()} == {path.name for path in out.iterdir()}
    assert np.array_equal(load(packed.read("published/published.safetensors"))["vectors"], rows())
    assert not list(tmp_path.glob(".*.part"))


@pytest.mark.parametrize("function", ["fsync", "rename"])
def test_a_folder_that_cannot_be_written_leaves_nothing(banks, tmp_path, monkeypatch, function):
    def no_space(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    before = sorted(tmp_path.rglob("*"))
    monkeypatch.setattr(os, function, no_space)
    with pytest.raises(StorageError, match="nothing was changed"):
        banks.export_file("first", tmp_path / "published")
    assert sorted(tmp_path.rglob("*")) == before


def test_a_bank_at_the_first_block_is_published_without_control_vectors():
    files = card.files(labelled(source=0))
    assert not [name for name in files if name.endswith(".gguf")]
    assert "llama.cpp cannot add a vector to the output of block 0" in files["README.md"].decode()


@pytest.mark.parametrize(
    ("out", "format", "sentence"),
    [
        (
            "x.csv",
            None,
            r"cannot be written as “x.csv”. Its name must end in .safetensors, .pt, .gguf, .svec, .py, .zip",
        ),
        ("x.pt", "gguf", r"cannot be written as “x.pt”. Its name must end in .gguf\."),
        ("x.pt", "csv", "^format: “csv” is not known. Choose one of safetensors, melbo"),
    ],
)
def test_an_export_needs_a_format_that_is_there(banks, tmp_path, out, format, sentence):
    with pytest.raises(InputError, match=sentence):
        banks.export_file("first", tmp_path / out, format=format)
    assert not (tmp_path / out).exists()
