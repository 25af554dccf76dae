"""What a bank says where a study leaves it out."""

from typing import Any, TypeVar

from melbo_app.errors import InputError
from melbo_app.jobs.bench import Bench
from melbo_app.jobs.study import Study

Asked = TypeVar("Asked", bound=Study[Any])


def filled(study: Asked, bench: Bench) -> Asked:
    """The same study with the prompts and all vectors of its ``bank``, where it has none of its own.

    Raises:
        InputError: there are no prompts, or no such bank.
    """
    asked: Any = study
    if asked.bank is None:
        if "prompts" not in study.model_fields_set:
            raise InputError("prompts", "there is none", "Give one")
        return study
    bank = bench.banks.load(asked.bank)
    changes: dict[str, Any] = {}
    if "prompts" not in study.model_fields_set:
        changes["prompts"] = tuple(entry.asked for entry in bank.record.prompts)
        if not changes["prompts"]:
            raise InputError("prompts", f"“{asked.bank}” has none of its own", "Give one")
    if asked.vectors is None:
        changes["vectors"] = tuple(range(len(bank.vectors)))
    return study.model_copy(update=changes)
