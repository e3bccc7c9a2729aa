"""Writes small GGUF files, for the tests of the command line and as seeds of the fuzzers."""

import struct


def gguf_string(text):
    data = text.encode()
    return struct.pack("<Q", len(data)) + data


def gguf_value(value):
    """The encoding of a metadata value with its type: str, int (u32), float (f32), bool, or a list of one of them."""
    if isinstance(value, bool):
        return struct.pack("<IB", 7, value)
    if isinstance(value, str):
        return struct.pack("<I", 8) + gguf_string(value)
    if isinstance(value, int):
        return struct.pack("<II", 4, value)
    if isinstance(value, float):
        return struct.pack("<If", 6, value)
    kind, encode = {
        str: (8, gguf_string),
        int: (5, lambda number: struct.pack("<i", number)),
        float: (6, lambda number: struct.pack("<f", number)),
    }[type(value[0])]
    return struct.pack("<IIQ", 9, kind, len(value)) + b"".join(map(encode, value))


def write_gguf(path, metadata, tensors=()):
    """A GGUF v3 file; `tensors` are (name, [sizes], [f32 values])."""
    out = struct.pack("<IIQQ", 0x46554747, 3, len(tensors), len(metadata))
    for key, value in metadata.items():
        out += gguf_string(key) + gguf_value(value)
    offset = 0
    for name, sizes, values in tensors:
        out += gguf_string(name) + struct.pack("<I", len(sizes)) + struct.pack(f"<{len(sizes)}Q", *sizes)
        out += struct.pack("<IQ", 0, offset)
        offset += -(-4 * len(values) // 32) * 32
    for _, _, values in tensors:
        out += bytes(-len(out) % 32) + struct.pack(f"<{len(values)}f", *values)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(out + bytes(-len(out) % 32))


def write_small_model(path, seed=1.0):
    """Enough of a model to be stored and shown, not to be run."""
    write_gguf(
        path,
        {
            "general.architecture": "llama",
            "general.file_type": 0,
            "llama.context_length": 2048,
            "llama.embedding_length": 8,
            "tokenizer.chat_template": "{% for m in messages %}{{ m.content }}{% endfor %}",
        },
        [("token_embd.weight", [8, 4], [seed] * 32)],
    )


def write_vocabulary(path):
    """A byte-level BPE vocabulary of all bytes, a few merges and two special tokens."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    letters = {byte: chr(byte) for byte in printable}
    for index, byte in enumerate(byte for byte in range(256) if byte not in letters):
        letters[byte] = chr(256 + index)
    merges = ["h e", "l l", "he ll", "hell o", f"{letters[32]} w"]
    tokens = [letters[byte] for byte in range(256)] + [merge.replace(" ", "") for merge in merges] + ["<s>", "<end>"]
    kinds = [1] * (len(tokens) - 2) + [3, 3]
    write_gguf(
        path,
        {
            "general.architecture": "llama",
            "tokenizer.ggml.model": "gpt2",
            "tokenizer.ggml.pre": "gpt-2",
            "tokenizer.ggml.tokens": tokens,
            "tokenizer.ggml.token_type": kinds,
            "tokenizer.ggml.merges": merges,
            "tokenizer.ggml.bos_token_id": len(tokens) - 2,
            "tokenizer.ggml.eos_token_id": len(tokens) - 1,
            "tokenizer.ggml.add_bos_token": True,
        },
    )
    return tokens
