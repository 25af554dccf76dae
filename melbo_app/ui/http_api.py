"""The HTTP API of the page: its verbs as named endpoints with typed arguments. Nothing else is public.

An endpoint's docstring is its description in the API's schema and for MCP clients. Gradio reads only one line for each
of the ``Args``. The results are those of ``--json`` on the command line.
"""

from collections.abc import Callable
from typing import Any

from melbo_app.jobs.study import Study
from melbo_app.studies import STUDIES
from melbo_app.studies.steer import Steer
from melbo_app.ui.endpoint import publish
from melbo_app.ui.verbs.explore import ExploreVerbs
from melbo_app.ui.verbs.generality import GeneralityVerbs
from melbo_app.ui.verbs.library import LibraryVerbs
from melbo_app.ui.verbs.reliability import ReliabilityVerbs
from melbo_app.ui.verbs.study_verb import study_verb
from melbo_app.ui.verbs.training import TrainingVerbs
from melbo_app.workbench import Workbench

COMPUTE, AWAIT, LOOK = ("programs-compute", 4), ("programs-await", 8), ("programs-look", 8)
"""How many requests of programs run at a time: those that compute, those that wait for a job (perhaps behind a long
training), and those that only look something up. The others wait, so that the page keeps its threads and its turn."""
STEER = ("programs-steer", 32)
"""More at a time, as requests to steer share forward passes while they run."""


def publish_api(workbench: Workbench) -> None:
    """Make every verb an endpoint of the page that is being built."""
    library, training, exploring = LibraryVerbs(workbench), TrainingVerbs(workbench), ExploreVerbs(workbench)
    verbs: list[tuple[Callable[..., Any], tuple[str, int]]] = [
        (library.models, LOOK),
        (library.load_model, COMPUTE),
        (library.banks, LOOK),
        (training.train, COMPUTE),
        (training.jobs, LOOK),
        (training.job, LOOK),
        (training.stop_job, LOOK),
        *((study_verb(workbench, one), _queue(one)) for one in STUDIES if "http" in one.doors),
        (GeneralityVerbs(workbench).generality, AWAIT),
        (ReliabilityVerbs(workbench).reliability, AWAIT),
        (exploring.explore, AWAIT),
        (exploring.export_audit, LOOK),
        (library.labels, LOOK),
        (library.save_label, LOOK),
        (library.import_labels, COMPUTE),
        (library.import_bank, COMPUTE),
        (library.export_bank, LOOK),
    ]
    for verb, (queue, at_once) in verbs:
        publish(verb, queue=queue, at_once=at_once)


def _queue(study: type[Study[Any]]) -> tuple[str, int]:
    if study is Steer:
        return STEER
    return {"look": LOOK, "compute": COMPUTE, "job": AWAIT, "training": COMPUTE}[study.how]
