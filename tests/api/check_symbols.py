"""The library shows its two interfaces and nothing else.

    check_symbols.py LIBRARY HEADER
"""
import re
import subprocess
import sys

library, header = sys.argv[1:]


def dynamic_symbols(*flags):
    listing = subprocess.run(["nm", "--dynamic", "--defined-only", *flags, library], capture_output=True, text=True, check=True)
    return [line.split(maxsplit=2)[2] for line in listing.stdout.splitlines()]


plain = {name.split("@")[0] for name in dynamic_symbols()}
problems = []
for name in dynamic_symbols("--demangle"):
    name = name.split("@")[0] if name.startswith("mullama_") else name
    ours = re.match(r"mullama_\w+$|(typeinfo for |typeinfo name for |vtable for |)mullama::", name)
    if not ours:
        problems.append(f"{name} should be hidden")
    inner = re.search(r"mullama::(api|c_api|engine|memory|model|text|sampling|kernels|quant|gguf|backend|base)::", name)
    if inner and not re.search(r"mullama::(Context|Model|TokenStream)::", name):
        problems.append(f"{name} is of the inside, and should be hidden")

with open(header, encoding="utf-8") as file:
    declared = set(re.findall(r"MULLAMA_C_API[^;(]*?\b(mullama_\w+)\(", file.read()))
if len(declared) < 40:
    problems.append(f"only {len(declared)} functions were found in the header: its form has changed, or this test is wrong")
problems += [f"{name} is declared, but the library lacks it" for name in sorted(declared - plain)]
problems += [f"{name} is in the library, but not declared" for name in sorted(plain - declared) if name.startswith("mullama_")]

# One _free for each kind of handle that a _create or _load gives.
for name in sorted(declared):
    made = re.match(r"(mullama_\w+?)_(create|load)(_\w+)?$", name)
    if made and f"{made[1]}_free" not in declared:
        problems.append(f"{name} has no {made[1]}_free")

print("\n".join(problems) if problems else f"{len(plain)} symbols, {len(declared)} of C")
sys.exit(1 if problems else 0)
