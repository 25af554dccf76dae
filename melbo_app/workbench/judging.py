"""Use cases of a judge: comparing it with a reader, and asking it where it beats the built-in verdict."""

from collections.abc import Generator, Sequence
from functools import cached_property
from pathlib import Path

from melbo_app.jobs.endpoint import Endpoint
from melbo_app.jobs.judge_address import JudgeAddress
from melbo_app.jobs.judging import (
    EndpointJudge,
    Judge,
    JudgeProgress,
    ModelJudge,
    Standing,
    built_in,
    judge_all,
    score,
)
from melbo_app.library.completion import Completion
from melbo_app.library.judges import Judgement, Judgements, JudgeScore, JudgeScores, held_out_texts
from melbo_app.settings import ROOT
from melbo_app.workbench.base import Base, Stop


class Judging(Base):
    """A judge is the loaded model, or a model behind an endpoint that a person names."""

    graded: Path = ROOT / "assets" / "graded_completions.jsonl"
    """The texts on which judges and the built-in verdict are compared with a reader."""

    @property
    def judge_address(self) -> JudgeAddress:
        """The judge that the operator names."""
        return JudgeAddress.of(self.settings)

    def judge_endpoint(self, url: str, model: str, *, here: bool) -> Endpoint:
        """The judge that somebody names on a page; ``here``: at this machine. The key goes to the operator's only."""
        return self.judge_address.named_on_a_page(url.strip(), model.strip(), here=here)

    def judge(
        self, comparison: int, endpoint: Endpoint | None = None, *, stop: Stop = lambda: False
    ) -> Generator[JudgeProgress, None, list[tuple[Completion, Judgement]]]:
        """What the judge says of the texts of a comparison. What it said is kept, also when it is stopped or fails,
        and not asked again.

        Raises InputError for a judge that was never scored, or does not beat the built-in verdict.
        """
        completions = self._completions.comparison(comparison).completions
        judge = self._judge(endpoint, stop)
        self._standing(judge.identity).check()
        known = self._judgements.find(completions)
        said = {digest: one for digest, one in known.items() if one.judge == judge.identity}
        waiting = {one.digest: (one.prompt.user, one.text) for one in completions if one.digest not in said}
        found: list[Judgement] = []
        try:
            yield from judge_all(judge, [*waiting.values()], stop, found, name=True)
        finally:
            new = dict(zip(waiting, found, strict=False))
            self._judgements.keep(new)
        said |= new
        return [(one, said[one.digest]) for one in completions if one.digest in said]

    def judgements(self, completions: Sequence[Completion]) -> dict[str, Judgement]:
        """What was said last of those completions that were judged, by their digests; a judge that is off says
        nothing."""
        known = self._judgements.find(completions)
        if not known:
            return {}
        beaten = self._built_in()
        on = {judge for judge in {one.judge for one in known.values()} if self._beside(beaten, judge).on}
        return {digest: one for digest, one in known.items() if one.judge in on}

    def score_judge(
        self, endpoint: Endpoint | None = None, *, stop: Stop = lambda: False
    ) -> Generator[JudgeProgress, None, Standing | None]:
        """How often the judge says what a reader says; kept, so that the judge is on or off from now on.

        None where it was stopped: the last score stays.
        """
        judge = self._judge(endpoint, stop)
        found = yield from score(judge, held_out_texts(self.graded), stop)
        if found is None:
            return None
        self._judge_scores.keep(found)
        return self._standing(judge.identity)

    def judge_standing(self, endpoint: Endpoint | None = None) -> Standing:
        """How the judge did when it was scored last, beside the built-in verdict."""
        return self._standing(self._judge(endpoint, lambda: False).identity)

    def _standing(self, judge: str) -> Standing:
        return self._beside(self._built_in(), judge)

    def _beside(self, beaten: JudgeScore, judge: str) -> Standing:
        return Standing(judge, self._judge_scores.find(judge), beaten)

    def _built_in(self) -> JudgeScore:
        return built_in(held_out_texts(self.graded))

    def _judge(self, endpoint: Endpoint | None, stop: Stop) -> Judge:
        return EndpointJudge(endpoint, stop) if endpoint else ModelJudge(self._model.get(), self._batching, stop)

    @cached_property
    def _judge_scores(self) -> JudgeScores:
        return JudgeScores(self.settings.cache_dir / "judges.json")

    @cached_property
    def _judgements(self) -> Judgements:
        return Judgements(self.settings.cache_dir / "judgements.json")
