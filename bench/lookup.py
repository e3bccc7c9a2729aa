#!/usr/bin/env python3
"""Measures prompt lookup on a text to edit: decoding with and without it in turn, and that the answers are the same.

    bench/lookup.py gemma3:270m

Runs at temperature 0 and, with a fixed seed, at 0.7. Needs Python 3.9 and nothing beside its standard library.
"""

import argparse
import json
import pathlib
import statistics
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[1]


def answer(options, temperature, lookup):
    command = [options.binary, "run", options.model, "--raw", "--temperature", str(temperature), "--seed", "7", "-n", str(options.tokens),
               "--json", *([f"--lookup={options.lookup}"] if lookup else [])]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, input=options.prompt.read_bytes())
    return json.loads(done.stdout)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("--prompt", type=pathlib.Path, default=ROOT / "bench/prompts/edit.txt")
    parser.add_argument("--binary", default=str(ROOT / "build/bin/mullama"))
    parser.add_argument("-n", "--tokens", type=int, default=180)
    parser.add_argument("--lookup", type=int, default=16)
    parser.add_argument("-r", "--repetitions", type=int, default=5)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    results = []
    for temperature in (0, 0.7):
        runs = [[answer(options, temperature, lookup) for lookup in (False, True)] for _ in range(options.repetitions)]
        plain, drafted = zip(*runs)
        if len({run["response"] for run in plain + drafted}) != 1:
            sys.exit(f"lookup: the answers differ at temperature {temperature}")
        speeds = [[run["eval_count"] / run["eval_duration"] * 1e9 for run in side] for side in (plain, drafted)]
        results.append({"model": options.model, "temperature": temperature, "tokens": plain[0]["eval_count"],
                        "plain": statistics.median(speeds[0]), "lookup": statistics.median(speeds[1]),
                        "ratio": statistics.median(b / a for a, b in zip(*speeds)), "drafted": drafted[0]["drafted"],
                        "accepted": drafted[0]["accepted"]})
    if options.json:
        print(json.dumps(results, indent=2))
        return
    for r in results:
        print(f"{r['model']}, temperature {r['temperature']}: {r['tokens']} tokens, {r['plain']:.1f} t/s without, {r['lookup']:.1f} t/s with "
              f"lookup: {r['ratio']:.2f}x; {r['accepted']} of {r['drafted']} drafted tokens accepted; same text")


if __name__ == "__main__":
    main()
