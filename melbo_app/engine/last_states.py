"""The hidden state of prompts at their last token, where the answer begins."""

from collections.abc import Generator, Sequence

import numpy as np
import torch

from melbo_app.engine.block import hidden_of
from melbo_app.engine.encoding import encode
from melbo_app.engine.lessons import AT_ONCE
from melbo_app.engine.model import LanguageModel
from melbo_app.engine.prompt import Prompt
from melbo_app.engine.stopping import Stop, asking, raise_if


def last_states(
    lm: LanguageModel, texts: Sequence[str], block: int, stop: Stop | None = None
) -> Generator[int, None, np.ndarray]:
    """The output of ``block`` at the last token of each text in the usual template: [N, d] float32. Yields how many are
    done.

    Raises:
        InputError: a text that the model cannot read, or a block that does not exist.
        Stopped: ``stop()`` became true.
    """
    found: list[np.ndarray] = []
    seen: list[torch.Tensor] = []
    for start in range(0, len(texts), AT_ONCE):
        raise_if(stop)
        prompts = [Prompt(text, template=lm.usual_template) for text in texts[start : start + AT_ONCE]]
        encoded = encode(lm, prompts, stop)
        hook = lm.block("layer", block).register_forward_hook(lambda *given: seen.append(hidden_of(given[2]).detach()))
        try:
            with torch.no_grad(), asking(lm, stop):
                lm.forward(encoded.input_ids, encoded.attention_mask, encoded.position_ids)
        finally:
            hook.remove()
        found.append(seen.pop()[:, -1].float().cpu().numpy())  # padding stands on the left
        yield start + len(prompts)
    return np.concatenate(found)
