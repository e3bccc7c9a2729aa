"""The models of which goldens are made: for each family, a tiny transformers configuration and what its files hold."""
import math

import transformers as hf

import layout

SMALL = dict(vocab_size=131, hidden_size=64, intermediate_size=96, num_hidden_layers=2, num_attention_heads=4,
             num_key_value_heads=2, max_position_embeddings=256, bos_token_id=1, eos_token_id=2, pad_token_id=0)
HEAD = dict(head_dim=32)


def rope(kind="default", theta=10000.0, **more):
    return dict(rope_parameters=dict(rope_type=kind, rope_theta=theta, **more))


def yarn(**more):
    return rope("yarn", 100000.0, factor=8.0, original_max_position_embeddings=32, **more)


def llama3_factors(config):
    """Divisors of the frequencies, computed as a converter does (Llama 3.1's report, section 3.4.2, and its code)."""
    r = config.rope_parameters
    original, low, high = r["original_max_position_embeddings"], r["low_freq_factor"], r["high_freq_factor"]
    divisors = []
    for i in range(0, config.head_dim, 2):
        turns = original / (2 * math.pi * r["rope_theta"] ** (i / config.head_dim))
        smooth = min(max((turns - low) / (high - low), 0.0), 1.0)
        divisors.append(1 / ((1 - smooth) / r["factor"] + smooth))
    return {"rope_freqs.weight": divisors}


def longrope_factors(config):
    r = config.rope_parameters
    return {"rope_factors_long.weight": r["long_factor"], "rope_factors_short.weight": r["short_factor"]}


def longrope(original):
    pairs = 12  # three quarters of a head of 32
    return dict(original_max_position_embeddings=original,
                **rope("longrope", original_max_position_embeddings=original, partial_rotary_factor=0.75,
                       short_factor=[1 + 0.02 * i for i in range(pairs)],
                       long_factor=[1 + 0.3 * i for i in range(pairs)]))


LLAMA = dict(pairs=True)
PHI3 = dict(fused=True)
MOE = dict(experts=True)
GEMMA2 = dict(gemma=True, norms=layout.SANDWICH_NORMS)
GEMMA3 = dict(**GEMMA2, qk_norm="head")
OLMO = dict(norms=layout.POST_NORMS, qk_norm="full")
GPT_OSS = dict(experts=True, interleaved_experts=True, expert_bias=True, qkv_bias=True, out_bias=True, sinks=True,
               norms=layout.GPT_OSS_NORMS)


def phi3(**more):
    return hf.Phi3Config(**{**SMALL, "num_attention_heads": 2, "num_key_value_heads": 1, **more})


def gpt_oss():
    return hf.GptOssConfig(**SMALL, **HEAD, num_local_experts=4, num_experts_per_tok=2, sliding_window=16,
                           **yarn(beta_fast=32.0, beta_slow=1.0, truncate=False))


# name: (architecture in the file, configuration, options of the layout[, values of rope tensors])
VARIANTS = {
    "llama": ("llama", lambda: hf.LlamaConfig(**SMALL, **HEAD), LLAMA),
    "llama-tied-biases": ("llama", lambda: hf.LlamaConfig(
        **{**SMALL, "num_key_value_heads": 4}, tie_word_embeddings=True, attention_bias=True, mlp_bias=True,
        **rope(theta=100000.0)), dict(**LLAMA, qkv_bias=True, out_bias=True, mlp_bias=True)),
    "llama-rope-llama3": ("llama", lambda: hf.LlamaConfig(**SMALL, **HEAD, **rope(
        "llama3", 500000.0, factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0,
        original_max_position_embeddings=32)), LLAMA, llama3_factors),
    "llama-rope-linear": ("llama", lambda: hf.LlamaConfig(**SMALL, **HEAD, **rope("linear", factor=4.0)), LLAMA),
    "llama-rope-yarn": ("llama", lambda: hf.LlamaConfig(**SMALL, **HEAD, **yarn()), LLAMA),
    "mistral-window": ("llama", lambda: hf.MistralConfig(**SMALL, **HEAD, sliding_window=16), LLAMA),
    "mixtral": ("llama", lambda: hf.MixtralConfig(**SMALL, **HEAD, num_local_experts=4, num_experts_per_tok=2,
                                                  **rope(theta=1000000.0)), dict(**LLAMA, **MOE)),
    "qwen2": ("qwen2", lambda: hf.Qwen2Config(**SMALL, tie_word_embeddings=True, **rope(theta=1000000.0)),
              dict(qkv_bias=True)),
    "qwen2-rope-yarn": ("qwen2", lambda: hf.Qwen2Config(**SMALL, **yarn()), dict(qkv_bias=True)),
    "qwen3": ("qwen3", lambda: hf.Qwen3Config(**SMALL, **HEAD, tie_word_embeddings=True, **rope(theta=1000000.0)),
              dict(qk_norm="head")),
    "qwen3moe": ("qwen3moe", lambda: hf.Qwen3MoeConfig(
        **SMALL, **HEAD, num_experts=8, num_experts_per_tok=3, moe_intermediate_size=32, norm_topk_prob=True,
        **rope(theta=1000000.0)), dict(**MOE, qk_norm="head")),
    "gemma2": ("gemma2", lambda: hf.Gemma2Config(
        **{**SMALL, "num_hidden_layers": 4}, **HEAD, query_pre_attn_scalar=32, sliding_window=16,
        attn_logit_softcapping=5.0, final_logit_softcapping=8.0), GEMMA2),
    "gemma3": ("gemma3", lambda: hf.Gemma3TextConfig(
        **{**SMALL, "num_hidden_layers": 7}, **HEAD, query_pre_attn_scalar=32, sliding_window=16), GEMMA3),
    "gemma3-rope-linear": ("gemma3", lambda: hf.Gemma3TextConfig(
        **{**SMALL, "num_hidden_layers": 6}, **HEAD, query_pre_attn_scalar=32, sliding_window=16,
        rope_parameters={"full_attention": dict(rope_type="linear", rope_theta=1000000.0, factor=8.0),
                         "sliding_attention": dict(rope_type="default", rope_theta=20000.0)}), GEMMA3),
    "phi3-window": ("phi3", lambda: phi3(sliding_window=24), PHI3),
    "phi3-longrope-short": ("phi3", lambda: phi3(**longrope(128)), PHI3, longrope_factors),
    "phi3-longrope-long": ("phi3", lambda: phi3(**longrope(32)), PHI3, longrope_factors),
    "smollm3": ("smollm3", lambda: hf.SmolLM3Config(
        **{**SMALL, "num_hidden_layers": 5}, tie_word_embeddings=True, **rope(theta=2000000.0)), LLAMA),
    "olmo2": ("olmo2", lambda: hf.Olmo2Config(**SMALL, **rope(theta=500000.0)), OLMO),
    "olmo3-window-yarn": ("olmo2", lambda: hf.Olmo3Config(
        **{**SMALL, "num_hidden_layers": 4}, sliding_window=16,
        rope_parameters={"full_attention": yarn()["rope_parameters"],
                         "sliding_attention": dict(rope_type="default", rope_theta=100000.0)}), OLMO),
    "granite": ("granite", lambda: hf.GraniteConfig(
        **SMALL, tie_word_embeddings=True, embedding_multiplier=2.0, attention_multiplier=0.1,
        residual_multiplier=0.4, logits_scaling=3.0), LLAMA),
    "gpt-oss": ("gpt-oss", gpt_oss, GPT_OSS),
    "gpt-oss-mxfp4": ("gpt-oss", gpt_oss, dict(**GPT_OSS, mxfp4=True)),
}
