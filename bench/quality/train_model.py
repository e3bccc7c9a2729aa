#!/usr/bin/env python3
"""Trains a small Qwen3 model from nothing and writes it as a GGUF file, so that measurements have a third real family at hand.

    pip install torch numpy gguf tokenizers
    nice -n 19 bench/quality/train_model.py third.gguf --minutes 25 --held-out topics.txt
    mullama perplexity third.gguf topics.txt --ctx-size 2048
    mullama kv-quality third.gguf topics.txt --ctx-size 2048 --windows 2

What a type of KV cache costs shows only in a model whose attention has learned something; random weights would not do. The text to
learn from is what a Debian machine has: sources of Python's standard library, Perl's modules with their manuals, and the licenses.
Python's own documentation (pydoc_data.topics) is held out; --held-out writes it to a file, to measure on. The vocabulary is a
byte-level BPE, trained on the same text.

The model has Qwen3's parts: rope, norms of queries and keys, query heads that share KV heads, SwiGLU, tied embeddings. At the end
the script rounds the weights to what the file holds, and prints the perplexity of the held-out text in f32 as `mullama perplexity`
counts it: the two must agree.

The minutes are of processor time, which other programs cannot shorten: on an idle machine they are those of the clock, on a busy
one the same training takes longer. The seed settles the first weights and the order of the text. How many steps fit in the minutes
is the machine's matter, so two runs give similar models, not equal ones.
"""

import argparse
import json
import math
import sysconfig
import time
from pathlib import Path
from pydoc_data.topics import topics

import gguf
import numpy as np
import tokenizers
import torch
from torch import nn
from torch.nn import functional

LAYERS, WIDTH, HEADS, KV_HEADS, HEAD, FEED_FORWARD, VOCABULARY = 6, 256, 4, 2, 64, 768, 2048
EPSILON, ROPE_BASE = 1e-6, 1000000.0
END = "<|endoftext|>"

SUFFIXES = {"", ".py", ".pm", ".pl", ".pod", ".txt"}
# Held out; packages of others; tables of characters and versions, which are no text.
LEFT_OUT = {"pydoc_data", "site-packages", "dist-packages", "encodings", "unicore", "Unicode", "Module"}

RATE, WARM_UP_STEPS = 2e-3, 50
SECONDS_A_REPORT = 20


