"""Models of the Hugging Face hub, by name."""

import errno
import glob
import re
from collections.abc import Generator
from pathlib import Path

from melbo_app.engine.weight_files import ADAPTER_WEIGHTS, CONFIG, weight_files
from melbo_app.errors import InputError, StorageError
from melbo_app.library.model_catalogue import HubFile

NAME = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?", re.ASCII)
DESCRIPTIONS = (".json", ".jinja", ".txt", ".model", ".tiktoken")
"""Endings of configuration and tokenizer files; no pickles and no code."""
TEMPLATES = "additional_chat_templates/"
REACH, SILENCE = 5.0, 30.0  # seconds to wait for a connection, and for the next byte of a file


def is_name(text: str) -> bool:
    """Whether ``text`` can be the name of a hub model: owner/name, or one name."""
    return bool(NAME.fullmatch(text)) and ".." not in text and "--" not in text


def here(name: str) -> Path | None:
    """The folder of the hub model ``name`` in the hub's own cache, or None. Does not use the network."""
    from huggingface_hub import try_to_load_from_cache

    found = try_to_load_from_cache(name, CONFIG) if is_name(name) else None
    return Path(found).parent if isinstance(found, str) else None


def download(name: str) -> Path:
    """The local folder of the hub model ``name``, downloaded unless the hub's own cache has it.

    Downloads the configuration, the tokenizer, one copy of the weights and an adapter; not the same weights in other
    layouts or precisions.

    Raises:
        InputError: an unknown or gated model, or no network.
    """
    from httpx2 import HTTPError
    from huggingface_hub import HfApi, snapshot_download
    from huggingface_hub.errors import GatedRepoError, HfHubHTTPError, LocalEntryNotFoundError, RepositoryNotFoundError

    try:
        try:
            names = [file.rfilename for file in HfApi().model_info(name, timeout=REACH).siblings or ()]
        except (GatedRepoError, RepositoryNotFoundError):
            raise
        except (HTTPError, HfHubHTTPError, OSError):  # offline: use an earlier download
            return Path(snapshot_download(name, local_files_only=True))
        top = [one for one in names if one.endswith(DESCRIPTIONS) and ("/" not in one or one.startswith(TEMPLATES))]
        described = [*top, *({ADAPTER_WEIGHTS} & {*names})]
        folder = Path(snapshot_download(name, allow_patterns=list(map(glob.escape, described))))
        files = weight_files(folder, names)
        return Path(snapshot_download(name, allow_patterns=list(map(glob.escape, files)))) if files else folder
    except GatedRepoError as error:
        remedy = "Request access on its page at huggingface.co, and set HF_TOKEN"
        raise InputError("model", f"the hub gives access to {name} only on request", remedy) from error
    except RepositoryNotFoundError as error:
        raise InputError("model", f"the hub has no model {name}", "Check the name: most are owner/name") from error
    except (LocalEntryNotFoundError, HfHubHTTPError, OSError) as error:
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EROFS):
            raise StorageError(f"{name} could not be downloaded to {error.filename}: {error.strerror}.") from error
        problem = f"{name} is not on this machine and the hub cannot be reached"
        raise InputError("model", problem, "Give a folder or a .gguf file") from error


def find_file(file: HubFile, sha256: str) -> str | None:
    """The address of ``file`` if the hub can be reached and has it with this sha256; else None, after a few seconds.
    Downloads nothing: the hub sends the sha256 of a large file in the headers."""
    from httpx2 import HTTPError
    from huggingface_hub import get_hf_file_metadata, hf_hub_url
    from huggingface_hub.errors import HfHubHTTPError

    address = hf_hub_url(file.repo, file.file, revision=file.revision)
    try:
        found = get_hf_file_metadata(address, token=False, timeout=REACH)
    except (HTTPError, HfHubHTTPError, OSError, ValueError):
        return None
    return address if found.etag == sha256 else None


def read_file(address: str, offset: int) -> Generator[bytes, None, None]:
    """The bytes of a file from ``offset`` on, in blocks. Raises OSError if the connection fails."""
    from httpx2 import HTTPError
    from huggingface_hub import get_session

    headers = {"Range": f"bytes={offset}-", "Accept-Encoding": "identity"}
    try:
        with get_session().stream("GET", address, headers=headers, follow_redirects=True, timeout=SILENCE) as answer:
            if not answer.is_success or (offset and answer.status_code != 206):
                raise ConnectionError(f"the hub answers {answer.status_code}")
            yield from answer.iter_bytes(2**20)
    except HTTPError as error:
        raise ConnectionError(str(error)) from error
