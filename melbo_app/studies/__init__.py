"""The studies: one use case per file, from request to result.

A study in this list is a command, an endpoint of the HTTP API and of MCP, a call in Python and a job.
"""

from typing import Any

from melbo_app.errors import InputError
from melbo_app.jobs.study import Study
from melbo_app.studies.adapters import TrainAdapters
from melbo_app.studies.atlas import MeasureAtlas
from melbo_app.studies.audit import MakeAudit
from melbo_app.studies.calibrate import Calibrate
from melbo_app.studies.chat import Chat
from melbo_app.studies.curve import MeasureCurve
from melbo_app.studies.explore import Explore
from melbo_app.studies.find import FindTexts
from melbo_app.studies.generality import MeasureGenerality
from melbo_app.studies.harden import Harden
from melbo_app.studies.judge import JudgeTexts, ScoreJudge
from melbo_app.studies.label_agreement import LabelAgreement
from melbo_app.studies.label_trial import LabelTrial
from melbo_app.studies.map import DrawMap, MapOf
from melbo_app.studies.parts import FindParts
from melbo_app.studies.reliability import MeasureReliability
from melbo_app.studies.removal import TestRemoval
from melbo_app.studies.report import MakeReport
from melbo_app.studies.search_meaning import SearchMeaning
from melbo_app.studies.search_settings import SearchSettings
from melbo_app.studies.sensitivity import MeasureSensitivity
from melbo_app.studies.similarity import Compare
from melbo_app.studies.steer import Steer
from melbo_app.studies.suggest_labels import SuggestLabels
from melbo_app.studies.sweep import Sweep
from melbo_app.studies.top_tokens import TopTokens
from melbo_app.studies.train import Train
from melbo_app.studies.triggers import FindTriggers
from melbo_app.studies.watch import Watch

STUDIES: list[type[Study[Any]]] = [
    Train, Steer, Sweep, Compare, MeasureSensitivity, MeasureCurve, Calibrate, MeasureAtlas, Explore,
    MeasureGenerality, DrawMap, MapOf, MakeReport, TopTokens, JudgeTexts, ScoreJudge, SearchSettings,
    SuggestLabels, LabelAgreement, LabelTrial, Chat,
    SearchMeaning, FindTexts, Watch, TrainAdapters, MakeAudit,
    MeasureReliability, FindParts, FindTriggers, Harden, TestRemoval,
]  # fmt: skip


def read_study(kept: dict[str, Any]) -> Study[Any]:
    """Restore a study from JSON. Raises InputError if this version cannot read it."""
    try:
        found = next(one for one in STUDIES if one.kind == kept["kind"])
        return found(**{name: kept[name] for name in found.model_fields.keys() & kept.keys()})
    except (StopIteration, KeyError, InputError) as error:
        raise InputError("job", "it was saved by an incompatible version", "Fill in the form again") from error
