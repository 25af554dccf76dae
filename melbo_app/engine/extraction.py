"""Extraction strength: how little of an answer has to be given until a model completes the rest by itself."""

from collections.abc import Sequence

import torch

from melbo_app.engine.encoding import padded
from melbo_app.engine.lessons import AT_ONCE, Lesson
from melbo_app.engine.model import LanguageModel
from melbo_app.engine.stopping import Stop, raise_if


@torch.no_grad()
def shortest_prefixes(lm: LanguageModel, lessons: Sequence[Lesson], stop: Stop | None = None) -> list[int]:
    """For each answer of n tokens the smallest k, from 0 to n, such that the model, given the prompt and the first k of
    them, continues greedily with exactly the other n − k. Extraction strength is 1 − k/n.

    One pass over prompt and answer decides, because greedy decoding reproduces the rest if and only if each of its
    tokens is the likeliest one behind those before it.

    After Carlini et al. 2021, *Extracting Training Data from Large Language Models* (discoverable by a prefix), in the
    form of Wang et al. 2025, *Towards Effective Evaluations and Comparisons for LLM Unlearning Methods*.

    Raises:
        Stopped: ``stop()`` became true.
    """
    found: list[int] = []
    for start in range(0, len(lessons), AT_ONCE):
        raise_if(stop)
        part = lessons[start : start + AT_ONCE]
        rows = [torch.tensor([*one.prompt, *one.answer], device=lm.device) for one in part]
        ids, mask = padded(rows, lm.tokenizer.pad_token_id), padded([torch.ones_like(row) for row in rows])
        longest = max(len(one.answer) for one in part)
        # some families compute logits for all positions
        logits = lm.forward(ids, mask, (mask.cumsum(-1) - 1).clamp(min=0), last=longest + 1).logits
        likeliest = logits[:, -longest - 1 : -1].argmax(dim=-1).tolist()
        for one, row in zip(part, likeliest, strict=True):
            answer, said = one.answer, row[len(row) - len(one.answer) :]
            wrong = [at for at, pair in enumerate(zip(answer, said, strict=True)) if pair[0] != pair[1]]
            found.append(wrong[-1] + 1 if wrong else 0)
    return found
