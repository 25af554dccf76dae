"""Use cases of a judge: comparing it with a reader, and asking it where it beats the built-in verdict."""

from collections.abc import Generator
from pathlib import Path

from melbo_app.jobs.endpoint import Endpoint
from melbo_app.jobs.judging import (
    EndpointJudge,
    Judge,
    Judgement,
    JudgeProgress,
    ModelJudge,
    check_worth,
    judge_all,
    score,
)
from melbo_app.library.completions import Completion
from melbo_app.library.judges import JudgeScore, JudgeScores, graded_texts
from melbo_app.settings import ROOT
from melbo_app.workbench.base import Base, Stop

GRADED = ROOT / "tests" / "real" / "graded_completions.jsonl"


class Judging(Base):
    """A judge is the loaded model, or a model behind an endpoint that a person names."""

    def judge(
        self, comparison: int, endpoint: Endpoint | None = None, *, stop: Stop = lambda: False
    ) -> Generator[JudgeProgress, None, list[tuple[Completion, Judgement]]]:
        """What the judge says of the texts of a comparison. Stopping keeps those that are judged.

        Raises InputError for a judge that was never scored, or does not beat the built-in verdict.
        """
        completions = self._completions.comparison(comparison).completions
        judge = self._judge(endpoint, stop)
        check_worth(judge.identity, self._judge_scores().find(judge.identity))
        texts = [(one.prompt.user, one.text) for one in completions]
        found = yield from judge_all(judge, texts, stop, name=True)
        return list(zip(completions, found, strict=False))

    def score_judge(
        self, endpoint: Endpoint | None = None, graded: Path = GRADED, *, stop: Stop = lambda: False
    ) -> Generator[JudgeProgress, None, JudgeScore | None]:
        """How often the judge says what a reader says; kept, so that the judge is on or off from now on.

        None where it was stopped: the last score stays.
        """
        texts = graded_texts(graded)
        found = yield from score(self._judge(endpoint, stop), texts, stop)
        if found is not None:
            self._judge_scores().keep(found)
        return found

    def _judge(self, endpoint: Endpoint | None, stop: Stop) -> Judge:
        return EndpointJudge(endpoint) if endpoint else ModelJudge(self._model.get(), self._batching, stop)

    def _judge_scores(self) -> JudgeScores:
        return JudgeScores(self.settings.cache_dir / "judges.json")
