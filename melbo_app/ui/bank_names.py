"""Names for new banks."""

import itertools

from melbo_app.library.file_names import first_words
from melbo_app.workbench import Workbench


def free_name(workbench: Workbench, text: str) -> str:
    """A free name, made of a prompt's first words."""
    taken = {line.name.lower() for line in workbench.banks()}
    taken |= {job.record().request["name"].lower() for job in workbench.active_jobs("training")}
    stem = first_words(text, "bank")
    return next(name for name in (f"{stem}-{number}" for number in itertools.count(1)) if name not in taken)
