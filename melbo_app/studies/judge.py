"""Ask a judge how readable the texts of a comparison are and what is done in them, or compare it with a reader."""

from collections.abc import Generator, Sequence
from typing import Any, ClassVar, TypedDict, cast

from pydantic import InstanceOf

from melbo_app.analysis.readability import Verdict
from melbo_app.engine.stopping import Stop, never
from melbo_app.errors import Stopped
from melbo_app.jobs.bench import Bench
from melbo_app.jobs.progress import Progress
from melbo_app.jobs.study import How, Study
from melbo_app.library.completion import Completion
from melbo_app.library.judges import Judgement, JudgeScore, held_out_texts
from melbo_app.studies.judge_endpoint import Endpoint
from melbo_app.studies.judging import EndpointJudge, Judge, ModelJudge, Standing, built_in, judge_all, score

Judged = list[tuple[Completion, Judgement]]


class JudgedText(TypedDict):
    id: int | None
    vector: Any
    radius: float
    prompt_index: int
    text: str
    verdict: Verdict
    behaviour: str


class JudgedTexts(TypedDict):
    """What a judge says of the texts of a comparison; ``not_kept`` says why that could not be stored."""

    comparison: int
    texts: list[JudgedText]
    not_kept: str | None


class JudgeTexts(Study[Judged]):
    """What the judge says of the texts of a comparison. What it said is kept, also when it is stopped or fails, and not
    asked again. The judge is the loaded model, or the one behind ``endpoint``.

    Raises InputError for a judge that was never scored, or does not beat the built-in verdict.
    """

    kind: ClassVar[str] = "judge"
    how: ClassVar[How] = "compute"
    doors = frozenset()

    comparison: int
    endpoint: InstanceOf[Endpoint] | None = None

    def run(self, bench: Bench, stop: Stop) -> Generator[Progress, None, Judged]:
        completions = bench.completions.comparison(self.comparison).completions
        judge = _judge(bench, self.endpoint, stop)
        _standing(bench, judge.identity).check()
        known = bench.judgements.find(completions)
        said = {digest: one for digest, one in known.items() if one.judge == judge.identity}
        waiting = {one.digest: (one.prompt.user, one.text) for one in completions if one.digest not in said}
        found: list[Judgement] = []
        try:
            yield from judge_all(judge, [*waiting.values()], stop, found, name=True)
        finally:
            new = dict(zip(waiting, found, strict=False))
            bench.judgements.keep(new)
        said |= new
        return [(one, said[one.digest]) for one in completions if one.digest in said]

    def answer(self, result: Judged, not_kept: str | None) -> JudgedTexts:
        keys, said_keys = {"id", "vector", "radius", "prompt_index", "text"}, {"verdict", "behaviour"}
        texts = [
            cast(JudgedText, completion.model_dump(include=keys) | said.model_dump(include=said_keys))
            for completion, said in result
        ]
        return {"comparison": self.comparison, "texts": texts, "not_kept": not_kept}

    def lines(self, result: Judged) -> list[str]:
        return [f"{said.verdict}: {said.behaviour}\n  {completion.text!r}" for completion, said in result]


class ScoreJudge(Study[Standing | None]):
    """How often the judge says what a reader says; kept, so that the judge is on or off from now on. None where it was
    stopped: the last score stays."""

    kind: ClassVar[str] = "judge-score"
    how: ClassVar[How] = "compute"
    doors = frozenset()

    endpoint: InstanceOf[Endpoint] | None = None

    def run(self, bench: Bench, stop: Stop) -> Generator[Progress, None, Standing | None]:
        judge = _judge(bench, self.endpoint, stop)
        found = yield from score(judge, held_out_texts(bench.graded), stop)
        if found is None:
            return None
        bench.judge_scores.keep(found)
        return _standing(bench, judge.identity)

    def answer(self, result: Standing | None, not_kept: str | None) -> dict[str, Any]:
        if result is None or result.score is None:
            raise Stopped("Stopped before the last text: the judge's last score stays.")
        scores = {"judge": result.score.model_dump(), "built_in": result.built_in.model_dump()}
        return {**scores, "on": result.on, "not_kept": not_kept}

    def lines(self, result: Standing | None) -> list[str]:
        if result is None or result.score is None:
            return []
        on = "It is on." if result.on else "It stays off: it does not beat the built-in verdict."
        return [_line(result.score), _line(result.built_in), on]


def judgements(bench: Bench, completions: Sequence[Completion]) -> dict[str, Judgement]:
    """What was said last of those completions that were judged, by their digests; a judge that is off says nothing."""
    known = bench.judgements.find(completions)
    if not known:
        return {}
    beaten = _built_in(bench)
    on = {judge for judge in {one.judge for one in known.values()} if _beside(bench, beaten, judge).on}
    return {digest: one for digest, one in known.items() if one.judge in on}


def judge_standing(bench: Bench, endpoint: Endpoint | None = None) -> Standing:
    """How the judge did when it was scored last, beside the built-in verdict."""
    return _standing(bench, _judge(bench, endpoint, never).identity)


def _standing(bench: Bench, judge: str) -> Standing:
    return _beside(bench, _built_in(bench), judge)


def _beside(bench: Bench, beaten: JudgeScore, judge: str) -> Standing:
    return Standing(judge, bench.judge_scores.find(judge), beaten)


def _built_in(bench: Bench) -> JudgeScore:
    return built_in(held_out_texts(bench.graded))


def _judge(bench: Bench, endpoint: Endpoint | None, stop: Stop) -> Judge:
    return EndpointJudge(endpoint, stop) if endpoint else ModelJudge(bench.model.get(), bench.batching, stop)


def _line(score: JudgeScore) -> str:
    return (
        f"{score.judge}: the reader's word for {score.same} of {score.texts} texts, "
        f"readable or not as the reader says for {score.same_readable}"
    )
