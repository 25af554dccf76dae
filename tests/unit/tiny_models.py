"""Tiny random language models of many families, built by config, with a tokenizer built in code. Nothing is downloaded.

Their weights are large enough for outputs to differ visibly between tokens, positions and vectors: models as
transformers initialises them (standard deviation 0.02) agree with everything.
"""

import functools
from collections.abc import Callable
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from torch import Tensor, nn
from transformers import (
    AutoModelForCausalLM,
    BloomConfig,
    FalconConfig,
    Gemma2Config,
    Gemma3nTextConfig,
    Gemma3TextConfig,
    Gemma4TextConfig,
    GPT2Config,
    GPTBigCodeConfig,
    GPTNeoXConfig,
    LlamaConfig,
    MambaConfig,
    MiniMaxConfig,
    MistralConfig,
    MixtralConfig,
    MptConfig,
    Olmo2Config,
    OpenAIGPTConfig,
    OPTConfig,
    Phi3Config,
    PreTrainedTokenizerFast,
    Qwen2Config,
    Qwen3Config,
    RwkvConfig,
    XGLMConfig,
)

from melbo_app.engine.encoding import EncodedPrompts, encode
from melbo_app.engine.model import LanguageModel, prepare
from melbo_app.engine.prompt import Prompt

WIDTH, BLOCKS, HEADS, CONTEXT, WINDOW = 32, 4, 4, 128, 6
SPECIAL = ("<pad>", "<eos>", "<|im_start|>", "<|im_end|>")
MERGES = (("h", "e"), ("Ġ", "t"), ("Ċ", "Ċ"))
"""Three merges are enough for tokens of more than one character, of a blank and a letter, and of two line ends."""

