#!/usr/bin/env python3
"""Make golden files: tiny random models as GGUF headers, and the logits that transformers computes for them.

    families.py OUT_DIR [NAME ...]         writes OUT_DIR/NAME.golden
    families.py --gguf OUT_DIR [NAME ...]  writes whole models instead, OUT_DIR/NAME.gguf

A golden file holds, little-endian: the magic "GOLDEN1\\0"; u32 header bytes, u64 bytes of the whole GGUF file, u32 extra values,
u32 tokens, u32 vocabulary, u32 flags (1: long context); the first bytes of the GGUF file, up to the tensors' data; the f32
values of the tensors named rope_*, in the file's order; the tokens as i32; the logits as f32 [tokens][vocabulary]. All other
tensors' data is noise that noise.py and the test make from their names.
"""
import argparse
import math
import pathlib
import struct
import tempfile

import gguf
import numpy as np
import torch
import transformers

import layout
import noise
from variants import VARIANTS

TOKENS = 64


def write_rope(writer, config):
    parameters = config.rope_parameters
    full = parameters.get("full_attention", parameters)
    writer.add_rope_freq_base(full["rope_theta"])
    if "sliding_attention" in parameters:
        writer.add_rope_freq_base_swa(parameters["sliding_attention"]["rope_theta"])
    kind = full["rope_type"]
    if kind in ("linear", "yarn"):
        writer.add_rope_scaling_type(gguf.RopeScalingType(kind))
        writer.add_rope_scaling_factor(full["factor"])
    if kind == "yarn":
        writer.add_rope_scaling_orig_ctx_len(full["original_max_position_embeddings"])
        if "beta_fast" in full:
            writer.add_rope_scaling_yarn_beta_fast(full["beta_fast"])
            writer.add_rope_scaling_yarn_beta_slow(full["beta_slow"])
    if kind == "longrope":
        # The tensors of factors are the only sign of longrope: converters write no type.
        scale = config.max_position_embeddings / full["original_max_position_embeddings"]
        writer.add_rope_scaling_attn_factors(math.sqrt(1 + math.log(scale) / math.log(
            full["original_max_position_embeddings"])) if scale > 1 else 1.0)


def write_metadata(writer, architecture, config):
    """The keys that converters write for these families, and no other (compare_converter.py shows it)."""
    head = getattr(config, "head_dim", None)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    if head:
        writer.add_key_length(head)
        writer.add_value_length(head)
    if architecture in ("llama", "smollm3", "granite"):
        writer.add_vocab_size(config.vocab_size)
    if architecture in ("llama", "smollm3", "granite", "phi3"):
        share = config.rope_parameters.get("partial_rotary_factor", 1.0)
        writer.add_rope_dimension_count(int((head or config.hidden_size // config.num_attention_heads) * share))
    if architecture != "gemma2":
        write_rope(writer, config)
    if architecture == "phi3":
        writer.add_rope_scaling_orig_ctx_len(config.original_max_position_embeddings)
        writer.add_sliding_window(config.sliding_window or 0)
    elif getattr(config, "sliding_window", None):
        writer.add_sliding_window(config.sliding_window)
    if config.model_type == "olmo3":
        writer.add_sliding_window_pattern([kind == "sliding_attention" for kind in config.layer_types])
    experts = getattr(config, "num_local_experts", None) or getattr(config, "num_experts", None)
    if experts:
        writer.add_expert_count(experts)
        writer.add_expert_used_count(config.num_experts_per_tok)
    if architecture in ("qwen3moe", "gpt-oss"):
        writer.add_expert_feed_forward_length(getattr(config, "moe_intermediate_size", config.intermediate_size))
    if architecture == "gemma2":
        writer.add_attn_logit_softcapping(config.attn_logit_softcapping)
        writer.add_final_logit_softcapping(config.final_logit_softcapping)
    if architecture == "granite":
        writer.add_attention_scale(config.attention_multiplier)
        writer.add_embedding_scale(config.embedding_multiplier)
        writer.add_residual_scale(config.residual_multiplier)
        writer.add_logit_scale(config.logits_scaling)
    writer.add_tokenizer_model("none")


def build(name, path):
    """Writes the whole GGUF file; returns the transformers model with the same weights and the extra tensors."""
    architecture, make_config, options, *rest = VARIANTS[name]
    config = make_config()
    config._attn_implementation = "eager"
    model = transformers.AutoModelForCausalLM.from_config(config, dtype=torch.float32).eval()
    extra = rest[0](config) if rest else {}

    writer = gguf.GGUFWriter(path, architecture)
    write_metadata(writer, architecture, config)
    for tensor_name, values in extra.items():
        writer.add_tensor(tensor_name, np.array(values, dtype=np.float32))
    for tensor in layout.tensors(config, options):
        if tensor.mxfp4:
            data = noise.mxfp4_bytes(tensor.name, tensor.shape)
            values = noise.mxfp4_values(data, tensor.shape)
            writer.add_tensor(tensor.name, data, raw_dtype=gguf.GGMLQuantizationType.MXFP4)
        else:
            values = noise.floats(tensor.name, tensor.shape)
            writer.add_tensor(tensor.name, values)
        layout.store(model, tensor, values)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return model, extra


def compute(model, tokens):
    with torch.no_grad():
        return model(torch.from_numpy(tokens.astype(np.int64))[None], use_cache=False).logits[0].numpy()


def golden(name, directory):
    with tempfile.TemporaryDirectory() as temporary:
        path = pathlib.Path(temporary) / "model.gguf"
        model, extra = build(name, path)
        data = path.read_bytes()
        begin = int(gguf.GGUFReader(path).data_offset)
    for attempt in range(100):
        # Tokens whose best two logits are never so close that rounding could swap them.
        tokens = noise.tokens(f"{name} {attempt}", TOKENS, model.config.vocab_size)
        logits = compute(model, tokens)
        top = np.sort(logits, axis=1)
        closest = (top[:, -1] - top[:, -2]).min()
        if closest > 0.005:
            break
    factors = np.concatenate([np.array(v, dtype=np.float32) for v in extra.values()] or [np.zeros(0, np.float32)])
    flags = int(name.endswith("-long"))
    counts = struct.pack("<IQIIII", begin, len(data), factors.size, TOKENS, logits.shape[1], flags)
    content = b"GOLDEN1\0" + counts + data[:begin] + factors.tobytes() + tokens.tobytes() + logits.tobytes()
    (directory / f"{name}.golden").write_bytes(content)
    print(f"{name:22} {len(content):6} bytes, logits {logits.std():.2f} (standard deviation), "
          f"closest two {closest:.4f}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gguf", action="store_true", help="write whole models")
    parser.add_argument("directory", type=pathlib.Path)
    parser.add_argument("names", nargs="*", metavar="NAME")
    arguments = parser.parse_args()
    arguments.directory.mkdir(parents=True, exist_ok=True)
    for name in arguments.names or VARIANTS:
        if arguments.gguf:
            build(name, arguments.directory / f"{name}.gguf")
        else:
            golden(name, arguments.directory)


if __name__ == "__main__":
    main()
