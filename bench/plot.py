#!/usr/bin/env python3
"""Draws prefill and decode of Mullama beside llama.cpp from what `compare.py --append` wrote.

    bench/plot.py results.jsonl --out docs/performance.png

Needs matplotlib: python3 -m venv build/bench/venv && build/bench/venv/bin/pip install matplotlib
"""

import argparse
import json
import pathlib

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt  # noqa: E402

OURS, THEIRS, ROOF = "#1f6f8b", "#c9c9c9", "#b5482f"


def label(result):
    name = pathlib.Path(result["model"]).name
    name = name[:-len(".gguf")] if name.endswith(".gguf") else name
    return name.replace("llama-3.2-1b-", "1B ").replace("llama-2-7b-Q4_K_M-8", "7B, 8 layers,\nQ4_K_M")


def draw(axes, results, title):
    for row, result in enumerate(results):
        axes.barh(row - 0.19, result["mullama"], 0.36, color=OURS, label="Mullama" if row == 0 else None)
        axes.barh(row + 0.19, result["peer"], 0.36, color=THEIRS, label="llama.cpp" if row == 0 else None)
        axes.text(max(result["mullama"], result["peer"]), row, f" {result['ratio']:.2f}x", va="center", fontsize=8)
        roof = result.get("roof")
        if roof and roof["share"] > 0:
            axes.plot([result["mullama"] / roof["share"]] * 2, [row - 0.4, row + 0.4], color=ROOF, linewidth=1.2,
                      label="roof probed in the run" if row == 0 else None)
    axes.set_yticks(range(len(results)), [label(result) for result in results], fontsize=8)
    axes.invert_yaxis()
    axes.set_title(title, fontsize=10)
    axes.set_xlabel("tokens a second", fontsize=8)
    axes.tick_params(axis="x", labelsize=8)
    axes.margins(x=0.12)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("results", type=pathlib.Path)
    parser.add_argument("--out", type=pathlib.Path, required=True)
    options = parser.parse_args()
    latest = {}
    for line in options.results.read_text().splitlines():
        result = json.loads(line)
        plain = result["depth"] == 0 and result["sequences"] == 1 and result["peer_isa"] == "its best" and not result["busy_cores"]
        if plain and result["threads"] == 2:
            latest[result["model"], result["test"]] = result
    figure, both = plt.subplots(1, 2, figsize=(9.2, 3.8))
    draw(both[0], [result for (_, test), result in latest.items() if test == "prefill"], "Reading a prompt of 512 tokens")
    draw(both[1], [result for (_, test), result in latest.items() if test == "decode"], "Writing, one sequence")
    handles, names = both[0].get_legend_handles_labels()
    figure.legend(handles, names, loc="lower center", ncols=3, fontsize=8, frameon=False)
    figure.tight_layout(rect=(0, 0.06, 1, 1))
    figure.savefig(options.out, dpi=110)


if __name__ == "__main__":
    main()
