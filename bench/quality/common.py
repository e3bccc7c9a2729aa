"""What the comparisons share: calls of mullama and of llama.cpp, texts, divergence."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
ROWS_AT_ONCE = 64  # of logits, to bound the memory of f64 copies


def mullama(binary, *arguments, text=None):
    done = subprocess.run([binary, *map(str, arguments)], input=text, capture_output=True, encoding="utf-8", check=False)
    if done.returncode != 0:
        sys.exit(f"mullama {' '.join(map(str, arguments))}: {done.stderr}")
    return done.stdout


def llama_cpp(libraries, build, *arguments):
    """False if this processor cannot run the build."""
    script = Path(__file__).with_name("llama_cpp.py")
    done = subprocess.run([sys.executable, script, libraries, build, *map(str, arguments)], capture_output=True, encoding="utf-8", check=False)
    if "cannot run llama.cpp's build" in done.stderr:
        return False
    if done.returncode != 0:
        sys.exit(f"llama.cpp ({build}): {done.stderr}")
    return True


def model_path(binary, model):
    return json.loads(mullama(binary, "show", model, "--json"))["path"]


def repository_text():
    """The documentation of this repository, as real text."""
    files = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")), *sorted((ROOT / "src").glob("*/README.md"))]
    return "\n".join(file.read_text() for file in files)


def log_probabilities(logits):
    logits = np.asarray(logits, np.float64)
    logits = logits - logits.max(axis=-1, keepdims=True)
    return logits - np.log(np.exp(logits).sum(axis=-1, keepdims=True))


def divergences(expected, found):
    """KL divergence in nats at each position, expected[row, token] against found[row, token]."""
    out = []
    for first in range(0, len(expected), ROWS_AT_ONCE):
        p, q = (log_probabilities(each[first:first + ROWS_AT_ONCE]) for each in (expected, found))
        out.append((np.exp(p) * (p - q)).sum(axis=-1))
    return np.concatenate(out)


def most_likely(logits):
    return np.concatenate([logits[first:first + ROWS_AT_ONCE].argmax(axis=-1) for first in range(0, len(logits), ROWS_AT_ONCE)])
