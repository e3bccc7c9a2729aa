#!/usr/bin/env python3
"""Compares Mullama's and llama.cpp's logits with f32 logits of the same file's dequantized weights, and their greedy answers.

    bench/quality/run.sh logits [MODEL ...] [--positions 512] [--windows 1] [--builds haswell,zen4] [--answers 48] [--isa avx2]

Prints, over the positions of a real text with an f16 KV cache: the mean KL divergence to the f32 logits; the share of positions where each
two find the same token most likely, llama.cpp's other builds and its micro-batches of one token among them; and ten greedy answers, with
how many of them llama.cpp's builds give alike. Two engines that round differently agree no better than two builds of one.
"""

import argparse
import itertools
import json
import os
import tempfile
from pathlib import Path

import numpy as np

from common import divergences, llama_cpp, model_path, most_likely, mullama, repository_text
from reference import Reference

PROMPTS = [
    "What is the capital of France?",
    "Why is the sky blue?",
    "Write one sentence about the sea.",
    "List three colours.",
    "Translate 'good morning' to German.",
    "What is 7 times 8?",
    "Who wrote Hamlet?",
    "Explain what a computer program is to a child.",
    "Give me a short recipe for pancakes.",
    "Finish the proverb: a stitch in time",
]


def compute_logits(arguments, model, folder):
    """name -> f32[windows * positions, vocabulary], the truth first."""
    count, text = arguments.positions, repository_text()
    plain, with_bos = (json.loads(mullama(arguments.mullama, "tokenize", model, "--json", *bos, text=text)) for bos in ((), ("--bos",)))
    # Mullama scores windows of one token more, each a text of its own that starts as texts do.
    starts = range(0, arguments.windows * (count + 1), count + 1)
    windows = np.array([with_bos[start:start + count] for start in starts], np.int32)
    if with_bos != plain:
        windows[:, 0] = with_bos[0]
    np.save(folder / "tokens.npy", windows)
    path = model_path(arguments.mullama, model)
    reference = Reference(path)
    found = {"f32": np.concatenate([reference.logits(window) for window in windows])}
    mullama(arguments.mullama, "perplexity", model, "-", "--ctx-size", count + 1, "--chunks", arguments.windows, "--all-positions",
            "--kv-cache-type", "f16", "--save-logits", folder / "ours.npy", "-q", text=text)
    found["mullama"] = np.load(folder / "ours.npy", mmap_mode="r")
    for build in arguments.builds.split(","):
        for micro_batch in (count, 1):
            out = folder / f"{build}-{micro_batch}.npy"
            if llama_cpp(arguments.libraries, build, "logits", path, folder / "tokens.npy", out, micro_batch):
                found[f"{build}, {'whole' if micro_batch == count else 'one by one'}"] = np.load(out, mmap_mode="r")
    return found


def compare_logits(arguments, model, folder):
    found = compute_logits(arguments, model, folder)
    truth = found["f32"]
    best = {name: most_likely(logits) for name, logits in found.items()}
    print(f"\n{model}: {arguments.windows} x {arguments.positions} positions, f16 KV cache; llama.cpp's rows are named after its builds")
    print(f"{'':24} {'KL to f32':>9} {'more than mullama':>20} {'median':>9} {'max':>7}   most likely token the same as, %")
    print(f"{'':75} " + " ".join(f"({i + 1:2})" for i in range(len(found))))
    ours = None
    for number, (name, logits) in enumerate(found.items(), 1):
        kl = divergences(truth, logits)
        ours = kl if name == "mullama" else ours
        more = "" if ours is None else f"{np.mean(kl - ours):+.6f} +- {np.std(kl - ours) / np.sqrt(len(kl)):.6f}"
        same = " ".join(f"{100 * np.mean(best[name] == other):4.1f}" for other in best.values())
        print(f"({number:2}) {name:19} {kl.mean():9.6f} {more:>20} {np.median(kl):9.6f} {kl.max():7.4f}   {same}", flush=True)
    show_margins(truth, best)


def show_margins(truth, best):
    """How sure the truth is where our choice and llama.cpp's differ."""
    other = next((name for name in best if name not in ("f32", "mullama")), None)
    if other is None:
        return
    parted = np.flatnonzero(best["mullama"] != best[other])
    top = np.sort(np.partition(truth, -2)[:, -2:], axis=-1)
    lead = top[:, 1] - top[:, 0]
    right = [np.mean(best[name][parted] == best["f32"][parted]) for name in ("mullama", other)]
    if len(parted):
        print(f"Where mullama and {other} differ ({len(parted)} positions), the best f32 logit leads by {np.median(lead[parted]):.3f} "
              f"(median; elsewhere {np.median(np.delete(lead, parted)):.3f}); there mullama finds the f32 token {100 * right[0]:.0f} % "
              f"of the time, llama.cpp {100 * right[1]:.0f} %")


