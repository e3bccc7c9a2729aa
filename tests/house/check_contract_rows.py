"""Every row of the users' contract about memory, batch and context has a test named after it.

A name carries its rows as in `C05_C06_types_in_use` or `TEST(Rows, T09_X02_Savings)`.
"""

import pathlib
import re
import sys

TESTS = pathlib.Path(__file__).resolve().parent.parent


def numbered(letter, first, last):
    return [f"{letter}{number:02}" for number in range(first, last + 1)]


ROWS = {
    *numbered("C", 3, 19), "C23",
    "G03", *numbered("G", 7, 30), "G33", "G35", "G36",
    *numbered("T", 1, 20), *numbered("T", 23, 29),
    *numbered("X", 1, 5), "X07", "X09", "X12", "X13",
}  # fmt: skip
# What these say shows on a GPU alone, which this version has no backend for: C22, G31, G32, T21, T22.
NAME = re.compile(r"\bTEST(?:_F|_P)?\(\s*\w+,\s*(\w+)\)|\bdef (test_\w+)\(")


def main():
    named = set()
    for path in TESTS.rglob("*"):
        if path.suffix not in (".cpp", ".py"):
            continue
        for match in NAME.finditer(path.read_text(encoding="utf-8")):
            named |= set(re.findall(r"(?<![A-Za-z0-9])[CGTX]\d\d(?![0-9])", (match[1] or match[2]).replace("_", " ")))
    missing = sorted(ROWS - named)
    if missing:
        sys.exit(f"no test is named after {', '.join(missing)}")
    print(f"{len(ROWS)} rows have tests of their own")


if __name__ == "__main__":
    main()
