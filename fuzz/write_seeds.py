#!/usr/bin/env python3
"""Writes what the fuzzers start from: a folder of small inputs for each, named as its program is.

    write_seeds.py FOLDER

What other tests hold already is taken from there; fuzz/seeds has the files that only a fuzzer reads.
"""
import json
import pathlib
import re
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
    messages = {"model": "m", "max_tokens": 5, "system": [{"type": "text", "text": "s"}], "stop_sequences": ["q"], "temperature": 0.5,
                "tools": [{"name": "f", "description": "d", "input_schema": {"type": "object"}}], "tool_choice": {"type": "tool", "name": "f"},
                "thinking": {"type": "enabled", "budget_tokens": 1024},
                "messages": [{"role": "user", "content": "x"},
                             {"role": "assistant", "content": [{"type": "thinking", "thinking": "hm", "signature": ""}, {"type": "text", "text": "t"},
                                                               {"type": "tool_use", "id": "1", "name": "f", "input": {"a": 1}}]},
                             {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "1", "content": "r"}]}]}
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
        {"model": "m", "messages": [{"role": "system", "content": [{"type": "text", "text": "s"}]}, *chat["messages"],
                                    {"role": "assistant", "content": None, "tool_calls": [{"id": "1", "type": "function", "function": {"name": "f", "arguments": "{}"}}]},
                                    {"role": "tool", "tool_call_id": "1", "content": "r"}],
         "temperature": 0, "stop": ["a"], "max_completion_tokens": 2, "logit_bias": {"5": -100}, "logprobs": True, "top_logprobs": 2, "n": 1,
         "response_format": {"type": "json_schema", "json_schema": {"name": "n", "schema": {"type": "object"}}}, "reasoning_effort": "low",
         "stream": True, "stream_options": {"include_usage": True}, "chat_template_kwargs": {"enable_thinking": False}},
        {"model": "m", "prompt": [1, 2], "suffix": "", "logprobs": 1, "echo": False, "stream": False, "seed": 7, "grammar": 'root ::= "a"'},
        {"model": "m", "input": [[1, 2], [3]], "encoding_format": "base64", "dimensions": 2},
        {"model": "m", "instructions": "s", "max_output_tokens": 5, "stream": True, "reasoning": {"effort": "low"}, "tool_choice": "auto",
         "tools": [{"type": "function", "name": "f", "parameters": {"type": "object"}}], "text": {"format": {"type": "json_schema", "name": "n", "schema": {}}},
         "input": [{"role": "user", "content": [{"type": "input_text", "text": "x"}]}, {"type": "function_call", "call_id": "1", "name": "f", "arguments": "{}"},
                   {"type": "function_call_output", "call_id": "1", "output": "r"}]},
        {**messages, "stream": True},
        {name: messages[name] for name in ("model", "system", "tools", "messages")},
    ]
    # The fuzzer takes the byte modulo the number of its routes, and sends none for 0.
    for route, body in enumerate(bodies):
        yield bytes([len(bodies) + route]) + json.dumps(body).encode()
    for route, body in ((9, {"prompt": "a", "stream": True, "n_probs": 2}), (13, {"prompt": "a", "stream": True}), (14, {"input": "a"}),
                        (15, {"input": "a"}), (16, messages)):
        yield bytes([len(bodies) + route]) + json.dumps(body).encode()
    for first, headers in (("GET /api/tags", ""), ("HEAD /", "Connection: close\r\n"), ("GET /metrics", "Authorization: Bearer k\r\n"),
                           ("POST /v1/chat/completions", "Origin: http://localhost\r\nContent-Length: 2\r\n"),
                           ("POST /v1/messages", "Transfer-Encoding: chunked\r\nExpect: 100-continue\r\n")):
        body = "2\r\n{}\r\n0\r\n\r\n" if "chunked" in headers else "{}"
        yield f"\0{first} HTTP/1.1\r\nHost: localhost:11434\r\n{headers}\r\n{body}".encode()


def jinja():
    for snippet in json.loads((SOURCE / "tests/text/jinja/snippets.json").read_text(encoding="utf-8")):
        yield snippet["template"].encode()


def literal(text):
    """The value of a C++ string literal's inside, or nothing if it has an escape that JSON does not know."""
    try:
        return json.loads(f'"{text}"')
    except json.JSONDecodeError:
        return None


def go_template():
    """What the tests of the translator give it."""
    source = (SOURCE / "tests/text/chat/chat_template_test.cpp").read_text(encoding="utf-8")
    for literals in re.findall(r'(?:"(?:[^"\\\n]|\\.)*"\s*)+', source):
        parts = [literal(part) for part in re.findall(r'"((?:[^"\\\n]|\\.)*)"', literals)]
        text = None if None in parts else "".join(parts)
        if text and "{{" in text and "{%" not in text:
            yield text.encode()


def grammar():
    """A byte that chooses the language, the source to a zero byte, then a text that is to follow it."""
    source = (SOURCE / "tests/sampling/gbnf_test.cpp").read_text(encoding="utf-8")
    rules = re.findall(r'"((?:[a-z]+ ?::=|# )(?:[^"\\\n]|\\.)*)"', source)
    for rule in map(literal, dict.fromkeys(rules)):
        if rule:
            yield b"\0" + rule.encode() + b"\0ab(1, 2)x"
    patterns = set()
    for schema in json.loads((SOURCE / "tests/engine/schemas.json").read_text(encoding="utf-8")):
        text = json.dumps(schema, ensure_ascii=False)
        patterns.update(json.loads(f'"{pattern}"') for pattern in re.findall(r'"pattern": "((?:[^"\\]|\\.)*)"', text))
        yield b"\1" + text.encode() + b'\0{"name": "a", "age": 3, "list": [1, 2.5e3, true]}'
    for pattern in sorted(patterns):
        yield b"\2" + pattern.encode() + b'\0"ABC-1234"'


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
    for inputs in (gguf_reader, go_template, grammar, http_requests, jinja, sampler_options, tokenizer):
        folder = pathlib.Path(sys.argv[1]) / f"fuzz_{inputs.__name__}"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        for number, data in enumerate(inputs()):
            (folder / f"seed-{number:03}").write_bytes(data)


if __name__ == "__main__":
    main()
