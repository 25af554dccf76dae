"""A loaded language model: weights, tokenizer, blocks, device and dtype."""

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
from melbo_app.engine.stopping import Stop, never, raise_if
from melbo_app.engine.tensor_stop import TensorStop
from melbo_app.engine.tokenizer_files import load_tokenizer
from melbo_app.engine.turn_end import TurnEnd, turn_end
from melbo_app.engine.weight_files import weight_files
from melbo_app.errors import InputError, Stopped


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
        """Rows of the embedding: the model knows the ids 0 … known_ids − 1, and the tokenizer may have more."""
        return self.model.get_input_embeddings().weight.shape[0]

    @property
    def context(self) -> int | None:
        """Maximum number of tokens, prompt and completion together; None where the model has no limit (Bloom)."""
        config = self.model.config.get_text_config()
        return getattr(config, "max_position_embeddings", getattr(config, "max_seq_len", None))  # MPT has the latter

    @property
    def device(self) -> torch.device:
        """The device of the embedding, and so of the input."""
        return self.model.get_input_embeddings().weight.device

    @cached_property
    def devices(self) -> list[torch.device]:
        """Every device that holds part of the model."""
        return sorted({parameter.device for parameter in self.model.parameters()}, key=str)

    @cached_property
    def parameter_count(self) -> int:
        """The number of its weights; shared ones count once."""
        return sum(parameter.numel() for parameter in self.model.parameters())

    @property
    def dtype(self) -> torch.dtype:
        """The dtype of the weights."""
        return self.model.dtype

    @property
    def has_template(self) -> bool:
        """Whether the tokenizer has a chat template."""
        return bool(getattr(self.tokenizer, "chat_template", None))

    @property
    def usual_template(self) -> bool | str:
        """The default chat template (``chat_template.usual``)."""
        return chat_template.usual(self.tokenizer)

    @cached_property
    def turn_end(self) -> TurnEnd:
        """The tokens and words that end a text."""
        return turn_end(self)

    @cached_property
    def _accepted(self) -> frozenset[str]:
        return frozenset(inspect.signature(self.model.forward).parameters)

    @property
    def has_cache(self) -> bool:
        """Whether the model has a cache; else texts are read again for each token (the first GPT, Mamba)."""
        return "past_key_values" in self._accepted

    @cached_property
    def takes_rows_midway(self) -> bool:
        """Whether a block may receive more rows than the input has; GPT-BigCode insists on the input's shape."""

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
        """One forward pass; computes logits for the last positions only: [rows, last, vocabulary].

        Args:
            input_ids: [rows, tokens] int64.
            attention_mask: [rows, tokens in the cache and here] int64.
            position_ids: [rows, tokens] int64; not passed to models that derive positions from the mask.
            cache: the ``past_key_values`` of an earlier pass; for a model without a cache, the tokens so far.
            use_cache: whether to return one.
            last: number of positions with logits; some families compute them for all.
        """
        # GPT-2 and Bloom lack `logits_to_keep` or `position_ids`
        # An index and not a count, because for a slice torch copies the whole output matrix for each row.
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
        """Block ``index``. Raises InputError with ``field`` if the model does not have it."""
        if not 0 <= index < len(self.blocks):
            remedy = f"Choose a block from 0 to {len(self.blocks) - 1}"
            raise InputError(field, f"{self.name} has no block {index}", remedy)
        return self.blocks[index]


class TokensRead:
    """Replaces the cache of a model without one: the tokens so far [rows, tokens], to be read again."""

    def __init__(self, input_ids: Tensor) -> None:
        self.input_ids = input_ids
        self.layers = [self]

    def reorder_cache(self, rows: Tensor) -> None:
        """Select ``rows`` [rows] int64, as transformers' caches do."""
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
        # any known id works, because padding is masked; a special token, because decoding skips it
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
    stop: Stop = never,
) -> LanguageModel:
    """Load a causal language model from a folder of safetensors files, and merge the adapter in the folder ``adapter``
    into its weights.

    Never runs a model's own code (``trust_remote_code=False``). ``spread`` puts its blocks on all GPUs.

    Raises:
        InputError: the folder has no causal language model that transformers knows, or unused tensors, or no tokenizer;
            the adapter does not fit; an unknown device or dtype.
        Stopped: ``stop()`` is true; it is called before each step with a tensor, so use a thread that ends then.
    """
    from transformers import AutoConfig  # late: seconds to import
    from transformers.utils.logging import disable_progress_bar

    disable_progress_bar()
    where = choose_device(device)
    kind = choose_dtype(dtype, where)
    config = None
    try:
        config = AutoConfig.from_pretrained(path, trust_remote_code=False)
        with TensorStop(stop):
            model = _model(path, name, config, where, kind, spread)
            if adapter is not None:
                model = merge_adapter(model, adapter, name.removesuffix(" + adapter"))
            tokenizer = load_tokenizer(path, adapter)
            model = model if spread else model.to(device=where)
    except (InputError, Stopped):
        raise_if(stop)
        raise
    except Exception as error:  # transformers raises any kind of error for a file it cannot use
        raise_if(stop)  # it may have taken the stop for a fault of a tensor
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        remedy = "Choose a causal language model of transformers with safetensors weights and a tokenizer"
        if method := quantised(config):
            reason, remedy = f"its weights are quantised ({method}). {reason}", UNQUANTISED
        raise InputError("model", f"{name} cannot be loaded: {reason.rstrip('.')}", remedy) from error
    return prepare(name, weights_hash, model, tokenizer)


def _only_errors(record: logging.LogRecord) -> bool:
    return record.levelno >= logging.ERROR


def _model(path: str, name: str, config: Any, where: torch.device, kind: torch.dtype, spread: bool) -> Any:
    """The model in the folder ``path``; refuses missing and unused tensors."""
    from transformers import AutoModelForCausalLM

    text = config.get_text_config()
    # a padding token added to the tokenizer later has no row, and building the model would fail; only training needs it
    if (getattr(text, "pad_token_id", None) or 0) >= (getattr(text, "vocab_size", None) or math.inf):
        text.pad_token_id = None
    method = quantised(config)
    if method and where.type != "cuda":
        unpack(config)
    # hides a table of problems that are refused below; setting the level instead makes transformers report more
    logging.getLogger("transformers.modeling_utils").addFilter(_only_errors)
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
        # hides the adapter from transformers, which would add it unmerged and report nothing else
        adapter_kwargs={"subfolder": "of-no-adapter"},
    )
    model, report = loaded
    # transformers fills missing tensors with random numbers
    unfit = sorted({*report["missing_keys"], *(entry[0] for entry in report["mismatched_keys"])})
    if unfit:
        raise ValueError(f"its weights lack {unfit[0]} in the size that config.json gives")
    folder = Path(path)
    files = [folder / file for file in weight_files(folder)]
    if unused := leftovers(report["unexpected_keys"], config, model.config, files):
        refuse_leftovers(name, unused, model.config.model_type)
    if method and not quantised(model.config):  # unpacked into the dtype of its scales
        exact = [re.compile(pattern) for pattern in model._get_dtype_plan(kind)]  # weights that stay in float32
        for key, parameter in model.named_parameters():
            if not any(pattern.search(key) for pattern in exact):
                parameter.data = parameter.data.to(kind)
    return model
