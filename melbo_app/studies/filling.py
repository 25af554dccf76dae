"""Prompts and vectors that a study takes from its bank."""

from typing import Any, TypeVar

from melbo_app.errors import InputError
from melbo_app.jobs.bench import Bench
from melbo_app.jobs.study import Study

Asked = TypeVar("Asked", bound=Study[Any])


def filled(study: Asked, bench: Bench) -> Asked:
    """The same study; prompts and vectors that were left out are those of its ``bank``.

    Raises:
        InputError: no prompts, neither given nor in the bank; or the bank does not exist.
    """
    asked: Any = study
    if asked.bank is None:
        if "prompts" not in study.model_fields_set:
            raise InputError("prompts", "none was given", "Give one")
        return study
    bank = bench.banks.load(asked.bank)
    changes: dict[str, Any] = {}
    if "prompts" not in study.model_fields_set:
        changes["prompts"] = tuple(entry.asked for entry in bank.record.prompts)
        if not changes["prompts"]:
            raise InputError("prompts", f"the bank “{asked.bank}” has none", "Give one")
    if asked.vectors is None:
        changes["vectors"] = tuple(range(len(bank.vectors)))
    return study.model_copy(update=changes)
