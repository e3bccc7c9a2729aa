#!/usr/bin/env python3
"""Runs Mullama and llama.cpp in turn on the same files, threads and prompts, and prints medians and ratios.

    bench/compare/compare.py llama-3.2-1b:Q4_K_M smollm2:135m
    bench/compare/compare.py llama-3.2-1b:Q8_0 --prompt 512 --generate 0 --threads 1,2 --repetitions 7
    bench/compare/compare.py llama-3.2-1b:Q4_K_M --isa avx2 --peer-isa haswell --json
    bench/compare/compare.py llama-2-7b:Q4_K_M:8 --depth 0,8192 --kv-cache-type f16,q8_0

A model is a .gguf file, a name that `mullama pull` knows, or SHAPE:TYPE[:LAYERS]: random weights in the shape of a real
model, made on first use (`make_model --list` shows the shapes). The peer is installed on first use. Progress goes to
standard error. Needs Python 3.9 and nothing beside its standard library.
"""

import argparse
import itertools
import json
import os
import pathlib
import re
import signal
import statistics
import subprocess
import sys

sys.dont_write_bytecode = True  # the source tree stays as it is
from peer import Peer, PeerError  # noqa: E402

ROOT = pathlib.Path(__file__).resolve().parents[2]
SHAPE = re.compile(r"^([a-z0-9.-]+):([A-Z0-9_]+)(?::(\d+))?$")


def numbers(text):
    return [int(part) for part in text.split(",") if part != ""]


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="+", metavar="MODEL")
    parser.add_argument("-p", "--prompt", type=numbers, default=[512], help="tokens of the prompt, a list; 0 skips it")
    parser.add_argument("-n", "--generate", type=numbers, default=[64], help="tokens decoded, a list; 0 skips it")
    parser.add_argument("-d", "--depth", type=numbers, default=[0], help="tokens in the context beforehand, a list")
    parser.add_argument("-s", "--sequences", type=numbers, default=[1], help="sequences that decode together, a list")
    parser.add_argument("-t", "--threads", type=numbers, default=[os.cpu_count()], help="a list")
    parser.add_argument("--kv-cache-type", type=lambda text: text.split(","), default=["f16"], help="a list")
    parser.add_argument("-r", "--repetitions", type=int, default=5)
    parser.add_argument("--isa", default="", help="instruction set that Mullama is held to")
    parser.add_argument("--peer-isa", default="", help="CPU library that llama.cpp is held to, such as haswell for AVX2")
    parser.add_argument("--build", type=pathlib.Path, default=ROOT / "build", help="build folder (default: build)")
    parser.add_argument("--peer-folder", type=pathlib.Path, help="where the peer is installed (default: BUILD/bench/peer)")
    parser.add_argument("--files", type=pathlib.Path, help="where models are made (default: BUILD/bench/models)")
    parser.add_argument("--load", type=int, default=0, help="other processes that keep a core busy meanwhile")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--append", type=pathlib.Path, help="also append one line of JSON for each test to this file")
    found = parser.parse_args()
    found.peer_folder = found.peer_folder or found.build / "bench/peer"
    found.files = found.files or found.build / "bench/models"
    return found


def model_file(options, name):
    """The file of a model; made or pulled if need be."""
    if name.endswith(".gguf"):
        return pathlib.Path(name)
    shape = SHAPE.match(name)
    if shape:
        options.files.mkdir(parents=True, exist_ok=True)
        path = options.files / (name.replace(":", "-") + ".gguf")
        if not path.exists():
            command = [options.build / "bin/make_model", "--shape", shape[1], "--type", shape[2], "--out", path]
            subprocess.run(command + (["--layers", shape[3]] if shape[3] else []), check=True)
        return path
    subprocess.run([options.build / "bin/mullama", "pull", name], check=True, stdout=sys.stderr)
    shown = subprocess.run([options.build / "bin/mullama", "show", name, "--modelfile"], check=True, stdout=subprocess.PIPE, text=True)
    return pathlib.Path(re.search(r"^FROM (.+)$", shown.stdout, re.MULTILINE)[1])


