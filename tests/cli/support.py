"""What the tests of the command line share: running the program, small model files, the real model."""

import os
import pathlib
import shutil
import struct
import subprocess
import tempfile
import unittest

BINARY = os.environ["MULLAMA_BINARY"]
REAL_MODELS = os.environ.get("MULLAMA_TEST_MODELS", "")
REAL_MODEL = "smollm2:135m"


class ProgramTest(unittest.TestCase):
    """Each test has a home and a models folder of its own."""

    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="mullama-cli-"))
        self.addCleanup(shutil.rmtree, self.folder)
        self.models = self.folder / "models"
        self.environment = {
            key: value
            for key, value in os.environ.items()
            if not key.startswith(("MULLAMA_", "OLLAMA_")) and key not in ("NO_COLOR", "COLUMNS")
        }
        self.environment.update(HOME=str(self.folder), MULLAMA_MODELS_DIR=str(self.models), TERM="xterm-256color",
                                MULLAMA_STATE_DIR=str(self.folder / "state"), MULLAMA_HOST="127.0.0.1:1")
        if "MULLAMA_ISA" in os.environ:
            self.environment["MULLAMA_ISA"] = os.environ["MULLAMA_ISA"]

    def run_program(self, *arguments, text=None, timeout=300, **environment):
        """The finished process, with standard input empty unless `text` is given."""
        return subprocess.run(
            [BINARY, *map(str, arguments)],
            input=text,
            stdin=subprocess.DEVNULL if text is None else None,
            capture_output=True,
            encoding="utf-8",
            env={**self.environment, **environment},
            cwd=self.folder,
            timeout=timeout,
            check=False,
        )

    def check_ok(self, *arguments, **options):
        """Runs, expects exit code 0 and returns standard output."""
        done = self.run_program(*arguments, **options)
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stdout

    def check_fails(self, code, *arguments, **options):
        """Runs, expects the exit code and nothing on standard output, and returns the one line of the error."""
        done = self.run_program(*arguments, **options)
        self.assertEqual(done.returncode, code, done.stderr + done.stdout)
        self.assertEqual(done.stdout, "")
        self.assertTrue(done.stderr.startswith("Error: "), done.stderr)
        self.assertEqual(done.stderr.count("\n"), 1, done.stderr)
        return done.stderr


class RealModelTest(ProgramTest):
    """Tests on the real model; skipped if it is not there."""

    def setUp(self):
        super().setUp()
        if not (pathlib.Path(REAL_MODELS) / "manifests").is_dir():
            self.skipTest(f"{REAL_MODEL} is not in the test models folder")
        self.environment["MULLAMA_MODELS_DIR"] = REAL_MODELS
        if self.run_program("show", REAL_MODEL).returncode != 0:
            self.skipTest(f"{REAL_MODEL} is not in the test models folder")


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
