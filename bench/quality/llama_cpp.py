#!/usr/bin/env python3
"""Runs llama.cpp out of the shared libraries of the npm package @node-llama-cpp/linux-x64, in one of its CPU builds.

    llama_cpp.py LIBRARIES BUILD logits MODEL TOKENS.npy OUT.npy MICRO_BATCH
    llama_cpp.py LIBRARIES BUILD greedy MODEL TOKENS.json OUT.json LIMIT
    llama_cpp.py LIBRARIES BUILD quantize IN OUT FILE_TYPE

BUILD is haswell, icelake, zen4, ... A process can hold one, so each call is a process of its own. The KV cache is f16, its default.
"""

import ctypes
import json
import sys
from pathlib import Path

import numpy as np

THREADS = 1  # more spin where a machine is shared; results do not depend on it


class Parameters(ctypes.Structure):
    """Any of llama.cpp's parameter structs: passed by value in memory, so that only their first fields need a name here."""

    _fields_ = [("words", ctypes.c_uint32 * 512)]


class Batch(ctypes.Structure):
    _fields_ = [
        ("n_tokens", ctypes.c_int32),
        ("token", ctypes.POINTER(ctypes.c_int32)),
        ("embd", ctypes.POINTER(ctypes.c_float)),
        ("pos", ctypes.POINTER(ctypes.c_int32)),
        ("n_seq_id", ctypes.POINTER(ctypes.c_int32)),
        ("seq_id", ctypes.POINTER(ctypes.POINTER(ctypes.c_int32))),
        ("logits", ctypes.POINTER(ctypes.c_int8)),
    ]


N_CTX, N_BATCH, N_MICRO_BATCH = range(3)  # words of llama_context_params
FILE_TYPE = 1  # word of llama_model_quantize_params
FILE_TYPES = {"Q4_0": 2, "Q8_0": 7, "Q5_0": 8, "Q3_K_M": 12, "Q4_K_M": 15, "Q5_K_M": 17, "Q6_K": 18}


def library(folder, build):
    ggml = ctypes.CDLL(str(next(folder.glob("libggml.v*.so"))), mode=ctypes.RTLD_GLOBAL)
    llama = ctypes.CDLL(str(next(folder.glob("libllama.v*.so"))), mode=ctypes.RTLD_GLOBAL)
    silent = ctypes.CFUNCTYPE(None, ctypes.c_int, ctypes.c_char_p, ctypes.c_void_p)(lambda *_: None)
    llama.llama_log_set(silent, None)
    llama.silent = silent  # lives as long as the library
    ggml.ggml_backend_load.restype = ctypes.c_void_p
    if not ggml.ggml_backend_load(str(folder / f"libggml-cpu-{build}.so").encode()):
        sys.exit(f"this processor cannot run llama.cpp's build '{build}'")
    llama.llama_backend_init()
    for name, result in (
        ("llama_model_default_params", Parameters), ("llama_context_default_params", Parameters),
        ("llama_model_quantize_default_params", Parameters), ("llama_model_load_from_file", ctypes.c_void_p),
        ("llama_init_from_model", ctypes.c_void_p), ("llama_model_get_vocab", ctypes.c_void_p), ("llama_batch_init", Batch),
        ("llama_get_logits_ith", ctypes.POINTER(ctypes.c_float)), ("llama_vocab_is_eog", ctypes.c_bool),
        ("llama_get_memory", ctypes.c_void_p), ("llama_vocab_n_tokens", ctypes.c_int32), ("llama_decode", ctypes.c_int32),
    ):
        getattr(llama, name).restype = result
    return llama


