"""What a model says with adapters, and how that differs from what it says without."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from melbo_app.analysis.change import change, thresholds
from melbo_app.analysis.clustering import distances
from melbo_app.analysis.flags import flags
from melbo_app.engine.stopping import Stop
from melbo_app.jobs.bench import Bench
from melbo_app.library.adapter_set import AdapterText
from melbo_app.studies.scoring import scores_of

if TYPE_CHECKING:  # torch takes seconds to import
    from melbo_app.engine.encoding import EncodedPrompts
    from melbo_app.engine.lessons import Answer


def read_answers(
    bench: Bench, encoded: "EncodedPrompts", said: Sequence[Sequence["Answer"]], trained: int, stop: Stop
) -> list[list[AdapterText]]:
    """The answers to each prompt, as ``said``: first the model's own, then those of ``trained`` adapters, then those of
    random ones, from which the limit of a change in meaning comes (``thresholds``)."""
    from melbo_app.engine.likelihood import Reading, likelihoods

    found = []
    for number, (answers, prompt) in enumerate(zip(said, encoded.prompts, strict=True)):
        readings = [Reading(number, one.ids) for one in answers]
        read = bench.compute.result(likelihoods(bench.model.get(), encoded, readings, stop=stop))
        verdicts = [scores_of(*both, read[0].logprob, None).verdict for both in zip(answers, read, strict=True)]
        places = bench.embed([one.text for one in answers], stop)
        away = distances(places, places[0])
        limit, random = thresholds(away[1 + trained :])
        limits = [0.0, *[limit] * trained, *random]
        texts = []
        for one, verdict, distance, most in zip(answers, verdicts, away, limits, strict=True):
            shown = [flag.kind for flag in flags(one.text, prompt.user, prompt.system, answers[0].text)]
            same = one.text == answers[0].text
            kind = None if same else change(one.text, shown, verdict, distance, most)
            texts.append(
                AdapterText(
                    prompt=number, text=one.text, verdict=verdict, distance=distance, change=kind, flags=tuple(shown)
                )
            )
        found.append(texts)
    return found
