"""The tokenizer that lies in a folder of a model."""

from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from melbo_app.errors import InputError

WHOLE, SETTINGS = "tokenizer.json", "tokenizer_config.json"
SENTENCEPIECE = ("tokenizer.model", "spiece.model", "sentencepiece.bpe.model", "spm.model")
VOCABULARIES = (WHOLE, *SENTENCEPIECE, "vocab.json", "vocab.txt", "tekken.json", "tiktoken.model", "encoder.json")
"""Each of these is enough for a tokenizer (vocab.json together with merges.txt)."""
PACKAGES = ("sentencepiece", "protobuf")
"""What sentencepiece files are read with."""
TEXT = "The capital of France is"


def load_tokenizer(path: str, adapter: str | None = None) -> Any:
    """The tokenizer in the folder ``path``, or in ``adapter``'s where that has one of its own.

    Raises:
        InputError: there is none, or its files cannot be read as they are meant.
    """
    from transformers import AutoTokenizer  # late: seconds to import

    folder = Path(adapter if adapter and any((Path(adapter) / name).is_file() for name in VOCABULARIES) else path)
    found = [name for name in VOCABULARIES if (folder / name).is_file()]
    try:
        made = AutoTokenizer.from_pretrained(str(folder), trust_remote_code=False, local_files_only=True)
        if not found and not made(TEXT, add_special_tokens=False)["input_ids"]:
            raise ValueError("it has no vocabulary")  # the class alone was named, and made without one
        return made if not found or found[0] not in SENTENCEPIECE else _as_the_file_says(made, folder, found[0])
    except Exception as error:  # transformers raises every kind of error for files that it cannot use
        copy = f"Copy {WHOLE} and {SETTINGS} there from where the weights come from"
        if not found:
            also = f"{SENTENCEPIECE[0]}, or vocab.json with merges.txt, will do as well"
            raise InputError("model", f"the folder {folder} has no tokenizer", f"{copy}; {also}") from error
        lines = [line.strip() for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
        reason = lines[0].rstrip(".:")
        if found == ["vocab.json"] and not (folder / "merges.txt").is_file():
            reason = "merges.txt is missing"
        if found[0] in SENTENCEPIECE and "tiktoken" in reason:  # which is asked whenever sentencepiece fails
            absent = [package for package in PACKAGES if not _is_installed(package)]
            reason = f"the package {absent[0]} is missing" if absent else "it is not a sentencepiece file"
            copy = f"Install it: pip install {absent[0]}" if absent else copy
        problem = f"the tokenizer in {folder} cannot be read from {', '.join(found)}: {reason}"
        raise InputError("model", problem, copy) from error


def _as_the_file_says(made: Any, folder: Path, name: str) -> Any:
    """A tokenizer that cuts texts as the sentencepiece file ``name`` does: ``made``, or one with its leading blank.

    Which of them is right stands in tokenizer.json, which is not there. Raises ValueError where neither is.
    """
    from sentencepiece import SentencePieceProcessor
    from transformers import LlamaTokenizer

    pieces = SentencePieceProcessor(model_file=str(folder / name))
    # of words that it holds whole: of others a small vocabulary may lack the letters
    words = [piece for piece in map(pieces.id_to_piece, range(pieces.vocab_size())) if piece[1:].isalpha()]
    text = " ".join(word[1:] for word in words if word.startswith("▁"))[:200]
    want = [pieces.id_to_piece(token) for token in pieces.encode(text)]

    def right(tokenizer: Any) -> bool:
        return tokenizer.convert_ids_to_tokens(tokenizer(text, add_special_tokens=False)["input_ids"]) == want

    if right(made):
        return made
    # without settings the family's usual one, which begins texts with its mark
    settings = {} if (folder / SETTINGS).is_file() else {"add_bos_token": True}
    other = LlamaTokenizer.from_pretrained(str(folder), local_files_only=True, **settings)
    if not right(other):
        raise ValueError(f"transformers cuts texts otherwise than it says, and {WHOLE}, which says how, is missing")
    return other


def _is_installed(package: str) -> bool:
    try:
        version(package)
    except PackageNotFoundError:
        return False
    return True
