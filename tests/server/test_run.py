"""`mullama run` beside a daemon: it asks one that has the model in memory, works by itself otherwise, and leaves nothing behind."""

import http.server
import json
import pathlib
import shutil
import signal
import subprocess
import tempfile
import threading
import time
import unittest

from support import BINARY, MODEL, MODELS, Server, clean_environment

GREEDY = ("--temperature", "0", "-n", "16")
# Random answers to this prompt end early now and then; the greedy one goes on for thousands of tokens.
LONG_ANSWER = ("--raw", "Count:", "-n", "1500", "--temperature", "0")
QUESTION = "Name the capital of France in one sentence."


def run(server, *arguments, check=True, **variables):
    environment = {**server.environment, "MULLAMA_HOST": f"127.0.0.1:{server.port}", **variables}
    done = subprocess.run([BINARY, "run", *arguments], env=environment, capture_output=True, encoding="utf-8", timeout=120, check=False,
                          stdin=subprocess.DEVNULL)
    if check and done.returncode != 0:
        raise AssertionError(done.stderr)
    return done


class WithADaemon(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = Server("--model", MODEL, "--parallel", "2", "--ctx-size", "2048")

    @classmethod
    def tearDownClass(cls):
        cls.server.stop()

    def requests(self):
        return self.server.get("/memory")[1]["requests"]

    def asked(self, *arguments, **options):
        """What `run` gives, and whether the daemon answered."""
        before = self.requests()
        done = run(self.server, *arguments, **options)
        return done, self.requests() > before

    def test_X06_the_daemon_answers_as_the_program_itself_does(self):
        for arguments in ((QUESTION, *GREEDY), (QUESTION, *GREEDY, "--system", "You are Captain Hook, a pirate."),
                          ("--raw", "The capital of France is", *GREEDY), (QUESTION, "-n", "24", "--seed", "7", "--temperature", "1.2"),
                          (QUESTION, *GREEDY, "--stop", "Paris"), (QUESTION, *GREEDY, "--no-stream"),
                          (QUESTION, "-n", "24", "--seed", "5", "--top-k", "20", "--min-p", "0.1", "--repeat-penalty", "1.2")):
            with self.subTest(arguments):
                done, by_daemon = self.asked(MODEL, *arguments)
                self.assertTrue(by_daemon)
                self.assertEqual(done.stderr, "")
                alone, by_daemon = self.asked(MODEL, *arguments, "--no-daemon")
                self.assertFalse(by_daemon)
                self.assertEqual(done.stdout, alone.stdout)

    def test_formats_go_along(self):
        with tempfile.NamedTemporaryFile("w", suffix=".json") as schema:
            json.dump({"type": "object", "properties": {"n": {"type": "integer", "minimum": 0, "maximum": 9}}, "required": ["n"]}, schema)
            schema.flush()
            done, by_daemon = self.asked(MODEL, "A number", "--format", schema.name, "--temperature", "0", "-n", "60")
        self.assertTrue(by_daemon)
        self.assertIn(json.loads(done.stdout)["n"], range(10))
        cut, _ = self.asked(MODEL, "Numbers", "--format", "json", "--temperature", "0", "-n", "2", check=False)
        self.assertEqual(cut.returncode, 1)
        self.assertIn("cut off", cut.stderr)

    def test_verbose_and_json_tell_who_answered(self):
        done, _ = self.asked(MODEL, QUESTION, *GREEDY, "--verbose")
        for pattern in (r"load duration: +0", r"eval count: +\d+ token\(s\)", rf"answered by: +the daemon at 127.0.0.1:{self.server.port}",
                        r"model size: .*shared", r"KV cache: +\S+ MiB \(f16\)", r"context used: +\d+/2048 tokens", r"this request: +KV"):
            self.assertRegex(done.stderr, pattern)
        document = json.loads(self.asked(MODEL, QUESTION, *GREEDY, "--json")[0].stdout)
        self.assertEqual(document["daemon"]["pid"], self.server.process.pid)
        self.assertEqual(document["memory"]["name"], MODEL)
        self.assertGreater(document["receipt"]["kv_bytes"], 0)
        self.assertIn("Paris", document["response"])

    def test_flags_about_memory_load_the_model_here_and_say_so(self):
        for flags in (("--ctx-size", "512"), ("--kv-cache-type", "q8_0"), ("--no-mmap",), ("--threads", "1"), ("--memory-budget", "2GiB"), ("--fit",), ("--grow",), ("--keepalive", "5m")):
            with self.subTest(flags):
                done, by_daemon = self.asked(MODEL, QUESTION, *GREEDY, *flags)
                self.assertFalse(by_daemon)
                self.assertIn("Paris", done.stdout)
                self.assertEqual(done.stderr.count("Note: the daemon at"), 1, done.stderr)
        self.assertEqual(self.asked(MODEL, QUESTION, *GREEDY, "--ctx-size", "512", "-q")[0].stderr, "")

    def test_a_file_is_this_process_s(self):
        path = next(blob for blob in pathlib.Path(MODELS).glob("blobs/sha256-*") if blob.open("rb").read(4) == b"GGUF")
        self.assertFalse(self.asked(str(path), QUESTION, *GREEDY)[1])

    def test_another_model_of_the_same_name_is_not_taken_for_it(self):
        folder = pathlib.Path(tempfile.mkdtemp(prefix="mullama-other-"))
        self.addCleanup(shutil.rmtree, folder)
        shutil.copytree(MODELS, folder / "models", symlinks=True)
        (folder / "Modelfile").write_text(f"FROM {MODEL}\nSYSTEM You are a pirate.\n")
        environment = {**self.server.environment, "MULLAMA_MODELS_DIR": str(folder / "models")}
        subprocess.run([BINARY, "create", MODEL, "-f", str(folder / "Modelfile")], env=environment, check=True, capture_output=True)
        self.assertFalse(self.asked(MODEL, QUESTION, *GREEDY, MULLAMA_MODELS_DIR=str(folder / "models"))[1])
        # Who has no model of that name takes the daemon's.
        (folder / "none").mkdir()
        done, by_daemon = self.asked(MODEL, QUESTION, *GREEDY, MULLAMA_MODELS_DIR=str(folder / "none"))
        self.assertTrue(by_daemon)
        self.assertIn("Paris", done.stdout)

    def test_ctrl_c_ends_the_answer_and_frees_its_place(self):
        environment = {**self.server.environment, "MULLAMA_HOST": f"127.0.0.1:{self.server.port}"}
        process = subprocess.Popen([BINARY, "run", MODEL, *LONG_ANSWER], env=environment, stdout=subprocess.PIPE,
                                   stderr=subprocess.PIPE, stdin=subprocess.DEVNULL)
        self.assertTrue(self.server.wait_until(lambda: self.server.running()["running"] == 1))
        process.stdout.read(1)
        process.send_signal(signal.SIGINT)
        begin = time.monotonic()
        self.assertEqual(process.wait(20), 130, process.stderr.read())
        self.assertLess(time.monotonic() - begin, 5)
        process.stdout.close()
        process.stderr.close()
        self.assertTrue(self.server.wait_until(lambda: self.server.running()["running"] == 0, 5))

    def test_errors_of_the_daemon_are_told(self):
        done, by_daemon = self.asked(MODEL, "word " * 3000, *GREEDY, check=False)
        self.assertTrue(by_daemon)
        self.assertEqual((done.returncode, done.stdout), (1, ""))
        self.assertIn("the context holds 2048", done.stderr)
        # The program itself ends with the same code.
        alone, by_daemon = self.asked(MODEL, "word " * 3000, *GREEDY, "--no-daemon", "--ctx-size", "2048", check=False)
        self.assertFalse(by_daemon)
        self.assertEqual((alone.returncode, alone.stdout), (done.returncode, ""))


class OwnTemplate(unittest.TestCase):
    """A real model with a template beside its file: one system message in every conversation."""

    def test_with_a_daemon_and_without_it_answers(self):
        system = "You answer like a pirate."
        turn = "<|im_start|>{}\n{}<|im_end|>\n"
        go = turn.format("system", system) + "{{ range .Messages }}" + turn.format("{{ .Role }}", "{{ .Content }}") + "{{ end }}<|im_start|>assistant\n"
        jinja = (turn.format("system", system) + "{% for m in messages %}{{ '<|im_start|>' + m.role + '\\n' + m.content + '<|im_end|>\\n' }}{% endfor %}"
                 "{{ '<|im_start|>assistant\\n' }}")
        folder = pathlib.Path(tempfile.mkdtemp(prefix="mullama-template-"))
        self.addCleanup(shutil.rmtree, folder)
        environment = {**clean_environment(folder, folder / "models"), "OLLAMA_MODELS": MODELS}
        for name, template in (("go", go), ("jinja", jinja)):
            (folder / "Modelfile").write_text(f'FROM {MODEL}\nTEMPLATE """{template}"""\n')
            subprocess.run([BINARY, "create", name, "-f", str(folder / "Modelfile")], env=environment, check=True, capture_output=True)
        with Server("--model", "go", "--model", "jinja", "--parallel", "1", "--ctx-size", "512", models=folder / "models", OLLAMA_MODELS=MODELS) as server:
            plain, expected = (json.loads(run(server, MODEL, "Who are you?", *GREEDY, "--json", *more).stdout) for more in ((), ("--system", system)))
            self.assertNotEqual(plain["response"], expected["response"])
            for name in ("go", "jinja"):
                for more in ((), ("--no-daemon",)):
                    with self.subTest(name=name, more=more):
                        answer = json.loads(run(server, name, "Who are you?", *GREEDY, "--json", *more).stdout)
                        self.assertEqual("daemon" in answer, not more)
                        self.assertEqual(answer["response"], expected["response"])
                        self.assertEqual(answer["prompt_eval_count"], expected["prompt_eval_count"])


class SomeDaemon(http.server.BaseHTTPRequestHandler):
    """Has a model in memory and fails to answer, as `reply` says: a status and the bytes of its body."""

    reply = None

    def answer(self, status, body):
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):  # pylint: disable=invalid-name
        self.answer(200, json.dumps({"pid": 1, "models": [{"name": "some:latest", "context_size": 512}]}).encode())

    def do_POST(self):  # pylint: disable=invalid-name
        self.rfile.read(int(self.headers["Content-Length"]))
        if self.path == "/api/show":
            self.answer(200, json.dumps({"modelfile": "FROM some.gguf\n", "capabilities": ["completion"]}).encode())
        else:
            self.answer(*self.reply)

    def log_message(self, *_):  # pylint: disable=arguments-differ
        pass


