"""The server as a process: how it starts, ends, and what it says of its memory."""

import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import tempfile
import threading
import time
import unittest
import urllib.error
import urllib.request

from support import BINARY, MODEL, MODELS, Server, clean_environment, in_threads


class Ending(unittest.TestCase):
    def body(self, tokens):
        return {"model": MODEL, "prompt": "Count:", "raw": True, "options": {"temperature": 0, "num_predict": tokens}}

    def test_sigterm_lets_streams_end_and_exits_with_0(self):
        server = Server("--model", MODEL, "--parallel", "4", "--ctx-size", "1024")
        self.addCleanup(server.stop)
        started = threading.Barrier(4)

        def run(_):
            lines = []
            for _, line in server.stream("/api/generate", self.body(60)):
                lines.append(line)
                if len(lines) == 1:
                    started.wait(60)
            return lines

        def end():
            started.wait(60)
            server.process.send_signal(signal.SIGTERM)

        killer = threading.Thread(target=end)
        killer.start()
        streams = in_threads(run, range(3))
        killer.join()
        for lines in streams:
            self.assertTrue(lines[-1]["done"])
            self.assertEqual(lines[-1]["eval_count"], 60)
        self.assertEqual(server.process.wait(20), 0)

    def test_a_second_signal_stops_at_once_with_0(self):
        server = Server("--model", MODEL, "--parallel", "1", "--ctx-size", "8192")
        self.addCleanup(server.stop)
        stream = server.stream("/api/generate", self.body(6000))
        next(stream)
        server.process.send_signal(signal.SIGTERM)
        # A second signal that comes before the first is taken would be one with it.
        self.assertTrue(server.wait_until(lambda: "stopping:" in server.log()))
        time.sleep(0.5)
        self.assertIsNone(server.process.poll())
        begin = time.monotonic()
        server.process.send_signal(signal.SIGTERM)
        self.assertEqual(server.process.wait(10), 0)
        self.assertLess(time.monotonic() - begin, 3)


