"""Models of the Hugging Face hub, by their name."""

import errno
from pathlib import Path

from melbo_app.errors import InputError, StorageError

WANTED = ["*.safetensors", "*.safetensors.index.json", "*.json", "*.jinja", "*.txt", "*.model"]
"""Weights as safetensors, configuration and tokenizer; no pickles and no code."""


def download(name: str) -> Path:
    """The local folder of the hub model ``name``, downloaded unless it is in the hub's own cache already.

    Raises:
        InputError: no such model, one that needs permission, or no network.
    """
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import GatedRepoError, HfHubHTTPError, LocalEntryNotFoundError, RepositoryNotFoundError

    try:
        return Path(snapshot_download(name, allow_patterns=WANTED))
    except GatedRepoError as error:
        raise InputError(
            "model", f"the hub gives {name} to those only who have asked for it", "Ask there, and set HF_TOKEN"
        ) from error
    except RepositoryNotFoundError as error:
        raise InputError("model", f"the hub has no model {name}", "Check the name, owner/name as a rule") from error
    except (LocalEntryNotFoundError, HfHubHTTPError, OSError) as error:
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EROFS):
            raise StorageError(f"{name} could not be downloaded to {error.filename}: {error.strerror}.") from error
        raise InputError(
            "model", f"{name} is not on this machine and the hub cannot be reached", "Give a folder or a .gguf file"
        ) from error
