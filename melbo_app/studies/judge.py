"""Ask a judge for readability and behaviour of the texts of a comparison, or compare it with a reader."""

from collections.abc import Generator, Sequence
from typing import Any, ClassVar

from pydantic import InstanceOf

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


class JudgeTexts(Study[Judged]):
    """Judge the texts of a comparison. Judgements are stored, even if the work is stopped or fails, and not asked for
    again. The judge is the loaded model, or the one behind ``endpoint``.

    Raises InputError for a judge that was never scored, or that does not beat the built-in verdict.
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

    def answer(self, result: Judged, not_kept: str | None) -> dict[str, Any]:
        keys, said_keys = {"id", "vector", "radius", "prompt_index", "text"}, {"verdict", "behaviour"}
        texts = [
            completion.model_dump(include=keys) | said.model_dump(include=said_keys) for completion, said in result
        ]
        return {"comparison": self.comparison, "texts": texts, "not_kept": not_kept}

    def lines(self, result: Judged) -> list[str]:
        return [f"{said.verdict}: {said.behaviour}\n  {completion.text!r}" for completion, said in result]


class ScoreJudge(Study[Standing | None]):
    """Measure how often the judge agrees with a reader; the score decides whether the judge is on from now on. After a
    stop the result is None, and the judge keeps its last score."""

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
            raise Stopped("Stopped before the last text: the judge keeps its last score.")
        scores = {"judge": result.score.model_dump(), "built_in": result.built_in.model_dump()}
        return {**scores, "on": result.on, "not_kept": not_kept}

    def lines(self, result: Standing | None) -> list[str]:
        if result is None or result.score is None:
            return []
        on = "It is on." if result.on else "It stays off: it does not beat the built-in verdict."
        return [_line(result.score), _line(result.built_in), on]


def judgements(bench: Bench, completions: Sequence[Completion]) -> dict[str, Judgement]:
    """The latest judgements of these completions, by their digests, without those of judges that are off."""
    known = bench.judgements.find(completions)
    if not known:
        return {}
    on = {judge for judge in {one.judge for one in known.values()} if _standing(bench, judge).on}
    return {digest: one for digest, one in known.items() if one.judge in on}


def judge_standing(bench: Bench, endpoint: Endpoint | None = None) -> Standing:
    """The judge's last score, beside that of the built-in verdict."""
    return _standing(bench, _judge(bench, endpoint, never).identity)


def _standing(bench: Bench, judge: str) -> Standing:
    return Standing(judge, bench.judge_scores.find(judge), built_in(held_out_texts(bench.graded)))


def _judge(bench: Bench, endpoint: Endpoint | None, stop: Stop) -> Judge:
    return EndpointJudge(endpoint, stop) if endpoint else ModelJudge(bench.model.get(stop), bench.batching, stop)


def _line(score: JudgeScore) -> str:
    return (
        f"{score.judge}: the reader's word for {score.same} of {score.texts} texts, "
        f"readable or not as the reader says for {score.same_readable}"
    )
