"""Completions for several people at once: those who wait for the next token share a forward pass."""

import threading
from collections.abc import Callable, Generator, Sequence
from typing import TYPE_CHECKING

from melbo_app.engine.decoding import Decoding
from melbo_app.jobs.company import Company, Seat
from melbo_app.jobs.compute import ComputeLock

if TYPE_CHECKING:
    import numpy as np

    from melbo_app.engine.encoding import EncodedPrompts
    from melbo_app.engine.generation import GenerationProgress
    from melbo_app.engine.likelihood import Likelihood
    from melbo_app.engine.model import LanguageModel
    from melbo_app.engine.trace import Trace


class Batching:
    """Generates for any number of callers, each in a thread of its own.

    No thread computes for all: one of the waiting callers computes, the others wait for the result, and the first to
    return computes next. So the work goes on when a caller is slow, leaves or is finished.
    """

    def __init__(self, compute: ComputeLock, memory_gb: float | None) -> None:
        self.compute, self.memory_gb = compute, memory_gb
        self._changed = threading.Condition()
        self._companies: list[Company] = []

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
        written: Sequence[Sequence[int]] | None = None,
    ) -> Generator["GenerationProgress", None, "list[Likelihood] | None"]:
        """Like the engine's ``generate``, with the same texts, but holding the compute lock while it computes.

        With a ``trace`` the texts are read back, too: returns their likelihoods, or None after a stop. An error in a
        shared forward pass is raised for every caller, any other for one.
        """
        from melbo_app.engine.generation import Rows

        seat = Seat(Rows(lm, encoded, thetas, source, decoding, stop, of, trace, written), reads=trace is not None)
        company = self._take(seat)
        try:
            while True:
                news, ended = self._wait(company, seat)
                if news is not None:
                    yield news
                if ended:
                    break
            if seat.error is not None:
                raise seat.error
            return None if seat.asked is None or seat.asked.stopped else seat.asked.found
        finally:
            self._leave(company, seat)

    def _take(self, seat: Seat) -> Company:
        with self._changed:
            here = (one for one in self._companies if one.lm is seat.rows.lm and one.has_room(seat.rows))
            company = next(here, None)
            if company is None:
                company = Company(seat.rows.lm, self.memory_gb)
                self._companies.append(company)
            company.seats.append(seat)
            return company

    def _leave(self, company: Company, seat: Seat) -> None:
        from melbo_app.engine.memory import give_back

        with self._changed:
            company.seats.remove(seat)
            if seat.asked is not None:
                seat.asked.stopped = True
            if company.seats:
                return
            self._companies.remove(company)
        give_back()

    def _wait(self, company: Company, seat: Seat) -> tuple["GenerationProgress | None", bool]:
        """The caller's news, and whether they are the last; computes if nobody else does."""
        while True:
            with self._changed:
                self._changed.wait_for(lambda: seat.news is not None or seat.ended or not company.in_turn)
                if seat.news is not None or seat.ended:
                    news, seat.news = seat.news, None
                    return news, seat.ended
                company.in_turn = True
            self._turn(company)

    def _turn(self, company: Company) -> None:
        news: dict[Seat, GenerationProgress] = {}
        try:
            with self.compute.hold():
                grown = company.turn()
            news = {seat: seat.rows.progress() for seat in grown}
        finally:
            with self._changed:
                company.in_turn = False
                for seat in tuple(company.seats):
                    seat.news, seat.ended = news.get(seat, seat.news), seat.stage == "over"
                self._changed.notify_all()
