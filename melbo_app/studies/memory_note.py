"""The memory needed for completing."""

from collections.abc import Generator, Sequence
from typing import TYPE_CHECKING, Any

from melbo_app.engine.decoding import Decoding
from melbo_app.engine.prompt import Prompt
from melbo_app.engine.stopping import Stop, never
from melbo_app.errors import InputError
from melbo_app.jobs.bench import Bench
from melbo_app.jobs.progress import Progress
from melbo_app.sizes import size_text
from melbo_app.studies.completing import MOST_ROWS
from melbo_app.studies.steer import SteeringStudy

if TYPE_CHECKING:  # torch takes seconds to import, and the page is up before it
    from melbo_app.engine.model import LanguageModel


def say_memory(study: SteeringStudy[Any], bench: Bench, stop: Stop) -> Generator[Progress, None, None]:
    """Report the memory needed for completing, for the log. Raises InputError if it is too much."""
    yield Progress("reading the prompts", 0, 1)
    texts, lm = len(study.prompts) * len(study.variants(bench)), bench.model.get(stop)
    note = memory_note(lm, study.prompts, texts, study.decoding, bench.model.memory_gb, stop)
    yield Progress("starting", 0, 1, note)


def memory_note(
    lm: "LanguageModel",
    prompts: Sequence[Prompt],
    texts: int,
    decoding: Decoding,
    memory_gb: float | None,
    stop: Stop = never,
) -> str:
    """The memory needed for ``texts`` completions, as a sentence.

    Raises:
        InputError: not even one of them fits; the message contains the numbers.
        Stopped: ``stop()`` became true.
    """
    from melbo_app.engine.encoding import encode
    from melbo_app.engine.memory import budget, bytes_per_row

    tokens = encode(lm, prompts, stop).input_ids.shape[1] + decoding.max_new_tokens
    each, have = bytes_per_row(lm, tokens), budget(lm, memory_gb)
    if each > have:
        problem = f"one text of {tokens} tokens needs {size_text(each)}, and only {size_text(have)} may be used"
        raise InputError("memory", problem, "Ask for fewer new tokens, or write shorter prompts")
    together = min(texts, MOST_ROWS, have // each)
    return (
        f"Needs up to {size_text(each * together)} besides the model, for {together} of {texts} texts at a time; "
        f"{size_text(have)} may be used."
    )
