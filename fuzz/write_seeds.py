#!/usr/bin/env python3
"""Writes what the fuzzers start from: a folder of small inputs for each, named as its program is.

    write_seeds.py FOLDER

What other tests hold already is taken from there; fuzz/seeds has the files that only a fuzzer reads.
"""
import json
import pathlib
import shutil
import sys
import tempfile

SOURCE = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(SOURCE / "tests/cli"))
sys.dont_write_bytecode = True

from gguf_files import write_small_model, write_vocabulary  # noqa: E402  the path is set above

TEXTS = ["Hello, world! It's 12345 o'clock.\r\n\t  x", "a  aa ab abc \u2581a", "Zürich 日本語 \U0001F999\u0301 <s>", "\ufffd\u0000 \u00a0"]


def http_requests():
    """A byte that chooses the route, then its JSON body; or a zero, then a request as it is sent."""
    chat = {"model": "m", "messages": [{"role": "user", "content": "Hi", "images": []}], "stream": False, "keep_alive": "5m",
            "options": {"temperature": 0.5, "num_ctx": 512, "stop": ["a"]}, "format": {"type": "object", "properties": {}},
            "tools": [{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}], "think": True}
    bodies = [
        {"model": "m", "prompt": "Hi", "system": "s", "suffix": "x", "raw": True, "context": [1, 2], "logprobs": True, "top_logprobs": 3},
        chat,
        {"model": "m", "input": ["a", "b"], "truncate": False, "dimensions": 4},
        {"model": "m", "prompt": "a"},
        {"model": "m", "verbose": True},
        {"source": "m", "destination": "n:1b"},
        {"model": "n", "from": "m", "files": {"a.gguf": "sha256:" + "0" * 64}, "parameters": {"top_k": 3}, "system": "s"},
        {"model": "m", "content": "text", "add_special": True, "with_pieces": True},
        {"model": "m", "tokens": [1, 2, 3]},
        {"prompt": [1, "text"], "n_predict": 3, "stop": ["a"], "grammar": 'root ::= "a"', "json_schema": {"type": "string"}, "cache_prompt": True},
        {"messages": chat["messages"]},
        {},
    ]
    for route, body in enumerate(bodies):
        yield bytes([12 + route]) + json.dumps(body).encode()
    for first, headers in (("GET /api/tags", ""), ("HEAD /", "Connection: close\r\n"), ("GET /metrics", "Authorization: Bearer k\r\n"),
                           ("POST /v1/chat/completions", "Origin: http://localhost\r\nContent-Length: 2\r\n"),
                           ("POST /v1/messages", "Transfer-Encoding: chunked\r\nExpect: 100-continue\r\n")):
        body = "2\r\n{}\r\n0\r\n\r\n" if "chunked" in headers else "{}"
        yield f"\0{first} HTTP/1.1\r\nHost: localhost:11434\r\n{headers}\r\n{body}".encode()


def jinja():
    for snippet in json.loads((SOURCE / "tests/text/jinja/snippets.json").read_text(encoding="utf-8")):
        yield snippet["template"].encode()


def sampler_options():
    """Lines of options; after an empty line, logits."""
    chains = [
        "temperature 0.7\ntop_k 40\ntop_p 0.9\nmin_p 0.05\nseed 7\n",
        "typical_p 0.9\nxtc_probability 0.5\nxtc_threshold 0.1\nmin_keep 2\n",
        "repeat_penalty 1.1\nrepeat_last_n -1\nfrequency_penalty 0.5\npresence_penalty -0.5\nlogit_bias 3=-inf,7=1.5\n",
        "dry_multiplier 0.8\ndry_base 1.75\ndry_allowed_length 2\ndry_penalty_last_n 64\ndry_sequence_breakers \\n,:\n",
        "mirostat 1\nmirostat_tau 5\nmirostat_eta 0.1\n",
        "mirostat 2\ndynatemp_range 0.5\ndynatemp_exponent 2\nsamplers temperature;top_k\nn_probs 5\n",
    ]
    for chain in chains:
        yield chain.encode()
        yield chain.encode() + b"\n" + b"\0\0\x80\x7f" + b"\0\0\xc0\x7f" + bytes(range(64))


def tokenizer():
    """A byte that chooses between text, a vocabulary in parts and a vocabulary file; text begins with the number of its tokenizer."""
    for number in range(0, 64, 3):
        yield bytes([0, number]) + TEXTS[number % len(TEXTS)].encode()
    for model in range(4):
        yield bytes([2, model, 0x0F, 0]) + b"\x05a b c" + b"\x01\x01a\x01\x01b\xc8\x03a b\x03\x03<s>"
    with tempfile.TemporaryDirectory() as folder:
        file = pathlib.Path(folder) / "vocabulary.gguf"
        write_vocabulary(file)
        yield b"\3" + file.read_bytes()


def gguf_reader():
    for file in sorted((SOURCE / "fuzz/seeds/gguf_reader").iterdir()):
        yield file.read_bytes()
    with tempfile.TemporaryDirectory() as folder:
        file = pathlib.Path(folder) / "model.gguf"
        write_small_model(file)
        yield file.read_bytes()


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    for inputs in (gguf_reader, http_requests, jinja, sampler_options, tokenizer):
        folder = pathlib.Path(sys.argv[1]) / f"fuzz_{inputs.__name__}"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        for number, data in enumerate(inputs()):
            (folder / f"seed-{number:03}").write_bytes(data)


if __name__ == "__main__":
    main()
