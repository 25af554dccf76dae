"""The tokenizer of a folder: read as its files mean it, or the missing file is named."""

import json
import shutil
from pathlib import Path

import benches
import pytest
from sentencepiece import SentencePieceProcessor, SentencePieceTrainer
from tiny_models import VOCABULARY

from melbo_app.engine import tokenizer_files
from melbo_app.engine.model import load
from melbo_app.errors import InputError

SENTENCES = ["the heath is wide and the capital of france is paris", "hello there all of you"]
TEXT = "hello there the heath is wide"


def sentencepiece(folder: Path, kind: str = "bpe", **options: object) -> Path:
    """A sentencepiece model trained on a few sentences."""
    (folder / "text").write_text("\n".join(SENTENCES * 40))
    SentencePieceTrainer.train(
        input=str(folder / "text"),
        model_prefix=str(folder / "made"),
        vocab_size=60,
        model_type=kind,
        hard_vocab_limit=False,
        minloglevel=2,
        **options,
    )
    return folder / "made.model"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A model without a tokenizer."""
    made = benches.save_tiny(tmp_path / "model")
    for file in [*made.glob("*token*"), *made.glob("*.jinja")]:
        file.unlink()
    return made


def read(folder: Path):
    return load(str(folder), "mine", "hash", "cpu", "float32").tokenizer


@pytest.mark.parametrize(
    ("kind", "blank_first"),
    [(None, True), ("LlamaTokenizer", True), ("GemmaTokenizer", True), (None, False), ("GemmaTokenizer", False)],
)
def test_tokenizer_model_alone_cuts_texts_as_sentencepiece_does(folder, tmp_path, kind, blank_first):
    pieces = sentencepiece(tmp_path, add_dummy_prefix=blank_first)
    shutil.copy(pieces, folder / "tokenizer.model")
    if kind:
        (folder / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": kind}))
    known = SentencePieceProcessor(model_file=str(pieces))
    assert known.vocab_size() <= VOCABULARY
    made = read(folder)
    assert made(TEXT, add_special_tokens=False)["input_ids"] == known.encode(TEXT)
    assert made.decode(made(TEXT)["input_ids"], skip_special_tokens=True) == TEXT


@pytest.mark.parametrize(("kind", "blank_first"), [("unigram", True), ("bpe", False)])
def test_a_sentencepiece_file_that_would_be_read_otherwise_is_refused(folder, tmp_path, kind, blank_first):
    shutil.copy(sentencepiece(tmp_path, kind, add_dummy_prefix=blank_first), folder / "tokenizer.model")
    (folder / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "LlamaTokenizer"}))
    with pytest.raises(InputError, match="splits texts differently than this file.*Copy tokenizer.json"):
        read(folder)


def test_a_folder_without_a_tokenizer_says_which_files_it_needs(folder):
    with pytest.raises(
        InputError, match=r"has no tokenizer. Copy tokenizer.json and tokenizer_config.json.*merges.txt"
    ) as caught:
        read(folder)
    assert caught.value.field == "model" and str(folder) in str(caught.value)


@pytest.mark.parametrize("kind", ["LlamaTokenizer", "GPT2Tokenizer", "Qwen2Tokenizer", "PreTrainedTokenizerFast"])
def test_settings_without_a_vocabulary_are_no_tokenizer(folder, kind):
    (folder / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": kind}))
    with pytest.raises(InputError, match="has no tokenizer"):
        read(folder)


def test_a_tokenizer_that_needs_no_vocabulary_is_read(folder):
    (folder / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "ByT5Tokenizer"}))
    assert len(read(folder)("hello")["input_ids"]) == 6


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("tokenizer.json", "{}", "cannot be read from tokenizer.json"),
        ("tokenizer.json", "{", "cannot be read from tokenizer.json"),
        ("tokenizer.model", "no model", "cannot be read from tokenizer.model"),
        ("vocab.json", '{"a": 0}', "cannot be read from vocab.json: merges.txt is missing"),
    ],
)
def test_a_file_that_cannot_be_read_is_named(folder, name, content, said):
    (folder / name).write_text(content)
    with pytest.raises(InputError, match=said) as caught:
        read(folder)
    assert "\n" not in str(caught.value) and "tiktoken" not in str(caught.value)


@pytest.mark.parametrize("package", ["sentencepiece", "protobuf"])
def test_a_package_that_is_missing_is_named(folder, package, monkeypatch):
    (folder / "tokenizer.model").write_bytes(b"pieces")
    monkeypatch.setattr(tokenizer_files, "_is_installed", lambda name: name != package)
    with pytest.raises(InputError, match=rf"the package {package} is missing. Install it: pip install {package}"):
        read(folder)