class Memory(unittest.TestCase):
    def test_C15_status_memory_and_metrics_agree_to_the_byte(self):
        with Server("--model", MODEL, "--parallel", "2", "--ctx-size", "1024", "--memory-budget", "1GiB") as server:
            def figures(report):
                return {(pool["device"], pool["pool"]): pool["bytes"] for pool in report["pools"]}

            before = figures(server.get("/memory")[1])
            server.post("/api/generate", {"model": MODEL, "prompt": "Hi", "stream": False, "options": {"num_predict": 4}})
            environment = {**server.environment, "MULLAMA_HOST": f"127.0.0.1:{server.port}"}
            # The samplers of a request that just ended are gone when its sequence is, its body once its connection's thread goes on.
            self.assertTrue(server.wait_until(lambda: server.running()["running"] == 0))
            self.assertTrue(server.wait_until(lambda: figures(server.get("/memory")[1]) == before), before)
            memory = server.get("/memory")[1]
            status = json.loads(subprocess.run([BINARY, "daemon", "status", "--json"], env=environment, capture_output=True, check=True).stdout)
            metrics = server.request("GET", "/metrics")[2].decode()
            text = subprocess.run([BINARY, "daemon", "status"], env=environment, capture_output=True, check=True, encoding="utf-8").stdout

            found = re.findall(r'^mullama_memory_bytes\{device="(.*)",pool="(.*)"\} (\d+)$', metrics, re.M)
            self.assertEqual(figures(memory), figures(status))
            self.assertEqual(figures(memory), {(device, pool): int(value) for device, pool, value in found})
            for (device, pool), value in figures(memory).items():
                self.assertRegex(text, rf"(?m)^\s*{device}\s+{re.escape(pool)}\s+{value}\s")
            planned = re.findall(r'^mullama_memory_planned_bytes\{device="(.*)",pool="(.*)"\} (\d+)$', metrics, re.M)
            self.assertEqual({(pool["device"], pool["pool"]): pool["planned"] for pool in memory["pools"]},
                             {(device, pool): int(value) for device, pool, value in planned})
            host = memory["devices"][0]
            self.assertEqual(host["bytes"], sum(figures(memory).values()))
            self.assertLessEqual(host["counted"], host["budget"])
            self.assertEqual(host["budget"], 1 << 30)
            self.assertIn(MODEL, text)
            # The ledger against the system: all that is resident is in a pool or in the remainder.
            resident = sum(pool.get("residency", {}).get("resident", 0) for pool in memory["pools"])
            self.assertEqual(memory["process"]["resident"], resident + memory["operating_system"]["total"])

    def test_unloading_returns_to_the_ledger_before(self):
        with Server("--parallel", "2", "--ctx-size", "1024") as server:
            def pools():
                return {pool["pool"]: pool["bytes"] for pool in server.get("/memory")[1]["pools"] if pool["bytes"]}
            before = pools()
            for _ in range(3):
                server.post("/api/generate", {"model": MODEL, "prompt": "Hi", "stream": False, "keep_alive": 0, "options": {"num_predict": 2}})
                self.assertTrue(server.wait_until(lambda: server.running() is None))
                self.assertTrue(server.wait_until(lambda: pools() == before), (pools(), before))

    def test_the_plans_of_server_and_model_are_what_is_held(self):
        with Server("--model", MODEL, "--parallel", "2", "--ctx-size", "1024") as server:
            report = server.get("/memory")[1]
            planned = {}
            for row in report["plan"] + report["models"][0]["plan"]:
                self.assertTrue(row["why"])
                if "sampler" not in row["why"]:
                    planned[row["pool"]] = planned.get(row["pool"], 0) + row["bytes"]
            held = {pool["pool"]: pool["bytes"] for pool in report["pools"]}
            # Pool runtime also holds the request that asks.
            for pool in ("weights (mapped)", "tokenizer", "threads", "kv", "scratch", "output"):
                self.assertEqual(planned[pool], held[pool], pool)
            # `plan` says the same beforehand, with the same reasons.
            plan = subprocess.run([BINARY, "plan", MODEL, "--parallel", "2", "--ctx-size", "1024", "--json"], env=server.environment,
                                  capture_output=True, check=True).stdout
            self.assertEqual([row for row in json.loads(plan)["rows"] if row["bytes"]], report["models"][0]["plan"])

    def test_receipts_are_told_newest_first(self):
        with Server("--model", MODEL, "--parallel", "1", "--ctx-size", "512") as server:
            self.assertEqual(server.get("/memory")[1]["receipts"], [])
            for tokens in (2, 3):
                server.post("/api/generate", {"model": MODEL, "prompt": "Hi", "stream": False, "options": {"num_predict": tokens, "temperature": 0}})
            receipts = server.get("/memory")[1]["receipts"]
            self.assertEqual([receipt["generated_tokens"] for receipt in receipts], [3, 2])
            self.assertEqual({receipt["model"] for receipt in receipts}, {MODEL})

    def test_release_idle_gives_pages_back_and_status_shows_it(self):
        with Server("--model", MODEL, "--parallel", "2", "--ctx-size", "2048", "--release-idle=3s") as server:
            environment = {**server.environment, "MULLAMA_HOST": f"127.0.0.1:{server.port}"}

            def kept(report):
                kv = next(pool for pool in report["pools"] if pool["pool"] == "kv")
                return kv["residency"]["resident"], report["models"][0]["prompt_cache_bytes"]

            def status():
                done = subprocess.run([BINARY, "daemon", "status", "--json"], env=environment, capture_output=True, check=True)
                return kept(json.loads(done.stdout))

            body = {"model": MODEL, "prompt": "red " * 400, "raw": True, "stream": False, "options": {"num_predict": 2, "temperature": 0}}
            text = server.post("/api/generate", body)[1]["response"]
            resident, cached = kept(server.get("/memory")[1])
            self.assertGreater(resident, 4 << 20)
            self.assertGreater(cached, 4 << 20)
            self.assertTrue(server.wait_until(lambda: status() == (0, 0), 30))
            self.assertEqual(server.post("/api/generate", body)[1]["response"], text)

    def test_fit_chooses_for_the_budget_and_logs_it(self):
        budget = 200 << 20
        with Server("--model", MODEL, "--parallel", "2", "--memory-budget", budget, "--fit") as server:
            chosen = re.search(r"chose --ctx-size (\d+) --kv-cache-type (\S+) for " + MODEL, server.log())
            self.assertTrue(chosen, server.log())
            model = server.running()
            self.assertEqual((model["context_size"], model["key_type"]), (int(chosen[1]), chosen[2]))
            host = server.get("/memory")[1]["devices"][0]
            self.assertLessEqual(host["bytes"], budget)
            self.assertGreater(host["bytes"], budget * 9 // 10)
            replies = in_threads(lambda _: server.post("/api/generate", {"model": MODEL, "prompt": "Hi", "stream": False, "options": {"num_predict": 4}}), range(4))
            self.assertEqual([status for status, _ in replies], [200] * 4)

    def test_flags_about_memory_are_checked(self):
        for flags in (("--release-idle=soon",), ("--fit", "--memory-budget", "1MiB", "--model", MODEL)):
            with self.assertRaises(RuntimeError):
                Server(*flags).stop()

    def test_keep_alive_ends(self):
        with Server("--parallel", "1", "--ctx-size", "512", "--keep-alive", "5s") as server:
            server.post("/api/generate", {"model": MODEL, "prompt": "Hi", "stream": False, "options": {"num_predict": 2}})
            self.assertIsNotNone(server.running())
            self.assertTrue(server.wait_until(lambda: server.running() is None, 30))

    def test_a_model_makes_room_for_another_in_one_budget_and_a_busy_one_stays(self):
        folder = pathlib.Path(tempfile.mkdtemp(prefix="mullama-two-"))
        self.addCleanup(shutil.rmtree, folder)
        shutil.copytree(MODELS, folder / "models", symlinks=True)
        with Server("--parallel", "1", "--ctx-size", "512", "--model", MODEL, models=folder / "models") as server:
            one = server.get("/memory")[1]["devices"][0]["bytes"]
        # One fits, two do not.
        with Server("--parallel", "1", "--ctx-size", "512", "--memory-budget", one * 8 // 5, models=folder / "models") as server:
            self.assertEqual(server.request("POST", "/api/copy", {"source": MODEL, "destination": "twin"})[0], 200)
            for name in (MODEL, "twin:latest", MODEL):
                self.assertEqual(server.post("/api/generate", {"model": name, "prompt": "x", "stream": False, "options": {"num_predict": 1}})[0], 200)
                self.assertEqual(server.running()["name"], name)
            busy = server.stream("/api/generate", {"model": MODEL, "prompt": "Count:", "raw": True, "options": {"num_predict": 100, "temperature": 0}})
            next(busy)
            status, reply = server.post("/api/generate", {"model": "twin", "prompt": "x", "stream": False, "options": {"num_predict": 1}})
            self.assertEqual(status, 200, reply)
            last = list(busy)[-1][1]
            self.assertTrue(last["done"])
            status, reply = server.post("/api/generate", {"model": "twin", "prompt": "x", "options": {"num_ctx": 8192}})
            self.assertEqual(status, 500)
            self.assertIn("insufficient memory", reply["error"])
            self.assertIn("need", reply["error"])


class Daemon(unittest.TestCase):
    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="mullama-daemon-"))
        self.addCleanup(shutil.rmtree, self.folder)
        self.environment = clean_environment(self.folder, MODELS)
        self.environment["MULLAMA_HOST"] = "127.0.0.1:1"

    def run_program(self, *arguments):
        return subprocess.run([BINARY, *arguments], env=self.environment, capture_output=True, encoding="utf-8", timeout=60, check=False,
                              stdin=subprocess.DEVNULL)

    def pid(self):
        return int((self.folder / "state" / "daemon.pid").read_text())

    def test_C15_X14_start_status_logs_restart_stop(self):
        done = self.run_program("daemon", "status")
        self.assertEqual(done.returncode, 2)
        self.assertIn("No daemon is running", done.stdout)
        self.assertFalse(json.loads(self.run_program("daemon", "status", "--json").stdout)["running"])
        for words in (("ps",), ("stop", MODEL), ("daemon", "ping"), ("daemon", "load", MODEL), ("daemon", "unload", MODEL)):
            done = self.run_program(*words)
            self.assertEqual((done.returncode, done.stdout), (2, ""))
            self.assertRegex(done.stderr, r"^Error: .*mullama daemon start\n$")

        started = self.run_program("daemon", "start", "--port", "0", "--model", MODEL, "--parallel", "2", "--ctx-size", "512")
        self.assertEqual(started.returncode, 0, started.stderr)
        self.addCleanup(self.run_program, "daemon", "stop", "-f")
        self.assertNotEqual(self.run_program("daemon", "start").returncode, 0)
        status = json.loads(self.run_program("daemon", "status", "--json").stdout)
        self.assertEqual(status["pid"], self.pid())
        self.assertEqual([model["name"] for model in status["models"]], [MODEL])
        # Memory as a user reads it: model, KV cache, and the whole of it.
        text = self.run_program("daemon", "status").stdout
        for row in status["pools"]:
            self.assertRegex(text, rf"(?m)^\s*host\s+{re.escape(row['pool'])}\s+{row['bytes']}\s")
        held = {row["pool"]: row["bytes"] for row in status["pools"]}
        self.assertEqual(held["kv"], status["models"][0]["kv_bytes"])
        self.assertEqual(held["weights (mapped)"], status["models"][0]["weight_bytes"])
        self.assertEqual(status["unaccounted"], 0)
        self.assertIn(MODEL, self.run_program("ps").stdout)
        self.assertEqual(self.run_program("stop", MODEL).returncode, 0)
        self.assertNotIn(MODEL, self.run_program("ps").stdout)
        self.assertRegex(self.run_program("daemon", "ping").stdout, r"^The daemon at \S+ answers in [0-9.]+ ms\.\n$")
        self.assertEqual(self.run_program("daemon", "load", MODEL, "--keep-alive", "2h").returncode, 0)
        self.assertRegex(self.run_program("ps").stdout, rf"(?m)^{MODEL} .* (2 hours|1[0-9]{{2}} minutes) from now$")
        self.assertEqual(self.run_program("daemon", "unload", MODEL).returncode, 0)
        self.assertNotIn(MODEL, self.run_program("ps").stdout)
        self.assertEqual(self.run_program("daemon", "load", MODEL, "--keep-alive", "soon").returncode, 4)
        self.assertEqual(self.run_program("daemon", "load", "nosuch").returncode, 3)
        self.assertIn("listening on", self.run_program("daemon", "logs").stdout)

        before = self.pid()
        self.assertEqual(self.run_program("daemon", "restart").returncode, 0)
        self.assertNotEqual(self.pid(), before)
        self.assertEqual(json.loads(self.run_program("daemon", "status", "--json").stdout)["models"][0]["parallel"], 2)
        self.assertEqual(self.run_program("daemon", "stop").stdout, "Daemon stopped.\n")
        self.assertIn("No daemon is running", self.run_program("daemon", "stop").stdout)

    def logged(self, **variables):
        """What a daemon logs that answers one request with an option it does not know."""
        self.environment.update(variables)
        started = self.run_program("daemon", "start", "--port", "0", "--model", MODEL, "--ctx-size", "256")
        self.assertEqual(started.returncode, 0, started.stderr)
        try:
            status = json.loads(self.run_program("daemon", "status", "--json").stdout)
            body = {"model": MODEL, "prompt": "x", "stream": False, "options": {"num_predict": 1, "odd": 1}}
            with urllib.request.urlopen(f"http://{status['address']}/api/generate", json.dumps(body).encode(), timeout=60) as reply:
                self.assertEqual(reply.status, 200)
            with self.assertRaises(urllib.error.HTTPError):  # a path cannot begin a line of the log
                urllib.request.urlopen(f"http://{status['address']}/%0Aforged", timeout=60)
        finally:
            self.run_program("daemon", "stop")
            log = self.run_program("daemon", "logs").stdout
            for name in variables:
                del self.environment[name]
            (self.folder / "state" / "daemon.log").unlink()
        self.assertNotIn("\nforged", log)
        return ["listening on" in log, "Warning:" in log, "POST /api/generate 200" in log]

    def test_the_environment_says_what_is_logged(self):
        self.assertEqual(self.logged(), [True, True, False])
        self.assertEqual(self.logged(MULLAMA_LOG_LEVEL="debug"), [True, True, True])
        self.assertEqual(self.logged(OLLAMA_DEBUG="1"), [True, True, True])
        self.assertEqual(self.logged(OLLAMA_DEBUG="1", MULLAMA_LOG_LEVEL="warn"), [False, True, False])
        self.assertEqual(self.logged(MULLAMA_LOG_LEVEL="error"), [False, False, False])
        with Server(OLLAMA_FLASH_ATTENTION="0") as server:
            self.assertIn("Warning: OLLAMA_FLASH_ATTENTION cannot be switched off", server.log())
        for name, value in (("MULLAMA_LOG_LEVEL", "loud"), ("OLLAMA_LOAD_TIMEOUT", "soon")):
            done = subprocess.run([BINARY, "serve", "--port", "0"], env={**self.environment, name: value}, capture_output=True,
                                  encoding="utf-8", timeout=60, check=False, stdin=subprocess.DEVNULL)
            self.assertEqual(done.returncode, 4)
            self.assertRegex(done.stderr, rf"^Error: the environment variable {name} .*'{value}'")

    def test_kill_9_then_start_works(self):
        self.assertEqual(self.run_program("daemon", "start", "--port", "0").returncode, 0)
        self.addCleanup(self.run_program, "daemon", "stop", "-f")
        first = self.pid()
        os.kill(first, signal.SIGKILL)
        deadline = time.monotonic() + 10
        while "No daemon is running" not in self.run_program("daemon", "status").stdout and time.monotonic() < deadline:
            time.sleep(0.05)
        started = self.run_program("daemon", "start", "--port", "0")
        self.assertEqual(started.returncode, 0, started.stderr)
        self.assertNotEqual(self.pid(), first)

    def test_a_file_may_get_a_name(self):
        path = json.loads(self.run_program("show", MODEL, "--json").stdout)["path"]
        started = self.run_program("daemon", "start", "--port", "0", "--ctx-size", "256", "--model", f"one={path}", "--model", f"two:{path}")
        self.assertEqual(started.returncode, 0, started.stderr)
        self.addCleanup(self.run_program, "daemon", "stop", "-f")
        status = json.loads(self.run_program("daemon", "status", "--json").stdout)
        self.assertEqual(sorted(model["name"] for model in status["models"]), ["one:latest", "two:latest"])

    def test_a_daemon_that_cannot_start_says_why(self):
        done = self.run_program("daemon", "start", "--port", "0", "--model", "./nothere.gguf")
        self.assertNotEqual(done.returncode, 0)
        self.assertIn("nothere.gguf", done.stderr)
