"""The workbench: the page, the command line and programs call nothing else."""

from melbo_app.jobs.bench import EXAMPLE
from melbo_app.workbench.chats import Chats
from melbo_app.workbench.damages import Damages
from melbo_app.workbench.jobs import Jobs
from melbo_app.workbench.library import Library
from melbo_app.workbench.organisms import Organisms
from melbo_app.workbench.reliability import ReliabilityResults
from melbo_app.workbench.texts import Texts
from melbo_app.workbench.triggers import Triggers
from melbo_app.workbench.upkeep import Upkeep

__all__ = ["EXAMPLE", "Workbench"]


class Workbench(Jobs, Texts, Chats, Damages, Library, Organisms, ReliabilityResults, Triggers, Upkeep):
    """All functions, for any number of people at once: studies through ``run`` and ``start``, and the library.

    Raises (every method): InputError for values that cannot be used, StorageError for failures of the disk, BusyError
    while other work is in the way.
    """
