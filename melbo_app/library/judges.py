"""How often each judge agreed with a reader and what it said of completions, a file each; and the graded texts."""

import json
import threading
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Generic, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from melbo_app.errors import StorageError
from melbo_app.library.atomic import write_file
from melbo_app.library.completions import Completion

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

    judge: str
    texts: Annotated[int, Field(gt=0)]
    same: Annotated[int, Field(ge=0)]
    same_readable: Annotated[int, Field(ge=0)]


class Judgement(BaseModel):
    """What a judge says of one text: its verdict, and the behaviour in a few words ('' where it was not asked).

    ``judge`` tells it from every other judge, ``model`` is the name of its model.
    """

    model_config = ConfigDict(frozen=True)

    judge: str
    model: str
    verdict: Grade
    behaviour: str


Entry = TypeVar("Entry", JudgeScore, Judgement)


_ADDING = threading.Lock()  # of two who add at once, both count


class _Entries(Generic[Entry]):
    """Entries by name in one file. Every method raises StorageError where the disk refuses."""

    def __init__(self, path: Path, kind: type[Entry], remedy: str) -> None:
        self._path, self._remedy = path, remedy
        self._waiting: dict[str, Entry] = {}
        self.not_kept: str | None = None
        self._format: TypeAdapter[dict[str, Entry]] = TypeAdapter(dict[str, kind])  # type: ignore[valid-type]

    def all(self) -> dict[str, Entry]:
        return {**self._stored(), **self._waiting}

    def _stored(self) -> dict[str, Entry]:
        try:
            return self._format.validate_json(self._path.read_bytes())
        except FileNotFoundError:
            return {}
        except ValidationError as error:
            raise StorageError(f"“{self._path}” is damaged. Delete it, {self._remedy}") from error
        except OSError as error:
            raise StorageError(f"“{self._path}” could not be read ({error.strerror or error})") from error

    def add(self, entries: Mapping[str, Entry]) -> None:
        """Keep entries; where the disk refuses, they wait in memory and ``not_kept`` says why."""
        with _ADDING:
            self._waiting |= entries
            stored = self._stored()  # a damaged file is named, and not replaced
            with suppress(StorageError):
                self._write(stored)

    def save_waiting(self) -> int:
        with _ADDING:
            many = len(self._waiting)
            if many:
                self._write(self._stored())
            return many

    def _write(self, stored: dict[str, Entry]) -> None:
        try:
            every = {**stored, **self._waiting}
            self._path.parent.mkdir(parents=True, exist_ok=True)
            write_file(self._path, self._format.dump_json(every, indent=1), overwrite=True)
        except OSError as error:
            self.not_kept = f"“{self._path.parent}” could not be made ({error.strerror or error})."
            raise StorageError(self.not_kept) from error
        except StorageError as error:
            self.not_kept = str(error)
            raise
        self._waiting, self.not_kept = {}, None


class JudgeScores:
    """The newest score of each judge, in ``path``. Every method raises StorageError where the disk refuses."""

    def __init__(self, path: Path) -> None:
        self._entries = _Entries(path, JudgeScore, "and score the judges again")

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
