"""C++ and C tell the same of the scenario.

    check_scenario.py SCENARIO_PROGRAM WRITE_TINY_MODEL SCENARIO
"""
import pathlib
import subprocess
import sys
import tempfile

program, write_tiny_model, scenario = sys.argv[1:]
with tempfile.TemporaryDirectory() as folder:
    model = pathlib.Path(folder) / "tiny.gguf"
    subprocess.run([write_tiny_model, model], check=True)
    cpp, c = (subprocess.run([program, language, scenario, model], capture_output=True, text=True, check=True).stdout for language in ("cpp", "c"))
lines = cpp.splitlines()
if cpp != c:
    sys.exit("\n".join(f"C++: {a}\nC:   {b}" for a, b in zip(lines, c.splitlines()) if a != b) or "one tells more lines")
errors = [line.split()[1] for line in lines if " error=" in line]
expected = ["context_full", "invalid_argument", "not_found", "budget_exceeded", "invalid_argument"]
if errors != [f"error={name}" for name in expected]:
    sys.exit(f"errors were {errors}")
print(f"{len(lines)} steps, {len(errors)} errors")
