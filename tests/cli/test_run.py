"""run on a real model: answers, limits, streams, statistics, signals."""

import json
import os
import pathlib
import re
import shlex
import signal
import subprocess
import tempfile
import time

from support import BINARY, REAL_MODEL, REAL_MODELS, RealModelTest

GREEDY = ("--temperature", "0")
# A random answer to this may end early; the greedy one goes on for thousands of tokens.
STORY = ("Write a very long story", *GREEDY)


class Answers(RealModelTest):
    def answer(self, *arguments, **options):
        return self.check_ok("run", REAL_MODEL, *arguments, **options)

    def test_C01_a_prompt_is_answered(self):
        done = self.run_program("run", REAL_MODEL, "Name the capital of France in one sentence.", *GREEDY)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("Paris", done.stdout)
        self.assertTrue(done.stdout.endswith("\n") and not done.stdout.endswith("\n\n"))
        self.assertNotIn("\x1b", done.stdout + done.stderr)
        self.assertEqual(done.stderr, "")

    def test_C20_options_may_follow_and_words_are_joined(self):
        joined = self.answer("--max-tokens", "8", "Say", "hello", *GREEDY)
        self.assertEqual(joined, self.answer("Say hello", *GREEDY, "-n", "8"))

    def test_of_an_option_given_twice_the_last_counts(self):
        document = json.loads(self.answer("Count from 1 to 30", "-n", "5", "--json", *GREEDY, "--max-tokens", "3"))
        self.assertEqual(document["eval_count"], 3)

    def test_words_that_are_commands_are_words(self):
        self.answer("list", "show", "-n", "2", *GREEDY)

    def test_standard_input_comes_before_the_prompt(self):
        piped = self.answer("Repeat that.", "-n", "12", *GREEDY, text="The code is 4711.\n")
        self.assertEqual(piped, self.answer("The code is 4711.\nRepeat that.", "-n", "12", *GREEDY))
        self.assertEqual(self.answer("-n", "8", *GREEDY, text="Say hello"), self.answer("Say hello", "-n", "8", *GREEDY))
        self.assertEqual(self.answer("-", "-n", "8", *GREEDY, text="Say hello"), self.answer("Say hello", "-n", "8", *GREEDY))

    def test_same_seed_same_text(self):
        first = self.answer("Tell a story", "-n", "24", "--seed", "7", "--temperature", "1")
        self.assertEqual(first, self.answer("Tell a story", "-n", "24", "--seed", "7", "--temperature", "1"))
        self.assertNotEqual(first, self.answer("Tell a story", "-n", "24", "--seed", "8", "--temperature", "1"))

    def test_lookup_changes_no_text(self):
        prompt = "One apple, two pears, three plums. One apple, two pears, three plums. One apple,"
        for sampling in (GREEDY, ("--temperature", "1", "--seed", "5")):
            plain = json.loads(self.answer("--raw", prompt, "-n", "40", "--json", *sampling))
            done = self.run_program("run", REAL_MODEL, "--raw", prompt, "-n", "40", "--json", *sampling, "--lookup=8", "--verbose")
            self.assertEqual(done.returncode, 0, done.stderr)
            drafted = json.loads(done.stdout)
            self.assertEqual(drafted["response"], plain["response"])
            self.assertEqual((plain["drafted"], plain["accepted"]), (0, 0))
            self.assertGreaterEqual(drafted["drafted"], drafted["accepted"])
            self.assertRegex(done.stderr, r"lookup: +\d+ of \d+ drafted")
        self.check_fails(4, "run", REAL_MODEL, "--lookup=65", "Hello")

    def test_limits_and_stops(self):
        document = json.loads(self.answer("Count from 1 to 30", "-n", "5", "--json", *GREEDY))
        self.assertEqual((document["eval_count"], document["done_reason"]), (5, "length"))
        whole = self.answer("Name the capital of France in one sentence.", *GREEDY)
        cut = self.answer("Name the capital of France in one sentence.", *GREEDY, "--stop", "Paris", "--stop", "never said")
        self.assertEqual(cut.rstrip("\n"), whole.split("Paris")[0].rstrip("\n"))

    def test_system_message_changes_the_answer(self):
        self.assertNotEqual(
            self.answer("Who are you?", "-n", "24", *GREEDY),
            self.answer("Who are you?", "-n", "24", *GREEDY, "--system", "You are Captain Hook, a pirate."),
        )

    def test_raw_continues_the_text(self):
        text = self.answer("--raw", "The capital of France is", "-n", "8", *GREEDY)
        self.assertIn("Paris", text)

    def test_no_stream_prints_the_same(self):
        self.assertEqual(self.answer("Hi", "-n", "12", *GREEDY), self.answer("Hi", "-n", "12", *GREEDY, "--no-stream"))

    def test_other_tools_spellings(self):
        self.assertEqual(
            self.answer("Hi", "-n", "8", *GREEDY, "--ctx-size", "512", "--kv-cache-type", "q8_0"),
            self.answer("Hi", "--n-predict", "8", "--temp", "0", "-c", "512", "-ctk", "q8_0", "-ctv", "q8_0", "-b", "512"),
        )


    def test_CVE_2026_21869_counts_below_zero_are_refused(self):
        for option, value in (
            ("--max-tokens", "-3"), ("--ctx-size", "-1"), ("--batch-size", "-1"), ("--batch-size", "0"), ("--threads", "-1"),
            ("--repeat-last-n", "-2"), ("--top-k", "-2"), ("--dry-penalty-last-n", "-2"), ("--dry-allowed-length", "-1"),
            ("--ctx-size", "4294967296"), ("--ctx-size", "2147483648"), ("--max-tokens", "-9223372036854775809"),
        ):
            with self.subTest(option=option, value=value):
                error = self.check_fails(4, "run", REAL_MODEL, "hi", option, value)
                self.assertTrue(option in error or option[2:].replace("-", "_") in error or "context" in error, error)


