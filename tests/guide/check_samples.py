"""The samples beside this file are the guide's, all of them and unchanged.

    check_samples.py GUIDE
"""
import pathlib
import re
import sys

SKIPPED = 77
CODE = re.compile(r"^\s*(import |from \w+ import|const |let |fn |def |async |await |use |mullama |context|model|#\s|//\s|[})\]]+[;,]?$)")

guide = pathlib.Path(sys.argv[1])
if not guide.exists():
    print(f"{guide} is not here: only the copies are used")
    sys.exit(SKIPPED)
rest = guide.read_text(encoding="utf-8")
problems = []
samples = sorted((pathlib.Path(__file__).parent / "samples").iterdir())
for sample in samples:
    text = sample.read_text(encoding="utf-8")
    if text not in rest:
        problems.append(f"{sample.name} is not in the guide as it stands")
    rest = rest.replace(text, "\n", 1)
problems += [f"no sample holds this line of code: {line}" for line in rest.splitlines() if CODE.match(line)]
if len(samples) != 44:
    problems.append(f"{len(samples)} samples, where the guide has 11 in each of four languages")
print("\n".join(problems) if problems else f"{len(samples)} samples")
sys.exit(1 if problems else 0)
