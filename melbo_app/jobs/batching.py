"""Completions for several people at once: whoever waits for the next token waits for the same forward pass."""

import threading
import time
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from melbo_app.engine.decoding import Decoding
from melbo_app.errors import Stopped
from melbo_app.jobs.compute import ComputeLock

if TYPE_CHECKING:
    import numpy as np

    from melbo_app.engine.encoding import EncodedPrompts
    from melbo_app.engine.generation import GenerationProgress, Rows
    from melbo_app.engine.model import LanguageModel
    from melbo_app.engine.trace import Trace

MOST_SHARED = 32
"""Rows that share a pass. A row of 64 costs hardly less than one of 32, and whoever has two would wait for them all."""

MOST_PADDING = 256
"""Columns by which the rows of one batch may differ: padding takes memory, and time at each token."""

ADMITTING_SECONDS = 1.0
"""After so long no further newcomer's prompt is read before those who are under way have had a token."""


@dataclass(eq=False)
class _Seat:
    """What one caller asked for, and what there is to tell."""

    rows: "Rows"
    joined: bool = False
    stopped: bool = False
    """Before the first token."""
    error: BaseException | None = None
    news: "GenerationProgress | None" = None
    """The newest progress that the caller has not taken; who comes late has missed some."""
    ended: bool = False
    """Whether the caller may know that there is nothing more to come."""

    @property
    def over(self) -> bool:
        """The same within a turn."""
        return self.stopped or self.error is not None or self.rows.done


class _Group:
    """Callers whose rows are completed in one batch.

    Seats are taken and left by their callers. Everything else is done in a turn, by one caller at a time.
    """

    def __init__(self, lm: "LanguageModel", memory_gb: float | None) -> None:
        from melbo_app.engine.batch import Batch
        from melbo_app.engine.cache import can_merge

        self.lm = lm
        self.seats: list[_Seat] = []
        self.in_turn = False
        self._batch, self._memory_gb, self._can_merge = Batch(lm), memory_gb, can_merge(lm)
        self._stood_still = 0.0

    def has_room(self, rows: "Rows") -> bool:
        """Whether ``rows`` may join: few enough together, of similar length, and in memory."""
        from melbo_app.engine.memory import rows_at_once

        everybody = [*(seat.rows for seat in self.seats if not seat.ended), rows]
        if len(everybody) == 1:
            return True
        count, columns = sum(len(one.of) for one in everybody), [one.columns for one in everybody]
        if not self._can_merge or count > MOST_SHARED or max(columns) - min(columns) > MOST_PADDING:
            return False
        tokens = max(columns) + max(one.remaining for one in everybody)
        return count <= rows_at_once(self.lm, tokens, self._memory_gb)

    def turn(self) -> tuple[_Seat, ...]:
        """Compute until it is time to look at the texts, or somebody's are done; whom there is something to tell."""
        from melbo_app.engine import generation

        begin, present = time.monotonic(), {seat.rows for seat in self.seats}
        seats = tuple(seat for seat in self.seats if not seat.ended)
        self._batch.leave(*(rows for rows in self._batch.members if rows not in present))
        while not any(seat.over for seat in seats):
            waiting = next((seat for seat in seats if not seat.joined), None)
            if waiting is not None and (not self._batch.members or self._stood_still <= ADMITTING_SECONDS):
                self._admit(waiting)
            else:
                self._step(seats)
            if time.monotonic() - begin > generation.STREAM_SECONDS:
                break
        return tuple(seat for seat in seats if seat.joined and seat.error is None)

    def _admit(self, seat: _Seat) -> None:
        begin = time.monotonic()
        try:
            self._batch.join(seat.rows)
            seat.joined = True
        except Stopped:
            seat.stopped = True
        except Exception as error:  # only this caller's prompts were read: the others need not know
            seat.error = error
        self._stood_still += time.monotonic() - begin

    def _step(self, seats: Sequence[_Seat]) -> None:
        from melbo_app.engine.batch import Batch

        self._stood_still = 0.0
        try:
            self._batch.step()
        except BaseException as error:
            self._batch = Batch(self.lm)  # for those who have not joined yet
            for seat in seats:
                if seat.joined:
                    seat.error = error
            if not isinstance(error, Exception):
                raise


class Batching:
    """Generates for any number of callers, each in a thread of its own.

    There is no thread that computes for all. Of those who wait, one computes while the others wait for what comes of
    it, and whoever comes back first computes next: so it goes on when a caller is slow, goes away or has all it wanted.
    """

    def __init__(self, compute: ComputeLock, memory_gb: float | None) -> None:
        self.compute, self.memory_gb = compute, memory_gb
        self._changed = threading.Condition()
        self._groups: list[_Group] = []

    def generate(
        self,
        lm: "LanguageModel",
        encoded: "EncodedPrompts",
        thetas: "np.ndarray",
        source: int | None,
        decoding: Decoding,
        stop: Callable[[], bool] | None = None,
        of: Sequence[int] | None = None,
        trace: "Trace | None" = None,
    ) -> Generator["GenerationProgress", None, None]:
        """The same as the engine's ``generate``, and the same texts, holding the compute lock while it computes.

        What went wrong for all in one forward pass is raised for each; all other errors belong to one caller.
        """
        from melbo_app.engine.generation import Rows

        seat = _Seat(Rows(lm, encoded, thetas, source, decoding, stop, of, trace))
        group = self._take(seat)
        try:
            while True:
                news, ended = self._wait(group, seat)
                if news is not None:
                    yield news
                if ended:
                    break
            if seat.error is not None:
                raise seat.error
        finally:
            self._leave(group, seat)

    def _take(self, seat: _Seat) -> _Group:
        with self._changed:
            group = next((one for one in self._groups if one.lm is seat.rows.lm and one.has_room(seat.rows)), None)
            if group is None:
                group = _Group(seat.rows.lm, self.memory_gb)
                self._groups.append(group)
            group.seats.append(seat)
            return group

    def _leave(self, group: _Group, seat: _Seat) -> None:
        with self._changed:
            group.seats.remove(seat)
            if not group.seats:
                self._groups.remove(group)

    def _wait(self, group: _Group, seat: _Seat) -> tuple["GenerationProgress | None", bool]:
        """The caller's news, for which it computes where nobody else does; and whether they are the last."""
        while True:
            with self._changed:
                self._changed.wait_for(lambda: seat.news is not None or seat.ended or not group.in_turn)
                if seat.news is not None or seat.ended:
                    news, seat.news = seat.news, None
                    return news, seat.ended
                group.in_turn = True
            self._turn(group)

    def _turn(self, group: _Group) -> None:
        news: dict[_Seat, GenerationProgress] = {}
        try:
            with self.compute.hold():
                told = group.turn()
            news = {seat: seat.rows.progress() for seat in told}
        finally:
            with self._changed:
                group.in_turn = False
                for seat in tuple(group.seats):
                    seat.news, seat.ended = news.get(seat, seat.news), seat.over
                self._changed.notify_all()
