"""Checks on a few tokens whether a model can be steered, without a list of families."""

import torch
from torch import Tensor

from melbo_app.engine.encoding import EncodedPrompts, padded
from melbo_app.engine.memory import out_of_memory
from melbo_app.engine.model import LanguageModel
from melbo_app.engine.prefill import prefill
from melbo_app.engine.prompt import Prompt
from melbo_app.engine.quantisation import UNQUANTISED, quantised
from melbo_app.engine.steering import add_rows, steer
from melbo_app.engine.tokenizer_files import TEXT
from melbo_app.errors import InputError, Stopped

LENGTHS = (6, 3)
"""Tokens of the two test prompts; one more token follows each."""
TOLERANCE = 0.01
"""Allowed error as a share of the logits' spread, in float32."""
ROUGH_TOLERANCE = 0.3
"""The same in bfloat16, where rounding may select another expert."""
WIDER = {torch.float16: "bfloat16", torch.bfloat16: "float32"}
"""The dtype to use where one overflows."""


def refuse_unsuitable(lm: LanguageModel) -> None:
    """Run the model on a text, and compare steering prompts of unequal length together and with a cache against one
    text at a time without. Raises InputError for logits that are not finite or differ, and for the model's exceptions.
    """
    try:
        finite = _finite(lm)
        problem = _problem(lm) if finite else None
    except Stopped:
        raise
    except Exception as error:  # a model's code may raise anything
        if out_of_memory(error):
            raise
        finite = True
        problem = f"running it on several texts fails ({(str(error).splitlines() or [type(error).__name__])[0]})"
    if not finite:
        raise _overflow(lm)
    if problem:
        method = quantised(lm.model.config)
        kind = f"{lm.model.config.model_type}, quantised: {method}" if method else lm.model.config.model_type
        remedy = UNQUANTISED if method else "Choose a model of another family"
        raise InputError("model", f"{lm.name} ({kind}) cannot be steered: {problem}", remedy)


def _finite(lm: LanguageModel) -> bool:
    """Whether the logits after a text are finite; the first tokens of a text cause the largest activations."""
    known = [token for token in lm.tokenizer(TEXT)["input_ids"] if token < lm.known_ids]
    if not known:
        return True
    ids = torch.tensor([known], device=lm.device)
    with torch.no_grad():
        output = lm.forward(ids, torch.ones_like(ids), torch.arange(ids.shape[1], device=lm.device)[None])
    return bool(torch.isfinite(output.logits).all())


def _overflow(lm: LanguageModel) -> InputError:
    """The error for logits that are not finite, with a wider dtype as the remedy."""
    dtype = str(lm.dtype).removeprefix("torch.")
    problem = f"{lm.name} cannot be steered: after “{TEXT}” its logits are not finite"
    if lm.dtype not in WIDER:
        return InputError("model", f"{problem} in {dtype}", "Its weights seem damaged: copy or download them again")
    wider = WIDER[lm.dtype]
    remedy = f'Compute in {wider}: MELBO_DTYPE={wider}, or dtype="{wider}" in Python'
    return InputError("model", f"{problem}: they exceed the range of {dtype}", remedy)


def _problem(lm: LanguageModel) -> str | None:
    source = (len(lm.blocks) - 1) // 2
    words = (11 + 7 * torch.arange(max(LENGTHS) + 1)) % lm.known_ids
    texts = [words[-length - 1 :].to(lm.device) for length in LENGTHS]
    noise = torch.randn(2, lm.hidden_size, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        alone = [_alone(lm, text, source, noise) for text in texts]
        for prompts, of in ((texts[:1], [0, 0]), (texts, [1, 0, 1])):
            thetas = noise[torch.arange(len(of)) % 2]
            want = torch.stack([alone[text][row % 2] for row, text in enumerate(of)])
            if not _close(lm, _together(lm, prompts, of, source, thetas), want):
                return "its logits for several texts together differ from those for one at a time"
    return None


def _alone(lm: LanguageModel, text: Tensor, source: int, thetas: Tensor) -> Tensor:
    """Logits at the last two tokens of one text under each vector, without padding or a cache: [V, 2, vocabulary]."""
    ids = text.expand(len(thetas), -1)
    with steer(lm, source, add_rows(thetas)):
        output = lm.forward(ids, torch.ones_like(ids), torch.arange(len(text), device=lm.device).expand_as(ids), last=2)
    return output.logits[:, -2:].float()


def _together(lm: LanguageModel, texts: list[Tensor], of: list[int], source: int, thetas: Tensor) -> Tensor:
    """The same for rows of several texts in one batch: [rows, 2, vocabulary]; reads the last tokens with a cache."""
    ids = padded([text[:-1] for text in texts], lm.tokenizer.pad_token_id)
    mask = padded([torch.ones_like(text[:-1]) for text in texts])
    encoded = EncodedPrompts((Prompt("-"),) * len(texts), ("-",) * len(texts), ids, mask, mask.bool())
    rows = torch.tensor(of, device=lm.device)
    first, cache = prefill(lm, encoded, rows, {source: thetas.to(lm.device)})
    mask = torch.cat([mask, torch.ones_like(mask[:, :1])], dim=1)[rows]
    last = torch.stack([text[-1:] for text in texts])[rows]
    with steer(lm, source, add_rows(thetas)):
        output = lm.forward(last, mask, mask.sum(dim=1, keepdim=True) - 1, cache, use_cache=True)
    return torch.stack([first, output.logits[:, -1]], dim=1).float()


def _close(lm: LanguageModel, one: Tensor, other: Tensor) -> bool:
    """Whether logits [..., vocabulary] agree up to rounding."""
    spread = (other - other.mean(dim=-1, keepdim=True)).norm(dim=-1)
    tolerance = TOLERANCE if lm.dtype in (torch.float32, torch.float64) else ROUGH_TOLERANCE
    return bool(((one - other).norm(dim=-1) <= tolerance * spread).all())
