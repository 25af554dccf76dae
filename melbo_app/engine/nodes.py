"""The attention heads and MLPs of a model: where their outputs can be read and replaced."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any, Literal

from torch import Tensor, nn

from melbo_app.engine.block import hidden_of, with_hidden
from melbo_app.engine.model import LanguageModel
from melbo_app.errors import InputError

Kind = Literal["head", "attention", "mlp"]
MIXERS = ("attn", "attention", "conv", "mixer", "mamba", "recurrent", "temporal")
"""Parts of the names of what mixes tokens in a block."""
OUT = ("o_proj", "out_proj", "c_proj", "dense", "wo")
"""Names of the layer that turns the heads' outputs into the attention's."""
MLPS = ("mlp", "ffn", "feed_forward", "feedforward", "moe")
DOWN = ("down_proj", "dense_4h_to_h", "fc2", "c_proj", "fc_out", "w2")
"""Names of an MLP's last layer. (Bloom's and MPT's MLPs return the residual stream, too.)"""


@dataclass(frozen=True)
class Node:
    """One head of a block, its whole attention, or its MLP."""

    block: int
    kind: Kind
    head: int | None = None


@dataclass(frozen=True)
class Site:
    """A module in whose input (``before``) or output lie the outputs of ``count`` nodes, in equal parts of its width;
    ``first`` is the number of the first one."""

    module: nn.Module
    before: bool
    first: int
    count: int

    def attach(self, change: "Change") -> Callable[[], None]:
        """Call ``change`` with the nodes' outputs [rows, tokens, width] at each pass, and use what it returns. Returns
        a function that ends this."""

        def enter(_module: Any, args: tuple) -> tuple:
            return (change(self, args[0]), *args[1:])

        def leave(_module: Any, _args: tuple, output: Any) -> Any:
            return with_hidden(output, change(self, hidden_of(output)))

        if self.before:
            return self.module.register_forward_pre_hook(enter).remove
        return self.module.register_forward_hook(leave).remove


Change = Callable[[Site, Tensor], Tensor]


@contextmanager
def changing(sites: Sequence[Site], change: Change) -> Iterator[None]:
    """In this context, ``change`` is called at every site. Raises RuntimeError on leaving if one was never reached."""
    reached: set[int] = set()

    def noted(site: Site, outputs: Tensor) -> Tensor:
        reached.add(site.first)
        return change(site, outputs)

    with ExitStack() as hooks:
        for site in sites:
            hooks.callback(site.attach(noted))
        yield
    if len(reached) < len(sites):
        raise RuntimeError(f"only {len(reached)} of {len(sites)} parts of the model ran as modules")


def find_nodes(lm: LanguageModel, source: int) -> tuple[list[Node], list[Site]]:
    """The nodes of all blocks after ``source``, in order: of each block its heads, then its MLP.

    Heads are query heads, also where several share keys and values. Where heads cannot be told apart, the attention
    of the block is one node.

    Raises:
        InputError: no block comes after ``source``, or one has no attention or no MLP that can be found.
    """
    lm.block("source layer", source)
    if source == len(lm.blocks) - 1:
        problem = f"{source} is the last block of {lm.name}, so no head or MLP comes after it"
        raise InputError("source layer", problem, "Choose a bank with a lower source layer")
    nodes: list[Node] = []
    sites: list[Site] = []
    for number in range(source + 1, len(lm.blocks)):
        mixers, mlps = (_children(lm.blocks[number], names) for names in (MIXERS, (*MLPS, "fc2")))
        if len(mixers) != 1 or len(mlps) != 1:
            problem = f"block {number} of {lm.name} has no attention and MLP that can be told apart"
            raise InputError("model", problem, "Choose a transformer whose blocks have one of each")
        [(name, mixer)], [(_, mlp)] = mixers, mlps
        heads, projection = _heads(lm, name, mixer)
        kind: Kind = "head" if heads else "attention"
        sites.append(Site(projection if heads else mixer, bool(heads), len(nodes), max(1, heads)))
        nodes += [Node(number, kind, head if heads else None) for head in range(max(1, heads))]
        down = [one for last, one in _linear(mlp).items() if last in DOWN]
        sites.append(Site(down[0] if len(down) == 1 else mlp, False, len(nodes), 1))
        nodes.append(Node(number, "mlp"))
    return nodes, sites


def _children(block: nn.Module, names: Sequence[str]) -> list[tuple[str, nn.Module]]:
    """The block's modules with one of these words in their names and weights that are matrices."""
    return [
        (name, one)
        for name, one in block.named_children()
        if any(part in name.lower() for part in names) and any(weight.ndim > 1 for weight in one.parameters())
    ]


def _linear(module: nn.Module) -> dict[str, nn.Module]:
    """The linear layers directly in a module, by name: those further inside belong to its experts."""
    return {name: one for name, one in module.named_children() if getattr(getattr(one, "weight", None), "ndim", 0) == 2}


def _heads(lm: LanguageModel, name: str, mixer: nn.Module) -> tuple[int, nn.Module]:
    """How many heads lie in the input of the attention's last layer, and that layer; 0 where that is not known."""
    inner = next((one for part, one in mixer.named_children() if part == "attention"), mixer)  # GPT-Neo
    found = [one for last, one in _linear(inner).items() if last in OUT]
    heads = getattr(lm.model.config.get_text_config(), "num_attention_heads", 0)
    attends = "linear" not in name and ("attn" in name or "attention" in name)
    if len(found) != 1 or not attends or not heads or _inputs(found[0]) % heads:
        return 0, mixer
    return heads, found[0]


def _inputs(layer: Any) -> int:
    """Inputs of a linear layer; GPT-2's is transposed."""
    return layer.in_features if hasattr(layer, "in_features") else layer.weight.shape[0]
