#!/usr/bin/env python3
"""The rules of the house that a script can see: dependencies point down only and in no circle, errors are values below the API,
each folder says what it is for, the tests that documentation names are there and attacks have theirs, and the sources are formatted.

    check_house.py SOURCE_DIR
"""
import pathlib
import re
import shutil
import subprocess
import sys

ROOT = pathlib.Path(sys.argv[1])
# Lowest first: a folder may include itself and those before it.
ORDER = ["base", "memory", "gguf", "quant", "kernels", "backend", "model", "text/jinja", "text/chat", "text", "sampling",
         "engine", "store", "server", "api", "cli"]
# Where exceptions are thrown: to the API's callers, and by the interpreter of templates to itself.
MAY_THROW = ("api", "cli", "text/jinja")
COMMENT_OR_TEXT = re.compile(r"//[^\n]*|\"(?:[^\"\\\n]|\\.)*\"")
INCLUDE = re.compile(r'^\s*#\s*include\s+"([^"]+)"', re.M)


def folder_of(path):
    """The longest name in ORDER that a path relative to src/ begins with."""
    matches = [name for name in ORDER if path.startswith(name + "/")]
    return max(matches, key=len) if matches else None


def main():
    problems = []
    for file in sorted((ROOT / "src").rglob("*")):
        if file.suffix not in (".cpp", ".hpp", ".h"):
            continue
        relative = file.relative_to(ROOT / "src").as_posix()
        own = folder_of(relative)
        if own is None:
            problems.append(f"src/{relative}: its folder has no place in the order of folders")
            continue
        text = file.read_text()
        if own not in MAY_THROW and re.search(r"\bthrow\b", COMMENT_OR_TEXT.sub("", text)):
            problems.append(f"src/{relative}: {own} throws; below the API errors are values")
        for included in INCLUDE.findall(text):
            other = folder_of(included)
            if other is not None and ORDER.index(other) > ORDER.index(own):
                problems.append(f"src/{relative}: {own} includes {included}, which is above it")
    for folder in sorted((ROOT / "src").iterdir()):
        if folder.is_dir() and any(folder.iterdir()) and not (folder / "README.md").exists():
            problems.append(f"src/{folder.name}: README.md is missing")

    tests = "\n".join(file.read_text() for file in sorted((ROOT / "tests").rglob("*_test.cpp")) + sorted((ROOT / "tests").rglob("test_*.py")))
    for row in (ROOT / "docs/security-tests.md").read_text().splitlines():
        cells = row.split("|")
        names = re.findall(r"`(\w+)`", cells[3]) if len(cells) == 5 else []
        for number in re.findall(r"CVE-\d+-\d+|GHSA", row):
            if not any(number.replace("-", "_").lower() in name.lower() for name in names):
                problems.append(f"docs/security-tests.md: no test is named after {number}")
        for name in names:
            if not re.search(rf"TEST\w*\([^)]*\b{name}\b|def {name}\(", tests):
                problems.append(f"docs/security-tests.md: there is no test {name}")

    formatter = shutil.which("clang-format-14")
    if formatter is None:
        print("clang-format-14 is not installed: formatting was not checked")
    else:
        files = [str(f) for top in ("src", "include", "tests", "fuzz", "bench") for f in sorted((ROOT / top).rglob("*"))
                 if f.suffix in (".cpp", ".hpp", ".h")]
        result = subprocess.run([formatter, "--dry-run", "--Werror", *files], capture_output=True, text=True)
        unformatted = sorted({line.split(":")[0] for line in result.stderr.splitlines() if "clang-format-violations" in line})
        problems += [f"{name}: not formatted (clang-format-14 -i)" for name in unformatted]
    print("\n".join(problems))
    return 1 if problems else 0


sys.exit(main())
