"""Hides the server's folders from visitors."""

import os
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

from melbo_app.errors import InputError, MelboError
from melbo_app.jobs.loaded_model import ModelState
from melbo_app.library.bank import Bank, BankRecord, BankSummary
from melbo_app.library.damage import Damage, Listed
from melbo_app.library.job_records import JobRecord, LogLine
from melbo_app.library.label import LabelChanged
from melbo_app.library.search import Found
from melbo_app.paths import without_folders
from melbo_app.settings import ROOT, Settings


class Discretion:
    """Removes folders from the workbench's results. Banks and jobs from before the server was public may name their
    model's folder and the person who asked for them."""

    def __init__(self, settings: Settings) -> None:
        named = [settings.model, *settings.models]
        places = [settings.cache_dir, settings.assets_dir, settings.uploads_dir, ROOT, Path.home(), Path.cwd()]
        places += [Path(sys.prefix), Path(tempfile.gettempdir())]
        places += [Path(spec).parent for spec in named if os.path.isabs(spec)]
        real = {str(one) for place in places if place is not None for one in (place, place.resolve())}
        self._folders = sorted((one for one in real if len(one) > 1), key=len, reverse=True)

    def text(self, text: str) -> str:
        """The text with each path cut down to its last part."""
        return without_folders(text, self._folders)

    def error(self, error: MelboError) -> MelboError:
        """The error without folders, and without the accounts of people."""
        if isinstance(error, LabelChanged):
            return LabelChanged(error.stored.model_copy(update={"author": ""}))
        if isinstance(error, InputError):
            return InputError(error.field, self.text(error.problem), self.text(error.remedy))
        return type(error)(self.text(str(error)))

    def record(self, record: BankRecord) -> BankRecord:
        """A bank's record without folders, except in its prompts."""
        model, note = self.text(record.model), record.note and self.text(record.note)
        if (model, note) == (record.model, record.note):
            return record
        command = record.command and record.command.replace(record.model, model)
        return record.model_copy(update={"model": model, "note": note, "command": command})

    def bank(self, bank: Bank) -> Bank:
        """The bank without folders; the same object if it has none."""
        record = self.record(bank.record)
        return bank if record is bank.record else replace(bank, record=record)

    def job(self, record: JobRecord) -> JobRecord:
        """The job without folders and personal names."""
        log = tuple(LogLine(at=line.at, text=self.text(line.text)) for line in record.log)
        request = {name: self.text(one) if name == "model" else one for name, one in record.request.items()}
        error = record.error and self.text(record.error)
        # before the server was public, jobs had addresses and accounts
        is_nameless = record.who.startswith("visitor") or record.who in ("this machine", "a program")
        who = record.who if is_nameless else "somebody"
        return record.model_copy(update={"request": request, "log": log, "who": who, "error": error})

    def value(self, value: Any) -> Any:
        """A result of the workbench as visitors may see it."""
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
            return replace(value, banks=self.value(value.banks))
        if isinstance(value, Damage):
            return Damage(self.text(value.subject), self.text(value.problem))
        if isinstance(value, Listed):
            return Listed(map(self.value, value), map(self.value, value.damaged))
        if isinstance(value, list):
            return [self.value(one) for one in value]
        return value
