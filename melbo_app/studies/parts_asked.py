"""What a circuit is measured by: the question, and the memory that its passes need."""

from collections.abc import Generator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from melbo_app.engine.decoding import Decoding
from melbo_app.engine.prompt import Prompt
from melbo_app.engine.stopping import Stop, raise_if
from melbo_app.errors import InputError
from melbo_app.sizes import size_text
from melbo_app.studies.measure import Measure

if TYPE_CHECKING:  # torch takes seconds to import, and the page is up before it
    from torch import Tensor

    from melbo_app.engine.answer_odds import Question
    from melbo_app.engine.encoding import EncodedPrompts
    from melbo_app.engine.model import LanguageModel
    from melbo_app.engine.patching import Patching


@dataclass(frozen=True)
class Asked:
    """What is measured: the question, its two answers, and which of the random vectors' texts show the behaviour."""

    question: "Question"
    answers: tuple[str, str]
    random_shows: tuple[bool, ...] | None


def asked(
    lm: "LanguageModel", prompt: Prompt, source: int, thetas: "Tensor", measure: Measure, tokens: int, stop: Stop
) -> Generator[int, None, Asked]:
    """The question whose log-odds are measured; for a measure of texts, the greedy answers under the first
    of ``thetas`` [V, d] and without steering. Yields how many tokens are written.

    Raises:
        InputError: the steered answer does not show the behaviour, or the unsteered one does.
        Stopped: ``stop()`` became true.
    """
    import torch

    from melbo_app.engine.answer_odds import Question, question
    from melbo_app.engine.encoding import encode
    from melbo_app.engine.generation import Rows, generate

    if measure.answers is not None:
        return Asked(question(lm, prompt, *measure.answers), measure.answers, None)
    encoded = encode(lm, [prompt], stop)
    rows = Rows(lm, encoded, torch.cat([torch.zeros_like(thetas[:1]), thetas]), source, Decoding(tokens), stop)
    whole = None
    for whole in generate(rows):
        yield whole.step
    raise_if(stop)
    assert whole is not None, "a stop before the first token was raised"
    plain, steered = whole.texts[0], whole.texts[1]
    shows = [measure.shows(text, prompt.user, plain, prompt.system) for text in whole.texts]
    if shows[0]:
        raise InputError("measure", f"the unsteered answer shows {measure} too: “{plain}”", "Choose another prompt")
    if not shows[1]:
        problem = f"the answer under the vector does not show {measure}: “{steered}”"
        raise InputError("measure", problem, "Choose another vector, R, prompt or measure")
    ids = [tuple(one) for one in whole.ids[:2]]
    if not all(ids):
        raise InputError("measure", "one of the two answers is empty", "Choose another prompt")
    return Asked(Question(tuple(encoded.input_ids[0].tolist()), ids[1], ids[0]), (steered, plain), tuple(shows[2:]))


def memory_of(patching: "Patching", prompt: "EncodedPrompts", memory_gb: float | None) -> tuple[str, int]:
    """A sentence about the memory needed, and how many steered runs fit in a pass. Raises InputError if one does not
    fit, or the backward pass does not."""
    import torch

    from melbo_app.engine.encoding import EncodedPrompts
    from melbo_app.engine.memory import budget, bytes_per_row, bytes_per_vector

    lm, have = patching.lm, budget(patching.lm, memory_gb)
    answers = {patching.question.first[:-1], patching.question.second[:-1]}
    rows, tokens = len(answers), patching.tokens // len(answers)
    if lm.context is not None and tokens > lm.context:
        problem = f"with its answer it has {tokens:,} tokens and {lm.name} reads at most {lm.context:,}"
        raise InputError("prompt", problem, "Shorten it")
    # float32 logits of every token of the answers, and what is computed from them
    logits = 4 * 4 * (1 + max(map(len, answers))) * lm.model.config.get_text_config().vocab_size
    ids = prompt.input_ids[:1, :1].expand(2 * rows, tokens)
    several = EncodedPrompts(
        prompt.prompts * (2 * rows), prompt.texts * (2 * rows), ids, torch.ones_like(ids), torch.zeros_like(ids).bool()
    )
    backward = bytes_per_vector(lm, several, patching.source, len(lm.blocks) - 1) + 2 * rows * logits
    run = rows * (bytes_per_row(lm, tokens) + logits)
    need = max(backward, 2 * run)
    if need > have:
        problem = f"a run of {tokens:,} tokens needs {size_text(need)} and {size_text(have)} may be used"
        raise InputError("memory", problem, "Shorten the prompt, or ask for fewer new tokens")
    runs = max(1, min(patching.runs_at_once, have // run - 1))
    return (
        f"Needs up to {size_text(max(need, (1 + runs) * run))} besides the model; {size_text(have)} may be used.",
        runs,
    )
