"""Mixed load under a hard budget: what is accepted is answered or refused with a reason, memory stays, nothing is left over.

MULLAMA_SOAK_SECONDS says how long; the default is short. By hand, for half an hour:

    MULLAMA_BINARY=build/bin/mullama MULLAMA_TEST_MODELS=build/models python3 tests/server/test_soak.py --seconds 1800
"""

import contextlib
import http.client
import itertools
import json
import math
import os
import pathlib
import random
import shutil
import socket
import sys
import tempfile
import threading
import time
import unittest

from support import MODEL, MODELS, Server, in_threads

if __name__ == "__main__" and "--seconds" in sys.argv:
    at = sys.argv.index("--seconds")
    os.environ["MULLAMA_SOAK_SECONDS"] = sys.argv[at + 1]
    del sys.argv[at:at + 2]
SECONDS = float(os.environ.get("MULLAMA_SOAK_SECONDS", "20"))
CLIENTS = 16
# What the heap may grow by under load.
GROWTH = 4 << 20
# Longer than a server lets a request wait for another model to leave (five minutes): it is to answer or to say why not.
PATIENCE = 600


class Client:
    def __init__(self, server, seed):
        self.server = server
        self.random = random.Random(seed)
        self.counts = {}

    def count(self, what):
        self.counts[what] = self.counts.get(what, 0) + 1

    def model(self):
        return self.random.choice((MODEL, MODEL, MODEL, "twin"))

    def body(self, **options):
        words = ("river", "stone", "light", "seven", "green", "paper")
        prompt = " ".join(self.random.choice(words) for _ in range(self.random.choice((3, 20, 120))))
        return {"model": self.model(), "prompt": prompt, "raw": True,
                "options": {"num_predict": self.random.randint(1, 24), "seed": self.random.randint(0, 9), **options}}

    def check(self, status, reply):
        assert status in (200, 400, 404, 500, 503), (status, reply)
        if status != 200:
            assert reply["error"], reply
        assert status != 500, reply
        self.count(status)

    def answer(self):
        self.check(*self.server.post("/api/generate", {**self.body(), "stream": False}, timeout=PATIENCE))

    def stream(self):
        with contextlib.suppress(RuntimeError):  # refused before it began
            last = None
            for _, last in self.server.stream("/api/generate", self.body(), timeout=PATIENCE):
                pass
            assert last and (last.get("done") or last.get("error")), last
            self.count("stream")

    def leave(self):
        connection = http.client.HTTPConnection("127.0.0.1", self.server.port, timeout=60)
        with contextlib.closing(connection):
            connection.request("POST", "/api/generate", json.dumps(self.body(num_predict=400)))
            time.sleep(self.random.random() * 0.3)
        self.count("left")

    def cancel(self):
        stream = self.server.stream("/api/chat", {"model": self.model(), "messages": [{"role": "user", "content": "Count to one hundred."}],
                                                  "options": {"num_predict": 400}}, timeout=PATIENCE)
        with contextlib.suppress(RuntimeError), contextlib.closing(stream):
            # An answer may be shorter than what is waited for.
            for _ in itertools.islice(stream, self.random.randint(1, 4)):
                pass
        self.count("canceled")

    def formatted(self):
        schema = {"type": "object", "properties": {"name": {"type": "string", "maxLength": 8}, "n": {"type": "integer", "minimum": 0, "maximum": 9}},
                  "required": ["name", "n"]}
        status, reply = self.server.post("/api/generate", {**self.body(num_predict=60), "raw": False, "stream": False, "format": schema}, timeout=PATIENCE)
        self.check(status, reply)
        if status == 200 and reply["done_reason"] == "stop":
            assert set(json.loads(reply["response"])) == {"name", "n"}, reply

    def embed(self):
        self.check(*self.server.post("/api/embed", {"model": self.model(), "input": ["one", "two words"]}, timeout=PATIENCE))

    def oversized(self):
        self.check(*self.server.post("/api/generate", {"model": MODEL, "prompt": "word " * 3000, "stream": False}, timeout=PATIENCE))
        status, reply = self.server.post("/api/generate", {"model": MODEL, "prompt": "x", "options": {"num_ctx": 100_000}, "stream": False},
                                          timeout=PATIENCE)
        assert status == 500 and "insufficient memory" in reply["error"], (status, reply)
        self.count("refused")

    def broken(self):
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.server.port), timeout=10) as connection:
            connection.sendall(self.random.choice((b"\x00\x01\x02\r\n\r\n", b"POST /api/chat HTTP/1.1\r\nHost: localhost\r\nContent-Length: 50\r\n\r\n{",
                                                   b"GET /", b"POST /api/generate HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\n{]")))
        self.count("broken")

    def run(self, end):
        actions = (self.answer, self.answer, self.stream, self.stream, self.leave, self.cancel, self.formatted, self.embed, self.oversized,
                   self.broken)
        while time.monotonic() < end:
            self.random.choice(actions)()
        return self.counts