CHAT = (
    "{% for message in messages %}<|im_start|>{{ message.role }}\n{{ message.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
TRIMMING_CHAT = CHAT.replace("message.content", "message.content | trim")
PLAIN_CHAT = "{% for message in messages %}{{ message.role }}: {{ message.content }}\n\n{% endfor %}bot:"
NO_SYSTEM_CHAT = (
    "{% if messages[0].role == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}" + CHAT
)


def tokenizer(chat_template: str | None = CHAT) -> PreTrainedTokenizerFast:
    """A byte-level tokenizer: any text, a token a byte but for MERGES, with end, padding and turn marks."""
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    entries = [*SPECIAL, *letters, *("".join(pair) for pair in MERGES)]
    inner = Tokenizer(models.BPE(vocab={entry: index for index, entry in enumerate(entries)}, merges=list(MERGES)))
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    inner.decoder = decoders.ByteLevel()
    made = PreTrainedTokenizerFast(
        tokenizer_object=inner,
        pad_token="<pad>",
        eos_token="<eos>",
        additional_special_tokens=["<|im_start|>", "<|im_end|>"],
        clean_up_tokenization_spaces=False,
    )
    made.chat_template = chat_template
    return made


VOCABULARY = len(tokenizer())

_GATED: dict[str, Any] = {
    "hidden_size": WIDTH,
    "intermediate_size": 48,
    "num_hidden_layers": BLOCKS,
    "num_attention_heads": HEADS,
    "num_key_value_heads": 2,
    "max_position_embeddings": CONTEXT,
}
_GEMMA: dict[str, Any] = {**_GATED, "head_dim": 8, "query_pre_attn_scalar": 8, "sliding_window": WINDOW}
_PLAIN: dict[str, Any] = {"hidden_size": WIDTH, "num_hidden_layers": BLOCKS, "num_attention_heads": HEADS}
_FALCON: dict[str, Any] = {**_PLAIN, "max_position_embeddings": CONTEXT}

CONFIGS: dict[str, tuple[Callable[..., Any], dict[str, Any]]] = {
    "llama": (LlamaConfig, _GATED),
    "qwen2": (Qwen2Config, _GATED),
    "qwen3": (Qwen3Config, {**_GATED, "head_dim": 8}),
    "gemma2": (Gemma2Config, _GEMMA),
    "gemma3": (Gemma3TextConfig, {**_GEMMA, "layer_types": ["sliding_attention", "full_attention"] * (BLOCKS // 2)}),
    "mistral": (MistralConfig, {**_GATED, "sliding_window": WINDOW}),
    "mixtral": (MixtralConfig, {**_GATED, "num_local_experts": 4, "num_experts_per_tok": 2}),
    "olmo2": (Olmo2Config, _GATED),
    "phi3": (Phi3Config, _GATED),
    "gpt2": (GPT2Config, {"n_embd": WIDTH, "n_layer": BLOCKS, "n_head": HEADS, "n_positions": CONTEXT}),
    "gpt_neox": (GPTNeoXConfig, {**_PLAIN, "intermediate_size": 48, "max_position_embeddings": CONTEXT}),
    "opt": (
        OPTConfig,
        {**_PLAIN, "ffn_dim": 48, "word_embed_proj_dim": WIDTH, "max_position_embeddings": CONTEXT},
    ),
    "falcon_rotary": (FalconConfig, {**_FALCON, "alibi": False}),
    "falcon_alibi": (FalconConfig, {**_FALCON, "alibi": True}),
    "bloom": (BloomConfig, {"hidden_size": WIDTH, "n_layer": BLOCKS, "n_head": HEADS}),
}
FAMILIES = tuple(CONFIGS)
"""Those that the engine's oracles run with, one by one."""
KINDS = ("llama", "gpt2", "falcon_alibi", "gemma3")
"""Four that stand for all where the family decides little: positions turned, learnt, by distance; a sliding window."""

_GPT: dict[str, Any] = {"n_embd": WIDTH, "n_layer": BLOCKS, "n_head": HEADS, "n_positions": CONTEXT}
CONFIGS |= {
    "gpt_bigcode": (GPTBigCodeConfig, _GPT),
    "openai_gpt": (OpenAIGPTConfig, _GPT),
    "mpt": (MptConfig, {"d_model": WIDTH, "n_layers": BLOCKS, "n_heads": HEADS, "max_seq_len": CONTEXT}),
    "xglm": (
        XGLMConfig,
        {
            "d_model": WIDTH,
            "num_layers": BLOCKS,
            "attention_heads": HEADS,
            "ffn_dim": 48,
            "max_position_embeddings": CONTEXT,
        },
    ),
    "gemma4": (
        Gemma4TextConfig,
        {
            **_GATED,
            "head_dim": 8,
            "global_head_dim": 8,
            "sliding_window": WINDOW,
            "layer_types": ["sliding_attention", "full_attention"] * (BLOCKS // 2),
            "num_kv_shared_layers": 2,
            "hidden_size_per_layer_input": 8,
            "vocab_size_per_layer_input": VOCABULARY,
        },
    ),
    "mamba": (MambaConfig, {"hidden_size": WIDTH, "num_hidden_layers": BLOCKS, "state_size": 8}),
    "gemma3n": (
        Gemma3nTextConfig,
        {
            **_GATED,
            "head_dim": 8,
            "layer_types": ["full_attention"] * BLOCKS,
            "num_kv_shared_layers": 0,
            "hidden_size_per_layer_input": 8,
            "vocab_size_per_layer_input": VOCABULARY,
            "laurel_rank": 4,
            "activation_sparsity_pattern": [0.0] * BLOCKS,
        },
    ),
    "minimax": (
        MiniMaxConfig,
        {
            **_GATED,
            "head_dim": 8,
            "num_local_experts": 4,
            "layer_types": ["linear_attention", "full_attention"] * (BLOCKS // 2),
        },
    ),
    "rwkv": (
        RwkvConfig,
        {"hidden_size": WIDTH, "attention_hidden_size": WIDTH, "num_hidden_layers": BLOCKS, "context_length": CONTEXT},
    ),
}
UNUSUAL = ("gpt_bigcode", "openai_gpt", "mpt", "xglm", "gemma4", "mamba")
"""What blocks are called with, or return, is unlike the others'."""

BLOCK_PATHS = {
    "gpt2": "transformer.h",
    "gpt_neox": "gpt_neox.layers",
    "opt": "model.decoder.layers",
    "falcon_rotary": "transformer.h",
    "falcon_alibi": "transformer.h",
    "bloom": "transformer.h",
    "gpt_bigcode": "transformer.h",
    "openai_gpt": "transformer.h",
    "mpt": "transformer.blocks",
    "mamba": "backbone.layers",
}
"""Where the blocks are, by name; under ``model.layers`` in all other families."""

OUTPUT_PROJECTIONS = {
    "llama": "mlp.down_proj",
    "qwen2": "mlp.down_proj",
    "qwen3": "mlp.down_proj",
    "mistral": "mlp.down_proj",
    "phi3": "mlp.down_proj",
    "gpt2": "mlp.c_proj",
    "gpt_neox": "mlp.dense_4h_to_h",
    "opt": "fc2",
    "falcon_rotary": "mlp.dense_4h_to_h",
    "falcon_alibi": "mlp.dense_4h_to_h",
    "bloom": "mlp.dense_4h_to_h",
}
"""The projection whose result is added last to the residual stream, so that its bias is a bias of the block's output.
Gemma and OLMo 2 have none: a norm comes after their projection; Mixtral has one for each expert."""


def tiny(
    family: str, dtype: torch.dtype = torch.float32, seed: int = 0, chat_template: str | None = CHAT, **config: Any
) -> LanguageModel:
    """A random model of a family, prepared as the engine prepares any model."""
    kind, settings = CONFIGS[family]
    made = tokenizer(chat_template)
    marks = {"pad_token_id": made.pad_token_id, "eos_token_id": made.eos_token_id, "bos_token_id": made.eos_token_id}
    # with one matrix at both ends, a random model says its last token again and again
    settings = {**settings, "tie_word_embeddings": False, **config}
    with torch.random.fork_rng(devices=[]):  # what _randomise adds to begins at random in some families (Mamba)
        torch.manual_seed(seed)
        model = AutoModelForCausalLM.from_config(kind(vocab_size=VOCABULARY, **marks, **settings))
    _randomise(model, seed)
    with torch.no_grad():  # bytes that are no characters look alike in a text, and a text ends at <|im_end|>
        unseen = [index for token, index in made.get_vocab().items() if not token.isascii() or token == "<|im_end|>"]
        model.get_output_embeddings().weight[unseen] = 0
    return prepare(f"tiny {family}", f"hash of {family} {seed}", model.to(dtype), made)


@functools.cache
def lent(family: str, dtype: torch.dtype = torch.float32) -> LanguageModel:
    """The same model for all tests that only read it; whoever changes one makes one with ``tiny``."""
    return tiny(family, dtype)


EMBEDDINGS = ("embed_in", "embed_tokens", "word_embeddings", "embed_positions", ".wte", ".wpe")


def _randomise(model: nn.Module, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            noise = torch.randn(parameter.shape, generator=generator)
            if parameter.dim() == 1:  # biases and norms, which start at 0 and 1
                parameter.add_(0.2 * noise)
            elif any(part in name for part in EMBEDDINGS):
                parameter.copy_(0.4 * noise)
            else:
                parameter.copy_(0.35 * noise)


def blocks_of(lm: LanguageModel, family: str) -> nn.ModuleList:
    """The blocks, found by name and not by the engine."""
    return lm.model.get_submodule(BLOCK_PATHS.get(family, "model.layers"))


def plain(*texts: str) -> list[Prompt]:
    """Prompts without a chat template."""
    return [Prompt(text, template=False) for text in texts]


def encoded(lm: LanguageModel, *texts: str) -> EncodedPrompts:
    """Texts as they go in, without a chat template."""
    return encode(lm, plain(*texts))


def random_thetas(count: int, norm: float = 3.0, seed: int = 1, dtype: torch.dtype = torch.float32) -> Tensor:
    """[count, WIDTH] rows of one norm."""
    rows = torch.randn(count, WIDTH, generator=torch.Generator().manual_seed(seed))
    return (norm * torch.nn.functional.normalize(rows, dim=1)).to(dtype)


def reference_hidden(lm: LanguageModel, family: str, text: str, source: int, theta: Tensor | None) -> list[Tensor]:
    """Outputs of all blocks on one unpadded prompt, steered by a hook of this file's own: L tensors [T, d].

    Nothing of the engine's slice, steering or forward pass is used.
    """
    ids = torch.tensor([lm.tokenizer(text)["input_ids"]])
    blocks = blocks_of(lm, family)
    seen: list[Tensor] = []

    def steering(_module: nn.Module, _args: tuple, output: Any) -> Any:
        if theta is None:
            return output
        if isinstance(output, Tensor):
            return output + theta
        return (output[0] + theta, *output[1:])

    def reading(_module: nn.Module, _args: tuple, output: Any) -> None:
        seen.append((output if isinstance(output, Tensor) else output[0])[0].clone())

    handles = [blocks[source].register_forward_hook(steering)]
    handles += [block.register_forward_hook(reading) for block in blocks]
    with torch.no_grad():
        lm.model(ids, use_cache=False)
    for handle in handles:
        handle.remove()
    return seen


class BiasedBlock(nn.Module):
    """A block with a bias on its output."""

    def __init__(self, block: nn.Module, bias: Tensor) -> None:
        super().__init__()
        self.block, self.bias = block, bias

    def __getattr__(self, name: str) -> Any:
        # models ask their blocks for things such as the kind of attention
        try:
            return super().__getattr__(name)
        except AttributeError:
            return getattr(super().__getattr__("block"), name)

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        output = self.block(*args, **kwargs)
        return output + self.bias if isinstance(output, Tensor) else (output[0] + self.bias, *output[1:])


def write_bias(lm: LanguageModel, family: str, source: int, theta: Tensor) -> None:
    """Put ``theta`` into the weights of block ``source``, for good."""
    blocks = blocks_of(lm, family)
    if family not in OUTPUT_PROJECTIONS:
        blocks[source] = BiasedBlock(blocks[source], theta)
        return
    projection = blocks[source].get_submodule(OUTPUT_PROJECTIONS[family])
    old = projection.bias
    new = theta.clone() if old is None else old.data + theta
    projection.bias = nn.Parameter(new, requires_grad=False)
