"""The models of a stress test: which is the clean one, and whether they can be compared."""

import hashlib
import json
from pathlib import Path
from typing import Any

from melbo_app.engine.stopping import Stop
from melbo_app.engine.weight_files import ADAPTER_CONFIG, CONFIG
from melbo_app.errors import InputError
from melbo_app.library import weights
from melbo_app.settings import Settings

TOKENIZER = "tokenizer.json"


def files_of(settings: Settings, field: str, spec: str, stop: Stop) -> weights.ModelFiles:
    """The files of a model. Raises InputError, which names the field, and Stopped."""
    cache = settings.cache_dir
    try:
        return weights.fetch(weights.resolve(spec, cache, stop=stop), cache, stop=stop)
    except InputError as error:
        raise InputError(field, error.problem, error.remedy) from error


def clean_under(settings: Settings, *edited: weights.ModelFiles, stop: Stop) -> weights.ModelFiles | None:
    """The model under the first of these that is an adapter beside no weights of its own; None without one."""
    for one in edited:
        if one.adapter is None or one.adapter == one.path:  # weights beside an adapter have no name of their own
            continue
        named = json.loads((Path(one.adapter) / ADAPTER_CONFIG).read_text("utf-8"))["base_model_name_or_path"]
        return files_of(settings, "clean", str(named), stop)
    return None


def check_alike(field: str, one: weights.ModelFiles, before: weights.ModelFiles) -> None:
    """Raises InputError if the models have other hidden sizes, numbers of blocks or tokenizers."""
    own, other = _facts(Path(one.path)), _facts(Path(before.path))
    for what, value in own.items():
        known = other.get(what)
        if value is not None and known is not None and value != known:
            said = "its tokenizer is another one" if what == "tokenizer" else f"its {what} is {value}, not {known}"
            problem = f"{one.name} cannot be compared with {before.name}: {said}"
            raise InputError(field, problem, "Give a model that was made from the same one")


def _facts(folder: Path) -> dict[str, Any]:
    try:
        config = json.loads((folder / CONFIG).read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    config = config.get("text_config") or config
    size = next((config[name] for name in ("hidden_size", "n_embd", "d_model") if name in config), None)
    blocks = next((config[name] for name in ("num_hidden_layers", "n_layer", "n_layers") if name in config), None)
    path = folder / TOKENIZER
    digest = hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else None
    return {"hidden size": size, "number of blocks": blocks, "tokenizer": digest}