class Memory(RealModelTest):
    def memory(self, *arguments):
        done = self.run_program("run", REAL_MODEL, "Hello!", "-n", "4", *GREEDY, "--json", *arguments)
        self.assertEqual(done.returncode, 0, done.stderr)
        return json.loads(done.stdout)["memory"]

    def test_C05_C06_C07_G02_kv_cache_types(self):
        sizes = {kind: self.memory("--kv-cache-type", kind) for kind in ("f32", "f16", "bf16", "q8_0", "q4_0")}
        for kind, memory in sizes.items():
            self.assertEqual((memory["key_type"], memory["value_type"]), (kind, kind))
        f16 = sizes["f16"]["kv_cache_size"]
        self.assertEqual(sizes["f32"]["kv_cache_size"], 2 * f16)
        self.assertEqual(sizes["bf16"]["kv_cache_size"], f16)
        self.assertAlmostEqual(sizes["q8_0"]["kv_cache_size"] / f16, 34 / 64, places=2)
        self.assertAlmostEqual(sizes["q4_0"]["kv_cache_size"] / f16, 18 / 64, places=2)
        self.assertEqual(self.memory()["key_type"], "f16")

    def test_keys_and_values_apart(self):
        memory = self.memory("--kv-cache-type-k", "q8_0", "--kv-cache-type-v", "f16")
        self.assertEqual((memory["key_type"], memory["value_type"]), ("q8_0", "f16"))

    def test_C12_C17_context_size(self):
        small = self.memory("--ctx-size", "512", "--kv-cache-type", "q4_0")
        self.assertEqual(small["context_size"], 512)
        self.assertEqual(8 * small["kv_cache_size"], self.memory("--ctx-size", "4096", "--kv-cache-type", "q4_0")["kv_cache_size"])

    def test_C14_batch_size(self):
        sizes = [self.memory("--batch-size", size)["scratch_size"] for size in ("128", "512", "2048")]
        self.assertLess(sizes[0], sizes[1])
        self.assertLess(sizes[1], sizes[2])

    def test_C18_gpu_layers_warn_on_a_cpu_build(self):
        done = self.run_program("run", REAL_MODEL, "Hello!", "-n", "2", "--gpu-layers", "20")
        self.assertEqual(done.returncode, 0)
        self.assertIn("Warning: ", done.stderr)
        self.assertEqual(self.run_program("run", REAL_MODEL, "Hello!", "-n", "2", "--gpu-layers", "-1").returncode, 0)

    def test_C16_verbose_tells_timings_and_memory(self):
        done = self.run_program("run", REAL_MODEL, "Hello!", "-n", "8", *GREEDY, "--verbose", "--ctx-size", "512", "--batch-size", "128")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertNotIn("duration", done.stdout)
        for pattern in (
            r"total duration: +\S+s", r"load duration: +\S+s", r"prompt eval count: +\d+ token\(s\)", r"prompt eval rate: +\S+ tokens/s",
            r"eval count: +8 token\(s\)", r"eval rate: +\S+ tokens/s", r"model size: +\S+ MiB", r"KV cache: +\S+ MiB \(f16\)",
            r"context used: +\d+/512 tokens", r"batch size: +128 tokens", r"compute buffer:", r"total allocated:", r"mmap: +on",
            r"mlock: +off",
        ):
            self.assertRegex(done.stderr, pattern)

    def test_environment_stands_in_for_flags(self):
        document = json.loads(self.check_ok("run", REAL_MODEL, "Hi", "-n", "1", "--json", MULLAMA_CONTEXT_SIZE="1024"))
        self.assertEqual(document["memory"]["context_size"], 1024)
        document = json.loads(self.check_ok("run", REAL_MODEL, "Hi", "-n", "1", "--json", "-c", "256", MULLAMA_CONTEXT_SIZE="1024"))
        self.assertEqual(document["memory"]["context_size"], 256)

    def test_C09_C10_mmap(self):
        self.assertIn("sha256-", self.maps())
        self.assertNotIn("sha256-", self.maps("--no-mmap"))

    def test_flags_win_over_what_the_model_itself_says(self):
        self.environment["MULLAMA_MODELS_DIR"] = str(self.models)
        path = self.run_program("show", REAL_MODEL, "--json", MULLAMA_MODELS_DIR=REAL_MODELS).stdout
        self.check_ok("create", "own", "-f", "-", text=f"FROM {json.loads(path)['path']}\nPARAMETER use_mmap false\nPARAMETER num_ctx 300\n")

        def told(*flags):
            done = self.run_program("run", "own", "Hi", "-n", "1", "--verbose", *flags)
            self.assertEqual(done.returncode, 0, done.stderr)
            return re.search(r"mmap: +(\w+)", done.stderr)[1], int(re.search(r"context used: +\d+/(\d+) tokens", done.stderr)[1])

        self.assertEqual(told(), ("off", 300))
        self.assertEqual(told("--mmap", "--no-mlock"), ("on", 300))
        self.assertEqual(told("--no-mmap", "-c", "200"), ("off", 200))
        self.check_fails(4, "run", "own", "Hi", "--mmap=maybe")

    def test_another_pre_tokenizer_may_be_asked_for(self):
        self.assertIn("unknown pre-tokenizer 'nosuch'", self.check_fails(1, "run", REAL_MODEL, "x", "--pre", "nosuch"))
        self.check_ok("run", REAL_MODEL, "x", "-n", "1", "--pre", "gpt-2")

    def test_C11_mlock(self):
        size = json.loads(self.check_ok("show", REAL_MODEL, "--json"))["size"]
        self.assertEqual(self.locked(self.while_answering("status")[0]), 0)
        status, notes = self.while_answering("status", "--mlock")
        if self.locked(status) < size:  # without the right to lock, it says how to get it and goes on
            self.assertIn("ulimit -l", notes)

    def locked(self, status):
        return 1024 * int(re.search(r"VmLck:\s+(\d+) kB", status)[1])

    def maps(self, *arguments):
        return self.while_answering("maps", *arguments)[0]

    def while_answering(self, file, *arguments):
        """A file of /proc/PID in the middle of an answer, and what the program had to say."""
        with tempfile.TemporaryFile() as notes:
            process = subprocess.Popen([BINARY, "run", REAL_MODEL, *STORY, *arguments], env=self.environment,
                                       stdout=subprocess.PIPE, stderr=notes, stdin=subprocess.DEVNULL)
            try:
                process.stdout.read(1)
                found = pathlib.Path(f"/proc/{process.pid}/{file}").read_text(encoding="utf-8")
            finally:
                process.kill()
                process.communicate()
            notes.seek(0)
            return found, notes.read().decode()

    def test_budget_has_an_exit_code_of_its_own(self):
        error = self.check_fails(8, "run", REAL_MODEL, "Hi", "--memory-budget", "20MiB")
        self.assertIn("budget 20.00 MiB", error)

    def test_a_full_context_is_said_so(self):
        for flags in ((), ("--no-stream",), ("--json",)):
            done = self.run_program("run", REAL_MODEL, "Write a long story about the sea.", *GREEDY, "--ctx-size", "64", *flags)
            self.assertEqual(done.returncode, 0)
            self.assertIn("context of 64 tokens is full", done.stderr, flags)


