"""Model folders: the weights, an adapter beside them, and the identity of both."""

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path, PurePath

from melbo_app.engine.stopping import Stop, never
from melbo_app.engine.weight_files import (
    ADAPTER_CONFIG,
    ADAPTER_WEIGHTS,
    CONFIG,
    INDEX,
    WHOLE,
    has_adapter,
    weight_files,
)
from melbo_app.errors import InputError
from melbo_app.library import hub, model_catalogue
from melbo_app.library.file_hashes import file_hash

SAFE = "Only safetensors are loaded. If you trust the files, convert them once in Python: "


@dataclass(frozen=True)
class ModelFolder:
    """A model called ``name``, loaded from ``path``; the adapter in ``adapter`` is merged into its weights."""

    name: str
    path: Path
    adapter: Path | None


def find_model(folder: Path, forms: str, get_base: Callable[[str], Path | None]) -> ModelFolder:
    """The model in ``folder``, with the adapter beside it.

    If the folder holds only an adapter, its base model is a folder or hub model on this machine, or the result of
    ``get_base`` for its name.

    Raises:
        InputError: something is missing, damaged or pickled; ``forms`` describes the alternatives.
    """
    adapter = _adapter(folder)
    if adapter is None or weight_files(folder):
        check_whole(folder, forms)
        return ModelFolder(folder.name, folder, adapter)
    name = _base_name(folder)
    base = _base(folder, name, get_base)
    if has_adapter(base):
        problem = f"the folder {folder} holds an adapter for {name}, which has its own adapter"
        raise InputError("model", problem, "Merge that one into the weights first (merge_and_unload of peft)")
    check_whole(base, forms)
    return ModelFolder(PurePath(name).name, base, folder)


def folder_hash(folder: Path, cache_dir: Path, stop: Stop = never) -> str:
    """sha256 of the sorted names and sha256 of the weight files, cached in ``cache_dir``. The first call reads every
    byte (about 2 s per GB). Raises InputError("model") if a file cannot be read, and Stopped."""
    return _hash_of(folder, weight_files(folder), cache_dir, stop)


def adapted_hash(base_hash: str, adapter: Path, cache_dir: Path, stop: Stop = never) -> str:
    """The identity of weights with an adapter: sha256 of the weights' hash and the adapter's two files."""
    own = _hash_of(adapter, [ADAPTER_CONFIG, ADAPTER_WEIGHTS], cache_dir, stop)
    return hashlib.sha256(f"{base_hash}\n{own}\n".encode()).hexdigest()


def _hash_of(folder: Path, names: list[str], cache_dir: Path, stop: Stop) -> str:
    lines = [f"{name} {file_hash(folder / name, cache_dir, stop)}\n" for name in names]
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def check_whole(folder: Path, forms: str) -> None:
    """Raises InputError("model") unless the config and all weights are there."""
    if not (folder / CONFIG).is_file():
        ggufs = sorted(file.name for file in folder.glob("*.gguf"))
        remedy = f"Give the .gguf file itself: {folder / ggufs[0]}" if ggufs else forms
        raise InputError("model", f"the folder {folder} has no {CONFIG}", remedy)
    files = weight_files(folder)
    missing = [name for name in files if not (folder / name).is_file()]
    if missing:
        raise InputError("model", f"the folder {folder} lacks {', '.join(missing[:3])}", "Copy or download it again")
    if files:
        return
    others = sorted(file.name for file in folder.glob("*.safetensors") if file.name != ADAPTER_WEIGHTS)
    if others:
        shown = ", ".join(others[:3]) + (" …" if len(others) > 3 else "")
        problem = f"the folder {folder} has {shown}, but neither {WHOLE} nor {INDEX}, which say what to load"
        raise InputError("model", problem, f"Copy or download them, too; a single file of weights is called {WHOLE}")
    pickles = any(any(folder.glob(f"*.{ending}")) for ending in ("bin", "pt", "pth"))
    problem = f"the folder {folder} has no *.safetensors file"
    if pickles:
        problem += ", and its pickled weights are not loaded because they can run code"
    convert = f"transformers.AutoModelForCausalLM.from_pretrained({str(folder)!r}).save_pretrained(NEW_FOLDER)"
    raise InputError("model", problem, SAFE + convert if pickles else forms)


def _adapter(folder: Path) -> Path | None:
    """The folder itself if it holds an adapter. Raises InputError for an adapter without safetensors."""
    if not has_adapter(folder):
        return None
    if not (folder / ADAPTER_WEIGHTS).is_file():
        pickled = (folder / "adapter_model.bin").is_file()
        problem = f"the folder {folder} has {ADAPTER_CONFIG} but no {ADAPTER_WEIGHTS}"
        if pickled:
            problem += ": adapter_model.bin is not loaded because pickled weights can run code"
        convert = f"peft.AutoPeftModelForCausalLM.from_pretrained({str(folder)!r}).save_pretrained(NEW_FOLDER)"
        remedy = f"Copy it there, or move {ADAPTER_CONFIG} away to load the model without the adapter"
        raise InputError("model", problem, SAFE + convert if pickled else remedy)
    return folder


def _base_name(folder: Path) -> str:
    """The name of the adapter's base model in its config."""
    try:
        name = json.loads((folder / ADAPTER_CONFIG).read_text("utf-8")).get("base_model_name_or_path")
    except (OSError, ValueError, AttributeError) as error:
        raise InputError("model", f"{folder / ADAPTER_CONFIG} cannot be read", "Copy or download it again") from error
    if not isinstance(name, str) or not name.strip():
        problem = f"the folder {folder} holds an adapter without a model and does not name its base model"
        raise InputError("model", problem, "Put its two files beside the config.json and weights of that model")
    return name.strip()


def _base(folder: Path, name: str, get_base: Callable[[str], Path | None]) -> Path:
    try:
        path = Path(name).expanduser()
        if path.is_dir():
            return path.resolve()
    except (OSError, ValueError, RuntimeError):
        pass
    found = hub.here(name) or get_base(name)
    if found is None:
        problem = f"the folder {folder} holds only an adapter, and its base model, {name}, is not on this machine"
        way = f"Load {name} once, which downloads it, then this folder" if hub.is_name(name) else "Find that model"
        if model_catalogue.find(name) is not None:
            way = f"Get it: models get {name}"
        raise InputError("model", problem, f"{way}; or put {ADAPTER_CONFIG} and {ADAPTER_WEIGHTS} beside its files")
    return found
