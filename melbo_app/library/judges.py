"""How often each judge agreed with a reader and what it said of completions, a file each; and the graded texts."""

import json
import threading
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any, Generic, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field

from melbo_app.errors import StorageError
from melbo_app.library.atomic import write_file
from melbo_app.library.completion import Completion
from melbo_app.library.damage import Damage, Listed, read_each
from melbo_app.library.facts import Count, ModelName, Text

Grade = Literal["readable", "strange", "broken"]


class GradedText(BaseModel):
    """A text as a reader graded it; a baseline has None, because nobody graded it.

    ``loss`` and ``peak_surprisal`` are what ``Scores`` has of it, under the model that wrote it: nats per token.
    """

    model_config = ConfigDict(frozen=True)

    part: Literal["fitted", "held out", "baseline"]
    model: str | None = None
    """Who wrote it. None: the bundled model, before others were graded; judges are compared on those."""
    prompt: str
    text: str
    tokens: Annotated[int, Field(gt=0)]
    loss: float
    peak_surprisal: float
    grade: Grade | None


class JudgeScore(BaseModel):
    """On how many of the graded texts a judge said the reader's word, and on how many it saw as the reader does
    whether they can be read."""

    model_config = ConfigDict(frozen=True)

    judge: Text
    texts: Annotated[Count, Field(gt=0)]
    same: Count
    same_readable: Count


class Judgement(BaseModel):
    """What a judge says of one text: its verdict, and the behaviour in a few words ('' where it was not asked).

    ``judge`` tells it from every other judge, ``model`` is the name of its model.
    """

    model_config = ConfigDict(frozen=True)

    judge: Text
    model: ModelName
    verdict: Grade
    behaviour: Text


Entry = TypeVar("Entry", JudgeScore, Judgement)


_ADDING = threading.Lock()  # of two who add at once, both count


class _Entries(Generic[Entry]):
    """Entries by name in one file. Every method raises StorageError where the disk refuses."""

    def __init__(self, path: Path, kind: type[Entry], remedy: str) -> None:
        self._path, self._remedy = path, remedy
        self._kind: type[Entry] = kind
        self._waiting: dict[str, Entry] = {}
        self.not_kept: str | None = None

    def all(self) -> dict[str, Entry]:
        return {**dict(self._each()), **self._waiting}

    def damaged(self) -> list[Damage]:
        return [*self._each().damaged]

    def add(self, entries: Mapping[str, Entry]) -> None:
        """Keep entries; where the disk refuses, they wait in memory and ``not_kept`` says why. Entries that cannot be
        read make room: a judge is asked for them again."""
        with _ADDING:
            self._waiting |= entries
            stored = dict(self._each())  # a damaged file is named, and not replaced
            with suppress(StorageError):
                self._write(stored)

    def save_waiting(self) -> int:
        with _ADDING:
            many = len(self._waiting)
            if many:
                self._write(dict(self._each()))
            return many

    def _write(self, stored: dict[str, Entry]) -> None:
        try:
            every = {name: entry.model_dump(mode="json") for name, entry in {**stored, **self._waiting}.items()}
            self._path.parent.mkdir(parents=True, exist_ok=True)
            write_file(self._path, json.dumps(every, indent=1, ensure_ascii=False).encode(), overwrite=True)
        except OSError as error:
            self.not_kept = f"“{self._path.parent}” could not be made ({error.strerror or error})."
            raise StorageError(self.not_kept) from error
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


class JudgeScores:
    """The newest score of each judge, in ``path``. Every method raises StorageError where the disk refuses."""

    def __init__(self, path: Path) -> None:
        self._entries = _Entries(path, JudgeScore, "and score the judges again")

    def damaged(self) -> list[Damage]:
        """The scores that cannot be read."""
        return self._entries.damaged()

    def find(self, judge: str) -> JudgeScore | None:
        """The score of a judge, None where it was never taken."""
        return self._entries.all().get(judge)

    def keep(self, score: JudgeScore) -> None:
        """Keep a score in place of the judge's last one; in memory where the disk refuses."""
        self._entries.add({score.judge: score})

    @property
    def not_kept(self) -> str | None:
        """Why what was given last is in memory alone; None: it is not."""
        return self._entries.not_kept

    def save_waiting(self) -> int:
        """Write what waits; how many scores that were. Raises StorageError where the disk refuses still."""
        return self._entries.save_waiting()


class Judgements:
    """The newest judgement of each completion, in ``path``. Every method raises StorageError where the disk refuses."""

    def __init__(self, path: Path) -> None:
        self._entries = _Entries(path, Judgement, "and have the texts judged again")

    def damaged(self) -> list[Damage]:
        """The judgements that cannot be read."""
        return self._entries.damaged()

    def find(self, completions: Iterable[Completion]) -> dict[str, Judgement]:
        """The judgements of those that have one, by their digests."""
        every = self._entries.all()
        return {one.digest: every[one.digest] for one in completions if one.digest in every} if every else {}

    def keep(self, judgements: Mapping[str, Judgement]) -> None:
        """Keep judgements by the digests of the completions; in memory where the disk refuses."""
        if judgements:
            self._entries.add(judgements)

    @property
    def not_kept(self) -> str | None:
        """Why what was given last is in memory alone; None: it is not."""
        return self._entries.not_kept

    def save_waiting(self) -> int:
        """Write what waits; how many judgements that were. Raises StorageError where the disk refuses still."""
        return self._entries.save_waiting()


def held_out_texts(path: Path) -> list[GradedText]:
    """The texts on which judges are compared, which the built-in verdict was not fitted to, of one JSON object a line.

    Raises StorageError, also where there are none.
    """
    try:
        lines = path.read_text("utf-8").splitlines()
        every = map(GradedText.model_validate, map(json.loads, lines))
        found = [one for one in every if one.part == "held out" and one.model is None]
    except OSError as error:
        raise StorageError(f"The graded texts “{path}” could not be read ({error.strerror or error})") from error
    except ValueError as error:
        raise StorageError(f"The graded texts “{path}” are damaged") from error
    if not found:
        raise StorageError(f"The graded texts “{path}” have none that the built-in verdict was not fitted to")
    return found
