"""Judges: their agreement with a reader, their judgements of completions, and the graded texts."""

import json
import threading
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any, Generic, Literal, TypeVar

from pydantic import Field

from melbo_app.errors import StorageError
from melbo_app.library.atomic import make_folder, write_file
from melbo_app.library.completion import Completion
from melbo_app.library.damage import Damage, Listed, read_each
from melbo_app.library.facts import Count, ModelName, Text
from melbo_app.library.frozen import Frozen

Grade = Literal["readable", "strange", "broken"]


class GradedText(Frozen):
    """A text with a reader's grade; baselines were not graded. ``loss`` and ``peak_surprisal`` are those of ``Scores``,
    under the model that wrote the text, in nats per token."""

    part: Literal["fitted", "held out", "baseline"]
    draw: Annotated[int, Field(gt=0)] = 1
    """The number of the drawing of texts that it came with."""
    model: str | None = None
    """The model that wrote it. None: the bundled model, on whose texts judges are compared."""
    prompt: str
    text: str
    tokens: Annotated[int, Field(gt=0)]
    loss: float
    peak_surprisal: float
    grade: Grade | None


class JudgeScore(Frozen):
    """A judge's agreement with the reader on the graded texts: ``same`` counts equal grades, ``same_readable`` texts
    that both find readable or both do not."""

    judge: Text
    texts: Annotated[Count, Field(gt=0)]
    same: Count
    same_readable: Count


class Judgement(Frozen):
    """A judge's verdict on one text, and the behaviour in a few words ('' if not asked). ``judge`` identifies the
    judge, ``model`` is the name of its model."""

    judge: Text
    model: ModelName
    verdict: Grade
    behaviour: Text


Entry = TypeVar("Entry", JudgeScore, Judgement)


_ADDING = threading.Lock()  # so that no entry of two concurrent writers is lost


class _Entries(Generic[Entry]):
    """Entries by name in the file ``path``. Every method raises StorageError if the disk refuses."""

    _kind: type[Entry]
    _remedy: str
    """How to get the entries again after deleting a damaged file."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._waiting: dict[str, Entry] = {}
        self.not_kept: str | None = None
        """Why the last entries are in memory only; None: they are not."""

    def damaged(self) -> list[Damage]:
        """The entries that cannot be read."""
        return [*self._each().damaged]

    def save_waiting(self) -> int:
        """Write the waiting entries; returns their number. Raises StorageError if the disk still refuses."""
        with _ADDING:
            many = len(self._waiting)
            if many:
                self._write(dict(self._each()))
            return many

    def _all(self) -> dict[str, Entry]:
        return {**dict(self._each()), **self._waiting}

    def _add(self, entries: Mapping[str, Entry]) -> None:
        """Save entries; if the disk refuses, they wait in memory. Unreadable entries are dropped, so that a judge is
        asked again."""
        with _ADDING:
            self._waiting |= entries
            stored = dict(self._each())  # raises for a damaged file, which is not replaced
            with suppress(StorageError):
                self._write(stored)

    def _write(self, stored: dict[str, Entry]) -> None:
        every = {name: entry.model_dump(mode="json") for name, entry in {**stored, **self._waiting}.items()}
        try:
            make_folder(self._path.parent)
            write_file(self._path, json.dumps(every, indent=1, ensure_ascii=False).encode(), overwrite=True)
        except StorageError as error:
            self.not_kept = str(error)
            raise
        self._waiting, self.not_kept = {}, None

    def _each(self) -> Listed[tuple[str, Entry]]:
        try:
            kept = json.loads(self._path.read_bytes())
        except FileNotFoundError:
            return Listed()
        except (ValueError, RecursionError):
            kept = None
        except OSError as error:
            raise StorageError(f"“{self._path}” could not be read ({error.strerror or error})") from error
        if not isinstance(kept, dict):
            raise StorageError(f"“{self._path}” is damaged. Delete it, {self._remedy}")

        def read(line: tuple[str, Any]) -> tuple[str, Entry]:
            return line[0], self._kind.model_validate(line[1], strict=True)

        return read_each(kept.items(), read, lambda line: f"“{line[0][:80]}” in “{self._path.name}”")


class JudgeScores(_Entries[JudgeScore]):
    """The newest score of each judge."""

    _kind, _remedy = JudgeScore, "and score the judges again"

    def find(self, judge: str) -> JudgeScore | None:
        """The score of a judge, or None."""
        return self._all().get(judge)

    def keep(self, score: JudgeScore) -> None:
        """Save a score in place of the judge's last one; in memory if the disk refuses."""
        self._add({score.judge: score})


class Judgements(_Entries[Judgement]):
    """The newest judgement of each completion."""

    _kind, _remedy = Judgement, "and have the texts judged again"

    def find(self, completions: Iterable[Completion]) -> dict[str, Judgement]:
        """The known judgements of these completions, by the completions' digests."""
        every = self._all()
        return {one.digest: every[one.digest] for one in completions if one.digest in every} if every else {}

    def keep(self, judgements: Mapping[str, Judgement]) -> None:
        """Save judgements by the completions' digests; in memory if the disk refuses."""
        if judgements:
            self._add(judgements)


def held_out_texts(path: Path) -> list[GradedText]:
    """The texts on which judges are compared, to which the built-in verdict was not fitted, from a JSONL file. Raises
    StorageError, also if there are none."""
    try:
        lines = path.read_text("utf-8").splitlines()
        every = map(GradedText.model_validate, map(json.loads, lines))
        found = [one for one in every if one.part == "held out" and one.model is None]
    except OSError as error:
        raise StorageError(f"The graded texts “{path}” could not be read ({error.strerror or error})") from error
    except ValueError as error:
        raise StorageError(f"The graded texts “{path}” are damaged") from error
    if not found:
        raise StorageError(f"The graded texts “{path}” contain none that the built-in verdict was not fitted to")
    return found
