"""A sweep: the same vectors at many R, one R after the other, so that what is done of it is kept."""

from collections.abc import Callable, Generator, Sequence
from typing import TYPE_CHECKING

from melbo_app.engine.decoding import Decoding
from melbo_app.engine.prompt import Prompt
from melbo_app.errors import InputError
from melbo_app.jobs.mapping import MapProgress
from melbo_app.jobs.steering import MOST_ROWS, SteeringProgress
from melbo_app.jobs.work import retold
from melbo_app.library.completions import Comparison
from melbo_app.sizes import size_text

if TYPE_CHECKING:  # torch takes seconds to import, and the page is up before it
    from melbo_app.engine.model import LanguageModel

Steering = Generator[SteeringProgress, None, Comparison]


def sweep(
    radii: Sequence[float], part: Callable[[Sequence[float]], Steering], whole: Callable[[], Steering]
) -> Generator[MapProgress, None, Comparison]:
    """Complete at each R in its turn, and then put all of it into one comparison by look-up.

    Args:
        part: completes at some of the R, and keeps that.
        whole: completes at all of them.
    """
    radii = list(dict.fromkeys(radii))
    for number, radius in enumerate(radii):
        for progress in part([radius]):
            share = progress.done / max(1, progress.total)
            stage = f"R = {radius:g}, {number + 1} of {len(radii)}: {progress.stage}"
            yield MapProgress(stage, round(100 * (number + share)), 100 * len(radii))
    gathered = MapProgress("putting it together", 100 * len(radii), 100 * len(radii))
    return (yield from retold(whole(), lambda _: gathered))


def memory_note(
    lm: "LanguageModel", prompts: Sequence[Prompt], texts: int, decoding: Decoding, memory_gb: float | None
) -> str:
    """What ``texts`` completions need of the memory, for people.

    Raises:
        InputError: not even one of them fits; the message has the numbers.
    """
    from melbo_app.engine.encoding import encode
    from melbo_app.engine.memory import budget, bytes_per_row

    tokens = encode(lm, prompts).input_ids.shape[1] + decoding.max_new_tokens
    each, have = bytes_per_row(lm, tokens), budget(lm, memory_gb)
    if each > have:
        problem = f"one text of {tokens} tokens needs {size_text(each)} and {size_text(have)} may be used"
        raise InputError("memory", problem, "Ask for fewer new tokens, or write shorter prompts")
    together = min(texts, MOST_ROWS, have // each)
    return (
        f"Needs up to {size_text(each * together)} beside the model, for {together} of {texts} texts at a time; "
        f"{size_text(have)} may be used."
    )
