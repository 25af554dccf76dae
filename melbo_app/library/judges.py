"""How often each judge agreed with a reader, kept in one file, and the texts that the reader graded."""

import json
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from melbo_app.errors import StorageError
from melbo_app.library.atomic import write_file


class GradedText(BaseModel):
    """A text of the bundled model as a reader graded it; None: a baseline, which nobody graded."""

    model_config = ConfigDict(frozen=True)

    part: Literal["fitted", "held out", "baseline"]
    prompt: str
    text: str
    grade: Literal["readable", "strange", "broken"] | None


class JudgeScore(BaseModel):
    """On how many of the graded texts a judge said the reader's word, and on how many it saw as the reader does
    whether they can be read."""

    model_config = ConfigDict(frozen=True)

    judge: str
    texts: Annotated[int, Field(gt=0)]
    same: Annotated[int, Field(ge=0)]
    same_readable: Annotated[int, Field(ge=0)]


_SCORES = TypeAdapter(dict[str, JudgeScore])


class JudgeScores:
    """The newest score of each judge, in ``path``. Every method raises StorageError where the disk refuses."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def find(self, judge: str) -> JudgeScore | None:
        """The score of a judge, None where it was never taken."""
        return self._all().get(judge)

    def keep(self, score: JudgeScore) -> None:
        """Keep a score in place of the judge's last one."""
        scores = self._all() | {score.judge: score}
        self._path.parent.mkdir(parents=True, exist_ok=True)
        write_file(self._path, _SCORES.dump_json(scores, indent=1), overwrite=True)

    def _all(self) -> dict[str, JudgeScore]:
        try:
            return _SCORES.validate_json(self._path.read_bytes())
        except FileNotFoundError:
            return {}
        except ValidationError as error:
            raise StorageError(f"“{self._path}” is damaged. Delete it, and score the judges again") from error
        except OSError as error:
            raise StorageError(f"“{self._path}” could not be read ({error.strerror or error})") from error


def graded_texts(path: Path) -> list[GradedText]:
    """The graded texts in a file of one JSON object a line. Raises StorageError."""
    try:
        lines = path.read_text("utf-8").splitlines()
        return [GradedText.model_validate(json.loads(line)) for line in lines]
    except OSError as error:
        raise StorageError(f"The graded texts “{path}” could not be read ({error.strerror or error})") from error
    except ValueError as error:
        raise StorageError(f"The graded texts “{path}” are damaged") from error
