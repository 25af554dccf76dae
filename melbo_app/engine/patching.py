"""Patching: replacing outputs of heads and MLPs in a steered run by those of the unsteered run (Wang et al. 2022), and
its first-order estimate (attribution patching, Nanda 2023)."""

from collections.abc import Generator, Iterable, Sequence

import numpy as np
import torch
from torch import Tensor

from melbo_app.engine.answer_odds import Question, log_odds
from melbo_app.engine.encoding import EncodedPrompts
from melbo_app.engine.float_logits import float_logits
from melbo_app.engine.lessons import AT_ONCE
from melbo_app.engine.model import LanguageModel
from melbo_app.engine.nodes import Change, Site, changing, find_nodes
from melbo_app.engine.steering import add_rows, steer
from melbo_app.engine.stopping import Stop, asking, raise_if
from melbo_app.errors import InputError

MOST_RUNS = AT_ONCE - 1
"""Steered runs in one pass, beside the unsteered one."""
TOKENS_AT_ONCE = 2_048
"""Tokens of all runs in one pass, so that a pass takes a second or two."""


class Patching:
    """The log-odds of a question under a vector, with some outputs of nodes taken from the unsteered run.

    Every pass holds the unsteered run beside the steered ones, and nodes are replaced by what that run computes in the
    same pass, at all tokens of the prompt and of the answers. The vector itself stays in the residual stream.

    Attributes:
        nodes: the N nodes after the source block (``engine/nodes.py``).
    """

    def __init__(self, lm: LanguageModel, question: Question, source: int, theta: Tensor | np.ndarray) -> None:
        """``theta`` [d] is added to the output of block ``source``. Raises InputError for a model whose parts are not
        found, and for the last block."""
        self.lm, self.question, self.source = lm, question, source
        self.theta = torch.as_tensor(theta).float().cpu()
        self.nodes, self._sites = find_nodes(lm, source)

    @property
    def tokens(self) -> int:
        """Tokens of a run: those of the prompt and of the longer answer but for its last, once or twice."""
        answers = {self.question.first[:-1], self.question.second[:-1]}
        return len(answers) * (len(self.question.prompt) + max(map(len, answers)))

    @property
    def runs_at_once(self) -> int:
        """Steered runs in one pass, as far as time is concerned."""
        return max(1, min(MOST_RUNS, TOKENS_AT_ONCE // self.tokens - 1))

    def only(self, numbers: Iterable[int]) -> Tensor:
        """Which nodes these are: [N] bool."""
        mask = torch.zeros(len(self.nodes), dtype=torch.bool)
        mask[[*numbers]] = True
        return mask

    def plain(self, thetas: Tensor | np.ndarray, stop: Stop | None = None) -> Tensor:
        """The log-odds without steering and under ``thetas`` [V, d]: [1 + V] float32. Raises Stopped."""
        with torch.no_grad(), asking(self.lm, stop):
            return self._odds(torch.as_tensor(thetas))

    def patched(self, restored: Tensor, stop: Stop | None = None) -> Tensor:
        """The log-odds of V steered runs: [V] float32. ``restored`` [V, N] bool says which nodes have the output of the
        unsteered run. Raises Stopped."""
        with torch.no_grad(), asking(self.lm, stop), changing(self._sites, restoring(restored)):
            return self._odds(self.theta.expand(len(restored), -1))[1:]

    def attribution(self, stop: Stop | None = None) -> Tensor:
        """For each node, to first order, by how much the log-odds of the steered run fall when its output is restored
        to that of the unsteered run: the gradient there times (steered − unsteered), [N] float32. One backward pass.

        Raises:
            InputError: the model passes on no gradients.
            Stopped: ``stop()`` became true.
        """
        seen: list[Tensor] = []

        def keep(_site: Site, outputs: Tensor) -> Tensor:
            seen.append(outputs)
            return outputs

        try:
            with torch.enable_grad(), asking(self.lm, stop), changing(self._sites, keep):
                steered = self._odds(self.theta[None].clone().requires_grad_())[1]
                raise_if(stop)
                slopes = torch.autograd.grad(steered, seen)
        except RuntimeError as error:
            if "grad" not in str(error):  # such as a lack of memory
                raise
            remedy = "Load the unquantised weights that it was made from"
            raise InputError("model", f"{self.lm.name} passes on no gradients", remedy) from error
        found = torch.zeros(len(self.nodes))
        for site, outputs, slope in zip(self._sites, seen, slopes, strict=True):
            rows = len(outputs) // 2
            change = slope[rows:].float() * (outputs[rows:] - outputs[:rows]).detach().float()
            each = change.reshape(-1, site.count, change.shape[-1] // site.count).sum((0, 2))
            found[site.first : site.first + site.count] = each.cpu()
        return found

    def texts(
        self, prompt: EncodedPrompts, restored: Sequence[Tensor], tokens: int, stop: Stop | None = None
    ) -> Generator[int, None, list[str]]:
        """The greedy answers of V steered runs with nodes restored, V times [N]; yields how many tokens are written.
        The unsteered run reads each text as it grows. Raises Stopped."""
        lm, count, masks = self.lm, len(restored), torch.stack([*restored])
        ends = torch.tensor(sorted(lm.turn_end.tokens), dtype=torch.int64, device=lm.device)
        ids = prompt.input_ids[:1].expand(2 * count, -1)
        mask, cache = torch.ones_like(ids), None
        open_, written = torch.ones(count, dtype=torch.bool, device=lm.device), []
        thetas = torch.cat([torch.zeros(count, len(self.theta)), self.theta.expand(count, -1)]).to(lm.device)
        for step in range(tokens):
            positions = (mask.cumsum(-1) - 1)[:, -ids.shape[1] :]
            with (
                torch.no_grad(), asking(lm, stop), steer(lm, self.source, add_rows(thetas)),
                changing(self._sites, restoring(masks, paired=True)),
            ):  # fmt: skip
                output = lm.forward(ids, mask, positions, cache, use_cache=True)
            cache = output.past_key_values
            chosen = output.logits[count:, -1].float().argmax(-1)
            open_ &= ~torch.isin(chosen, ends)
            written.append(torch.where(open_, chosen, -1))
            yield step + 1
            if not open_.any():
                break
            ids = chosen.repeat(2)[:, None]
            mask = torch.cat([mask, torch.ones_like(ids)], dim=1)
        rows = torch.stack(written, dim=1).tolist()
        return [lm.tokenizer.decode([one for one in row if one >= 0], skip_special_tokens=True) for row in rows]

    def _odds(self, thetas: Tensor) -> Tensor:
        """[1 + V]: without steering, and under ``thetas`` [V, d]."""
        rows = torch.cat([torch.zeros_like(thetas[:1]), thetas]).to(self.lm.device)
        with float_logits(self.lm):
            return log_odds(self.lm, [self.question] * len(rows), (self.source, rows))


def restoring(restored: Tensor, *, paired: bool = False) -> Change:
    """Takes restored nodes from the unsteered rows of the same pass.

    Args:
        restored: [V, N] bool.
        paired: V unsteered rows stand before V steered ones, each its own; otherwise one unsteered run stands before V.
    """
    count = len(restored)

    def change(site: Site, outputs: Tensor) -> Tensor:
        chosen = restored[:, site.first : site.first + site.count]
        if not chosen.any():
            return outputs
        parts = outputs.unflatten(0, (2 * count if paired else 1 + count, -1)).unflatten(-1, (site.count, -1))
        plain, steered = parts[:-count], parts[-count:]
        # OPT's MLP has one dimension for rows and tokens
        where = chosen.to(outputs.device).reshape(count, *[1] * (parts.ndim - 3), site.count, 1)
        return torch.cat([plain, torch.where(where, plain, steered)]).flatten(-2).flatten(0, 1)

    return change


def at_once(masks: Sequence[Tensor], runs: int) -> list[Tensor]:
    """[V, N] in parts of at most ``runs``."""
    return [torch.stack([*masks[start : start + runs]]) for start in range(0, len(masks), runs)]
