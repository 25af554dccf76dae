"""The files in a folder that hold a model's weights: those that transformers loads, whatever else lies there."""

import json
import re
from collections.abc import Collection
from pathlib import Path, PurePosixPath

from melbo_app.errors import InputError

CONFIG = "config.json"
WHOLE, INDEX = "model.safetensors", "model.safetensors.index.json"
ADAPTER_CONFIG, ADAPTER_WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
DISTRIBUTED = re.compile(r"shard-\d{5}-model-\d{5}-of-\d{5}\.safetensors")


def weight_files(folder: Path, names: Collection[str] | None = None) -> list[str]:
    """The names of the files that hold the weights, sorted, as paths within ``folder``; may be empty.

    In transformers' order of precedence: ``transformers_weights`` of config.json, ``model.safetensors``, the parts in
    ``model.safetensors.index.json``. ``names`` lists the files if they are not all in ``folder`` yet (a repository of
    the hub, of which ``folder`` has config.json and the index). Raises InputError if the index cannot be read, or names
    a file outside the folder.
    """
    there = {path.name for path in folder.iterdir()} if names is None else names
    if any(map(DISTRIBUTED.fullmatch, there)):
        return sorted(name for name in there if name.endswith(".safetensors") and "/" not in name)
    named = _named(folder)
    if named is None:
        named = next((name for name in (WHOLE, INDEX) if name in there), None)
    if named is None:
        return []
    files = _parts(folder / named) if named.endswith(".index.json") else [named]
    for file in files:
        path = PurePosixPath(file)
        if path.is_absolute() or ".." in path.parts:
            raise InputError("model", f"{folder} refers to weights outside it: {file}", "Copy or download it again")
    return files


def has_adapter(folder: Path) -> bool:
    """Whether the folder has an adapter, such as a LoRA."""
    return (folder / ADAPTER_CONFIG).is_file()


def _named(folder: Path) -> str | None:
    """The ``transformers_weights`` of config.json; None where it has none or cannot be read."""
    try:
        named = json.loads((folder / CONFIG).read_text("utf-8")).get("transformers_weights")
    except (OSError, ValueError, AttributeError):  # loading the config gives a better message
        return None
    return named if isinstance(named, str) else None


def _parts(index: Path) -> list[str]:
    try:
        return sorted({str(part) for part in json.loads(index.read_text("utf-8"))["weight_map"].values()})
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError("model", f"{index} cannot be read", "Copy or download it again") from error
