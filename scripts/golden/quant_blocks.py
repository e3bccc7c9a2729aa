#!/usr/bin/env python3
"""Writes the fixture of tests/quant/dequantize_test.cpp with the PyPI packages gguf and numpy.

For every tensor type: random bytes for a few blocks, and the floats that gguf.quants makes of them. Part of the blocks
have their binary16 scales replaced by ordinary numbers; the rest keep raw bytes, so that infinities, NaN and subnormal
scales occur too.

File: "MQGB", then per type: u32 type id, u32 blocks, u32 values a block, u32 bytes a block, blocks, floats; little-endian.

usage: quant_blocks.py OUT
"""
import sys

import numpy as np
from gguf import GGML_QUANT_SIZES, GGMLQuantizationType as T
from gguf.quants import dequantize

TYPES = [T.F32, T.F16, T.Q4_0, T.Q4_1, T.Q5_0, T.Q5_1, T.Q8_0, T.Q2_K, T.Q3_K, T.Q4_K, T.Q5_K, T.Q6_K, T.IQ4_NL,
         T.IQ4_XS, T.BF16, T.MXFP4]
# Offsets of binary16 fields in a block.
SCALES = {T.Q4_0: [0], T.Q4_1: [0, 2], T.Q5_0: [0], T.Q5_1: [0, 2], T.Q8_0: [0], T.Q2_K: [80, 82], T.Q3_K: [108],
          T.Q4_K: [0, 2], T.Q5_K: [0, 2], T.Q6_K: [208], T.IQ4_NL: [0], T.IQ4_XS: [0]}


def main() -> None:
    random = np.random.default_rng(20240229)
    with open(sys.argv[1], "wb") as out:
        out.write(b"MQGB")
        for kind in TYPES:
            values, size = GGML_QUANT_SIZES[kind]
            count = 8 if values == 256 else 32 if values == 32 else 512
            blocks = random.integers(0, 256, (count, size), dtype=np.uint8)
            for offset in SCALES.get(kind, []):
                scales = random.normal(0, 0.02, (count, 1)).astype(np.float16).view(np.uint8)
                tame = slice(0, count * 3 // 4)
                blocks[tame, offset:offset + 2] = scales[tame]
            with np.errstate(all="ignore"):
                floats = np.ascontiguousarray(dequantize(blocks.reshape(1, -1), kind), dtype=np.float32)
            assert floats.size == count * values
            out.write(np.array([kind, count, values, size], dtype="<u4").tobytes())
            out.write(blocks.tobytes())
            out.write(floats.astype("<f4").tobytes())


main()
