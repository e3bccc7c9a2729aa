"""Tensors of GGUF files, and where their values belong in the parameters of transformers models.

The direction is the reverse of a converter's: a golden's GGUF tensors are noise, and the transformers model receives the
parameters that a converter would turn into them.
"""
import dataclasses
from typing import Callable

import torch


@dataclasses.dataclass
class Tensor:
    name: str
    shape: tuple  # outermost first, as in numpy
    put: Callable  # (parameters, values): stores the values into the model
    mxfp4: bool = False


def whole(parameter):
    return lambda parameters, values: parameters[parameter].copy_(values)


def minus_one(parameter):
    """Gemma's norms multiply by one plus the parameter; files hold the sum."""
    return lambda parameters, values: parameters[parameter].copy_(values - 1)


def part(parameter, view):
    return lambda parameters, values: view(parameters[parameter]).copy_(values)


def half_split(parameter, heads):
    """Files hold rotated pairs side by side; transformers keeps the first halves of all pairs before the second."""

    def put(parameters, values):
        rows = values.shape[0]
        pairs = values.reshape(heads, rows // heads // 2, 2, *values.shape[1:])
        parameters[parameter].copy_(pairs.transpose(1, 2).reshape(values.shape))

    return put


def attention(config, i, options):
    b, p = f"blk.{i}.", f"model.layers.{i}.self_attn."
    width, heads, kv_heads = config.hidden_size, config.num_attention_heads, config.num_key_value_heads
    head = getattr(config, "head_dim", None) or width // heads
    sizes = {"q": heads * head, "k": kv_heads * head, "v": kv_heads * head}
    if options.get("fused"):
        yield Tensor(b + "attn_qkv.weight", (sum(sizes.values()), width), whole(p + "qkv_proj.weight"))
    else:
        for letter, count in (("q", heads), ("k", kv_heads), ("v", None)):
            for suffix in ("weight", "bias") if options.get("qkv_bias") else ("weight",):
                source = f"{p}{letter}_proj.{suffix}"
                put = half_split(source, count) if options.get("pairs") and count else whole(source)
                shape = (sizes[letter],) + ((width,) if suffix == "weight" else ())
                yield Tensor(f"{b}attn_{letter}.{suffix}", shape, put)
    yield Tensor(b + "attn_output.weight", (width, heads * head), whole(p + "o_proj.weight"))
    if options.get("out_bias"):
        yield Tensor(b + "attn_output.bias", (width,), whole(p + "o_proj.bias"))
    if norm := options.get("qk_norm"):
        put = minus_one if options.get("gemma") else whole
        for letter in "qk":
            size = head if norm == "head" else sizes[letter]
            yield Tensor(f"{b}attn_{letter}_norm.weight", (size,), put(f"{p}{letter}_norm.weight"))
    if options.get("sinks"):
        yield Tensor(b + "attn_sinks.weight", (heads,), whole(p + "sinks"))


def dense(config, i, options):
    b, p = f"blk.{i}.", f"model.layers.{i}.mlp."
    width, length = config.hidden_size, config.intermediate_size
    if options.get("fused"):
        yield Tensor(b + "ffn_up.weight", (2 * length, width), whole(p + "gate_up_proj.weight"))
    else:
        for role in ("gate", "up"):
            yield Tensor(f"{b}ffn_{role}.weight", (length, width), whole(f"{p}{role}_proj.weight"))
            if options.get("mlp_bias"):
                yield Tensor(f"{b}ffn_{role}.bias", (length,), whole(f"{p}{role}_proj.bias"))
    yield Tensor(b + "ffn_down.weight", (width, length), whole(p + "down_proj.weight"))
    if options.get("mlp_bias"):
        yield Tensor(b + "ffn_down.bias", (width,), whole(p + "down_proj.bias"))


def experts(config, i, options):
    b, p = f"blk.{i}.", f"model.layers.{i}.mlp."
    width, count = config.hidden_size, getattr(config, "num_local_experts", None) or config.num_experts
    length = getattr(config, "moe_intermediate_size", None) or config.intermediate_size
    mxfp4 = options.get("mxfp4", False)
    if options.get("interleaved_experts"):  # gpt-oss: inputs first, gate and up in alternate columns
        views = {"gate": lambda w: w[..., ::2], "up": lambda w: w[..., 1::2]}
        weight = lambda view: lambda w: view(w).transpose(1, 2)
        router = "router"
    else:
        views = {"gate": lambda w: w[:, :length], "up": lambda w: w[:, length:]}
        weight = lambda view: view
        router = "gate"
    yield Tensor(b + "ffn_gate_inp.weight", (count, width), whole(f"{p}{router}.weight"))
    for role, view in views.items():
        yield Tensor(f"{b}ffn_{role}_exps.weight", (count, length, width),
                     part(p + "experts.gate_up_proj", weight(view)), mxfp4)
    down = (lambda w: w.transpose(1, 2)) if options.get("interleaved_experts") else (lambda w: w)
    yield Tensor(b + "ffn_down_exps.weight", (count, width, length), part(p + "experts.down_proj", down), mxfp4)
    if options.get("expert_bias"):
        yield Tensor(b + "ffn_gate_inp.bias", (count,), whole(f"{p}{router}.bias"))
        for role, view in views.items():
            yield Tensor(f"{b}ffn_{role}_exps.bias", (count, length), part(p + "experts.gate_up_proj_bias", view))
        yield Tensor(b + "ffn_down_exps.bias", (count, width), whole(p + "experts.down_proj_bias"))


# GGUF name: transformers name.
PRE_NORMS = {"attn_norm": "input_layernorm", "ffn_norm": "post_attention_layernorm"}
POST_NORMS = {"post_attention_norm": "post_attention_layernorm", "post_ffw_norm": "post_feedforward_layernorm"}
SANDWICH_NORMS = {"attn_norm": "input_layernorm", "ffn_norm": "pre_feedforward_layernorm", **POST_NORMS}
GPT_OSS_NORMS = {"attn_norm": "input_layernorm", "post_attention_norm": "post_attention_layernorm"}


def tensors(config, options):
    """All tensors of a model whose values are noise."""
    width, vocabulary = config.hidden_size, config.vocab_size
    norm = minus_one if options.get("gemma") else whole
    yield Tensor("token_embd.weight", (vocabulary, width), whole("model.embed_tokens.weight"))
    for i in range(config.num_hidden_layers):
        yield from attention(config, i, options)
        yield from (experts if options.get("experts") else dense)(config, i, options)
        for name, source in options.get("norms", PRE_NORMS).items():
            yield Tensor(f"blk.{i}.{name}.weight", (width,), norm(f"model.layers.{i}.{source}.weight"))
    yield Tensor("output_norm.weight", (width,), norm("model.norm.weight"))
    if not config.tie_word_embeddings:
        yield Tensor("output.weight", (vocabulary, width), whole("lm_head.weight"))


@torch.no_grad()
def store(model, tensor, values):
    tensor.put(dict(model.named_parameters()), torch.from_numpy(values))
