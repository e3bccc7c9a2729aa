"""What the tests of the server share: a server on a free port of this machine, and requests to it."""

import contextlib
import http.client
import json
import os
import pathlib
import re
import shutil
import socket
import subprocess
import tempfile
import threading
import time
import unittest

BINARY = os.environ["MULLAMA_BINARY"]
MODELS = os.environ.get("MULLAMA_TEST_MODELS", "")
MODEL = "smollm2:135m"


def clean_environment(folder, models):
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("MULLAMA_", "OLLAMA_"))}
    environment.update(HOME=str(folder), MULLAMA_MODELS_DIR=str(models), MULLAMA_STATE_DIR=str(folder / "state"))
    if "MULLAMA_ISA" in os.environ:
        environment["MULLAMA_ISA"] = os.environ["MULLAMA_ISA"]
    return environment


def wait_for_port(process, log_path, seconds=120):
    """The port of a `serve --port 0`, as its log tells."""
    deadline = time.monotonic() + seconds
    while True:
        if listening := re.search(r"listening on \S+:(\d+)\s", log_path.read_text(errors="replace")):
            return int(listening[1])
        if process.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError("the server did not start: " + log_path.read_text(errors="replace"))
        time.sleep(0.02)


class Server:
    """A `mullama serve` of our own."""

    def __init__(self, *arguments, models=MODELS, **variables):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="mullama-server-"))
        self.environment = {**clean_environment(self.folder, models), **variables}
        self.log_path = self.folder / "log"
        with open(self.log_path, "wb") as log:
            self.process = subprocess.Popen([BINARY, "serve", "--port", "0", *map(str, arguments)], stdout=log, stderr=log,
                                            stdin=subprocess.DEVNULL, env=self.environment)
        try:
            self.port = wait_for_port(self.process, self.log_path)
        except RuntimeError:
            self.stop()
            raise

    def log(self):
        return self.log_path.read_text(errors="replace")

    def stop(self):
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    def request(self, method, path, body=None, headers=None, timeout=120):
        """Status, headers and body."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)
        with contextlib.closing(connection):
            data = json.dumps(body).encode() if isinstance(body, (dict, list)) else body
            connection.request(method, path, data, headers or {})
            reply = connection.getresponse()
            return reply.status, dict(reply.getheaders()), reply.read()

    def post(self, path, body, **options):
        """Status and JSON."""
        status, _, data = self.request("POST", path, body, **options)
        return status, json.loads(data)

    def get(self, path, **options):
        status, _, data = self.request("GET", path, **options)
        return status, json.loads(data)

    def stream(self, path, body, timeout=120):
        """The documents of an NDJSON stream, each with the time at which it came."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)
        with contextlib.closing(connection):
            connection.request("POST", path, json.dumps(body))
            reply = connection.getresponse()
            if reply.status != 200:
                raise RuntimeError(f"{reply.status} {reply.read()!r}")
            while line := reply.readline():
                yield time.monotonic(), json.loads(line)

    def raw(self, data, timeout=30):
        """What comes back for bytes as they are, until the server closes."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=timeout) as connection:
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                connection.sendall(data)
            answer = b""
            with contextlib.suppress(ConnectionResetError):
                while piece := connection.recv(65536):
                    answer += piece
            return answer

    def running(self):
        """The one model in memory, as /memory tells."""
        models = self.get("/memory")[1]["models"]
        return models[0] if models else None

    def wait_until(self, condition, seconds=20):
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if condition():
                return True
            time.sleep(0.02)
        return False


class ServerTest(unittest.TestCase):
    """Tests that share one server; `arguments` are its flags."""

    arguments = ()
    variables = {}

    @classmethod
    def setUpClass(cls):
        cls.server = Server(*cls.arguments, **cls.variables)

    @classmethod
    def tearDownClass(cls):
        cls.server.stop()


def in_threads(work, items):
    """work(item) for all items at once; the results in order. The first error is raised."""
    results = [None] * len(items)
    errors = []

    def run(index):
        try:
            results[index] = work(items[index])
        except Exception as error:  # pylint: disable=broad-except
            errors.append(error)

    threads = [threading.Thread(target=run, args=(index,)) for index in range(len(items))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]
    return results