class Watch:
    """Asks a server for its memory now and then, and keeps the most it has seen. An error of its own is raised at the end."""

    def __init__(self, server):
        self.server = server
        self.most = {"counted": 0, "resident": 0}
        self.error = None
        self.ended = threading.Event()
        self.thread = threading.Thread(target=self.run)

    def run(self):
        try:
            while not self.ended.wait(0.5):
                self.look()
        except Exception as error:  # pylint: disable=broad-except
            self.error = error

    def look(self):
        # A connection that a full budget has no stack for is refused, and may be gone before the request is sent.
        with contextlib.suppress(ConnectionError):
            status, report = self.server.get("/memory")
            if status != 503:
                self.most["counted"] = max(self.most["counted"], report["devices"][0]["counted"])
                self.most["resident"] = max(self.most["resident"], report["process"]["resident"])

    def __enter__(self):
        self.thread.start()
        return self.most

    def __exit__(self, *_):
        self.ended.set()
        self.thread.join()
        if self.error:
            raise self.error


class Soak(unittest.TestCase):
    def test_mixed_load(self):
        folder = pathlib.Path(tempfile.mkdtemp(prefix="mullama-soak-"))
        self.addCleanup(shutil.rmtree, folder)
        shutil.copytree(MODELS, folder / "models", symlinks=True)
        with Server("--parallel", "4", "--ctx-size", "512", "--model", MODEL, models=folder / "models") as server:
            # Room for one of the two models and the memory of its requests: they take turns.
            budget = server.get("/memory")[1]["devices"][0]["bytes"] * 8 // 5
        with Server("--parallel", "4", "--ctx-size", "512", "--max-queue", "32", "--memory-budget", budget, "--model", MODEL,
                    models=folder / "models") as server:
            self.assertEqual(server.request("POST", "/api/copy", {"source": MODEL, "destination": "twin"})[0], 200)
            # What grows once (stacks, arenas, buffers of libraries) grows now.
            in_threads(lambda seed: Client(server, seed).run(time.monotonic() + min(10, SECONDS / 2)), range(CLIENTS))
            before = self.quiet_heap(server)
            with Watch(server) as most:
                counts = in_threads(lambda seed: Client(server, seed).run(time.monotonic() + SECONDS), range(100, 100 + CLIENTS))
            after = self.quiet_heap(server, before + GROWTH)
            report = server.get("/memory")[1]
            total = {}
            for entry in counts:
                for what, number in entry.items():
                    total[what] = total.get(what, 0) + number
            print(f"{SECONDS:.0f} s: {total}; heap {before} -> {after}, most {most}, budget {budget}, "
                  f"loads {server.log().count('loaded ')}")
            self.assertIsNone(server.process.poll())
            self.assertGreater(total.get(200, 0), 0)
            self.assertLess(after, before + GROWTH)
            self.assertGreater(most["counted"], 0)
            self.assertLessEqual(max(most["counted"], report["devices"][0]["counted"]), budget)

    def quiet_heap(self, server, bound=math.inf):
        """The least anonymous memory outside the pools, with every model gone. Looks for 2 seconds, or for up to 20 until it is below
        the bound: a model leaves the list before it is freed and the heap trimmed."""
        def unloaded():
            # A request whose client has left may load a model once more.
            if model := server.running():
                server.post("/api/generate", {"model": model["name"], "keep_alive": 0, "stream": False})
            return model is None

        self.assertTrue(server.wait_until(unloaded, 60))
        heap = math.inf
        begin = time.monotonic()
        while time.monotonic() - begin < (2 if heap < bound else 20):
            if unloaded():
                heap = min(heap, server.get("/memory")[1]["operating_system"]["heap"])
            time.sleep(0.1)
        return heap


if __name__ == "__main__":
    unittest.main()
