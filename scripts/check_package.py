"""A package for others holds what belongs into it: no build tree, no model, no test, nothing large.

    check_package.py WHEEL_OR_TARBALL...
"""
import re
import sys
import tarfile
import zipfile

LARGEST = 16 << 20
WRONG = re.compile(r"\.(gguf|o|a|ninja|log)$|(^|/)(CMakeCache\.txt|CMakeFiles|node_modules|target|__pycache__|tests?)(/|$)|\.pyc$")


def contents(name):
    if name.endswith(".whl"):
        with zipfile.ZipFile(name) as archive:
            return [(entry.filename, entry.file_size) for entry in archive.infolist()]
    with tarfile.open(name) as archive:
        return [(entry.name, entry.size) for entry in archive.getmembers() if entry.isfile()]


problems = []
for package in sys.argv[1:]:
    files = contents(package)
    problems += [f"{package}: {name} does not belong there" for name, _ in files if WRONG.search(name)]
    problems += [f"{package}: {name} has {size} bytes" for name, size in files if size > LARGEST]
    if len(files) < 3:
        problems.append(f"{package}: only {len(files)} files")
    print(f"{package.rsplit('/', 1)[-1]}: {len(files)} files, {sum(size for _, size in files)} bytes")
print("\n".join(problems))
sys.exit(1 if problems else 0)
