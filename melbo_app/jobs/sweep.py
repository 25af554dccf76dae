"""A sweep: the same vectors at many R, one R after the other, so that what is done of it is kept."""

from collections.abc import Callable, Generator, Sequence
from functools import partial
from typing import TYPE_CHECKING

from melbo_app.engine.decoding import Decoding
from melbo_app.engine.prompt import Prompt
from melbo_app.engine.stopping import Stop
from melbo_app.errors import InputError, Stopped
from melbo_app.jobs.mapping import MapProgress
from melbo_app.jobs.steering import MOST_ROWS, SteeringProgress
from melbo_app.jobs.work import retold
from melbo_app.library.completion import Comparison, Completion
from melbo_app.sizes import size_text

if TYPE_CHECKING:  # torch takes seconds to import, and the page is up before it
    from melbo_app.engine.model import LanguageModel

Steering = Generator[SteeringProgress, None, Comparison]


def sweep(
    radii: Sequence[float],
    part: Callable[[float], Steering],
    keep: Callable[[Sequence[Completion], bool], Comparison],
    stop: Stop,
) -> Generator[MapProgress, None, Comparison]:
    """Complete at each R in its turn, and then put all of it into one comparison. A stop keeps the R that are done.

    Args:
        part: completes at one R, and keeps that; it raises Stopped rather than keep a part of it.
        keep: keeps the texts of all of them; the second argument says whether no R is missing.

    Raises:
        Stopped: a stop came before the first R was done.
    """
    radii = list(dict.fromkeys(radii))
    texts: dict[tuple[object, float, int], Completion] = {}  # each R comes with the baselines, and some with each other
    done = 0
    try:
        for number, radius in enumerate(radii):
            found = yield from retold(part(radius), partial(_told, number, radius, len(radii)))
            for one in found.completions:
                texts.setdefault((one.vector, one.radius, one.prompt_index), one)
            done += 1
            if stop():
                break
    except Stopped:
        if not done:
            raise
    yield MapProgress("putting it together", 100 * done, 100 * len(radii))
    return keep(list(texts.values()), done == len(radii))


def _told(number: int, radius: float, many: int, progress: SteeringProgress) -> MapProgress:
    share = progress.done / max(1, progress.total)
    stage = f"R = {radius:g}, {number + 1} of {many}: {progress.stage}"
    return MapProgress(stage, round(100 * (number + share)), 100 * many)


def memory_note(
    lm: "LanguageModel",
    prompts: Sequence[Prompt],
    texts: int,
    decoding: Decoding,
    memory_gb: float | None,
    stop: Stop = lambda: False,
) -> str:
    """What ``texts`` completions need of the memory, for people.

    Raises:
        InputError: not even one of them fits; the message has the numbers.
        Stopped: ``stop()`` became true.
    """
    from melbo_app.engine.encoding import encode
    from melbo_app.engine.memory import budget, bytes_per_row

    tokens = encode(lm, prompts, stop).input_ids.shape[1] + decoding.max_new_tokens
    each, have = bytes_per_row(lm, tokens), budget(lm, memory_gb)
    if each > have:
        problem = f"one text of {tokens} tokens needs {size_text(each)} and {size_text(have)} may be used"
        raise InputError("memory", problem, "Ask for fewer new tokens, or write shorter prompts")
    together = min(texts, MOST_ROWS, have // each)
    return (
        f"Needs up to {size_text(each * together)} beside the model, for {together} of {texts} texts at a time; "
        f"{size_text(have)} may be used."
    )
