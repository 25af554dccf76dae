"""What visitors are changes: everything but where the server keeps its files."""

import os
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from melbo_app.errors import InputError, MelboError
from melbo_app.jobs.loaded_model import ModelState
from melbo_app.library.bank import Bank, BankRecord, BankSummary
from melbo_app.library.damage import Damage, Listed
from melbo_app.library.job_records import JobRecord, LogLine
from melbo_app.library.search import Found
from melbo_app.paths import without_folders
from melbo_app.settings import ROOT, Settings

Value = TypeVar("Value")


class Discretion:
    """Takes folders out of whatever the workbench gives. Banks and jobs of a time when the server was not public may
    name the folder of their model, and who asked for them."""

    def __init__(self, settings: Settings) -> None:
        named = [settings.model, *settings.models]
        places = [settings.cache_dir, settings.assets_dir, settings.uploads_dir, ROOT, Path.home(), Path.cwd()]
        places += [Path(sys.prefix), Path(tempfile.gettempdir())]
        places += [Path(spec).parent for spec in named if os.path.isabs(spec)]
        real = {str(one) for place in places if place is not None for one in (place, place.resolve())}
        self._folders = sorted((one for one in real if len(one) > 1), key=len, reverse=True)

    def text(self, text: str) -> str:
        """The text, of each path only what comes behind the folder."""
        return without_folders(text, self._folders)

    def error(self, error: MelboError) -> MelboError:
        """The same error without folders."""
        if isinstance(error, InputError):
            return InputError(error.field, self.text(error.problem), self.text(error.remedy))
        return type(error)(self.text(str(error)))

    def value(self, value: Value) -> Value:
        """What the workbench gave, as visitors may have it."""
        return self._value(value)

    def record(self, record: BankRecord) -> BankRecord:
        """Where a bank comes from; its prompts may well be about folders."""
        model, note = self.text(record.model), record.note and self.text(record.note)
        if (model, note) == (record.model, record.note):
            return record
        command = record.command and record.command.replace(record.model, model)
        return record.model_copy(update={"model": model, "note": note, "command": command})

    def bank(self, bank: Bank) -> Bank:
        """A bank; the very same one where there is nothing to take out."""
        record = self.record(bank.record)
        return bank if record is bank.record else replace(bank, record=record)

    def job(self, record: JobRecord) -> JobRecord:
        """A job, asked for by somebody whose name says nothing."""
        log = tuple(LogLine(at=line.at, text=self.text(line.text)) for line in record.log)
        request = {name: self.text(one) if name == "model" else one for name, one in record.request.items()}
        error = record.error and self.text(record.error)
        changes = {"request": request, "log": log, "who": _nameless(record.who), "error": error}
        return record.model_copy(update=changes)

    def _value(self, value: Any) -> Any:
        if isinstance(value, Bank):
            return self.bank(value)
        if isinstance(value, JobRecord):
            return self.job(value)
        if isinstance(value, BankSummary):
            record = value.record and self.record(value.record)
            return replace(value, record=record, damaged=value.damaged and self.text(value.damaged))
        if isinstance(value, ModelState):
            loading, error, coming = (one and self.text(one) for one in (value.loading, value.error, value.coming))
            return replace(value, name=self.text(value.name), loading=loading, error=error, coming=coming)
        if isinstance(value, Found):
            return replace(value, banks=self._value(value.banks))
        if isinstance(value, Damage):
            return Damage(self.text(value.subject), self.text(value.problem))
        if isinstance(value, Listed):
            return Listed(map(self._value, value), map(self._value, value.damaged))
        if isinstance(value, list):
            return [self._value(one) for one in value]
        return value


def _nameless(who: str) -> str:
    """Jobs that were asked for before the server was public have the address or the account of a person."""
    if who.startswith("visitor") or who in ("this machine", "a program"):
        return who
    return "somebody"
