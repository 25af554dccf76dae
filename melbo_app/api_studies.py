"""Studies in a notebook, in a temporary library: nothing is kept. See docs/api.md."""

from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeVar

from melbo_app.analysis.embedding import Embedder
from melbo_app.arguments import bank_given, unsteered
from melbo_app.engine.model import LanguageModel
from melbo_app.engine.stopping import never
from melbo_app.jobs.bench import Bench
from melbo_app.jobs.generators import result_of
from melbo_app.jobs.study import Study
from melbo_app.library.bank import Bank
from melbo_app.library.bundled import embedder_folder
from melbo_app.settings import Settings

Result = TypeVar("Result")


def run(
    lm: LanguageModel,
    study: Study[Result],
    banks: Sequence[Bank] = (),
    progress: Callable[[Any], None] | None = None,
    memory_gb: float | None = None,
) -> Result:
    """Do any study of ``melbo_app.studies`` with this model, and return its result.

    Args:
        banks: the banks that the study names.
        progress: called with the progress.
        memory_gb: the memory it may use; None: 70 % of what is free.

    Raises:
        InputError: the study cannot be done.
    """
    with TemporaryDirectory() as folder:
        bench = Bench(Settings(cache_dir=Path(folder), memory_gb=memory_gb))
        bench.embedder = Embedder(embedder_folder(Settings().cache_dir))
        bench.model.adopt(unsteered(lm))
        try:
            for bank in banks:
                bench.banks.save(bank_given(bank))
            asked = study.bound(bench)
            asked.check(bench)
            asked.check_model(bench)
            return result_of(asked.run(bench, never), progress or (lambda now: None))
        finally:
            bench.database.close()
