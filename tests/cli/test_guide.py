"""The guide's shell samples, each line letter for letter as a user's shell runs it: `mullama` is on the PATH, llama3.2:1b an alias of
the small real model, and a daemon has a port and folders of its own."""

import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import time
import urllib.request

from support import BINARY, REAL_MODEL, RealModelTest
from test_repl import Terminal

SAMPLES = pathlib.Path(__file__).resolve().parents[1] / "guide" / "samples"
SHELL = "/bin/bash"
NAME = "llama3.2:1b"


def lines(sample):
    """The commands of a sample."""
    return [line for line in (SAMPLES / f"{sample}.sh").read_text(encoding="utf-8").splitlines() if line and not line.startswith("#")]


class GuideTest(RealModelTest):
    """A shell in which the guide's lines run."""

    def setUp(self):
        super().setUp()
        self.real = json.loads(self.check_ok("show", REAL_MODEL, "--json"))["path"]
        tools = self.folder / "bin"
        tools.mkdir()
        (tools / "mullama").symlink_to(BINARY)
        # The vendors' monitors are no part of Mullama: where they are not installed, something of their name must do.
        for monitor in ("nvidia-smi", "rocm-smi"):
            if shutil.which(monitor) is None:
                (tools / monitor).symlink_to(shutil.which("true"))
        # MULLAMA_PORT=0 draws a port for what serves; who asks finds it in the folder of MULLAMA_STATE_DIR.
        self.environment.update(MULLAMA_MODELS_DIR=str(self.models), MULLAMA_PORT="0", MULLAMA_HOST="127.0.0.1",
                                PATH=f"{tools}:{os.environ['PATH']}")
        self.models.mkdir()

    def alias(self, target):
        (self.models / "aliases.json").write_text(json.dumps({NAME: target}))

    def alias_short_answers(self):
        """An alias of the model by a name of the store, whose answers are short and always the same."""
        (self.folder / "Modelfile").write_text(f"FROM {self.real}\nPARAMETER num_predict 12\nPARAMETER temperature 0\n")
        self.check_ok("create", "short", "--quiet")
        self.alias("short")

    def shell(self, line):
        return subprocess.run([SHELL, "-c", line], stdin=subprocess.DEVNULL, capture_output=True, encoding="utf-8", env=self.environment,
                              cwd=self.folder, timeout=120, check=False)

    def answer(self, line, notes=r""):
        """Runs a line that asks; the answer. Standard error must match `notes`, all of it."""
        done = self.shell(line)
        self.assertEqual(done.returncode, 0, f"{line}: {done.stderr}")
        self.assertRegex(done.stdout, r"\w", line)
        self.assertRegex(done.stderr, rf"\A{notes}\Z", line)
        return done

    def request(self, address, body=None):
        with urllib.request.urlopen(address, None if body is None else json.dumps(body).encode(), timeout=60) as reply:
            return json.load(reply)

    def talk(self, line):
        """Runs a line that opens a conversation, on a terminal."""
        terminal = Terminal(["-c", line], self.environment, self.folder, program=SHELL)
        self.addCleanup(terminal.close)
        terminal.expect(r">>> $")
        for message in ("Hello!", "And you?"):
            terminal.type(message + "\r")
            terminal.expect(re.escape(message) + r"\s+\w[\s\S]*>>> $")
        terminal.type("/bye\r")
        self.assertEqual(terminal.exit_code(), 0)