class Formats(RealModelTest):
    SCHEMA = {"type": "object", "required": ["name", "age"],
              "properties": {"name": {"type": "string", "maxLength": 20}, "age": {"type": "integer", "minimum": 0, "maximum": 150}}}

    def test_json_on_standard_output(self):
        out = self.check_ok("run", REAL_MODEL, "Describe Bob, who is 30, as JSON.", "--format", "json", "-n", "400", *GREEDY)
        self.assertIsInstance(json.loads(out), dict)

    def test_a_schema_in_a_file(self):
        schema = self.folder / "person.json"
        schema.write_text(json.dumps(self.SCHEMA))
        for extra in ((), ("--no-stream",), ("--raw",)):
            person = json.loads(self.check_ok("run", REAL_MODEL, "Bob is 30.", "--format", str(schema), *GREEDY, *extra))
            self.assertEqual(list(person), ["name", "age"])
            self.assertTrue(0 <= person["age"] <= 150)

    def test_what_is_cut_off_says_so(self):
        done = self.run_program("run", REAL_MODEL, "Bob", "--format", "json", "-n", "2", *GREEDY)
        self.assertEqual(done.returncode, 1)
        self.assertTrue(done.stdout.startswith("{"))
        self.assertIn("cut off", done.stderr)

    def test_a_bad_format_is_refused_before_the_model_answers(self):
        bad = self.folder / "bad.json"
        self.assertIn("no-such.json", self.check_fails(4, "run", REAL_MODEL, "x", "--format", "no-such.json"))
        bad.write_text("no JSON")
        self.assertIn("JSON Schema", self.check_fails(4, "run", REAL_MODEL, "x", "--format", str(bad)))
        bad.write_text('{"type": "strange"}')
        self.check_fails(4, "run", REAL_MODEL, "x", "--format", str(bad))


