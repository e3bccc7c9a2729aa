"""Every row of the users' contract has a test named after it, and every row that a name says is one.

    check_contract_rows.py [CONTRACT]

A name carries its rows as in `C05_C06_types_in_use`, `TEST(Rows, T09_X02_Savings)`, `test('N10 disposing twice')` of Node.js or
`fn r14_errors_leak_nothing` of Rust; a test that ctest runs by itself carries them in its name there. With the contract's text at
hand, the list below is compared with it.
"""

import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]


def numbered(letter, first, last):
    return {f"{letter}{number:02}" for number in range(first, last + 1)}


# What these say shows on a GPU alone, which this version has no backend for.
NEED_A_GPU = {"C22", "G31", "G32", "T21", "T22"}
ROWS = {
    *numbered("N", 1, 34), *numbered("P", 1, 29), *numbered("R", 1, 32), *numbered("C", 1, 23), *numbered("G", 1, 39),
    *numbered("T", 1, 30), *numbered("X", 1, 17),
}  # fmt: skip
# Where tests are, and what their names look like. In Rust a module of doctests carries the rows of its samples.
NAMES = (
    ("tests/**/*.cpp", r"\bTEST(?:_F|_P)?\(\s*\w+,\s*(\w+)\)"),
    ("tests/**/CMakeLists.txt", r"\badd_test\(NAME (\w+)"),
    ("tests/**/*.py", r"\bdef (test_\w+)\("),
    ("bindings/python/tests/*.py", r"\bdef (test_\w+)\("),
    ("bindings/node/test/*.mjs", r"\btest\('([^']+)'"),
    ("bindings/rust/mullama/**/*.rs", r"#\[test\]\s+fn (\w+)\(|#\[cfg\(doctest\)\]\s+(?:#\[[^\n]*\]\s+)*pub mod (\w+)"),
)


def named_rows():
    """The rows that names carry, each with those names."""
    found = {}
    for files, pattern in NAMES:
        paths = [path for path in ROOT.glob(files) if "node_modules" not in path.parts and "target" not in path.parts]
        matches = [match for path in paths for match in re.finditer(pattern, path.read_text(encoding="utf-8"))]
        names = [name for match in matches for name in match.groups() if name]
        if not names:
            sys.exit(f"no test was found in {files}: tests have moved, or this check is wrong")
        for name in names:
            text = name.replace("_", " ").upper() if files.endswith(".rs") else name.replace("_", " ")
            for row in re.findall(r"(?<![A-Za-z0-9])[NPRCGTX]\d\d(?![A-Za-z0-9])", text):
                found.setdefault(row, []).append(name)
    return found


def main():
    problems = []
    named = named_rows()
    if missing := sorted(ROWS - NEED_A_GPU - set(named)):
        problems.append(f"no test is named after {', '.join(missing)}")
    for row in sorted(set(named) - ROWS):
        problems.append(f"{row} is no row of the contract, but in the name of {', '.join(named[row])}")
    contract = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else None
    if contract and contract.exists():
        rows = set(re.findall(r"^\| ([NPRCGTX]\d\d) \|", contract.read_text(encoding="utf-8"), re.M))
        if rows != ROWS:
            problems.append(f"the contract and the list here differ in {', '.join(sorted(rows ^ ROWS))}")
    if problems:
        sys.exit("\n".join(problems))
    print(f"{len(ROWS - NEED_A_GPU)} rows have tests of their own")


if __name__ == "__main__":
    main()
