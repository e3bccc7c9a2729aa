#!/usr/bin/env python3
"""Compares Mullama's quantizer with llama.cpp's: perplexity of the files that each writes from one f32 file, measured by Mullama.

    bench/quality/run.sh quantizers [MODEL ...] [--types Q8_0,Q6_K,Q4_K_M,Q4_0] [--chunks 6]

The f32 file holds MODEL's dequantized weights. The text is this repository's documentation; negative differences are in our favour.
"""

import argparse
import json
import tempfile
from pathlib import Path

from common import llama_cpp, model_path, mullama, repository_text


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="*", default=["smollm2:135m", "gemma3:270m"])
    parser.add_argument("--mullama", required=True, help="the binary")
    parser.add_argument("--libraries", required=True, type=Path, help="folder of llama.cpp's shared libraries")
    parser.add_argument("--types", default="Q8_0,Q6_K,Q4_K_M,Q4_0")
    parser.add_argument("--build", default="haswell", help="of llama.cpp")
    parser.add_argument("--chunks", type=int, default=6, help="windows of 512 tokens")
    arguments = parser.parse_args()

    def perplexity(path):
        return json.loads(mullama(arguments.mullama, "perplexity", path, "-", "--chunks", arguments.chunks, "--all-positions", "--json", "-q",
                                  text=repository_text()))

    for model in arguments.models:
        with tempfile.TemporaryDirectory() as folder:
            whole, ours, theirs = (Path(folder) / name for name in ("f32.gguf", "ours.gguf", "theirs.gguf"))
            mullama(arguments.mullama, "quantize", model_path(arguments.mullama, model), whole, "F32", "--allow-requantize")
            found = perplexity(whole)
            print(f"\n{model}: f32 {found['perplexity']:.4f} over {found['positions']} positions", flush=True)
            for file_type in arguments.types.split(","):
                mullama(arguments.mullama, "quantize", whole, ours, file_type)
                if not llama_cpp(arguments.libraries, arguments.build, "quantize", whole, theirs, file_type):
                    raise SystemExit(f"this processor cannot run llama.cpp's build '{arguments.build}'")
                figures = [perplexity(path)["perplexity"] for path in (ours, theirs)]
                sizes = [path.stat().st_size for path in (ours, theirs)]
                print(f"{file_type:7} mullama {figures[0]:8.4f}  llama.cpp {figures[1]:8.4f}  {100 * (figures[0] / figures[1] - 1):+.2f} %"
                      f"  ({sizes[0]} and {sizes[1]} bytes)", flush=True)
                ours.unlink()
                theirs.unlink()


if __name__ == "__main__":
    main()
