"""Packages that tests need, installed once into a folder of the build."""

import pathlib
import subprocess
import sys

# An installation that stalls is to be told before the time limits of the tests that need it.
INSTALL_SECONDS = 400


def install(command, **options):
    """Why `command` cannot install what it is to, or nothing."""
    try:
        done = subprocess.run(command, capture_output=True, encoding="utf-8", check=False, timeout=INSTALL_SECONDS, **options)
    except subprocess.TimeoutExpired:
        return f"it took longer than {INSTALL_SECONDS} s"
    return None if done.returncode == 0 else done.stderr.strip()[-500:] or f"exit code {done.returncode}"


def use(folder, *requirements):
    """Makes pinned requirements ("name==version") importable from `folder`. False, with a word why, if they cannot be had."""
    folder = pathlib.Path(folder)
    done = folder / ".installed"
    wanted = "\n".join(requirements)
    if not (done.exists() and done.read_text() == wanted):
        problem = install([sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--upgrade",
                           "--target", str(folder), *requirements])
        if problem:
            print(f"skipped: cannot install {', '.join(requirements)}: {problem.splitlines()[-1]}")
            return False
        done.write_text(wanted)
    sys.path.insert(0, str(folder))
    return True
