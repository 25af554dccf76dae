"""A library of its own for work whose result should not depend on what was done before."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from melbo_app.jobs.bench import Bench
from melbo_app.jobs.loaded_model import LoadedModel


@contextmanager
def apart(bench: Bench, loaded: LoadedModel) -> Iterator[Bench]:
    """In this context, a bench with the model ``loaded`` and an empty library, which is removed at the end: a search
    begins where an earlier one of the model ended."""
    with TemporaryDirectory(ignore_cleanup_errors=True) as passing:
        own = bench.settings.model_copy(update={"cache_dir": Path(passing), "database_url": None})
        inner = Bench(own)
        inner.model, inner.embedder = loaded, bench.embedder
        try:
            yield inner
        finally:
            inner.database.close()
