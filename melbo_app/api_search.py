"""The search for R and the effect budget in a notebook: what ``melbo.train`` does first. See docs/api.md."""

from collections.abc import Callable, Generator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from melbo_app.analysis.embedding import Embedder
from melbo_app.engine.effect import radius_of_change
from melbo_app.engine.encoding import encode
from melbo_app.engine.model import LanguageModel
from melbo_app.engine.prompt import Prompt
from melbo_app.engine.scope import TokenScope
from melbo_app.engine.slice import ModelSlice
from melbo_app.engine.training_config import TrainingConfig
from melbo_app.jobs.batching import Batching
from melbo_app.jobs.compute import ComputeLock
from melbo_app.jobs.curve_making import CurveMaking
from melbo_app.jobs.looks import LOOK_DECODING, LOOK_PROMPTS, Looks, after_search, look_config
from melbo_app.jobs.search import CHANGE, START, SearchProgress, best_of, search
from melbo_app.jobs.training import layer_pairs
from melbo_app.library.banks import Banks
from melbo_app.library.bundled import embedder_folder
from melbo_app.library.database import Database
from melbo_app.library.embeddings import Embeddings
from melbo_app.library.patient_completions import PatientCompletions
from melbo_app.library.searches import Tried
from melbo_app.settings import Settings


def searched(
    lm: LanguageModel,
    prompts: Sequence[Prompt],
    config: TrainingConfig,
    seconds: float,
    memory_gb: float | None,
    other_layers: bool = False,
    stop: Callable[[], bool] = lambda: False,
) -> Generator[SearchProgress, None, tuple[TrainingConfig, list[Tried]]]:
    """``config`` with the R, effect budget and, with ``other_layers``, layers that short completions speak for, and
    what was tried.

    Nothing is kept: banks and texts of the search live in a temporary folder.
    """
    config.check_width(lm.hidden_size)
    asked = prompts[:LOOK_PROMPTS]
    encoded, scope = encode(lm, asked), TokenScope.parse(config.scope)
    pairs = layer_pairs(len(lm.blocks), config.source, config.target, other_layers)
    with TemporaryDirectory() as name:
        folder = Path(name)
        database = Database(folder / "search.sqlite")
        try:
            banks, completions = Banks(folder / "banks", folder / "none"), PatientCompletions(database)
            embedder, embeddings = Embedder(embedder_folder(Settings().cache_dir)), Embeddings(database)
            batching, places = Batching(ComputeLock(), memory_gb), []
            for source, target in pairs:
                piece = ModelSlice(lm, encoded, source, target)
                making = CurveMaking(
                    lm, lm.name, asked, replace(look_config(config), source=source, target=target), piece.median_norm,
                    None, False, LOOK_DECODING, banks, completions, embedder, embeddings, batching, stop, piece,
                )  # fmt: skip
                places.append(Looks(making, partial(radius_of_change, piece, scope, CHANGE)))
            tried, _ = yield from search(places, START, seconds, stop, config.saturation)
        finally:
            database.close()
    return after_search(config, tried[best_of(tried)[0]]), tried
