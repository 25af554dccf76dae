"""Which weights a model has that somebody else loaded."""

from pathlib import Path
from typing import Any

from melbo_app.engine.weight_files import has_adapter, weight_files
from melbo_app.errors import InputError, MelboError
from melbo_app.library.model_folder import folder_hash
from melbo_app.library.weights import resolve


def identity(model: Any, cache_dir: Path) -> str:
    """The ``weights_hash`` of a transformers model in memory.

    It is that of the folder it says it came from, as if it had been loaded from there, where every number in memory is
    what the files say in its precision; else a sha256 over names and numbers, for a model that was made or changed in
    memory. Both read all weights once: 2 to 3 s for the 135 M numbers of the default model in float32.

    Raises:
        InputError: some of the weights are not in memory.
    """
    from melbo_app.engine.state_hash import state_hash  # late: torch

    state = {name: tensor for name, tensor in model.state_dict().items() if hasattr(tensor, "is_meta")}
    if any(tensor.is_meta for tensor in state.values()):
        problem = "some of its weights are not in memory, so it cannot be said which ones they are"
        raise InputError(
            "model", problem, "Load it whole, or give weights_hash, any text of your own for these weights"
        )
    folder = _folder(str(getattr(model.config, "_name_or_path", "") or ""))
    if folder is not None and _holds(folder, state, f"{getattr(model, 'base_model_prefix', '')}."):
        try:
            if has_adapter(folder):  # which is not in these weights
                return folder_hash(folder, cache_dir)
            return resolve(str(folder), cache_dir).weights_hash or ""
        except MelboError:  # the folder cannot be loaded by itself, or not remembered; the numbers still can
            pass
    return state_hash(state)


def _folder(name: str) -> Path | None:
    """The folder on this machine that ``name``, a path or a hub name, was loaded from."""
    if not name:
        return None
    if Path(name).is_dir():
        return Path(name)
    from huggingface_hub import try_to_load_from_cache

    try:
        found = try_to_load_from_cache(name, "config.json")
    except ValueError:  # neither a folder nor the name of a model
        return None
    return Path(found).parent if isinstance(found, str) else None


def _holds(folder: Path, state: dict[str, Any], prefix: str) -> bool:
    """Whether the folder's files hold these very weights.

    One tensor may have several names in memory (tied weights), files may leave ``prefix`` out of theirs (GPT-2), and
    hold what the model does not use.
    """
    from safetensors import SafetensorError, safe_open

    found: set[tuple[int, tuple[int, ...]]] = set()
    try:
        for file in [folder / name for name in weight_files(folder)]:
            with safe_open(file, "pt") as stored:
                for name in stored.keys():  # noqa: SIM118 (it is no dictionary)
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
