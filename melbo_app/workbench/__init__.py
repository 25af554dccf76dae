"""The one hallway: the page, the command line and programs call nothing else."""

from melbo_app.jobs.bench import EXAMPLE
from melbo_app.workbench.damages import Damages
from melbo_app.workbench.jobs import Jobs
from melbo_app.workbench.library import Library
from melbo_app.workbench.texts import Texts
from melbo_app.workbench.upkeep import Upkeep

__all__ = ["EXAMPLE", "Workbench"]


class Workbench(Jobs, Texts, Damages, Library, Upkeep):
    """Everything that can be done, for any number of people at once: studies through ``run`` and ``start``, and the
    library.

    Raises (every method): InputError where what was given cannot be used, StorageError where the disk refuses,
    BusyError where other work is in the way.
    """
