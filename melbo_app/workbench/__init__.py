"""The one hallway: every use case as one method. The page, the command line and later programs call nothing else."""

from melbo_app.jobs.desk import JobDesk
from melbo_app.library.checkpoints import Checkpoints
from melbo_app.library.job_records import JobRecords
from melbo_app.library.offered_models import OfferedModels
from melbo_app.library.weights import Progress
from melbo_app.settings import Settings
from melbo_app.workbench.base import EXAMPLE
from melbo_app.workbench.damages import Damages
from melbo_app.workbench.explorations import Explorations
from melbo_app.workbench.keeping import Keeping
from melbo_app.workbench.upkeep import Upkeep

__all__ = ["EXAMPLE", "Workbench"]


class Workbench(Explorations, Damages, Keeping, Upkeep):
    """Everything that can be done, for any number of people at once.

    Raises (every method): InputError where what was given cannot be used, StorageError where the disk refuses,
    BusyError where other work is in the way.
    """

    def __init__(
        self, settings: Settings, on_progress: Progress | None = None, offered: OfferedModels | None = None
    ) -> None:
        """``on_progress`` gets a line before each step that prepares the files of a model; ``offered`` are the models
        that can be loaded, any by default."""
        super().__init__(settings, on_progress, offered)
        records, checkpoints = JobRecords(self._database), Checkpoints(settings.cache_dir / "checkpoints")
        self._desk = JobDesk(records, checkpoints, self._model, self._banks, self)
