#!/usr/bin/env python3
"""Runs the commands named in docs/memory.md and compares the tables below them with what is printed now.

  scripts/memory_tables.py BINARY            fails if a table no longer holds
  scripts/memory_tables.py BINARY --update   rewrites the tables

Sizes may differ by 3 %, since scratch follows the kernels; all other text must be the same.
"""

import pathlib
import re
import shlex
import subprocess
import sys

DOCUMENT = pathlib.Path(__file__).resolve().parent.parent / "docs" / "memory.md"
BLOCK = re.compile(r"<!-- \$ mullama (?P<command>.*?) -->\n```\n(?P<table>.*?)```\n", re.S)
SIZE = re.compile(r"\d+\.\d+ [KMGT]iB|\d{1,3}(?:,\d{3})+|\b\d+ B\b")
UNITS = {"KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "TiB": 2**40}
TOLERANCE = 0.03


def printed(binary, command):
    done = subprocess.run([binary, *shlex.split(command)], capture_output=True, encoding="utf-8", check=False)
    if done.returncode != 0:
        sys.exit(f"mullama {command}\nended with {done.returncode}: {done.stderr}")
    lines = [line.rstrip() for line in done.stdout.rstrip("\n").split("\n")]
    return "\n".join(lines) + "\n"


def size(text):
    number, _, unit = text.replace(",", "").partition(" ")
    return float(number) * UNITS.get(unit, 1)


def same(documented, now):
    """Whether two tables differ in nothing but sizes, and those by little."""
    shape = [re.sub(r"\s+", " ", SIZE.sub("#", text)) for text in (documented, now)]
    if shape[0] != shape[1]:
        return False
    pairs = zip(SIZE.findall(documented), SIZE.findall(now))
    return all(abs(size(old) - size(new)) <= TOLERANCE * max(size(old), size(new), 1) for old, new in pairs)


def main():
    binary, update = sys.argv[1], "--update" in sys.argv[2:]
    text = DOCUMENT.read_text(encoding="utf-8")
    blocks = list(BLOCK.finditer(text))
    if not blocks:
        sys.exit(f"no tables found in {DOCUMENT}")
    stale = []
    for block in reversed(blocks):
        now = printed(binary, block["command"])
        if not same(block["table"], now):
            stale.append((block["command"], now))
        if update:
            text = text[: block.start("table")] + now + text[block.end("table") :]
    if update:
        DOCUMENT.write_text(text, encoding="utf-8")
    elif stale:
        for command, now in reversed(stale):
            print(f"mullama {command}\nprints now:\n{now}")
        sys.exit("docs/memory.md is out of date; run scripts/memory_tables.py BINARY --update")
    print(f"{len(blocks)} tables {'written' if update else 'hold'}")


if __name__ == "__main__":
    main()
