"""A model being downloaded, unpacked and loaded in a thread, whether or not anybody watches it."""

import contextlib
import logging
import threading
from collections.abc import Callable, Generator

from melbo_app.errors import MelboError, Stopped
from melbo_app.jobs.generators import result_of
from melbo_app.jobs.loaded_model import ModelState
from melbo_app.library.fetch_progress import FetchProgress

Work = Callable[[Callable[[], bool]], Generator[FetchProgress, None, ModelState]]


class ModelGetting:
    """Runs ``work`` to its end. All attributes may be read from any thread.

    Attributes:
        key: the model's key in the catalogue.
        progress: the newest progress, None before the first.
        result: the loaded model's state, at the end.
        error: the message to show if it failed. After a stop, both stay None.
    """

    def __init__(self, key: str, work: Work) -> None:
        self.key, self._work = key, work
        self.progress: FetchProgress | None = None
        self.result: ModelState | None = None
        self.error: str | None = None
        self._stop, self._end = threading.Event(), threading.Event()

    def start(self) -> None:
        """Begin."""
        threading.Thread(target=self._run, name=f"getting {self.key}", daemon=True).start()

    def stop(self) -> None:
        """Ask it to stop; the downloaded part is kept."""
        self._stop.set()

    def wait(self, seconds: float | None = None) -> bool:
        """Wait for the end, at most ``seconds``; returns whether it was reached."""
        return self._end.wait(seconds)

    def _hear(self, progress: FetchProgress) -> None:
        self.progress = progress

    def _run(self) -> None:
        try:
            with contextlib.closing(self._work(self._stop.is_set)) as work:
                self.result = result_of(work, self._hear)
        except Stopped:
            pass
        except MelboError as error:
            self.error = str(error)
        except Exception as error:
            logging.getLogger(__name__).error("getting %s failed", self.key, exc_info=error)
            self.error = f"{self.key} could not be loaded: {type(error).__name__}: {error}"
        finally:
            self._end.set()
