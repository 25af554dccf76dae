"""The endpoint of a study, with an argument for each field."""

import inspect
from collections.abc import Callable
from typing import Any, get_type_hints

from melbo_app import listings
from melbo_app.doors.asking import PROGRAM, study_from
from melbo_app.doors.parameters import REQUIRED, description, parameters
from melbo_app.errors import MelboError, Stopped
from melbo_app.jobs.generators import result_of
from melbo_app.jobs.job import Job
from melbo_app.jobs.study import Study
from melbo_app.studies.as_json import plain
from melbo_app.ui.leaving import leaving
from melbo_app.workbench import Workbench

WHO = "a program"
LOOK_SECONDS = 0.2
"""Between two looks whether the client still waits."""


def study_verb(workbench: Workbench, kind: type[Study[Any]]) -> Callable[..., Any]:
    """A function to publish: it does the study, or waits for its job, and returns the answer. A training is only
    started, and its job returned."""
    taken = parameters(kind)

    def verb(**given: Any) -> Any:
        values = {one.name: one.default for one in taken} | given

        def has_template() -> bool:
            return bool(workbench.load_model(stop=leaving()).has_template)

        bank = workbench.bank(values["bank"]) if values.get("bank") else None
        study = study_from(kind, values, bank, has_template, PROGRAM)
        if study.how == "training":
            return plain(workbench.start(study, who=WHO).record())
        waited = workbench.not_kept()  # what others could not store is not this study's
        if study.how == "job":
            result = awaited(workbench.start(study, who=WHO))
        else:
            result = result_of(workbench.run(study, stop=leaving()))
        new = [line for line in workbench.not_kept() if line not in waited]
        return study.answer(result, " ".join(new) or None)

    keyword = inspect.Parameter.POSITIONAL_OR_KEYWORD
    required_first = sorted(taken, key=lambda one: one.default is not REQUIRED)
    verb.__name__ = kind.verb
    verb.__doc__ = _documented(kind)
    gives = listings.JobLine if kind.how == "training" else get_type_hints(kind.answer).get("return", Any)
    verb.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
        [inspect.Parameter(one.name, keyword, default=one.default, annotation=one.type) for one in required_first],
        return_annotation=gives,
    )
    verb.__annotations__ = {one.name: one.type for one in taken} | {"return": gives}
    return verb


def _documented(kind: type[Study[Any]]) -> str:
    text = inspect.getdoc(kind) or ""
    lines = [description(kind), "", "Args:", *(f"    {one.name}: {one.help}" for one in parameters(kind))]
    returns = text.partition("\nReturns:")[2].strip()
    return "\n".join([*lines, "Returns:", f"    {returns or 'the result, as --json prints it'}"])


def awaited(job: Job[Any, Any]) -> Any:
    """The result of a job. If the client leaves meanwhile, the job is stopped and keeps its finished part."""
    left = leaving()
    while not job.wait(LOOK_SECONDS):
        if left():
            job.stop()
            raise Stopped
    if job.result is None:
        raise MelboError(job.error or f"{job.title} was stopped before there was anything to keep.")
    return job.result