class Contestant:
    """A program that answers each line with a speed. It is stopped while it waits: threads that spin for want of work would take the
    other one's cores."""

    def __init__(self, command):
        self.process = subprocess.Popen([str(part) for part in command], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.greeting = self.line()
        self.process.send_signal(signal.SIGSTOP)

    def line(self):
        text = self.process.stdout.readline()
        if not text:
            raise PeerError(f"{self.process.args[0]} ended without an answer")
        return text.strip()

    def ask(self, what):
        self.process.send_signal(signal.SIGCONT)
        self.process.stdin.write(what + "\n")
        self.process.stdin.flush()
        answer = float(self.line())
        self.process.send_signal(signal.SIGSTOP)
        return answer

    def rest(self):
        self.process.send_signal(signal.SIGCONT)
        self.process.stdin.close()
        text = self.process.stdout.read()
        self.process.wait()
        return text

    def stop(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()


def measure(options, peer, name, path, test):
    """Both programs in turn on one test."""
    size = ["--prompt", test["prompt"], "--generate", test["generate"], "--depth", test["depth"], "--sequences", test["sequences"]]
    common = ["--threads", test["threads"], "--kv-cache-type", test["kv"]]
    isa = ["--isa", options.isa] if options.isa else []
    what = "prefill" if test["prompt"] else "decode"
    ours = theirs = None
    load = []
    try:
        theirs = Contestant([peer.program, "--model", path, "--backend", peer.backend(options.peer_isa), *size, *common])
        theirs.ask(what)  # a warm-up
        ours = Contestant([options.build / "bin/mullama", "bench", path, *size, *common, *isa, "-r", options.repetitions, "--in-turn",
                           "--json", "--quiet"])
        load = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(options.load)]
        runs = []
        label = (f"{name}: {what} {test['prompt'] or test['generate']}, depth {test['depth']}, {test['sequences']} together, "
                 f"{test['threads']} threads, {test['kv']}")
        redraw = sys.stderr.isatty()
        if not redraw:
            print(label, file=sys.stderr, flush=True)
        for run in range(options.repetitions):
            if redraw:
                print(f"\r{label}: run {run + 1} of {options.repetitions}  ", end="", file=sys.stderr, flush=True)
            runs.append((ours.ask(what), theirs.ask(what)))
        if redraw:
            print(file=sys.stderr)
        document = json.loads(ours.rest())
    finally:
        for process in load:
            process.kill()
            process.wait()
        for contestant in (ours, theirs):
            if contestant:
                contestant.stop()
    found = document["tests"][0]
    mine, other = [list(column) for column in zip(*runs)]
    return {"model": name, "test": what, "tokens": test["prompt"] or test["generate"], "depth": test["depth"],
            "sequences": test["sequences"], "threads": test["threads"], "kv_cache_type": test["kv"], "isa": document["isa"],
            "peer_isa": options.peer_isa or "its best", "busy_cores": options.load, "mullama": statistics.median(mine),
            "peer": statistics.median(other), "ratio": statistics.median(a / b for a, b in runs), "mullama_runs": mine,
            "peer_runs": other, "roof": found.get("roof"), "peer_features": theirs.greeting}


def tests(options):
    for depth, threads, kv in itertools.product(options.depth, options.threads, options.kv_cache_type):
        base = {"depth": depth, "threads": threads, "kv": kv, "prompt": 0, "generate": 0, "sequences": 1}
        for prompt in options.prompt:
            if prompt:
                yield {**base, "prompt": prompt}
        for generate, sequences in itertools.product(options.generate, options.sequences):
            if generate and sequences:
                yield {**base, "generate": generate, "sequences": sequences}


def table(results):
    rows = [["MODEL", "TEST", "DEPTH", "TOGETHER", "THREADS", "KV", "MULLAMA t/s", "LLAMA.CPP t/s", "RATIO", "OF THE ROOF"]]
    for r in results:
        roof = r["roof"]
        share = "-" if not roof else f"{100 * roof['share']:.0f} % ({roof['kind']} {roof['median'] / 1e9:.1f} G/s)"
        rows.append([r["model"], f"{r['test']} {r['tokens']}", str(r["depth"]), str(r["sequences"]), str(r["threads"]), r["kv_cache_type"],
                     f"{r['mullama']:.2f}", f"{r['peer']:.2f}", f"{r['ratio']:.2f}", share])
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip() for row in rows)


def main():
    options = arguments()
    if not any(options.prompt + options.generate):
        sys.exit("compare: there is nothing to measure: give --prompt or --generate above 0")
    try:
        peer = Peer(options.peer_folder).install()
        results = []
        for name in options.models:
            path = model_file(options, name)
            for test in tests(options):
                results.append(measure(options, peer, name, path, test))
                if options.append:
                    with open(options.append, "a") as file:
                        file.write(json.dumps(results[-1]) + "\n")
    except (PeerError, OSError, subprocess.CalledProcessError) as error:
        sys.exit(f"compare: {error}")
    if options.json:
        print(json.dumps({"peer": peer.describe(), "results": results}, indent=2))
    else:
        print(f"{peer.describe()}; medians of {options.repetitions} runs in turn\n")
        print(table(results))


if __name__ == "__main__":
    main()
