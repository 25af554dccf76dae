"""Loads the tokenizer in a model's folder."""

from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from melbo_app.errors import InputError

WHOLE, SETTINGS = "tokenizer.json", "tokenizer_config.json"
SENTENCEPIECE = ("tokenizer.model", "spiece.model", "sentencepiece.bpe.model", "spm.model")
VOCABULARIES = (WHOLE, *SENTENCEPIECE, "vocab.json", "vocab.txt", "tekken.json", "tiktoken.model", "encoder.json")
"""Each of these is enough for a tokenizer (vocab.json together with merges.txt)."""
PACKAGES = ("sentencepiece", "protobuf")
"""The packages that read sentencepiece files."""
TEXT = "The capital of France is"
"""A text to try tokenizers and models on."""


def load_tokenizer(path: str, adapter: str | None = None) -> Any:
    """The tokenizer in the folder ``path``, or in the folder ``adapter`` if that has its own. Raises InputError if the
    folder has none, or its files cannot be read correctly."""
    from transformers import AutoTokenizer  # late: seconds to import

    folder = Path(adapter if adapter and any((Path(adapter) / name).is_file() for name in VOCABULARIES) else path)
    found = [name for name in VOCABULARIES if (folder / name).is_file()]
    try:
        made = AutoTokenizer.from_pretrained(str(folder), trust_remote_code=False, local_files_only=True)
        if not found and not made(TEXT, add_special_tokens=False)["input_ids"]:
            raise ValueError("it has no vocabulary")  # transformers makes an empty one where only the class is named
        return made if not found or found[0] not in SENTENCEPIECE else _as_the_file_says(made, folder, found[0])
    except Exception as error:  # transformers raises any kind of error for a file it cannot use
        copy = f"Copy {WHOLE} and {SETTINGS} there from the source of the weights"
        if not found:
            also = f"{SENTENCEPIECE[0]}, or vocab.json with merges.txt, works as well"
            raise InputError("model", f"the folder {folder} has no tokenizer", f"{copy}; {also}") from error
        lines = [line.strip() for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
        reason = lines[0].rstrip(".:")
        if found == ["vocab.json"] and not (folder / "merges.txt").is_file():
            reason = "merges.txt is missing"
        if found[0] in SENTENCEPIECE and "tiktoken" in reason:  # transformers' fallback where sentencepiece fails
            absent = [package for package in PACKAGES if not _is_installed(package)]
            reason = f"the package {absent[0]} is missing" if absent else "it is not a sentencepiece file"
            copy = f"Install it: pip install {absent[0]}" if absent else copy
        problem = f"the tokenizer in {folder} cannot be read from {', '.join(found)}: {reason}"
        raise InputError("model", problem, copy) from error


def _as_the_file_says(made: Any, folder: Path, name: str) -> Any:
    """A tokenizer that splits texts like the sentencepiece file ``name``: ``made``, or one that adds a leading space.
    Only tokenizer.json, which is missing, says which is right. Raises ValueError if neither is."""
    from sentencepiece import SentencePieceProcessor
    from transformers import LlamaTokenizer

    pieces = SentencePieceProcessor(model_file=str(folder / name))
    # words that are whole pieces, because a small vocabulary may lack the letters of others
    words = [piece for piece in map(pieces.id_to_piece, range(pieces.vocab_size())) if piece[1:].isalpha()]
    text = " ".join(word[1:] for word in words if word.startswith("▁"))[:200]
    want = [pieces.id_to_piece(token) for token in pieces.encode(text)]

    def right(tokenizer: Any) -> bool:
        return tokenizer.convert_ids_to_tokens(tokenizer(text, add_special_tokens=False)["input_ids"]) == want

    if right(made):
        return made
    # without settings, the usual tokenizer of the family, which adds a beginning-of-text token
    settings = {} if (folder / SETTINGS).is_file() else {"add_bos_token": True}
    other = LlamaTokenizer.from_pretrained(str(folder), local_files_only=True, **settings)
    if not right(other):
        raise ValueError(f"transformers splits texts differently than this file, and {WHOLE} is missing")
    return other


def _is_installed(package: str) -> bool:
    try:
        version(package)
    except PackageNotFoundError:
        return False
    return True