class Samples(GuideTest):
    def test_X17_C01_the_name_of_the_guide_runs_as_an_alias_of_a_file(self):
        self.alias(self.real)
        (line,) = lines("01_raii")
        self.assertEqual(line, f'mullama run {NAME} "Hello!"')
        before = sorted(self.folder.rglob("*"))
        # The answer is drawn at random: a rare one does not end by itself, and a note says what ended it.
        self.environment["MULLAMA_CONTEXT_SIZE"] = "512"
        self.answer(line, r"(Note: the context of 512 tokens is full, so the answer was cut\.[^\n]*\n)?")
        self.assertEqual(sorted(self.folder.rglob("*")), before)
        # Nothing is made up where the name means nothing.
        (self.models / "aliases.json").unlink()
        refused = self.shell(line.replace(NAME, "llama3.2:1bb"))
        self.assertEqual((refused.returncode, refused.stdout), (3, ""))

    def test_X17_lines_that_ask_or_talk(self):
        self.alias_short_answers()
        seen = set()
        for sample, notes in (
            ("03_kv_cache_type", ""), ("04_mapped_loading", r"(Warning: [^\n]*ulimit -l[^\n]*\n)?"), ("05_context_size", ""),
            ("06_batch_size", ""), ("08_small_context", ""), ("09_partial_offload", r"Warning: [^\n]*no GPU backend[^\n]*\n"),
            ("10_reuse", ""), ("11_out_of_memory", r"Warning: [^\n]*no GPU backend[^\n]*\n"),
        ):
            for line in lines(sample):
                with self.subTest(line):
                    seen.add(sample)
                    if not line.startswith("mullama "):
                        self.assertEqual(self.shell(line).returncode, 0)
                    elif "--interactive" in line:
                        self.talk(line)
                    else:
                        self.answer(line, notes if "--mlock" in line or "--gpu-layers" in line else "")
        # The tests beside this one run the others.
        self.assertEqual(seen | {"01_raii", "02_shared_model", "07_monitoring"}, {path.stem for path in SAMPLES.glob("*.sh")})

    def test_X17_C03_C04_the_line_that_serves(self):
        self.alias(self.real)
        (line,) = lines("02_shared_model")
        with open(self.folder / "log", "w+", encoding="utf-8") as log:
            shell = subprocess.Popen([SHELL, "-c", line], stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=self.environment,
                                     cwd=self.folder)
        try:
            deadline = time.monotonic() + 60
            address = None
            while address is None:
                address = re.search(r"listening on (127\.0\.0\.1:\d+)", (self.folder / "log").read_text())
                self.assertIsNone(shell.poll())
                self.assertLess(time.monotonic(), deadline)
                time.sleep(0.02)
            question = {"model": NAME, "prompt": "Hello!", "stream": False, "options": {"num_predict": 4, "temperature": 0}}
            self.assertEqual(self.request(f"http://{address[1]}/api/generate", question)["eval_count"], 4)
            memory = self.request(f"http://{address[1]}/memory")
            (model,) = memory["models"]
            self.assertEqual(model["parallel"], 3)
            pools = {pool["pool"]: pool["bytes"] for pool in memory["pools"]}
            self.assertEqual(pools["weights (mapped)"], model["weight_bytes"])
            shell.send_signal(signal.SIGTERM)
            self.assertEqual(shell.wait(60), 0)
        finally:
            shell.kill()
            shell.wait()

    def test_X17_C15_C16_the_lines_that_tell_of_memory(self):
        self.alias_short_answers()
        status, verbose = lines("07_monitoring")
        nobody = self.shell(status)
        self.assertEqual((nobody.returncode, nobody.stderr), (2, ""))
        self.assertIn("No daemon is running", nobody.stdout)
        self.check_ok("daemon", "start", "--model", NAME, "--parallel", "1", "--ctx-size", "512")
        self.addCleanup(self.run_program, "daemon", "stop", "-f")
        told = self.shell(status)
        self.assertEqual((told.returncode, told.stderr), (0, ""))
        for pool in ("kv", r"weights \(mapped\)"):
            self.assertRegex(told.stdout, rf"(?m)^\s*host\s+{pool}\s+\d+\s")
        figures = r"[\s\S]*eval rate:[\s\S]*model size:[\s\S]*KV cache:[\s\S]*context used:[\s\S]*"
        self.assertIn("the daemon at", self.answer(verbose, figures).stderr)
        self.assertEqual(self.check_ok("daemon", "stop"), "Daemon stopped.\n")
        self.assertNotIn("the daemon at", self.answer(verbose, figures + r"total allocated:[\s\S]*").stderr)
