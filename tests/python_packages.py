"""Python packages that tests need, installed once into a folder of the build."""

import pathlib
import subprocess
import sys


def use(folder, *requirements):
    """Makes pinned requirements ("name==version") importable from `folder`. False, with a word why, if they cannot be had."""
    folder = pathlib.Path(folder)
    done = folder / ".installed"
    wanted = "\n".join(requirements)
    if not (done.exists() and done.read_text() == wanted):
        installed = subprocess.run(
            [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--upgrade", "--target", str(folder), *requirements],
            capture_output=True, encoding="utf-8", check=False,
        )
        if installed.returncode != 0:
            print(f"skipped: cannot install {', '.join(requirements)}: {installed.stderr.strip().splitlines()[-1:]}")
            return False
        done.write_text(wanted)
    sys.path.insert(0, str(folder))
    return True