class Block(nn.Module):
    """A layer; its parameters have the names of the file's tensors."""

    def __init__(self):
        super().__init__()
        self.attn_norm = nn.RMSNorm(WIDTH, EPSILON)
        self.attn_q = nn.Linear(WIDTH, HEADS * HEAD, bias=False)
        self.attn_k = nn.Linear(WIDTH, KV_HEADS * HEAD, bias=False)
        self.attn_v = nn.Linear(WIDTH, KV_HEADS * HEAD, bias=False)
        self.attn_output = nn.Linear(HEADS * HEAD, WIDTH, bias=False)
        self.attn_q_norm = nn.RMSNorm(HEAD, EPSILON)
        self.attn_k_norm = nn.RMSNorm(HEAD, EPSILON)
        self.ffn_norm = nn.RMSNorm(WIDTH, EPSILON)
        self.ffn_gate = nn.Linear(WIDTH, FEED_FORWARD, bias=False)
        self.ffn_up = nn.Linear(WIDTH, FEED_FORWARD, bias=False)
        self.ffn_down = nn.Linear(FEED_FORWARD, WIDTH, bias=False)

    def attention(self, x, cos, sin):
        q, k, v = (each(x).unflatten(-1, (-1, HEAD)) for each in (self.attn_q, self.attn_k, self.attn_v))
        q, k = rotate(self.attn_q_norm(q.float()), cos, sin), rotate(self.attn_k_norm(k.float()), cos, sin)
        k, v = (each.repeat_interleave(HEADS // KV_HEADS, dim=2) for each in (k, v))
        q, k, v = (each.to(v.dtype).transpose(1, 2) for each in (q, k, v))
        mixed = functional.scaled_dot_product_attention(q, k, v, is_causal=True)
        return self.attn_output(mixed.transpose(1, 2).flatten(2))

    def forward(self, x, cos, sin):
        x = x + self.attention(self.attn_norm(x), cos, sin)
        inner = self.ffn_norm(x)
        return x + self.ffn_down(functional.silu(self.ffn_gate(inner)) * self.ffn_up(inner))


class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.token_embd = nn.Embedding(VOCABULARY, WIDTH)
        self.blk = nn.ModuleList(Block() for _ in range(LAYERS))
        self.output_norm = nn.RMSNorm(WIDTH, EPSILON)
        for name, parameter in self.named_parameters():
            if parameter.dim() == 2:
                ends_branch = "attn_output" in name or "ffn_down" in name
                nn.init.normal_(parameter, std=0.02 / math.sqrt(2 * LAYERS) if ends_branch else 0.02)

    def forward(self, tokens):
        """Logits[window, position, vocabulary] of tokens[window, position]."""
        angles = torch.arange(tokens.shape[1])[:, None, None] * ROPE_BASE ** (-torch.arange(HEAD // 2) / (HEAD // 2))
        cos, sin = angles.cos().to(tokens.device), angles.sin().to(tokens.device)
        x = self.token_embd(tokens)
        for block in self.blk:
            x = block(x, cos, sin)
        return functional.linear(self.output_norm(x), self.token_embd.weight)


def rotate(x, cos, sin):
    first, second = x.chunk(2, dim=-1)
    return torch.cat((first * cos - second * sin, second * cos + first * sin), dim=-1)


def read_texts(folders):
    texts = []
    for folder in folders:
        for path in sorted(folder.rglob("*")):
            if path.suffix not in SUFFIXES or LEFT_OUT.intersection(path.parts) or path.is_symlink() or not path.is_file():
                continue
            try:
                texts.append(path.read_text(encoding="utf-8"))
            except UnicodeDecodeError:
                continue  # Old encodings, and files that are no text.
    if not texts:
        raise SystemExit(f"Error: no text in {', '.join(map(str, folders))}. Name folders with --text")
    return texts


def train_vocabulary(texts):
    tokenizer = tokenizers.Tokenizer(tokenizers.models.BPE())
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = tokenizers.trainers.BpeTrainer(vocab_size=VOCABULARY, special_tokens=[END], show_progress=False,
                                             initial_alphabet=tokenizers.pre_tokenizers.ByteLevel.alphabet())
    tokenizer.train_from_iterator(texts, trainer)
    if tokenizer.get_vocab_size() != VOCABULARY:
        raise SystemExit(f"Error: the text has words for {tokenizer.get_vocab_size()} tokens, fewer than {VOCABULARY}. Give more")
    return tokenizer


def encode(tokenizer, texts):
    """One row of tokens, with a mark after each text."""
    end = tokenizer.token_to_id(END)
    return np.concatenate([np.array(each.ids + [end], np.int64) for each in tokenizer.encode_batch_fast(texts)])


def clock():
    """Seconds of processor time, a mean of the threads."""
    return time.process_time() / torch.get_num_threads()


def progress(step, window, begin):
    seconds = clock() - begin
    return f"{seconds / 60:.1f} minutes, {step} steps, {step * window} tokens, {step * window / seconds:.0f} tokens a second"


def train(model, tokens, window, minutes, generator):
    """Each step learns from one window, at a random place of the text."""
    decayed = [each for each in model.parameters() if each.dim() == 2]
    kept = [each for each in model.parameters() if each.dim() != 2]
    optimizer = torch.optim.AdamW([{"params": decayed, "weight_decay": 0.1}, {"params": kept, "weight_decay": 0.0}],
                                  lr=RATE, betas=(0.9, 0.99), fused=True)
    device, tokens = model.token_embd.weight.device, torch.from_numpy(tokens)
    step, mean, begin, reports = 0, None, clock(), 0
    while (done := (clock() - begin) / (60 * minutes)) < 1:
        for group in optimizer.param_groups:
            group["lr"] = RATE * min(1, (step + 1) / WARM_UP_STEPS) * (1 - done)
        start = generator.integers(len(tokens) - window)
        text = tokens[start:start + window + 1].to(device)
        with torch.autocast(device.type, torch.bfloat16):
            logits = model(text[None, :-1])[0]
        loss = functional.cross_entropy(logits.float(), text[1:])
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        step += 1
        mean = loss.item() if mean is None else 0.95 * mean + 0.05 * loss.item()
        if clock() - begin > reports * SECONDS_A_REPORT:
            reports += 1
            print(f"{progress(step, window, begin)}, loss {mean:.3f}", flush=True)
    print(f"trained: {progress(step, window, begin)}", flush=True)


@torch.no_grad()
def perplexity(model, tokens, window):
    """As `mullama perplexity` has it: windows that do not overlap, scored after their middle."""
    surprise = []
    for first in range(0, len(tokens) - window + 1, window):
        now = torch.from_numpy(tokens[first:first + window]).to(model.token_embd.weight.device)
        logits = model(now[None])[0, window // 2:-1]
        surprise.append(functional.cross_entropy(logits, now[window // 2 + 1:], reduction="none").double())
    surprise = torch.cat(surprise)
    return f"perplexity {surprise.mean().exp():.4f} over {len(surprise)} positions in windows of {window}"


@torch.no_grad()
def round_weights(model):
    """To F16 what the file holds so: matrices."""
    for parameter in model.parameters():
        if parameter.dim() == 2:
            parameter.copy_(parameter.half().float())


def write(model, tokenizer, window, path):
    writer = gguf.GGUFWriter(path, "qwen3")
    writer.add_name("Third")
    writer.add_block_count(LAYERS)
    writer.add_context_length(window)
    writer.add_embedding_length(WIDTH)
    writer.add_feed_forward_length(FEED_FORWARD)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(KV_HEADS)
    writer.add_key_length(HEAD)
    writer.add_value_length(HEAD)
    writer.add_layer_norm_rms_eps(EPSILON)
    writer.add_rope_freq_base(ROPE_BASE)
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_F16)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list([tokenizer.id_to_token(i) for i in range(VOCABULARY)])
    writer.add_token_types([gguf.TokenType.CONTROL if tokenizer.id_to_token(i) == END else gguf.TokenType.NORMAL
                            for i in range(VOCABULARY)])
    writer.add_token_merges([" ".join(merge) for merge in json.loads(tokenizer.to_str())["model"]["merges"]])
    writer.add_eos_token_id(tokenizer.token_to_id(END))
    writer.add_add_bos_token(False)
    for name, values in model.state_dict().items():
        writer.add_tensor(name, values.cpu().numpy().astype(np.float16 if values.dim() == 2 else np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def main():
    folders = [Path(sysconfig.get_path("stdlib", vars={"installed_base": "/usr"})), Path("/usr/share/perl"),
               Path("/usr/share/common-licenses")]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path, metavar="MODEL.gguf", help="the file to write")
    parser.add_argument("--minutes", type=float, default=25, help="of processor time to train, on each thread (default 25)")
    parser.add_argument("--window", type=int, default=2048, help="tokens of the context it learns from (default 2048)")
    parser.add_argument("--text", type=Path, nargs="+", default=folders, metavar="FOLDER",
                        help=f"what to learn from (default {' '.join(map(str, folders))})")
    parser.add_argument("--held-out", type=Path, metavar="FILE", help="write the text that was not learned from")
    parser.add_argument("--threads", type=int, default=2, help="(default 2)")
    parser.add_argument("--device", default="cpu", help="cpu or cuda (default cpu)")
    parser.add_argument("--seed", type=int, default=1, help="(default 1)")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(arguments.seed)

    held_out = "\n".join(topics[name] for name in sorted(topics))
    if arguments.held_out:
        arguments.held_out.write_text(held_out, encoding="utf-8")
    texts = read_texts(arguments.text)
    tokenizer = train_vocabulary(texts)
    tokens = encode(tokenizer, texts)
    model = Model().to(arguments.device)
    print(f"{len(texts)} texts of {sum(map(len, texts))} characters, {len(tokens)} tokens; "
          f"{sum(each.numel() for each in model.parameters())} parameters", flush=True)

    train(model, tokens, arguments.window, arguments.minutes, np.random.default_rng(arguments.seed))
    round_weights(model)
    write(model, tokenizer, arguments.window, arguments.model)
    held_out_tokens = encode(tokenizer, [held_out])[:-1]
    for window in (512, arguments.window):
        print(f"held-out text, {len(held_out_tokens)} tokens: {perplexity(model, held_out_tokens, window)}", flush=True)


if __name__ == "__main__":
    main()
