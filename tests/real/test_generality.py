"""Generality on the bundled model: what must not count does not, at an R that is too small and one too large."""

from melbo_app.engine.decoding import Decoding
from melbo_app.jobs.generators import result_of
from melbo_app.library.bank import Bank, PromptRecord
from melbo_app.library.generality import AskedPrompt
from melbo_app.studies.generality import MeasureGenerality
from melbo_app.workbench import Workbench

PROMPTS = [AskedPrompt(prompt=PromptRecord(user=text)) for text in ("Who are you?", "How do bees make honey?")]


def measured(bench: Workbench, radius: float, tokens: int):
    return result_of(
        bench.run(
            MeasureGenerality(
                bank="bomb", prompts=PROMPTS, vectors=[3, 5], radius=radius, random=4, decoding=Decoding(tokens)
            )
        )
    )


def test_vectors_of_hardly_any_length_change_nothing(bench: Workbench, bomb: Bank):
    found = measured(bench, 0.01, 8)
    baselines = [one.text for one in found.baselines]
    for one in [*found.vectors, *found.random]:
        assert [answer.text for answer in one.answers] == baselines
        assert one.share.changed == 0 and max(answer.distance for answer in one.answers) < 1e-5


def test_vectors_that_break_every_text_are_not_called_general(bench: Workbench, bomb: Bank):
    found = measured(bench, 2000.0, 24)
    for one in [*found.vectors, *found.random]:
        texts = [answer.text for answer in one.answers]
        assert all(answer.verdict == "broken" or not answer.text.strip() for answer in one.answers), texts
        assert one.share.changed == 0
        assert max(answer.distance for answer in one.answers) > 0.3