def compare_answers(arguments, model, folder):
    prompts = []
    chats = "tokenizer.chat_template" in json.loads(mullama(arguments.mullama, "show", model, "--json"))["model_info"]
    for prompt in PROMPTS:
        text, flags = prompt, ("--bos",)
        if chats:
            messages = {"messages": [{"role": "user", "content": prompt}], "add_generation_prompt": True}
            text, flags = mullama(arguments.mullama, "render", model, text=json.dumps(messages)), ("--special",)
        prompts.append(json.loads(mullama(arguments.mullama, "tokenize", model, "--json", *flags, text=text)))
    (folder / "prompts.json").write_text(json.dumps(prompts))
    answers = {}
    for build in arguments.builds.split(","):
        if llama_cpp(arguments.libraries, build, "greedy", model_path(arguments.mullama, model), folder / "prompts.json",
                     folder / "answers.json", arguments.answers):
            answers[build] = json.loads((folder / "answers.json").read_text())
    build = next(iter(answers))
    print(f"\n{model}: greedy answers of at most {arguments.answers} tokens, mullama's (M) and llama.cpp's ({build}, L)")
    texts = {name: ["".join(text_of_tokens(arguments, model, answer["tokens"])).strip() for answer in found] for name, found in answers.items()}
    texts["mullama"] = []
    for prompt, tokens, theirs in zip(PROMPTS, prompts, answers[build]):
        document = json.loads(mullama(arguments.mullama, "run", model, prompt, "--temperature", 0, "-n", arguments.answers, "--json"))
        if document["prompt_eval_count"] != len(tokens):
            raise SystemExit(f"mullama reads {document['prompt_eval_count']} tokens for a prompt of {len(tokens)}")
        texts["mullama"].append(document["response"].strip())
        show_answer(prompt, texts["mullama"][-1], text_of_tokens(arguments, model, theirs["tokens"]), theirs["lead"])
    print("\nThe same answers out of", len(PROMPTS))
    for one, other in itertools.combinations(texts, 2):
        print(f"  {one} and {other}: {sum(a == b for a, b in zip(texts[one], texts[other]))}")


def show_answer(prompt, ours, pieces, lead):
    print(f"\n  {prompt}\n    M {ours!r}")
    theirs = "".join(pieces)
    if theirs.strip() == ours:
        print("    L the same")
        return
    shared = len(os.path.commonprefix([ours, theirs.lstrip()])) + len(theirs) - len(theirs.lstrip())
    at = next((i for i in range(len(pieces)) if len("".join(pieces[:i + 1])) > shared), len(pieces))
    print(f"    L {theirs!r}\n      they part at token {at + 1}" + (f", where L's best logit leads by {lead[at]:.3f}" if at < len(pieces) else ""))


def text_of_tokens(arguments, model, tokens, cache={}):
    """The text of each token, from the file's own table."""
    if model not in cache:
        import gguf

        fields = gguf.GGUFReader(model_path(arguments.mullama, model)).fields
        texts, kind = fields["tokenizer.ggml.tokens"].contents(), fields["tokenizer.ggml.model"].contents()
        printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
        others = [byte for byte in range(256) if byte not in printable]
        bytes_of = {chr(byte): byte for byte in printable} | {chr(256 + i): byte for i, byte in enumerate(others)}
        cache[model] = texts, kind, bytes_of
    texts, kind, bytes_of = cache[model]
    if kind == "gpt2":
        return [bytes(bytes_of[c] for c in texts[token]).decode(errors="replace") for token in tokens]
    return [texts[token].replace("\u2581", " ") for token in tokens]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="*", default=["smollm2:135m", "gemma3:270m"])
    parser.add_argument("--mullama", required=True, help="the binary")
    parser.add_argument("--libraries", required=True, type=Path, help="folder of llama.cpp's shared libraries")
    parser.add_argument("--positions", type=int, default=512)
    parser.add_argument("--windows", type=int, default=1, help="texts of so many positions")
    parser.add_argument("--builds", default="haswell,zen4", help="of llama.cpp; those the processor lacks are left out")
    parser.add_argument("--answers", type=int, default=48, help="longest greedy answer in tokens; 0 compares none")
    parser.add_argument("--isa", help="instruction set for mullama (MULLAMA_ISA)")
    arguments = parser.parse_args()
    if arguments.isa:
        os.environ["MULLAMA_ISA"] = arguments.isa
    for model in arguments.models:
        with tempfile.TemporaryDirectory() as folder:
            compare_logits(arguments, model, Path(folder))
            if arguments.answers:
                compare_answers(arguments, model, Path(folder))


if __name__ == "__main__":
    main()
