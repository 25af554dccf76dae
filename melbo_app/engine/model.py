"""A loaded language model: weights, tokenizer, blocks, and what the machine runs them in."""

import inspect
import logging
import math
import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from melbo_app.engine import chat_template
from melbo_app.engine.adapter import merge_adapter
from melbo_app.engine.block import find_blocks, hidden_of, with_hidden
from melbo_app.engine.device import choose_device, choose_dtype
from melbo_app.engine.leftovers import leftovers, refuse_leftovers
from melbo_app.engine.quantisation import UNQUANTISED, quantised, unpack
from melbo_app.engine.tokenizer_files import load_tokenizer
from melbo_app.engine.turn_end import TurnEnd, turn_end
from melbo_app.engine.weight_files import weight_files
from melbo_app.errors import InputError


@dataclass(frozen=True, eq=False)
class LanguageModel:
    """A causal language model ready to be steered: in evaluation mode, without gradients for its weights."""

    name: str
    weights_hash: str
    model: Any
    tokenizer: Any

    @cached_property
    def blocks(self) -> nn.ModuleList:
        """The decoder blocks, 0 … L−1."""
        return find_blocks(self.model)

    @property
    def hidden_size(self) -> int:
        """d, the width of the residual stream."""
        return self.model.config.get_text_config().hidden_size

    @property
    def known_ids(self) -> int:
        """Token ids that the embedding has a row for: 0 … known_ids − 1. The tokenizer may hold more."""
        return self.model.get_input_embeddings().weight.shape[0]

    @property
    def context(self) -> int | None:
        """The most tokens of prompt and completion together; None where the model has no limit (Bloom)."""
        config = self.model.config.get_text_config()
        return getattr(config, "max_position_embeddings", getattr(config, "max_seq_len", None))  # MPT has the latter

    @property
    def device(self) -> torch.device:
        """Where the embedding, and so the input, lives."""
        return self.model.get_input_embeddings().weight.device

    @cached_property
    def devices(self) -> list[torch.device]:
        """Every device that holds some of it."""
        return sorted({parameter.device for parameter in self.model.parameters()}, key=str)

    @property
    def dtype(self) -> torch.dtype:
        """What the weights are kept in."""
        return self.model.dtype

    @property
    def has_template(self) -> bool:
        """Whether the tokenizer carries a chat template."""
        return bool(getattr(self.tokenizer, "chat_template", None))

    @property
    def usual_template(self) -> bool | str:
        """The chat template of a prompt that nobody chose one for; with several and no default, the first."""
        return chat_template.usual(self.tokenizer)

    @cached_property
    def turn_end(self) -> TurnEnd:
        """What ends a text."""
        return turn_end(self)

    @cached_property
    def _accepted(self) -> frozenset[str]:
        return frozenset(inspect.signature(self.model.forward).parameters)

    @property
    def has_cache(self) -> bool:
        """Whether it keeps what it has read; else texts are read again for each token (the first GPT, Mamba)."""
        return "past_key_values" in self._accepted

    @cached_property
    def takes_rows_midway(self) -> bool:
        """Whether there may be more rows after a block than before it; GPT-BigCode insists on the input's shape."""

        def double(_module: Any, _args: tuple, output: Any) -> Any:
            hidden = hidden_of(output)
            return with_hidden(output, torch.cat([hidden, hidden]))

        one = torch.zeros(1, 1, dtype=torch.int64, device=self.device)
        handle = self.blocks[-1].register_forward_hook(double)
        try:
            with torch.no_grad():
                return len(self.forward(one, torch.ones_like(one), one).logits) == 2
        except RuntimeError:
            return False
        finally:
            handle.remove()

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor,
        position_ids: Tensor | None = None,
        cache: Any = None,
        use_cache: bool = False,
        last: int = 1,
    ) -> Any:
        """One forward pass; logits are computed for the last position only: [rows, 1, vocabulary].

        Args:
            input_ids: [rows, tokens] int64.
            attention_mask: [rows, tokens in the cache and here] int64.
            position_ids: [rows, tokens] int64; left out for models that count positions from the mask themselves.
            cache: what an earlier pass returned as ``past_key_values``; of a model that has none, the tokens so far.
            use_cache: whether to return one.
            last: positions at the end for which logits are wanted; some families compute them for all.
        """
        # `logits_to_keep` and `position_ids` are not known to every family (GPT-2 and Bloom lack one or the other)
        # An index and not a count: a slice is a view, for which torch copies the whole output matrix once a row.
        if not self.has_cache and cache is not None:
            input_ids = torch.cat([cache.input_ids, input_ids], dim=1)
            position_ids = (attention_mask.cumsum(-1) - 1).clamp(min=0)
        length = input_ids.shape[1]
        wanted = torch.arange(length - last, length, device=input_ids.device)
        optional = {"position_ids": position_ids, "logits_to_keep": wanted}
        kwargs = {key: value for key, value in optional.items() if key in self._accepted and value is not None}
        if self.has_cache:
            kwargs["past_key_values"] = cache
        output = self.model(input_ids, attention_mask=attention_mask, use_cache=use_cache and self.has_cache, **kwargs)
        if not self.has_cache:
            output.past_key_values = TokensRead(input_ids)
        return output

    def block(self, field: str, index: int) -> nn.Module:
        """Block ``index``, or an InputError that names ``field`` and the blocks there are."""
        if not 0 <= index < len(self.blocks):
            raise InputError(
                field, f"{self.name} has no block {index}", f"Choose a block from 0 to {len(self.blocks) - 1}"
            )
        return self.blocks[index]


