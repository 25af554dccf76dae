"""Callers who share forward passes: to read prompts, to write texts, and to read texts back."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from melbo_app.errors import Stopped
from melbo_app.jobs.reading_back import Asked, ReadingBack

if TYPE_CHECKING:
    from melbo_app.engine.generation import GenerationProgress, Rows
    from melbo_app.engine.model import LanguageModel

MOST_SHARED = 128
"""Rows that share a pass for the next token. A pass of 100 rows takes 2.5 times as long as one of 5; separate batches
would take turns, and a caller with five rows would wait longer for three others with 32."""

MOST_PADDING = 256
"""Columns by which the rows of one batch may differ, because padding takes memory, and time at each token."""

A_PASS = 256
"""Padding tokens that may be read to save a pass; or a quarter of the real ones, if that is more."""

ENOUGH = 1024
"""Tokens from which texts are read back without waiting for more: twice as many would take twice as long."""

PATIENCE = 1.0
"""Seconds. After so long without a token, those who write get one, whoever waits; and nobody waits longer for
company."""


@dataclass(eq=False)
class Seat:
    """The request of one caller, its progress and its news."""

    rows: "Rows"
    reads: bool
    """Whether to read the texts back."""
    stage: Literal["waits", "writes", "reads", "over"] = "waits"
    since: float = field(default_factory=time.monotonic)
    """When it began to wait, for its first token or for its texts to be read."""
    asked: Asked | None = None
    stopped: bool = False
    """Before the first token."""
    error: BaseException | None = None
    news: "GenerationProgress | None" = None
    """The newest progress that the caller has not taken; a late caller misses the earlier ones."""
    ended: bool = False
    """Whether the caller may be notified that nothing more will come."""

    def end(self, error: BaseException | None = None) -> None:
        """Nothing more will come."""
        self.stage, self.error = "over", error


class Company:
    """Callers who share passes.

    Callers take and leave their own seats. Everything else happens in a turn, by one caller at a time.
    """

    def __init__(self, lm: "LanguageModel", memory_gb: float | None) -> None:
        from melbo_app.engine.batch import Batch
        from melbo_app.engine.cache import can_merge

        self.lm = lm
        self.seats: list[Seat] = []
        self.in_turn = False
        self._batch, self._memory_gb, self._can_merge = Batch(lm), memory_gb, can_merge(lm)
        self._readings: list[ReadingBack] = []
        self._owed = self._stood_still = self._step_seconds = 0.0

    def has_room(self, rows: "Rows") -> bool:
        """Whether ``rows`` may join: few enough in total, of similar length, and within memory."""
        from melbo_app.engine.memory import rows_at_once

        if not self.seats:
            return True
        everybody = [*(seat.rows for seat in self.seats if seat.stage in ("waits", "writes")), rows]
        count, columns = sum(len(one.of) for one in everybody), [one.columns for one in everybody]
        if not self._can_merge or count > MOST_SHARED or max(columns) - min(columns) > MOST_PADDING:
            return False
        tokens = max(columns) + max(one.remaining for one in everybody)
        return len(everybody) == 1 or count <= rows_at_once(self.lm, tokens, self._memory_gb)

    def turn(self) -> list[Seat]:
        """Compute until it is time to show the texts, or until some are finished; returns whose texts have grown."""
        from melbo_app.engine import generation

        begin, seats = time.monotonic(), [seat for seat in self.seats if not seat.ended]
        self._readings = [reading for reading in self._readings if not reading.over]
        present = {seat.rows for seat in seats}
        self._batch.leave(*(rows for rows in self._batch.members if rows not in present))
        grow = [seat for seat in seats if seat.stage in ("waits", "writes")]
        before = [seat.stage for seat in seats]
        while self._next(seats):
            changed = any(
                seat.stage in ("reads", "over") and seat.stage != stage
                for seat, stage in zip(seats, before, strict=True)
            )
            if changed or time.monotonic() - begin > generation.STREAM_SECONDS:
                break
        return [seat for seat in grow if seat.stage != "waits" and not seat.stopped and seat.error is None]

    def _next(self, seats: Sequence[Seat]) -> bool:
        """Do the next piece of work; False if there is none.

        Callers who write stand still while prompts and texts are read. Afterwards they get as much time, so that more
        callers gather for the next such pass; but nobody has to wait longer than PATIENCE.
        """
        now, writing = time.monotonic(), bool(self._batch.members)
        waits = [seat for seat in seats if seat.stage == "waits"]
        reads = [seat for seat in seats if seat.stage == "reads"]
        due = min((seat.since for seat in (*waits, *reads)), default=now)
        owed = self._owed > 0 and now - due < PATIENCE
        if writing and (owed or self._stood_still > PATIENCE):
            self._step()
        elif waits and (not reads or waits[0].since < reads[0].since or self._gathers(reads, now)):
            self._standing_still(lambda: self._admit(_fitting(waits)))
        elif reads and not self._gathers(reads, now):
            self._standing_still(lambda: self._read(reads))
        elif writing:
            self._step()
        else:
            return False
        return True

    def _gathers(self, reads: Sequence[Seat], now: float) -> bool:
        """Whether finished texts may wait for others that will soon be finished."""
        if self._readings or sum(seat.asked.tokens for seat in reads if seat.asked) >= ENOUGH:
            return False
        rest = PATIENCE - (now - reads[0].since)
        return any(rows.remaining * self._step_seconds < rest for rows in self._batch.members)

    def _standing_still(self, work: Callable[[], None]) -> None:
        writing, begin = bool(self._batch.members), time.monotonic()
        work()
        if writing:
            took = time.monotonic() - begin
            self._owed += took
            self._stood_still += took

    def _admit(self, seats: Sequence[Seat]) -> None:
        try:
            self._batch.join(*(seat.rows for seat in seats))
        except Stopped:
            for seat in seats:
                seat.stopped = True
                seat.end()
        except Exception as error:
            if len(seats) == 1:  # only this caller's prompts were read, so it is nobody else's error
                seats[0].end(error)
                return
            for seat in seats:
                if seat.rows.begun:
                    seat.end(error)
                else:
                    self._admit([seat])
        else:
            for seat in seats:
                seat.stage = "writes"
                self._look_at(seat)

    def _step(self) -> None:
        from melbo_app.engine.batch import Batch

        begin = time.monotonic()
        writes = [seat for seat in self.seats if seat.stage == "writes"]
        try:
            self._batch.step()
        except BaseException as error:
            self._batch = Batch(self.lm)  # for those who have not joined yet
            for seat in writes:
                seat.end(error)
            if not isinstance(error, Exception):
                raise
            return
        self._step_seconds = time.monotonic() - begin
        self._owed, self._stood_still = max(0.0, self._owed - self._step_seconds), 0.0
        for seat in writes:
            self._look_at(seat)

    def _look_at(self, seat: Seat) -> None:
        """If a seat's texts are finished, end it or let its texts be read back."""
        from melbo_app.engine.likelihood import readings_of

        rows = seat.rows
        if not rows.done:
            return
        if rows.error is not None or not seat.reads or (rows.stop is not None and rows.stop()):
            seat.end(rows.error)
            return
        seat.asked = Asked(rows.encoded, readings_of(rows), rows.stop)
        seat.stage, seat.since = "reads", time.monotonic()

    def _read(self, reads: Sequence[Seat]) -> None:
        """One pass of one of the readings, which take turns; seats that are in none of them begin a new one."""
        begun = {asked for reading in self._readings for asked in reading.asked}
        new = [seat for seat in reads if seat.asked not in begun]
        if new:
            some = _fitting(new)
            self._readings.append(ReadingBack(self.lm, [seat.asked for seat in some if seat.asked], self._memory_gb))
        reading = self._readings.pop(0)
        try:
            reading.step()
        except Exception:  # perhaps caused by one of them: try each alone, so that each gets its own error
            alone = [ReadingBack(self.lm, [asked], self._memory_gb) for asked in reading.asked if not asked.over]
            self._readings = [*alone, *self._readings]
        else:
            self._readings += [] if reading.over else [reading]
        for seat in reads:
            if seat.asked in reading.asked:
                seat.since = time.monotonic()
            if seat.asked and seat.asked.over:
                seat.end(seat.asked.error)


def _fitting(seats: Sequence[Seat]) -> list[Seat]:
    """The seats whose prompts fit in one pass: the first, and others of similar length until it is full."""
    from melbo_app.engine.slice import TOKENS_AT_ONCE

    some: list[Seat] = []
    count = columns = needed = 0
    for seat in seats:
        # the rows to begin, or the prompts to read back
        waits, prompts = seat.stage == "waits", seat.rows.encoded.input_ids
        rows, width = (len(seat.rows.of), seat.rows.columns) if waits else tuple(prompts.shape)
        wider, more = max(columns, width), needed + rows * width
        padded = wider * (count + rows)
        if some and (padded > TOKENS_AT_ONCE or padded - more > max(A_PASS, more // 4)):
            continue
        some.append(seat)
        count, columns, needed = count + rows, wider, more
    return some
