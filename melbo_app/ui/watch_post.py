"""A bank on watch as the page has it, and what it answered."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from melbo_app.engine.prompt import Prompt
from melbo_app.library.atomic import write_file
from melbo_app.studies.watch import Watch
from melbo_app.studies.watcher import Answer
from melbo_app.ui.components.alarm_list import alarms
from melbo_app.ui.forms import template_field


class Post(NamedTuple):
    """A study with the prompts to watch, and ``like``: how they go in. ``names`` of vectors are those that this person
    may see, ``says`` has a text of each vector."""

    study: Watch
    bank_hash: str
    model: str
    model_hash: str | None
    like: Prompt
    names: dict[int, str]
    says: dict[int, str]

    @property
    def detector(self) -> tuple[Watch, str]:
        """What decides its answers."""
        return self.study.model_copy(update={"prompts": (), "labels": None}), self.bank_hash

    def list_of(self, answers: Sequence[Answer], threshold: float, **more: Any) -> dict[str, Any]:
        """The value of a list of these answers."""
        study = self.study
        stamp = {
            "bank": study.bank, "bank_hash": self.bank_hash, "model": self.model, "model_hash": self.model_hash,
            "system": self.like.system or "", "template": template_field(self.like.template),
        }  # fmt: skip
        facts = {"bank": study.bank, "bank_hash": self.bank_hash, "stamp": stamp, **more}
        return alarms(self.named(answers), threshold, self.says, study.labels, **facts)

    def named(self, answers: Sequence[Answer]) -> list[Answer]:
        """The answers with these names."""
        return [{**one, "name": self.names.get(one["vector"]) or None} for one in answers]


class Seen(NamedTuple):
    """What a watch answered."""

    post: Post
    threshold: float
    answers: tuple[Answer, ...]

    def write(self, out: Path) -> Path:
        """Write a line for each answer, as the command does; a label stays with its prompt."""
        lines = [json.dumps(dict(one), ensure_ascii=False) for one in self.post.named(self.answers)]
        if labels := self.post.study.labels:
            lines = [f'{line[:-1]}, "label": {label}}}' for line, label in zip(lines, labels, strict=False)]
        write_file(out, "".join(f"{line}\n" for line in lines).encode(), overwrite=False)
        return out
