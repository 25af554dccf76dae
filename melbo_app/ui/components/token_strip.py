"""The exact tokens that the model reads."""

from collections.abc import Iterable, Sequence
from typing import Any

import gradio as gr

from melbo_app.jobs.slices import PromptTokens
from melbo_app.ui.components.live import live

ENDS = 150  # tokens shown at each end of a prompt
FEW = 100  # up to this many tokens in scope are all shown, wherever they are
GAP = 5  # gaps of up to this many tokens between shown ones are filled


def token_strip(value: dict[str, Any] | None = None, *, elem_id: str) -> gr.HTML:
    """Value: {prompts: [{total, counted, runs: [{start, pieces, counts}]}], scope, message}; see ``strip``."""
    return live("token_strip", value, elem_id=elem_id)


def strip(prompts: Iterable[PromptTokens], scope: str) -> dict[str, Any]:
    """The component's value; a long prompt shows both ends and, if they are few, all tokens in scope."""
    return {
        "scope": scope,
        "prompts": [
            {
                "total": len(prompt.pieces),
                "counted": sum(prompt.counts),
                "runs": [
                    {
                        "start": run.start,
                        "pieces": [prompt.pieces[index] for index in run],
                        "counts": [bool(prompt.counts[index]) for index in run],
                    }
                    for run in shown(prompt.counts)
                ],
            }
            for prompt in prompts
        ],
    }


def shown(counts: Sequence[bool]) -> list[range]:
    """The shown tokens as contiguous runs; ``counts`` says which tokens are in scope."""
    total = len(counts)
    kept = {*range(min(ENDS, total)), *range(max(0, total - ENDS), total)}
    counting = [index for index, on in enumerate(counts) if on]
    if len(counting) <= FEW:
        kept.update(counting)
    runs: list[range] = []
    for index in sorted(kept):
        if runs and index - runs[-1].stop <= GAP:
            runs[-1] = range(runs[-1].start, index + 1)
        else:
            runs.append(range(index, index + 1))
    return runs
