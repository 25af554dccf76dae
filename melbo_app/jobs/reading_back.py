"""Reads texts of several callers back, without steering, in shared passes."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from melbo_app.errors import Stopped

if TYPE_CHECKING:
    from melbo_app.engine.encoding import EncodedPrompts
    from melbo_app.engine.likelihood import Likelihood, Reading
    from melbo_app.engine.model import LanguageModel


@dataclass(eq=False)
class Asked:
    """One caller's texts to read back, and the results so far.

    Attributes:
        encoded: the prompts of the ``readings``.
        stop: called before every forward pass.
        found: the results of the first readings.
        stopped: whether no more will come, because of a stop or because the caller left.
        error: the error after which no more will come.
    """

    encoded: "EncodedPrompts"
    readings: "Sequence[Reading]"
    stop: Callable[[], bool] | None = None
    found: "list[Likelihood]" = field(default_factory=list)
    stopped: bool = False
    error: BaseException | None = None

    @property
    def over(self) -> bool:
        """Whether no more results will come."""
        return self.stopped or self.error is not None or len(self.found) == len(self.readings)

    @property
    def tokens(self) -> int:
        """The number of tokens to read, without prompts."""
        return sum(max(1, len(reading.ids)) for reading in self.readings)

    def stops(self) -> bool:
        """Whether to stop now, which ends it."""
        self.stopped = self.stopped or (self.stop is not None and self.stop())
        return self.stopped


class ReadingBack:
    """Reads texts of several callers, one pass at a time, the smallest request first."""

    def __init__(self, lm: "LanguageModel", asked: Sequence[Asked], memory_gb: float | None) -> None:
        from melbo_app.engine.encoding import gathered
        from melbo_app.engine.likelihood import PromptsRead

        self.asked = sorted(asked, key=lambda one: one.tokens)
        self._lm, self._memory_gb = lm, memory_gb
        encoded, places = gathered(lm, [one.encoded for one in self.asked])
        self._columns, self._places = encoded.input_ids.shape[1], dict(zip(self.asked, places, strict=True))
        targets = {reading.target for one in self.asked for reading in one.readings}
        self._prompts = PromptsRead(lm, encoded, [target for target in targets if target is not None])

    @property
    def over(self) -> bool:
        """Whether nothing is left to read."""
        return all(one.over for one in self.asked)

    def step(self) -> None:
        """Read one batch. An error is stored for a single caller, and raised if there are several."""
        try:
            self._step()
        except Stopped:
            return
        except Exception as error:
            if len(self.asked) > 1:
                raise
            self.asked[0].error = error

    def _step(self) -> None:
        batch = self._batch()
        if not batch:
            return
        those = [*dict.fromkeys(one for one, _ in batch)]
        found = self._prompts.read([reading for _, reading in batch], lambda: all(one.stops() for one in those))
        for (one, _), likelihood in zip(batch, found, strict=True):
            one.found.append(likelihood)

    def _batch(self) -> "list[tuple[Asked, Reading]]":
        """The next texts that fit in a pass, with their callers."""
        from dataclasses import replace

        from melbo_app.engine.likelihood import texts_at_once

        batch: list[tuple[Asked, Reading]] = []
        longest = 0
        for one in self.asked:
            if one.over or one.stops():
                continue
            place = self._places[one]
            for reading in one.readings[len(one.found) :]:
                longest = max(longest, len(reading.ids))
                if batch and len(batch) >= texts_at_once(self._lm, self._columns, longest, self._memory_gb):
                    return batch
                batch.append((one, replace(reading, prompt=place[reading.prompt])))
        return batch
