"""Model specifications become files that can be loaded, or one sentence about what would be right."""

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections import namedtuple
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from gguf import GGMLQuantizationType, GGUFWriter
from gguf.quants import quantize
from huggingface_hub.errors import LocalEntryNotFoundError
from safetensors.numpy import load_file, save_file

from melbo_app.engine import gguf as engine_gguf
from melbo_app.engine.model import load
from melbo_app.errors import InputError, StorageError
from melbo_app.library import file_hashes, weights
from melbo_app.library.weights import cached, folder_hash, resolve
from melbo_app.sizes import size_text

ROOT = Path(__file__).resolve().parents[2]
HIDDEN, TOKENS = 32, 262
TEMPLATE = "{% for m in messages %}{{ m['content'] }}{% endfor %}"


def write_gguf(
    path: Path,
    architecture: str = "llama",
    without: str = "",
    parts: int = 0,
    value: float = 0.1,
    blocks: int = 1,
    also: Callable[[GGUFWriter], None] = lambda writer: None,
) -> Path:
    """A llama, of one block as a rule, with random weights: Q8_0 products, float32 norms and embeddings."""
    random = np.random.default_rng(0)
    writer = GGUFWriter(path, architecture)
    writer.add_context_length(64)
    writer.add_embedding_length(HIDDEN)
    writer.add_block_count(blocks)
    writer.add_feed_forward_length(64)
    writer.add_head_count(2)
    writer.add_head_count_kv(2)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_dimension_count(HIDDEN // 2)
    writer.add_vocab_size(TOKENS)
    if parts:
        writer.add_uint16("split.count", parts)
    # The 256 byte tokens in the alphabet of GPT-2, two merges, four special ones.
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    alphabet = [chr(byte) for byte in printable] + [chr(256 + n) for n in range(256 - len(printable))]
    writer.add_tokenizer_model("gpt2")
    writer.add_token_list([*alphabet, "he", "ll", "<s>", "</s>", "<|im_start|>", "<|im_end|>"])
    writer.add_token_merges(["h e", "l l"])
    writer.add_bos_token_id(258)
    writer.add_eos_token_id(259)
    writer.add_chat_template(TEMPLATE)
    also(writer)
    shapes: dict[str, tuple[int, int]] = {}
    for block in range(blocks):
        shapes |= {f"blk.{block}.attn_{part}.weight": (HIDDEN, HIDDEN) for part in ("q", "k", "v", "output")}
        shapes |= {f"blk.{block}.ffn_{part}.weight": (64, HIDDEN) for part in ("gate", "up")}
        shapes[f"blk.{block}.ffn_down.weight"] = (HIDDEN, 64)
    shapes["output.weight"] = (TOKENS, HIDDEN)
    for name, shape in shapes.items():
        if name != without:
            packed = quantize(random.normal(0, 0.1, shape).astype(np.float32), GGMLQuantizationType.Q8_0)
            writer.add_tensor(name, packed, raw_dtype=GGMLQuantizationType.Q8_0)
    norms = [f"blk.{block}.{part}_norm.weight" for block in range(blocks) for part in ("attn", "ffn")]
    for name in (*norms, "output_norm.weight"):
        writer.add_tensor(name, np.ones(HIDDEN, np.float32))
    writer.add_tensor("token_embd.weight", random.normal(0, value, (TOKENS, HIDDEN)).astype(np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


@pytest.fixture(scope="module")
def tiny_gguf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_gguf(tmp_path_factory.mktemp("gguf") / "tiny.gguf")


@pytest.fixture
def instant(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Conversion replaced by one that writes a file at once; the list holds the folders it was called with."""
    calls: list[Path] = []

    def write(gguf: Path, folder: Path) -> None:
        calls.append(folder)
        (folder / "config.json").write_text("{}")
        save_file({"weight": np.zeros(3, np.float32)}, folder / "model.safetensors")

    monkeypatch.setattr(engine_gguf, "dequantise", write)
    return calls


def model_folder(folder: Path, name: str = "model.safetensors", value: float = 0, named: bool = False) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "config.json").write_text(json.dumps({"transformers_weights": name} if named else {}))
    save_file({"weight": np.full(3, value, np.float32)}, folder / name)
    return folder


# ---- converting


def test_a_gguf_file_becomes_float32_safetensors_with_tokenizer_template_and_origin(tiny_gguf: Path, tmp_path: Path):
    lines: list[str] = []
    files = resolve(str(tiny_gguf), tmp_path, lines.append)
    folder = Path(files.path)
    tensors = load_file(folder / "model.safetensors")
    assert {tensor.dtype for tensor in tensors.values()} == {np.dtype(np.float32)}
    assert tensors["model.embed_tokens.weight"].shape == (TOKENS, HIDDEN)
    assert "quantization_config" not in json.loads((folder / "config.json").read_text())
    assert (folder / "tokenizer.json").is_file()
    assert (folder / "chat_template.jinja").read_text() == TEMPLATE
    record = json.loads((folder / "melbo.json").read_text())
    assert record["source_file"] == "tiny.gguf"
    assert record["source_sha256"] == files.weights_hash
    assert record["transformers"]
    assert record["created"]
    assert folder.parent == tmp_path / "models"
    assert folder.name == f"tiny-{files.weights_hash[:16]}"
    assert (files.name, files.is_hub) == ("tiny", False)
    assert any("Unpacking tiny" in line for line in lines)


def test_every_end_and_every_template_of_a_gguf_file_is_taken_along(tmp_path: Path):
    def say(writer: GGUFWriter) -> None:
        writer.add_eot_token_id(261)
        writer.add_uint32("tokenizer.ggml.eom_token_id", 260)
        writer.add_string("tokenizer.chat_template.tool_use", TEMPLATE + "!")

    files = resolve(str(write_gguf(tmp_path / "more.gguf", also=say)), tmp_path)
    lm = load(files.path, files.name, files.weights_hash, "cpu", "float32")
    assert lm.turn_end.tokens >= {259, 260, 261}
    assert lm.tokenizer.chat_template == {"default": TEMPLATE, "tool_use": TEMPLATE + "!"}


def test_a_gguf_file_is_converted_once_under_whatever_name_it_comes(
    tiny_gguf: Path, tmp_path: Path, instant: list[Path]
):
    first = resolve(str(tiny_gguf), tmp_path)
    copy = shutil.copy(tiny_gguf, tmp_path / "Another name.GGUF")
    second = resolve(str(copy), tmp_path)
    assert len(instant) == 1
    assert second.path == first.path
    assert second.weights_hash == first.weights_hash


def test_what_is_cached_is_listed_and_its_spec_gives_it_again(tiny_gguf: Path, tmp_path: Path, instant: list[Path]):
    assert cached(tmp_path) == []
    files = resolve(str(tiny_gguf), tmp_path)
    (listed,) = cached(tmp_path)
    again = resolve(listed.spec, tmp_path)
    assert (listed.name, listed.path, listed.weights_hash) == (files.name, files.path, files.weights_hash)
    assert (again.name, again.path, again.weights_hash) == (files.name, files.path, files.weights_hash)


def test_a_cached_model_that_lost_a_file_is_made_again(tiny_gguf: Path, tmp_path: Path, instant: list[Path]):
    files = resolve(str(tiny_gguf), tmp_path)
    os.truncate(Path(files.path) / "model.safetensors", 4)
    assert cached(tmp_path) == []
    resolve(str(tiny_gguf), tmp_path)
    assert len(instant) == 2
    assert len(cached(tmp_path)) == 1


KILLED = """
import os, signal, sys
from pathlib import Path
from melbo_app.library import weights

def half(source, folder, stop):
    (folder / "config.json").write_text("{}")
    (folder / "model.safetensors").write_bytes(b"half of it")
    os.kill(os.getpid(), signal.SIGKILL)

weights.unpack = half
weights.resolve(sys.argv[1], Path(sys.argv[2]))
"""


def test_a_conversion_killed_in_the_middle_leaves_nothing_that_is_used(
    tiny_gguf: Path, tmp_path: Path, instant: list[Path]
):
    command = [sys.executable, "-c", KILLED, str(tiny_gguf), str(tmp_path)]
    assert subprocess.run(command, cwd=ROOT).returncode == -signal.SIGKILL
    assert [path.name for path in (tmp_path / "models").iterdir() if path.is_dir()] != []
    assert cached(tmp_path) == []
    files = resolve(str(tiny_gguf), tmp_path)
    assert [path for path in (tmp_path / "models").iterdir() if path.is_dir()] == [Path(files.path)]


def test_two_conversions_at_once_make_one_model(tiny_gguf: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    begun, go_on, calls, lines, results = threading.Event(), threading.Event(), [], [], []

    def slow(gguf: Path, folder: Path) -> None:
        calls.append(folder)
        begun.set()
        assert go_on.wait(20)
        model_folder(folder)

    monkeypatch.setattr(engine_gguf, "dequantise", slow)

    def said(line: str) -> None:
        lines.append(line)
        if line.startswith("Waiting"):
            go_on.set()

    first = threading.Thread(target=lambda: results.append(resolve(str(tiny_gguf), tmp_path)))
    first.start()
    assert begun.wait(20)
    second = threading.Thread(target=lambda: results.append(resolve(str(tiny_gguf), tmp_path, said)))
    second.start()
    first.join(20)
    second.join(20)
    assert len(calls) == 1
    assert results[0] == results[1]
    assert any(line.startswith("Waiting") for line in lines)


# ---- files that cannot be converted


def refused(spec: str, cache_dir: Path) -> str:
    with pytest.raises(InputError) as caught:
        resolve(spec, cache_dir)
    assert caught.value.field == "model"
    folders = [path for path in (cache_dir / "models").glob("*") if path.is_dir()]
    assert folders == [], "a refused model leaves no folder behind"
    return str(caught.value)


@pytest.mark.parametrize("share", [0.0, 0.0001, 0.01, 0.1, 0.5, 0.99])
def test_a_truncated_gguf_file_is_refused(tiny_gguf: Path, tmp_path: Path, share: float):
    data = tiny_gguf.read_bytes()
    cut = tmp_path / "cut.gguf"
    cut.write_bytes(data[: int(len(data) * share)])
    assert "cut.gguf is not a complete GGUF file" in refused(str(cut), tmp_path)


def test_a_file_that_is_no_gguf_is_refused(tmp_path: Path):
    (tmp_path / "text.gguf").write_text("This is not a model, it is a sentence that is long enough.")
    assert "does not begin with GGUF" in refused(str(tmp_path / "text.gguf"), tmp_path)


@pytest.mark.parametrize("position", [8, 16])
def test_a_header_that_announces_more_than_the_file_has_is_refused_at_once(
    tiny_gguf: Path, tmp_path: Path, position: int
):
    data = bytearray(tiny_gguf.read_bytes())
    data[position : position + 8] = (2**62).to_bytes(8, "little")
    (tmp_path / "huge.gguf").write_bytes(data)
    assert "is not a complete GGUF file" in refused(str(tmp_path / "huge.gguf"), tmp_path)


def test_an_array_without_end_is_refused_at_once(tmp_path: Path):
    # One key "a" that holds 2**60 bytes: a reader that trusts the count never returns.
    header = b"GGUF" + (3).to_bytes(4, "little") + bytes(8) + (1).to_bytes(8, "little")
    pair = (1).to_bytes(8, "little") + b"a" + (9).to_bytes(4, "little") + bytes(4) + (2**60).to_bytes(8, "little")
    (tmp_path / "endless.gguf").write_bytes(header + pair)
    assert "it ends too early" in refused(str(tmp_path / "endless.gguf"), tmp_path)


def test_an_unsupported_architecture_is_named(tmp_path: Path):
    path = write_gguf(tmp_path / "odd.gguf", architecture="steam-engine")
    message = refused(str(path), tmp_path)
    assert "odd.gguf (architecture steam-engine) cannot be loaded" in message
    assert "Choose a causal language model" in message


def test_a_file_that_lacks_a_tensor_is_not_filled_with_random_weights(tmp_path: Path):
    path = write_gguf(tmp_path / "lacking.gguf", without="blk.0.ffn_up.weight")
    assert "it lacks model.layers.0.mlp.up_proj.weight" in refused(str(path), tmp_path)


def test_weights_that_give_no_finite_logits_are_refused(tmp_path: Path):
    path = write_gguf(tmp_path / "broken.gguf", value=float("nan"))
    assert "not finite" in refused(str(path), tmp_path)


def test_a_model_in_several_parts_is_refused_with_the_way_to_join_them(tmp_path: Path):
    path = write_gguf(tmp_path / "part.gguf", parts=3)
    message = refused(str(path), tmp_path)
    assert "one of 3 parts" in message
    assert "--merge" in message


def test_a_model_larger_than_the_free_memory_is_refused_with_both_numbers(
    tiny_gguf: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    memory = namedtuple("memory", "available")
    monkeypatch.setattr(engine_gguf.psutil, "virtual_memory", lambda: memory(1000))
    message = refused(str(tiny_gguf), tmp_path)
    assert "bytes of memory" in message
    assert "1,000 are free" in message


def test_a_disk_without_room_is_refused_beforehand_with_the_bytes_needed(
    tiny_gguf: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, instant: list[Path]
):
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(weights.shutil, "disk_usage", lambda path: usage(10, 9, 1))
    needed = engine_gguf.read_header(tiny_gguf).size + weights.ROOM_FOR_TOKENIZER
    with pytest.raises(StorageError, match=rf" needs {size_text(needed)}, but only 0 bytes are available "):
        resolve(str(tiny_gguf), tmp_path)
    assert instant == []
    assert cached(tmp_path) == []


def test_a_disk_that_fills_up_during_the_conversion_leaves_nothing_behind(
    tiny_gguf: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    def full(gguf: Path, folder: Path) -> None:
        (folder / "model.safetensors").write_bytes(b"half of it")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(engine_gguf, "dequantise", full)
    with pytest.raises(StorageError, match="No space left on device"):
        resolve(str(tiny_gguf), tmp_path)
    assert [path for path in (tmp_path / "models").iterdir() if path.is_dir()] == []


def test_the_header_gives_architecture_and_parameters_without_loading(tiny_gguf: Path):
    header = engine_gguf.read_header(tiny_gguf)
    assert header.architecture == "llama"
    assert header.parameters == 2 * TOKENS * HIDDEN + 4 * HIDDEN**2 + 3 * 64 * HIDDEN + 3 * HIDDEN
    assert header.size == 4 * header.parameters
    assert header.parts == 1


# ---- folders


def test_a_folder_of_safetensors_is_known_by_the_content_of_its_weights(tmp_path: Path):
    one = resolve(str(model_folder(tmp_path / "one")), tmp_path)
    same = resolve(str(model_folder(tmp_path / "same")), tmp_path)
    other = resolve(str(model_folder(tmp_path / "other", value=1)), tmp_path)
    renamed = resolve(str(model_folder(tmp_path / "renamed", name="weights.safetensors", named=True)), tmp_path)
    assert (one.name, one.path, one.is_hub) == ("one", str(tmp_path / "one"), False)
    assert one.weights_hash == same.weights_hash == folder_hash(tmp_path / "one", tmp_path)
    assert len({one.weights_hash, other.weights_hash, renamed.weights_hash}) == 3


def test_the_hash_of_a_folder_is_remembered_until_the_file_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    folder = model_folder(tmp_path / "model")
    before = folder_hash(folder, tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(file_hashes.hashlib, "file_digest", lambda *_: pytest.fail("read again"))
        assert folder_hash(folder, tmp_path) == before
    model_folder(folder, value=2)
    stat = (folder / "model.safetensors").stat()
    os.utime(folder / "model.safetensors", ns=(stat.st_atime_ns, stat.st_mtime_ns + 10**9))
    assert folder_hash(folder, tmp_path) != before


def test_a_damaged_memory_of_hashes_is_only_computed_again(tmp_path: Path):
    folder = model_folder(tmp_path / "model")
    before = folder_hash(folder, tmp_path)
    for damage in ("{", "[]", '{"a": 1}', ""):
        (tmp_path / "models" / "hashes.json").write_text(damage)
        assert folder_hash(folder, tmp_path) == before


def test_a_folder_with_pickled_weights_only_is_refused_with_the_way_to_convert(tmp_path: Path):
    folder = tmp_path / "pickled"
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    (folder / "pytorch_model.bin").write_bytes(b"")
    message = refused(str(folder), tmp_path)
    assert "Only safetensors are loaded" in message
    assert "save_pretrained" in message


def test_a_folder_without_config_is_refused(tmp_path: Path):
    (tmp_path / "empty").mkdir()
    assert "has no config.json" in refused(str(tmp_path / "empty"), tmp_path)


def test_a_folder_that_holds_a_gguf_file_leads_to_it(tmp_path: Path):
    (tmp_path / "some").mkdir()
    (tmp_path / "some" / "a.gguf").write_bytes(b"")
    assert f"Give the .gguf file itself: {tmp_path / 'some' / 'a.gguf'}" in refused(str(tmp_path / "some"), tmp_path)


@pytest.mark.parametrize("index", ['{"weight_map": {"a": "gone-00002-of-00002.safetensors"}}', "{", "[]"])
def test_a_folder_that_lacks_a_part_is_refused(tmp_path: Path, index: str):
    folder = model_folder(tmp_path / "parts", name="model-00001-of-00002.safetensors")
    (folder / "model.safetensors.index.json").write_text(index)
    assert "Copy or download it again" in refused(str(folder), tmp_path)


def test_the_home_folder_may_be_written_with_a_tilde(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    model_folder(tmp_path / "mine")
    assert resolve("~/mine", tmp_path).path == str(tmp_path / "mine")


# ---- names


@pytest.mark.parametrize("name", ["gpt2", "Qwen/Qwen2.5-0.5B-Instruct", "a/b_c.d-e"])
def test_a_hub_name_is_passed_on(tmp_path: Path, name: str):
    files = resolve(f" {name} ", tmp_path)
    assert (files.name, files.path, files.is_hub, files.weights_hash) == (name, name, True, None)


@pytest.mark.parametrize(
    "spec",
    [
        "",
        "  ",
        "/no/such/folder",
        "./none",
        "a/b/c",
        "a//b",
        "-x",
        "a b",
        "x..y",
        "~nobody-here/x",
        "a\0b",
        "x" * 5000,
        "é/x",
    ],
)
def test_what_is_neither_path_nor_name_is_refused_with_the_accepted_forms(tmp_path: Path, spec: str):
    message = refused(spec, tmp_path)
    ways = "SmolLM2-135M-Instruct or another model of the catalogue, such as qwen2.5-0.5b, a .gguf file, a folder with"
    assert f"{ways} config.json" in message
    assert len(message) < 400


def test_a_gguf_file_that_is_not_there_is_refused(tmp_path: Path):
    assert "there is no file" in refused(str(tmp_path / "none.gguf"), tmp_path)


def test_a_file_of_another_kind_is_refused(tmp_path: Path):
    (tmp_path / "model.pt").write_bytes(b"")
    assert "neither a .gguf file nor a folder" in refused(str(tmp_path / "model.pt"), tmp_path)


# ---- the bundled weights


def test_bundled_weights_that_are_damaged_are_never_used(
    tiny_gguf: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, instant: list[Path]
):
    monkeypatch.setattr(weights, "bundled_file", lambda *_: tiny_gguf)
    with pytest.raises(StorageError, match="is damaged: its sha256 is"):
        resolve(weights.DEFAULT_MODEL, tmp_path)
    assert instant == []


def test_resolving_a_folder_imports_no_torch(tmp_path: Path):
    folder = model_folder(tmp_path / "model")
    code = (
        "import sys; from pathlib import Path; from melbo_app.library.weights import resolve\n"
        f"resolve({str(folder)!r}, Path({str(tmp_path)!r})); assert 'torch' not in sys.modules"
    )
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT).returncode == 0


class TestHub:
    def test_a_hub_model_becomes_a_folder_with_a_hash_and_keeps_its_name(self, tmp_path, monkeypatch):
        folder = tmp_path / "snapshot"
        folder.mkdir()
        (folder / "config.json").write_text("{}")
        (folder / "model.safetensors").write_bytes(b"weights")
        asked = []
        monkeypatch.setattr(weights, "download", lambda name, stop: asked.append(name) or folder)
        files = weights.fetch(weights.resolve("owner/name", tmp_path), tmp_path)
        assert asked == ["owner/name"]
        assert (files.name, files.spec, files.path) == ("owner/name", "owner/name", str(folder))
        assert files.weights_hash == weights.folder_hash(folder, tmp_path)

    def test_a_hub_model_with_pickles_only_is_refused(self, tmp_path, monkeypatch):
        folder = tmp_path / "snapshot"
        folder.mkdir()
        (folder / "config.json").write_text("{}")
        monkeypatch.setattr(weights, "download", lambda name, stop: folder)
        with pytest.raises(InputError, match="no \\*.safetensors file"):
            weights.fetch(weights.resolve("owner/name", tmp_path), tmp_path)

    def test_without_a_network_the_message_says_what_to_give_instead(self, tmp_path, monkeypatch):
        def unreachable(name, **options):
            raise LocalEntryNotFoundError("no network")

        monkeypatch.setattr("huggingface_hub.snapshot_download", unreachable)
        with pytest.raises(InputError, match="the hub cannot be reached. Give a folder or a .gguf file"):
            weights.fetch(weights.resolve("owner/of-no-model", tmp_path), tmp_path)


def test_a_hash_that_cannot_be_remembered_is_computed_again_and_stops_nothing(tmp_path, monkeypatch):
    (tmp_path / "model.safetensors").write_bytes(b"weights")

    def full(path, data, *, overwrite):
        raise StorageError("the disk is full.")

    monkeypatch.setattr(file_hashes, "write_file", full)
    cache = tmp_path / "cache"
    assert folder_hash(tmp_path, cache) == folder_hash(tmp_path, cache) != ""
    assert not list(cache.rglob("hashes.json"))