class Model:
    def __init__(self, llama, path, context, micro_batch):
        self.llama = llama
        self.model = llama.llama_model_load_from_file(str(path).encode(), llama.llama_model_default_params())
        if not self.model:
            sys.exit(f"llama.cpp cannot load {path}")
        self.vocabulary = llama.llama_model_get_vocab(ctypes.c_void_p(self.model))
        self.size = llama.llama_vocab_n_tokens(ctypes.c_void_p(self.vocabulary))
        parameters = llama.llama_context_default_params()
        parameters.words[N_CTX], parameters.words[N_BATCH], parameters.words[N_MICRO_BATCH] = context, context, micro_batch
        self.context = llama.llama_init_from_model(ctypes.c_void_p(self.model), parameters)
        if not self.context:
            sys.exit("llama.cpp cannot make a context")
        llama.llama_set_n_threads(ctypes.c_void_p(self.context), THREADS, THREADS)
        self.batch = llama.llama_batch_init(context, 0, 1)
        self.position = 0

    def decode(self, tokens, every):
        """Evaluates tokens after those before; logits are kept of all of them, or of the last."""
        for i, token in enumerate(tokens):
            self.batch.token[i], self.batch.pos[i] = int(token), self.position + i
            self.batch.n_seq_id[i], self.batch.logits[i] = 1, every or i + 1 == len(tokens)
            self.batch.seq_id[i][0] = 0
        self.batch.n_tokens = len(tokens)
        if self.llama.llama_decode(ctypes.c_void_p(self.context), self.batch) != 0:
            sys.exit("llama.cpp cannot decode the batch")
        self.position += len(tokens)

    def row(self, index):
        return np.ctypeslib.as_array(self.llama.llama_get_logits_ith(ctypes.c_void_p(self.context), index), (self.size,))

    def clear(self):
        memory = self.llama.llama_get_memory(ctypes.c_void_p(self.context))
        self.llama.llama_memory_clear(ctypes.c_void_p(memory), ctypes.c_bool(True))
        self.position = 0

    def is_end(self, token):
        return self.llama.llama_vocab_is_eog(ctypes.c_void_p(self.vocabulary), ctypes.c_int32(token))


def logits(llama, path, tokens_path, out_path, micro_batch):
    windows = np.load(tokens_path)
    count = windows.shape[1]
    model = Model(llama, path, count, int(micro_batch))
    out = np.lib.format.open_memmap(out_path, "w+", np.float32, (windows.size, model.size))
    for number, window in enumerate(windows):
        model.clear()
        model.decode(window, True)
        for i in range(count):
            out[number * count + i] = model.row(i)


def greedy(llama, path, prompts_path, out_path, limit):
    """Each answer's tokens, and by how much the logit of each was above the next best."""
    prompts = json.loads(Path(prompts_path).read_text())
    model = Model(llama, path, max(map(len, prompts)) + int(limit), 512)
    answers = []
    for prompt in prompts:
        model.clear()
        model.decode(prompt, False)
        answer = {"tokens": [], "lead": []}
        while len(answer["tokens"]) < int(limit):
            row = model.row(-1)
            second, first = np.argpartition(row, -2)[-2:]
            first, second = (first, second) if row[first] >= row[second] else (second, first)
            if model.is_end(int(first)):
                break
            answer["tokens"].append(int(first))
            answer["lead"].append(float(row[first] - row[second]))
            model.decode([first], False)
        answers.append(answer)
    Path(out_path).write_text(json.dumps(answers))


def quantize(llama, source, target, file_type):
    parameters = llama.llama_model_quantize_default_params()
    parameters.words[FILE_TYPE] = FILE_TYPES[file_type]
    if llama.llama_model_quantize(str(source).encode(), str(target).encode(), ctypes.byref(parameters)) != 0:
        sys.exit(f"llama.cpp cannot quantize {source} to {file_type}")


def main():
    if len(sys.argv) < 5:
        sys.exit(__doc__)
    folder, build, action, *arguments = sys.argv[1:]
    {"logits": logits, "greedy": greedy, "quantize": quantize}[action](library(Path(folder), build), *arguments)


if __name__ == "__main__":
    main()