class Causes(unittest.TestCase):
    def code(self, status, **error):
        """What `run` ends with where the daemon answers so, at once or within a stream."""
        handler = type("Handler", (SomeDaemon,), {"reply": (status, json.dumps(error).encode() + b"\n")})
        with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as daemon, tempfile.TemporaryDirectory() as folder:
            thread = threading.Thread(target=daemon.serve_forever, args=(0.02,))
            thread.start()
            try:
                environment = {**clean_environment(pathlib.Path(folder), pathlib.Path(folder) / "models"), "MULLAMA_HOST": f"127.0.0.1:{daemon.server_port}"}
                done = subprocess.run([BINARY, "run", "some", "Hi"], env=environment, capture_output=True, encoding="utf-8", timeout=60, check=False,
                                      stdin=subprocess.DEVNULL)
            finally:
                daemon.shutdown()
                thread.join()
        self.assertEqual((done.stdout, done.stderr), ("", f"Error: {error['error']}\n"))
        return done.returncode

    def test_a_daemons_error_has_the_exit_code_of_its_cause(self):
        for status, code, expected in ((500, "budget_exceeded", 8), (400, "context_full", 1), (400, "invalid_argument", 4), (403, "permission", 7),
                                       (504, "timeout", 6), (404, "not_found", 3), (503, "unavailable", 1), (200, "budget_exceeded", 8)):
            with self.subTest(code=code, status=status):
                self.assertEqual(self.code(status, error="too much", code=code), expected)

    def test_a_daemon_that_names_no_cause_is_read_by_its_status(self):
        for status, expected in ((400, 4), (404, 3), (500, 1), (200, 1)):
            with self.subTest(status):
                self.assertEqual(self.code(status, error="too much"), expected)
                self.assertEqual(self.code(status, error="too much", code="some other word"), expected)


