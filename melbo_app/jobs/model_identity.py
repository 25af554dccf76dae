"""The identity of a model that was loaded elsewhere, by its weights."""

from pathlib import Path
from typing import Any

from melbo_app.engine.weight_files import has_adapter, weight_files
from melbo_app.errors import InputError, MelboError
from melbo_app.library.model_folder import folder_hash
from melbo_app.library.weights import resolve


def identity(model: Any, cache_dir: Path) -> str:
    """The ``weights_hash`` of a transformers model in memory.

    If every number in memory equals the files in the folder that the model names as its source, in the model's
    precision, it is the folder's hash, as if loaded from there. Otherwise the model was made or changed in memory, and
    it is a sha256 over names and numbers. Both read all weights once: 2 to 3 s for the 135 M numbers of the default
    model in float32.

    Raises:
        InputError: some of the weights are not in memory.
    """
    from melbo_app.engine.state_hash import state_hash  # late: torch

    state = {name: tensor for name, tensor in model.state_dict().items() if hasattr(tensor, "is_meta")}
    if any(tensor.is_meta for tensor in state.values()):
        problem = "some of its weights are not in memory, so it cannot be identified"
        raise InputError(
            "model", problem, "Load it whole, or pass weights_hash, any string of yours that identifies these weights"
        )
    folder = _folder(str(getattr(model.config, "_name_or_path", "") or ""))
    if folder is not None and _holds(folder, state, f"{getattr(model, 'base_model_prefix', '')}."):
        try:
            if has_adapter(folder):  # whose weights are not in the state
                return folder_hash(folder, cache_dir)
            return resolve(str(folder), cache_dir).weights_hash or ""
        except MelboError:  # the folder cannot be resolved by itself: use the numbers
            pass
    return state_hash(state)


def _folder(name: str) -> Path | None:
    """The local folder of ``name``, a path or a hub name."""
    if not name:
        return None
    if Path(name).is_dir():
        return Path(name)
    from huggingface_hub import try_to_load_from_cache

    try:
        found = try_to_load_from_cache(name, "config.json")
    except ValueError:  # not a model name
        return None
    return Path(found).parent if isinstance(found, str) else None


def _holds(folder: Path, state: dict[str, Any], prefix: str) -> bool:
    """Whether the folder's files hold exactly these weights.

    A tensor may have several names in memory (tied weights), files may omit ``prefix`` from names (GPT-2), and they may
    hold tensors that the model does not use.
    """
    from safetensors import SafetensorError, safe_open

    found: set[tuple[int, tuple[int, ...]]] = set()
    try:
        for file in [folder / name for name in weight_files(folder)]:
            with safe_open(file, "pt") as stored:
                for name in stored.keys():  # noqa: SIM118 (not a dictionary)
                    own = state.get(name, state.get(prefix + name))
                    if own is None:
                        continue
                    if list(own.shape) != stored.get_slice(name).get_shape():
                        return False
                    if not stored.get_tensor(name).to(own.dtype).equal(own.cpu()):
                        return False
                    found.add((own.data_ptr(), own.shape))
    except (OSError, SafetensorError):
        return False
    return all((tensor.data_ptr(), tensor.shape) in found for tensor in state.values())
