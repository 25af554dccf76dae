"""Upkeep of the library: repairs, copies of the database, and the periodic work of a server."""

import math
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any, NoReturn, Protocol

from melbo_app.errors import BusyError, MelboError, StorageError
from melbo_app.library.catalogue import Repaired
from melbo_app.library.json_files import JsonFiles, Measured
from melbo_app.library.restoring import Restored, check_is_file, restore
from melbo_app.library.server_lock import ServerLock
from melbo_app.studies.search_meaning import embed_missing
from melbo_app.workbench.base import Base

COPY_EVERY, COPY_AGAIN = 24 * 3600.0, 3600.0
"""Seconds between two copies of the database, and before a failed one is tried again."""
TURN = 30.0
"""Seconds between two checks for due work."""
EMBEDDING, AT_ONCE = 10.0, 16
"""Seconds of a turn, at most, in which texts are embedded, and how many at a time, in about 0.1 s."""


class Waiting(Protocol):
    """A store that keeps in memory what could not be written."""

    def save_waiting(self) -> int: ...


class Upkeep(Base):
    """Repairing, copying and restoring."""

    _copy_due = -math.inf

    def repair_catalogue(self) -> Repaired:
        """Add banks whose files appeared unnoticed to the catalogue, and remove those whose files are gone."""
        return self.bench.catalogue.repair(self.bench.banks.files(), self.bench.banks.folder)

    def copy_database(self) -> str | None:
        """Copy the database if it changed. Returns the day of the copy, None if nothing was copied."""
        made = self.bench.database.backups.make(self.bench.database)
        return None if made is None else made.day

    def restore_library(self, copy: str | None = None) -> Restored:
        """Restore a copy of the database, by default the newest sound one, saving newer labels that can be read.

        Raises BusyError while a server uses it.
        """
        check_is_file(self.bench.database)
        lock = ServerLock(self.settings.cache_dir)
        try:
            lock.take("library restore")
        except BusyError as error:
            problem = f"A server uses this database{lock.holder}."
            raise BusyError(f"{problem} Stop it (Ctrl+C), restore, and start it again.") from error
        try:
            restored = restore(self.bench.database, copy)
            self.repair_catalogue()
        finally:
            lock.release()
        return restored

    def not_kept(self) -> list[str]:
        """A sentence with the reason for everything that could not be stored; empty if everything is stored."""
        found: list[tuple[str, str]] = []
        waiting = self.bench.completions.waiting()
        if waiting:
            texts = sum(len(one.completions) for one in waiting)
            found.append((_many(texts, "text"), waiting[-1].not_kept or ""))
        for what, files in self._files_of_results().items():
            if reasons := list(files.not_kept().values()):
                found.append((_many(len(reasons), what), reasons[-1]))
        for what, said in (
            ("judgements", self.bench.judgements.not_kept),
            ("a judge's score", self.bench.judge_scores.not_kept),
        ):
            if said:
                found.append((what, said))
        return [f"Not kept yet: {what}. {reason}" for what, reason in found]

    def why_not_kept(self, result: Measured) -> str | None:
        """Why a curve, an atlas, an exploration or a generality is only in memory; None: it is stored."""
        files = next(files for files in self._files_of_results().values() if isinstance(result, files.kind))
        return files.not_kept().get(result.key)

    def save_waiting(self) -> int:
        """Try again to store everything that could not be stored. Returns the number of comparisons and results stored.
        Raises StorageError if some still cannot be stored; they keep waiting."""
        places: list[Waiting] = [
            self.bench.completions,
            *self._files_of_results().values(),
            self.bench.judgements,
            self.bench.judge_scores,
        ]
        saved, refused = 0, None
        for place in places:  # a locked database should not keep files from being written
            try:
                saved += place.save_waiting()
            except StorageError as error:
                refused = refused or error
        for key in list(self.bench.unnumbered):
            if self.bench.explorations.renumber(key, self.bench.completions.number):
                self.bench.unnumbered.discard(key)
        if refused is not None:
            raise refused
        return saved

    def last_try(self) -> list[str]:
        """Store what can be stored, because the server ends. Returns a sentence for everything that is lost."""
        with suppress(MelboError):
            self.save_waiting()
        return [line.replace("Not kept yet", "Not kept", 1) for line in self.not_kept()]

    def _files_of_results(self) -> "dict[str, JsonFiles[Any]]":
        return {
            "exploration": self.bench.explorations,
            "curve": self.bench.curves,
            "atlas": self.bench.atlases,
            "generality": self.bench.generalities,
            "find": self.bench.finds,
            "audit": self.bench.audits,
            "circuit": self.bench.circuits,
            "reliability": self.bench.reliabilities,
            "search for triggers": self.bench.trigger_searches,
            "stress test of a removal": self.bench.removals,
            "test of a removal": self.bench.removal_tests,
            "preferences": self.bench.preferences,
            "readings of labels": self.bench.label_readings,
            "suggested labels": self.bench.suggested_labels,
        }

    def look_after(self, say: Callable[[str], None]) -> NoReturn:
        """Repair the catalogue, then do the periodic work while the server runs. ``say`` is called with a line for each
        repair and failure."""
        try:
            for line in self.repair_catalogue().lines():
                say(line)
        except MelboError as error:
            say(f"The catalogue was not checked: {error}")
        while True:
            self.do_what_is_due(say)
            with suppress(MelboError):  # a search embeds what is missing
                self.embed_texts()
            time.sleep(TURN)

    def embed_texts(self) -> int:
        """Embed stored texts for searches by meaning, the newest first, while no job runs; returns how many. Nothing is
        done before the embedder was loaded for something else."""
        if "embedder" not in vars(self.bench) or self.queue.active():
            return 0
        size = len(self.bench.meaning(""))
        for meanings in (self.bench.meanings, self.bench.answer_meanings):
            meanings.refresh(self.bench.embedder.identity, size)
        done, end = 0, time.monotonic() + EMBEDDING
        while time.monotonic() < end and not self.queue.active():
            some = embed_missing(self.bench, AT_ONCE, short=False)
            if not some:
                break
            done += some
        return done

    def do_what_is_due(self, say: Callable[[str], None]) -> None:
        """Store waiting results, and copy the database once a day."""
        with suppress(MelboError):  # the page lists what waits, and why
            self.save_waiting()
        if time.monotonic() < self._copy_due:
            return
        try:
            self.copy_database()
            self._copy_due = time.monotonic() + COPY_EVERY
        except MelboError as error:
            self._copy_due = time.monotonic() + COPY_AGAIN
            say(f"The database was not copied: {error}")


def _many(count: int, what: str) -> str:
    ending = what[:-1] + "ies" if what.endswith("y") else what + ("es" if what.endswith("s") else "s")
    return f"one {what}" if count == 1 else f"{count} {ending}"