class Gone(unittest.TestCase):
    def test_a_daemon_that_dies_in_the_middle_of_an_answer_is_told(self):
        with Server("--model", MODEL, "--parallel", "1", "--ctx-size", "2048") as server:
            environment = {**server.environment, "MULLAMA_HOST": f"127.0.0.1:{server.port}"}
            process = subprocess.Popen([BINARY, "run", MODEL, *LONG_ANSWER], env=environment, stdout=subprocess.PIPE,
                                       stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, encoding="utf-8")
            self.assertTrue(process.stdout.read(1))
            server.process.kill()
            _, error = process.communicate(timeout=20)
            self.assertEqual(process.returncode, 2, error)
            self.assertRegex(error, r"\AError: the daemon at 127\.0\.0\.1:\d+ [^\n]*\n\Z")


class WithoutTheModel(unittest.TestCase):
    def test_X06_a_daemon_without_the_model_stays_without(self):
        with Server("--parallel", "1", "--ctx-size", "512") as server:
            self.assertIn("Paris", run(server, MODEL, QUESTION, *GREEDY).stdout)
            self.assertIsNone(server.running())

    def test_a_daemon_that_lets_us_not_in_is_not_asked(self):
        with Server("--model", MODEL, "--parallel", "1", "--ctx-size", "512", "--api-key", "secret") as server:
            self.assertNotIn("daemon", json.loads(run(server, MODEL, QUESTION, *GREEDY, "--json").stdout))
            self.assertIn("daemon", json.loads(run(server, MODEL, QUESTION, *GREEDY, "--json", MULLAMA_API_KEY="secret").stdout))

    def test_X06_none_runs_and_none_is_left(self):
        with Server() as server:
            environment = dict(server.environment)
        done = run(server, MODEL, QUESTION, *GREEDY)
        self.assertIn("Paris", done.stdout)
        self.assertEqual(done.stderr, "")
        status = subprocess.run([BINARY, "daemon", "status", "--json"], env={**environment, "MULLAMA_HOST": f"127.0.0.1:{server.port}"},
                                capture_output=True, check=False)
        self.assertFalse(json.loads(status.stdout)["running"])
