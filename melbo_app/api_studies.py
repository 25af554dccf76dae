"""Studies in a notebook, on a bench of their own: nothing is kept. See docs/api.md."""

from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeVar

from melbo_app.analysis.embedding import Embedder
from melbo_app.arguments import bank_given, unsteered
from melbo_app.engine.model import LanguageModel
from melbo_app.engine.prompt import Prompt
from melbo_app.engine.stopping import never
from melbo_app.engine.training_config import TrainingConfig
from melbo_app.jobs.bench import Bench
from melbo_app.jobs.generators import result_of
from melbo_app.jobs.study import Study
from melbo_app.library.bank import Bank
from melbo_app.library.bundled import embedder_folder
from melbo_app.library.searches import Tried
from melbo_app.settings import Settings
from melbo_app.studies.looks import after_search
from melbo_app.studies.search_settings import SearchSettings
from melbo_app.studies.settings_ladder import SearchProgress

Result = TypeVar("Result")


@contextmanager
def bench_of(lm: LanguageModel, memory_gb: float | None = None) -> Iterator[Bench]:
    """A bench with this model, whose library is a temporary folder."""
    with TemporaryDirectory() as folder:
        bench = Bench(Settings(cache_dir=Path(folder), memory_gb=memory_gb))
        bench.embedder = Embedder(embedder_folder(Settings().cache_dir))
        bench.model.adopt(lm)
        try:
            yield bench
        finally:
            bench.database.close()


def run(
    lm: LanguageModel,
    study: Study[Result],
    banks: Sequence[Bank] = (),
    progress: Callable[[Any], None] | None = None,
    memory_gb: float | None = None,
) -> Result:
    """Do any study of ``melbo_app.studies`` with this model, and return its result.

    Args:
        banks: those that the study names.
        progress: called with how far it is.
        memory_gb: what it may use; None: 70 % of what is free.

    Raises:
        InputError: the study cannot be done.
    """
    with bench_of(unsteered(lm), memory_gb) as bench:
        for bank in banks:
            bench.banks.save(bank_given(bank))
        asked = study.bound(bench)
        asked.check(bench)
        asked.check_model(bench)
        return result_of(asked.run(bench, never), progress or (lambda now: None))


def searched(
    lm: LanguageModel,
    prompts: Sequence[Prompt],
    config: TrainingConfig,
    seconds: float,
    memory_gb: float | None,
    other_layers: bool = False,
) -> Generator[SearchProgress, None, tuple[TrainingConfig, tuple[Tried, ...]]]:
    """``config`` with the R, effect budget and, with ``other_layers``, layers that short completions speak for, and
    what was tried."""
    with bench_of(lm, memory_gb) as bench:
        study = SearchSettings.before(prompts, config, seconds, other_layers=other_layers)
        study.check_model(bench)
        found = yield from study.run(bench, never)
    return after_search(config, found.best), found.tried
