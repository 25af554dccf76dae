"""Greedy continuations of answers whose first tokens are given."""

from collections import defaultdict
from collections.abc import Generator, Sequence

import torch

from melbo_app.engine.decoding import Decoding
from melbo_app.engine.encoding import encode
from melbo_app.engine.generation import Rows, generate
from melbo_app.engine.lessons import AT_ONCE, Answer
from melbo_app.engine.model import LanguageModel
from melbo_app.engine.prompt import Prompt
from melbo_app.engine.stopping import Stop, raise_if


def continuations(
    lm: LanguageModel,
    texts: Sequence[str],
    given: Sequence[Sequence[int]],
    tokens: int,
    stop: Stop | None = None,
) -> Generator[int, None, list[Answer]]:
    """What the model writes greedily behind the tokens ``given`` of each answer, in the usual template, without them;
    at most ``tokens`` of its own. Yields how many are done.

    Raises:
        InputError: a text that the model cannot read.
        Stopped: ``stop()`` became true.
    """
    found: dict[int, Answer] = {}
    lengths: dict[int, list[int]] = defaultdict(list)  # a batch continues answers of one length
    for at, begin in enumerate(given):
        lengths[len(begin)].append(at)
    for length, every in lengths.items():
        for start in range(0, len(every), AT_ONCE):
            part = every[start : start + AT_ONCE]
            encoded = encode(lm, [Prompt(texts[at], template=lm.usual_template) for at in part], stop)
            vectors = torch.zeros(len(part), lm.hidden_size)
            begun = [given[at] for at in part]
            rows = Rows(lm, encoded, vectors, None, Decoding(length + tokens), stop, of=range(len(part)), written=begun)
            for progress in generate(rows):
                whole = progress
            raise_if(stop)
            for at, ids, finished in zip(part, whole.ids, whole.finished, strict=True):
                own = tuple(ids[length:])
                # decoded behind the beginning, because the first token of a text may lose its leading space
                before, text = (lm.tokenizer.decode(list(one), skip_special_tokens=True) for one in (given[at], ids))
                found[at] = Answer(text[len(before) :], own, finished)
            yield len(found)
    return [found[at] for at in range(len(texts))]
