#!/usr/bin/env python3
"""Compare the models of families.py with what llama.cpp's converter makes of the same transformers models.

    compare_converter.py LLAMA_CPP_SOURCE [NAME ...]

Prints every metadata key and tensor that differs, and nothing else for models that agree.
"""
import json
import pathlib
import sys
import tempfile

SOURCE = pathlib.Path(sys.argv[1])
sys.path[:0] = [str(SOURCE / "gguf-py"), str(SOURCE)]

import conversion  # noqa: E402
import gguf  # noqa: E402
import numpy as np  # noqa: E402

import families  # noqa: E402
from variants import VARIANTS  # noqa: E402


def keys(reader):
    ours = ("GGUF.", "general.", "tokenizer.")
    return {key: field.contents() for key, field in reader.fields.items() if not key.startswith(ours)}


def convert(model, directory, path):
    model.save_pretrained(directory)
    # Only the number of its entries matters.
    vocabulary = {"model": {"vocab": {str(i): i for i in range(model.config.vocab_size)}}, "added_tokens": []}
    (directory / "tokenizer.json").write_text(json.dumps(vocabulary))
    hparams = conversion.ModelBase.load_hparams(directory, False)
    converter = conversion.get_model_class(type(model).__name__)
    converter.set_vocab = lambda self: None
    converter(directory, gguf.LlamaFileType.ALL_F32, path, hparams=hparams).write()


def differences(ours, theirs):
    our_keys, their_keys = keys(ours), keys(theirs)
    for key in sorted(our_keys.keys() | their_keys.keys()):
        a, b = our_keys.get(key), their_keys.get(key)
        if a != b and not (isinstance(a, float) and isinstance(b, float) and abs(a - b) < 1e-6 * abs(a)):
            yield f"{key}: ours {a}, theirs {b}"
    our_tensors, their_tensors = ({t.name: t for t in reader.tensors} for reader in (ours, theirs))
    for name in sorted(our_tensors.keys() | their_tensors.keys()):
        a, b = our_tensors.get(name), their_tensors.get(name)
        if a is None or b is None:
            yield f"{name}: only in {'theirs' if a is None else 'ours'}"
        elif a.tensor_type != b.tensor_type or list(a.shape) != list(b.shape):
            yield f"{name}: ours {a.tensor_type.name} {list(a.shape)}, theirs {b.tensor_type.name} {list(b.shape)}"
        elif np.abs(a.data - b.data).max() > 1e-6:
            yield f"{name}: values differ by up to {np.abs(a.data - b.data).max()}"


def main():
    for name in sys.argv[2:] or VARIANTS:
        if name.endswith("mxfp4"):
            continue  # Its transformers model holds dequantized values.
        with tempfile.TemporaryDirectory() as temporary:
            directory = pathlib.Path(temporary)
            model, _ = families.build(name, directory / "ours.gguf")
            convert(model, directory / "model", directory / "theirs.gguf")
            ours, theirs = gguf.GGUFReader(directory / "ours.gguf"), gguf.GGUFReader(directory / "theirs.gguf")
            for line in differences(ours, theirs):
                print(f"{name}: {line}")


if __name__ == "__main__":
    main()
