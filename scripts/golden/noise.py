"""Pseudo-random tensors that a test can make again from a name and a shape alone.

Every value is an integer of 24 bits times a power of two (plus one for norms), so that no rounding can differ. The same rules
are in tests/model/golden_model.cpp.
"""
import math

import numpy as np

MASK = (1 << 64) - 1


def fnv1a(text):
    value = 0xCBF29CE484222325
    for byte in text.encode():
        value = ((value ^ byte) * 0x100000001B3) & MASK
    return value


def splitmix(seed, count):
    """splitmix64 outputs number 1 to count."""
    with np.errstate(over="ignore"):
        z = np.uint64(seed) + np.arange(1, count + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return z ^ (z >> np.uint64(31))


def scale_and_offset(name, cols):
    """Matrices keep about the variance of their input, times a gain that makes attention and logits vary."""
    if name.endswith("norm.weight"):
        return 0.25, 1.0
    if name.endswith(".bias"):
        return 0.25, 0.0
    if name == "token_embd.weight":
        return 0.5, 0.0
    if name.endswith("sinks.weight"):
        return 1.0, 0.0
    gain = 3.0 if name == "output.weight" else 2.0 if ".attn_q" in name or ".attn_k" in name else 1.4
    return 2.0 ** round(math.log2(gain * math.sqrt(3.0 / cols))), 0.0


def floats(name, shape):
    count = math.prod(shape)
    integers = (splitmix(fnv1a(name), count) >> np.uint64(40)).astype(np.int64) - (1 << 23)
    scale, offset = scale_and_offset(name, shape[-1])
    values = integers.astype(np.float32) * np.float32(scale / (1 << 23)) + np.float32(offset)
    return values.reshape(shape)


def mxfp4_bytes(name, shape):
    """Blocks of one exponent byte, 2^-5 or 2^-4, and 16 bytes of two 4-bit values each."""
    blocks = math.prod(shape) // 32
    data = (splitmix(fnv1a(name), blocks * 17) >> np.uint64(56)).astype(np.uint8).reshape(blocks, 17)
    data[:, 0] = 122 + (data[:, 0] & 1)
    return data.reshape(*shape[:-1], shape[-1] // 32 * 17)


def mxfp4_values(data, shape):
    table = np.array([0, 0.5, 1, 1.5, 2, 3, 4, 6, 0, -0.5, -1, -1.5, -2, -3, -4, -6], dtype=np.float32)
    blocks = data.reshape(-1, 17)
    scale = np.exp2(blocks[:, :1].astype(np.float32) - 127)
    values = np.concatenate([table[blocks[:, 1:] & 15], table[blocks[:, 1:] >> 4]], axis=1) * scale
    return values.reshape(shape).astype(np.float32)


def tokens(name, count, vocabulary):
    return (splitmix(fnv1a(name), count) % np.uint64(vocabulary)).astype(np.int32)
