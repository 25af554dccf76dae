"""The memory that patching needs."""

import torch

from melbo_app.engine.encoding import EncodedPrompts
from melbo_app.engine.memory import budget, bytes_per_row, bytes_per_vector
from melbo_app.engine.patching import Patching
from melbo_app.errors import InputError
from melbo_app.sizes import size_text


def memory_of(patching: Patching, prompt: EncodedPrompts, memory_gb: float | None) -> tuple[str, int]:
    """A sentence about the memory needed, and how many steered runs fit in a pass. Raises InputError if one does not
    fit, or the backward pass does not."""
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