class TokensRead:
    """What stands for a cache where a model has none: the tokens so far [rows, tokens], to be read again."""

    def __init__(self, input_ids: Tensor) -> None:
        self.input_ids = input_ids
        self.layers = [self]

    def reorder_cache(self, rows: Tensor) -> None:
        """From now on row i is what row ``rows[i]`` [rows] int64 was."""
        self.input_ids = self.input_ids[rows]


def prepare(name: str, weights_hash: str, model: Any, tokenizer: Any) -> LanguageModel:
    """Make a transformers model ready to be steered (evaluation mode, no gradients, padding on the left)."""
    model.eval().requires_grad_(False)
    uses_sdpa = model.config.get_text_config()._attn_implementation == "sdpa" and model._supports_attention_backend
    if uses_sdpa and model.device.type == "cpu" and model.dtype in (torch.bfloat16, torch.float16):
        from melbo_app.engine import attention

        model.set_attn_implementation(attention.NAME)
    tokenizer.padding_side = "left"
    lm = LanguageModel(name, weights_hash, model, tokenizer)
    if tokenizer.pad_token_id is None or tokenizer.pad_token_id >= lm.known_ids:
        # any id that has a row serves, because padding is masked; a mark, because marks are left out of texts
        marks = [tokenizer.eos_token_id, *getattr(tokenizer, "all_special_ids", [])]
        padding = next((mark for mark in marks if mark is not None and mark < lm.known_ids), 0)
        tokenizer.pad_token = tokenizer.convert_ids_to_tokens(padding)
    return lm


def load(
    path: str,
    name: str,
    weights_hash: str,
    device: str = "auto",
    dtype: str = "auto",
    *,
    spread: bool = False,
    adapter: str | None = None,
) -> LanguageModel:
    """Load a causal language model from a folder of safetensors files, and merge the adapter in the folder ``adapter``
    into its weights.

    Code that comes with a model is never run (``trust_remote_code=False``). ``spread`` puts its blocks on all GPUs.

    Raises:
        InputError: the folder holds no causal language model that transformers knows, or tensors that such a model does
            not use, or no tokenizer; the adapter does not fit; an unknown device or dtype.
    """
    from transformers import AutoConfig  # late: seconds to import
    from transformers.utils.logging import disable_progress_bar

    disable_progress_bar()
    where = choose_device(device)
    kind = choose_dtype(dtype, where)
    config = None
    try:
        config = AutoConfig.from_pretrained(path, trust_remote_code=False)
        model = _model(path, name, config, where, kind, spread)
        if adapter is not None:
            model = merge_adapter(model, adapter, name.removesuffix(" + adapter"))
        tokenizer = load_tokenizer(path, adapter)
        model = model if spread else model.to(device=where)
    except InputError:
        raise
    except Exception as error:  # transformers raises every kind of error for files that it cannot use
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        method = quantised(config)
        if method:
            problem = f"{name} cannot be loaded: its weights are quantised ({method}). {reason.rstrip('.')}"
            raise InputError("model", problem, UNQUANTISED) from error
        raise InputError(
            "model",
            f"{name} cannot be loaded: {reason.rstrip('.')}",
            "Choose a causal language model of transformers with safetensors weights and a tokenizer",
        ) from error
    return prepare(name, weights_hash, model, tokenizer)


def _only_errors(record: logging.LogRecord) -> bool:
    return record.levelno >= logging.ERROR


def _model(path: str, name: str, config: Any, where: torch.device, kind: torch.dtype, spread: bool) -> Any:
    """The model of the folder ``path``, with every tensor of its files in it."""
    from transformers import AutoModelForCausalLM

    text = config.get_text_config()
    # only training looks at it; one that was given to the tokenizer later has no row, and building the model fails
    if (getattr(text, "pad_token_id", None) or 0) >= (getattr(text, "vocab_size", None) or math.inf):
        text.pad_token_id = None
    method = quantised(config)
    if method and where.type != "cuda":
        unpack(config)
    # a table of what is refused below, in a sentence; a filter, as setting the level makes transformers report more
    logging.getLogger("transformers.modeling_utils").addFilter(_only_errors)
    # what the file lacks would otherwise be made up at random, with no more than a warning
    loaded: Any = AutoModelForCausalLM.from_pretrained(
        path,
        config=config,
        dtype=kind,
        use_safetensors=True,
        trust_remote_code=False,
        local_files_only=True,
        output_loading_info=True,
        ignore_mismatched_sizes=True,
        device_map="balanced" if spread else None,
        # an adapter is merged here; transformers would hang it beside the weights, and report on nothing else
        adapter_kwargs={"subfolder": "of-no-adapter"},
    )
    model, report = loaded
    unfit = sorted({*report["missing_keys"], *(entry[0] for entry in report["mismatched_keys"])})
    if unfit:
        raise ValueError(f"its weights lack {unfit[0]} in the size that its config.json asks for")
    folder = Path(path)
    unused = leftovers(
        report["unexpected_keys"], config, model.config, [folder / file for file in weight_files(folder)]
    )
    if unused:
        refuse_leftovers(name, unused, model.config.model_type)
    if method and not quantised(model.config):  # unpacked into what its scales are kept in
        exact = [re.compile(pattern) for pattern in model._get_dtype_plan(kind)]  # what a family keeps in float32
        for key, parameter in model.named_parameters():
            if not any(pattern.search(key) for pattern in exact):
                parameter.data = parameter.data.to(kind)
    return model
