"""Downloads, each in a folder of its own and fetched by a hidden button, and uploads of programs."""

import json
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import gradio as gr
from gradio import processing_utils
from gradio.utils import get_upload_folder
from pydantic_core import to_jsonable_python

from melbo_app.errors import InputError
from melbo_app.library.atomic import write_file
from melbo_app.library.file_names import fault
from melbo_app.library.room import check_room
from melbo_app.library.uploads import mark_used

# The hidden button gets its file a moment after the event ends; the earlier file must not be fetched again.
_FETCH = """() => {{
  const before = document.querySelector('#{0}')?.getAttribute('href');
  let tries = 0;
  const wait = setInterval(() => {{
    const link = document.querySelector('#{0}');
    if (link && link.getAttribute('href') !== before || ++tries > 20) {{ clearInterval(wait); link?.click(); }}
  }}, 50);
}}"""


def not_uploaded() -> InputError:
    """The refusal of a path that no upload returned."""
    return InputError("file", "it was not uploaded", "Upload it first, and send the answer to the upload")


def refuse_addresses() -> None:
    """Refuse http addresses in place of uploads.

    Gradio would read any amount from them into memory and onto the disk (``async_ssrf_protected_download``).
    """

    async def refused(url: str, cache_dir: str) -> str:
        raise gr.Error(str(not_uploaded()), print_exception=False)

    processing_utils.async_ssrf_protected_download = refused


def hidden_download(elem_id: str) -> gr.DownloadButton:
    """The hidden button that holds the file."""
    return gr.DownloadButton("download", visible="hidden", elem_id=elem_id)


def fetch_script(elem_id: str) -> str:
    """JavaScript that presses the hidden button."""
    return _FETCH.format(elem_id)


def written_json(stem: str, answer: Any) -> str:
    """The path of a new file with an answer as ``--json`` prints it; not a number and infinity become null."""
    data = f"{json.dumps(to_jsonable_python(answer, inf_nan_mode='null'), ensure_ascii=False)}\n".encode()

    def write(out: Path) -> Path:
        write_file(out, data, overwrite=False)
        return out

    return written(stem, ".json", write)


def written(stem: str, ending: str, write: Callable[[Path], Path]) -> str:
    """The path of a new file with a readable name, written by ``write``."""
    uploads = Path(get_upload_folder())
    uploads.mkdir(parents=True, exist_ok=True)
    check_room(uploads, 1, f"“{stem}{ending}”", small=0)
    folder = Path(tempfile.mkdtemp(dir=uploads))
    name = re.sub(r"[^\w\- ]+", "_", stem) + ending
    if fault(name) is not None:  # such as the name of a device
        name = f"bank-{name}"
    return str(write(folder / name))


@contextmanager
def uploaded(file: gr.FileData, name: str | None = None) -> Iterator[Path]:
    """The path of a file that a program uploaded, while the context is open; under ``name``, if given. If the context
    ends without an error, the file is removed soon.

    Raises InputError for any other path, as a program can send anything.
    """
    given, uploads = Path(file.path).resolve(), Path(get_upload_folder()).resolve()
    path = given
    if not path.is_relative_to(uploads) or not path.is_file():
        raise not_uploaded()
    with tempfile.TemporaryDirectory(dir=uploads) as folder:
        if name is not None:
            own = Path(re.sub(r"[^\w\-. ]", "_", Path(name).name))
            path = Path(shutil.copy(path, Path(folder) / f"{own.stem.strip('. ')[:80] or 'bank'}{own.suffix[:20]}"))
        yield path
    mark_used(given)
