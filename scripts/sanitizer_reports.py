"""Reads the reports of AddressSanitizer in a folder, and fails if one is about Mullama.

    sanitizer_reports.py FOLDER

Any error counts. A leak counts if a frame of its stack is in one of our modules: the interpreters leave memory of their own at
their end.
"""
import pathlib
import re
import sys

OURS = re.compile(r"libmullama\.so|/mullama\.node|/_mullama\.")
LEAK = re.compile(r"^(Direct|Indirect) leak of (\d+) byte")


def of_report(text):
    """What counts in one report, and how many leaks are the runtime's."""
    blocks = text.split("\n\n")
    leaks = [block for block in blocks if LEAK.match(block.lstrip())]
    ours = [block for block in leaks if OURS.search(block)]
    if "LeakSanitizer: detected memory leaks" in text:
        return ours, len(leaks) - len(ours)
    return ([text] if text.strip() else []), 0


reports = sorted(pathlib.Path(sys.argv[1]).glob("report.*"))
theirs = 0
found = []
for report in reports:
    ours, others = of_report(report.read_text(errors="replace"))
    found += ours
    theirs += others
print("\n\n".join(found[:10]))
print(f"{len(reports)} reports: {len(found)} about Mullama, {theirs} leaks of the runtimes' own")
sys.exit(1 if found else 0)
