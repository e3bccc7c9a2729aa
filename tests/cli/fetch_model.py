"""Pulls the small real model into the test models folder, unless it is there already."""

import os
import subprocess
import sys

SKIPPED = 77
# Exit codes of the program.
DOWNLOAD, TIMEOUT = 5, 6


def main():
    environment = dict(os.environ, MULLAMA_MODELS_DIR=os.environ["MULLAMA_TEST_MODELS"])
    binary = os.environ["MULLAMA_BINARY"]
    present = subprocess.run([binary, "show", "smollm2:135m"], env=environment, capture_output=True, check=False)
    if present.returncode == 0:
        return 0
    if os.environ.get("MULLAMA_TEST_OFFLINE"):
        print("MULLAMA_TEST_OFFLINE is set; tests that need a model are skipped")
        return SKIPPED
    pulled = subprocess.run([binary, "pull", "smollm2:135m"], env=environment, check=False)
    if pulled.returncode in (DOWNLOAD, TIMEOUT):
        print("the model could not be downloaded; tests that need it are skipped")
        return SKIPPED
    return pulled.returncode


if __name__ == "__main__":
    sys.exit(main())
