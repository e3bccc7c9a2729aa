#!/usr/bin/env python3
"""Turns what `compare.py --append` wrote into the Markdown tables of docs/performance.md.

    bench/report.py results.jsonl
"""

import argparse
import json
import pathlib


def name_of(result):
    name = pathlib.Path(result["model"]).name
    return name[:-len(".gguf")] if name.endswith(".gguf") else name


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("results", type=pathlib.Path)
    options = parser.parse_args()
    latest = {}
    for line in options.results.read_text().splitlines():
        r = json.loads(line)
        key = (r["model"], r["test"], r["tokens"], r["depth"], r["sequences"], r["threads"], r["kv_cache_type"], r["peer_isa"], r["busy_cores"])
        latest[key] = r
    print("| file | test | KV | held to | Mullama t/s (min-max) | llama.cpp t/s (min-max) | ratio | of the roof |")
    print("|---|---|---|---|---|---|---|---|")
    for r in latest.values():
        test = f"{r['test']} {r['tokens']}"
        if r["depth"]:
            test += f" after {r['depth']}"
        if r["busy_cores"]:
            test += ", one core taken"
        roof = r["roof"]
        unit = {"read": f"{roof['median'] / 1e9:.1f} GB/s", "int8": f"{roof['median'] / 1e12:.2f} Top/s",
                "bf16": f"{roof['median'] / 1e12:.2f} Tflop/s"}[roof["kind"]] if roof else ""
        share = f"{100 * roof['share']:.0f} % of {unit}" if roof else "-"
        spread = [f"{min(r[side]):.1f}-{max(r[side]):.1f}" for side in ("mullama_runs", "peer_runs")]
        held = r["isa"] if r["peer_isa"] == "its best" else f"{r['isa']} / {r['peer_isa']}"
        print(f"| {name_of(r)} | {test} | {r['kv_cache_type']} | {held} | {r['mullama']:.1f} ({spread[0]}) | {r['peer']:.1f} ({spread[1]}) "
              f"| {r['ratio']:.2f} | {share} |")


if __name__ == "__main__":
    main()
