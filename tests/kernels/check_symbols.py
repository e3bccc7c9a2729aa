#!/usr/bin/env python3
"""No instruction set's object may offer the linker anything but its table: a weak function compiled for AVX-512 could be kept
for the whole program and crash on an older CPU.

    check_symbols.py NM OBJECT...
"""
import pathlib
import subprocess
import sys

# C++ names of a variable `mullama::kernels::k...Table`.
PREFIX, SUFFIX = "_ZN7mullama7kernels", "TableE"


def main():
    nm, *objects = sys.argv[1:]
    # The scalar one is compiled for every CPU of its kind, like the rest of the program.
    objects = [name for name in objects if pathlib.PurePath(name).parent.name == "isa" and "scalar" not in name]
    if not objects:
        print("no object of an instruction set was given")
        return 1
    problems = []
    for name in objects:
        listing = subprocess.run([nm, "--defined-only", "--format=posix", name], capture_output=True, text=True, check=True)
        offered = [line.split()[:2] for line in listing.stdout.splitlines()]
        offered = [(symbol, kind) for symbol, kind in offered if kind.isupper() or kind in "uvw"]
        tables = [symbol for symbol, kind in offered if symbol.startswith(PREFIX) and symbol.endswith(SUFFIX)]
        if len(tables) != 1:
            problems.append(f"{name}: defines {len(tables)} tables, not 1")
        problems += [f"{name}: offers {symbol} ({kind})" for symbol, kind in offered
                     if symbol not in tables or kind not in "DR"]
    print("\n".join(problems) if problems else f"{len(objects)} objects offer their tables only")
    return 1 if problems else 0


sys.exit(main())