class Signals(RealModelTest):
    def test_interrupt_ends_the_answer_with_130(self):
        process = subprocess.Popen([BINARY, "run", REAL_MODEL, *STORY, "-n", "4000"], env=self.environment,
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL)
        process.stdout.read(1)
        process.send_signal(signal.SIGINT)
        _, error = process.communicate(timeout=60)
        self.assertEqual((process.returncode, error), (130, b""))

    def test_interrupt_while_reading_a_long_prompt(self):
        process = subprocess.Popen([BINARY, "run", REAL_MODEL, "word " * 7000, "-c", "8192", "-b", "128"], env=self.environment,
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL)
        try:
            self.wait_until_it_computes(process)
            begun = time.monotonic()
            process.send_signal(signal.SIGINT)
            output, _ = process.communicate(timeout=120)
        finally:
            process.kill()
            process.wait()
        self.assertEqual((process.returncode, output.strip()), (130, b""))
        self.assertLess(time.monotonic() - begun, 20)

    def test_termination_leaves_no_half_written_file(self):
        model = self.folder / "smaller.gguf"
        for sent in (signal.SIGINT, signal.SIGTERM):
            process = subprocess.Popen([BINARY, "quantize", REAL_MODEL, str(model), "Q4_K_M", "--allow-requantize", "--threads", "1"],
                                       env=self.environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL)
            try:
                self.wait_until_it_computes(process)
                process.send_signal(sent)
                output, error = process.communicate(timeout=60)
            finally:
                process.kill()
                process.wait()
            self.assertEqual((process.returncode, output), (130, b""), error)
            self.assertEqual([path.name for path in self.folder.glob("smaller*")], [])

    def wait_until_it_computes(self, process):
        """Until the program catches interrupts and has used more than loading takes of the processor."""
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline:
            with open(f"/proc/{process.pid}/status", encoding="utf-8") as status:
                caught = int(re.search(r"SigCgt:\t([0-9a-f]+)", status.read())[1], 16)
            with open(f"/proc/{process.pid}/stat", encoding="utf-8") as stat:
                ticks = int(stat.read().rpartition(")")[2].split()[11])
            if caught & 1 << signal.SIGINT - 1 and ticks > 0.4 * os.sysconf("SC_CLK_TCK"):
                return
            time.sleep(0.02)
        self.fail("it does not compute")

    def test_a_reader_that_leaves_ends_it_quietly(self):
        shell = subprocess.run(
            f"'{BINARY}' run {REAL_MODEL} {shlex.join(STORY)} -n 4000 </dev/null | head -c 5; echo \" ${{PIPESTATUS[0]}}\"",
            shell=True, executable="/bin/bash", capture_output=True, encoding="utf-8", env=self.environment, timeout=120, check=False,
        )
        self.assertEqual(shell.stderr, "")
        self.assertEqual(shell.stdout.split()[-1], "141")

    def test_C02_nothing_is_left_behind(self):
        for name in ("temporary", "runtime"):
            (self.folder / name).mkdir()
        self.environment.update(TMPDIR=str(self.folder / "temporary"), XDG_RUNTIME_DIR=str(self.folder / "runtime"))
        folders = (self.folder, pathlib.Path(REAL_MODELS))
        before = [sorted(folder.rglob("*")) for folder in folders]
        process = subprocess.Popen([BINARY, "run", REAL_MODEL, "Hi", "-n", "2"], env=self.environment, cwd=self.folder,
                                   stdout=subprocess.DEVNULL, stdin=subprocess.DEVNULL, start_new_session=True)
        self.assertEqual(process.wait(timeout=300), 0)
        self.assertEqual([sorted(folder.rglob("*")) for folder in folders], before)
        self.assertEqual(self.processes_of_session(process.pid), [])

    def processes_of_session(self, session):
        """What a program that was started in a session of its own has left running, daemons that fork once included."""
        found = []
        for folder in pathlib.Path("/proc").glob("[0-9]*"):
            try:
                if int((folder / "stat").read_text().rpartition(")")[2].split()[3]) == session:
                    found.append((folder / "cmdline").read_bytes())
            except (OSError, ValueError):
                continue  # it has ended meanwhile
        return found
