"""The tokenizer that lies in a folder of a model."""

from pathlib import Path
from typing import Any

from melbo_app.errors import InputError

WHOLE = "tokenizer.json"
SENTENCEPIECE = ("tokenizer.model", "spiece.model", "sentencepiece.bpe.model", "spm.model")
VOCABULARIES = (WHOLE, *SENTENCEPIECE, "vocab.json", "vocab.txt", "tekken.json", "tiktoken.model", "encoder.json")
"""Each of these is enough for a tokenizer (vocab.json together with merges.txt)."""


def load_tokenizer(path: str, adapter: str | None = None) -> Any:
    """The tokenizer in the folder ``path``, or in ``adapter``'s where that has one of its own.

    Raises:
        InputError: there is none, or its files cannot be read.
    """
    from transformers import AutoTokenizer  # late: seconds to import

    folder = Path(adapter if adapter and any((Path(adapter) / name).is_file() for name in VOCABULARIES) else path)
    try:
        return AutoTokenizer.from_pretrained(str(folder), trust_remote_code=False, local_files_only=True)
    except Exception as error:  # transformers raises every kind of error for files that it cannot use
        found = [name for name in VOCABULARIES if (folder / name).is_file()]
        if not found:
            raise InputError(
                "model",
                f"the folder {folder} has no tokenizer",
                f"Copy {WHOLE} and tokenizer_config.json there from where the weights come from; {SENTENCEPIECE[0]}, or "
                "vocab.json with merges.txt, will do as well",
            ) from error
        lines = [line.strip() for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
        raise InputError(
            "model",
            f"the tokenizer in {folder} cannot be read from {', '.join(found)}: {lines[0].rstrip('.:')}",
            f"Copy {WHOLE} there from where the weights come from, or download it again",
        ) from error
