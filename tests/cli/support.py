"""What the tests of the command line share: running the program, the real model."""

import os
import pathlib
import shutil
import subprocess
import tempfile
import unittest

BINARY = os.environ["MULLAMA_BINARY"]
REAL_MODELS = os.environ.get("MULLAMA_TEST_MODELS", "")
REAL_MODEL = "smollm2:135m"
WRITE_TINY_MODEL = os.environ.get("MULLAMA_WRITE_TINY_MODEL", "")


class ProgramTest(unittest.TestCase):
    """Each test has a home and a models folder of its own."""

    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="mullama-cli-"))
        self.addCleanup(shutil.rmtree, self.folder)
        self.models = self.folder / "models"
        self.environment = {
            key: value
            for key, value in os.environ.items()
            if not key.startswith(("MULLAMA_", "OLLAMA_")) and key not in ("NO_COLOR", "COLUMNS")
        }
        self.environment.update(HOME=str(self.folder), MULLAMA_MODELS_DIR=str(self.models), TERM="xterm-256color",
                                MULLAMA_STATE_DIR=str(self.folder / "state"), MULLAMA_HOST="127.0.0.1:1")
        if "MULLAMA_ISA" in os.environ:
            self.environment["MULLAMA_ISA"] = os.environ["MULLAMA_ISA"]

    def run_program(self, *arguments, text=None, timeout=300, **environment):
        """The finished process, with standard input empty unless `text` is given."""
        return subprocess.run(
            [BINARY, *map(str, arguments)],
            input=text,
            stdin=subprocess.DEVNULL if text is None else None,
            capture_output=True,
            encoding="utf-8",
            env={**self.environment, **environment},
            cwd=self.folder,
            timeout=timeout,
            check=False,
        )

    def check_ok(self, *arguments, **options):
        """Runs, expects exit code 0 and returns standard output."""
        done = self.run_program(*arguments, **options)
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stdout

    def check_fails(self, code, *arguments, **options):
        """Runs, expects the exit code and nothing on standard output, and returns the one line of the error."""
        done = self.run_program(*arguments, **options)
        self.assertEqual(done.returncode, code, done.stderr + done.stdout)
        self.assertEqual(done.stdout, "")
        self.assertTrue(done.stderr.startswith("Error: "), done.stderr)
        self.assertEqual(done.stderr.count("\n"), 1, done.stderr)
        return done.stderr


class RealModelTest(ProgramTest):
    """Tests on the real model; skipped if it is not there."""

    def setUp(self):
        super().setUp()
        if not (pathlib.Path(REAL_MODELS) / "manifests").is_dir():
            self.skipTest(f"{REAL_MODEL} is not in the test models folder")
        self.environment["MULLAMA_MODELS_DIR"] = REAL_MODELS
        if self.run_program("show", REAL_MODEL).returncode != 0:
            self.skipTest(f"{REAL_MODEL} is not in the test models folder")
