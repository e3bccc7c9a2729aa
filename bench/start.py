#!/usr/bin/env python3
"""Measures what starting costs: from exec to the first token, less the time that reading the prompt takes in a process that runs already.

    bench/start.py build/bench/models/llama-3.2-1b-Q4_K_M.gguf

The file is read once before, so that the page cache is warm. Prints the median of each part: what happens before and after loading (exec,
libraries, the command line), loading the model and making the context, and what the first prompt takes longer than later ones (page
faults on the mapped file, first use of memory). Needs Python 3.9 and nothing beside its standard library.
"""

import argparse
import json
import pathlib
import re
import statistics
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parents[1]
UNITS = {"h": 3600, "m": 60, "s": 1, "ms": 1e-3, "µs": 1e-6, "ns": 1e-9}


def seconds(text):
    return sum(float(number) * UNITS[unit] for number, unit in re.findall(r"([0-9.]+)(h|ms|m|s|µs|ns)", text))


def start_once(binary, model, prompt, extra):
    began = time.perf_counter()
    process = subprocess.Popen([binary, "run", model, "--raw", prompt, "-n", "1", "--temperature", "0", "--verbose", *extra],
                               stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    first = process.stdout.read(1)
    to_first = time.perf_counter() - began
    rest, notes = process.communicate()
    if process.returncode != 0 or not first:
        sys.exit(f"start: the run failed or said nothing: {notes.decode(errors='replace')[-500:]}")
    found = dict(re.findall(r"^([a-z ]+):\s+(\S+)", notes.decode(), re.MULTILINE))
    return to_first, seconds(found["load duration"]), seconds(found["prompt eval duration"]), int(found["prompt eval count"])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("--prompt", default="Why is the sky blue, and why is it red in the evening?")
    parser.add_argument("--binary", default=str(ROOT / "build/bin/mullama"))
    parser.add_argument("-r", "--repetitions", type=int, default=9)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("extra", nargs="*", help="further options of `mullama run`, after --")
    options = parser.parse_args()
    with open(options.model, "rb") as file:
        while file.read(1 << 24):
            pass
    runs = [start_once(options.binary, options.model, options.prompt, options.extra) for _ in range(options.repetitions + 1)][1:]
    tokens = runs[0][3]
    bench = subprocess.run([options.binary, "bench", options.model, "-p", str(tokens), "-n", "0", "-r", str(options.repetitions), "--json", "-q",
                            "--no-roof"], check=True, stdout=subprocess.PIPE)
    steady = tokens / json.loads(bench.stdout)["tests"][0]["median"]
    parts = {"to the first token": statistics.median(run[0] for run in runs),
             "loading model and context": statistics.median(run[1] for run in runs),
             "first prompt": statistics.median(run[2] for run in runs),
             "exec, libraries and command line": statistics.median(run[0] - run[1] - run[2] for run in runs),
             "the same prompt later": steady}
    parts["first prompt beyond that"] = parts["first prompt"] - steady
    parts["start"] = parts["to the first token"] - steady
    if options.json:
        print(json.dumps({"prompt_tokens": tokens, "seconds": parts, "runs": runs}, indent=2))
        return
    for name, value in parts.items():
        print(f"{name:36}{1e3 * value:9.1f} ms")
    print(f"prompt tokens{'':23}{tokens:9}")


if __name__ == "__main__":
    main()
