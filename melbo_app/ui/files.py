"""Files that go out and come in: made in a folder of their own, fetched by a hidden button; uploaded by programs."""

import re
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import gradio as gr
from gradio import processing_utils
from gradio.utils import get_upload_folder

from melbo_app.errors import InputError
from melbo_app.library.file_names import fault
from melbo_app.library.room import check_room
from melbo_app.library.uploads import mark_used

# The hidden button gets its file a moment after the event ends; a file that is there already is not fetched twice.
_FETCH = """() => {{
  const before = document.querySelector('#{0}')?.getAttribute('href');
  let tries = 0;
  const wait = setInterval(() => {{
    const link = document.querySelector('#{0}');
    if (link && link.getAttribute('href') !== before || ++tries > 20) {{ clearInterval(wait); link?.click(); }}
  }}, 50);
}}"""


def refuse_addresses() -> None:
    """Have no server of this program fetch what a request names by an http address in place of an upload.

    Gradio reads all of it into memory and onto the disk, however much it is (``async_ssrf_protected_download``).
    """

    async def refused(url: str, cache_dir: str) -> str:
        raise gr.Error(
            "file: it was not uploaded. Upload it first, and give what the upload returned.", print_exception=False
        )

    processing_utils.async_ssrf_protected_download = refused


def hidden_download(elem_id: str) -> gr.DownloadButton:
    """The hidden button that holds the file."""
    return gr.DownloadButton("download", visible="hidden", elem_id=elem_id)


def fetch_script(elem_id: str) -> str:
    """JavaScript that presses the hidden button."""
    return _FETCH.format(elem_id)


def written(stem: str, ending: str, write: Callable[[Path], Path]) -> str:
    """Path of a fresh file with a readable name, written by ``write``."""
    uploads = Path(get_upload_folder())
    uploads.mkdir(parents=True, exist_ok=True)
    check_room(uploads, 1, f"“{stem}{ending}”", small=0)
    folder = Path(tempfile.mkdtemp(dir=uploads))
    name = re.sub(r"[^\w\- ]+", "_", stem) + ending
    if fault(name) is not None:  # what is called like a device can be fetched all the same
        name = f"bank-{name}"
    return str(write(folder / name))


@contextmanager
def uploaded(file: gr.FileData, name: str | None = None) -> Iterator[Path]:
    """The path of a file that a program uploaded, as long as the context is open; under ``name``, if one is given. When
    it is left without an error the file was used, and is removed soon.

    Raises InputError for every other path: a program can write anything into its request.
    """
    given, uploads = Path(file.path).resolve(), Path(get_upload_folder()).resolve()
    path = given
    if not path.is_relative_to(uploads) or not path.is_file():
        raise InputError("file", "it was not uploaded", "Upload it first, and give what the upload returned")
    with tempfile.TemporaryDirectory(dir=uploads) as folder:
        if name is not None:
            own = Path(re.sub(r"[^\w\-. ]", "_", Path(name).name))
            path = Path(shutil.copy(path, Path(folder) / f"{own.stem.strip('. ')[:80] or 'bank'}{own.suffix[:20]}"))
        yield path
    mark_used(given)
