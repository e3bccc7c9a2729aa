"""What strangers may try. Each test that stands for a row of the list of threats is named after it."""

import contextlib
import json
import os
import pathlib
import shutil
import socket
import string
import subprocess
import sys
import tempfile
import threading
import time
import unittest

from support import BINARY, MODEL, MODELS, Server, ServerTest, clean_environment


def status_of(answer):
    return int(answer.split(b" ", 2)[1]) if answer.startswith(b"HTTP/1.1 ") else None


class Requests(ServerTest):
    arguments = ("--model", MODEL, "--parallel", "2", "--ctx-size", "512")

    def still_there(self):
        self.assertEqual(self.server.get("/health")[0], 200)

    def test_cve_2024_28224_dns_rebinding_host_is_refused(self):
        for host in ("evil.example", "evil.example:11434", "localhost.evil.example", "127.0.0.1.evil.example", "[::1].evil.example"):
            with self.subTest(host):
                self.assertEqual(self.server.request("GET", "/api/tags", headers={"Host": host})[0], 403)
        for host in ("localhost", "localhost:1", "127.0.0.1", "[::1]:11434", "app.localhost", "192.168.1.7:11434"):
            with self.subTest(host):
                self.assertEqual(self.server.request("GET", "/api/tags", headers={"Host": host})[0], 200)

    def test_cve_2024_28224_foreign_origins_are_refused(self):
        for origin in ("http://evil.example", "https://localhost.evil.example", "null", "http://localhost@evil.example", "http://localhost:x@evil.example"):
            with self.subTest(origin):
                self.assertEqual(self.server.request("GET", "/api/tags", headers={"Origin": origin})[0], 403)
        status, headers, _ = self.server.request("GET", "/api/tags", headers={"Origin": "http://localhost:3000"})
        self.assertEqual((status, headers.get("Access-Control-Allow-Origin")), (200, "http://localhost:3000"))
        self.assertEqual(self.server.request("POST", "/api/show", {"model": MODEL}, headers={"Sec-Fetch-Site": "cross-site"})[0], 403)

    def test_the_page_runs_its_own_file_alone_and_loads_nothing_from_elsewhere(self):
        self.assertEqual(self.server.request("GET", "/ui")[0], 308)
        for path, kind in (("/ui/", "text/html"), ("/ui/page.js", "text/javascript"), ("/ui/style.css", "text/css")):
            status, headers, body = self.server.request("GET", path)
            self.assertEqual((status, headers["Content-Type"].split(";")[0], headers["X-Content-Type-Options"]), (200, kind, "nosniff"))
            policy = dict(part.strip().split(" ", 1) for part in headers["Content-Security-Policy"].split(";"))
            self.assertEqual((policy["default-src"], policy["script-src"], policy["frame-ancestors"]), ("'none'", "'self'", "'none'"))
            self.assertNotRegex(body, rb"(?i)https?://|<script>|\son\w+=|style=|innerHTML|eval\(")

    def test_cve_2024_37032_a_digest_cannot_leave_the_store(self):
        for digest in ("sha256:../../../../tmp/x", "sha256:" + "0" * 63, "sha256:" + "g" * 64, "..%2f..%2fx", "sha256-" + "0" * 63 + "/"):
            with self.subTest(digest):
                self.assertIn(self.server.request("POST", f"/api/blobs/{digest}", b"x")[0], (400, 404, 405))
        status, _ = self.server.post("/api/create", {"model": "x", "files": {"a.gguf": "sha256:../../../../etc/passwd"}, "stream": False})
        self.assertEqual(status, 400)

    def test_names_cannot_leave_the_models_folder(self):
        real = next(pathlib.Path(MODELS).glob("blobs/sha256-*"))
        for name in (str(real), "../../etc/passwd", "/etc/passwd", "./x.gguf", "~/x.gguf", "a/../../b", "x.gguf"):
            with self.subTest(name):
                for path, body in (("/api/generate", {"model": name, "prompt": "x"}), ("/api/show", {"model": name}),
                                   ("/api/embed", {"model": name, "input": "x"})):
                    status, reply = self.server.post(path, body)
                    self.assertEqual(status, 404, reply)
                self.assertEqual(self.server.post("/api/copy", {"source": name, "destination": "y"})[0], 400)
                self.assertEqual(self.server.post("/api/copy", {"source": MODEL, "destination": name})[0], 400)
                self.assertEqual(self.server.request("DELETE", "/api/delete", {"model": name})[0], 400)
                self.assertEqual(self.server.post("/api/create", {"model": "y", "from": name, "stream": False})[0], 400)

    def test_cve_2025_51471_a_request_cannot_choose_where_to_pull_from(self):
        for name in ("file:///etc/passwd", "http://127.0.0.1:1/x.gguf", "https://user:secret@evil.example/x.gguf", "/etc/passwd"):
            with self.subTest(name):
                self.assertEqual(self.server.post("/api/pull", {"model": name, "stream": False})[0], 400)

    def test_cve_2026_21869_every_number_has_a_range(self):
        for options in ({"num_ctx": 2**31}, {"num_predict": 2**40}, {"num_keep": "x"}, {"top_k": -5}, {"temperature": -1},
                        {"repeat_last_n": -7}, {"seed": 2**64}, {"top_p": 1e308}, {"mirostat": 9}):
            with self.subTest(options):
                self.assertEqual(self.server.post("/api/generate", {"model": MODEL, "prompt": "x", "stream": False, "options": options})[0], 400)
        for ids in ([-1], [2**31], [2**31 - 1], ["x"], [1.5]):
            with self.subTest(ids):
                self.assertEqual(self.server.post("/completion", {"prompt": ids, "n_predict": 1})[0], 400)
                self.assertEqual(self.server.post("/detokenize", {"tokens": ids})[0], 400)
                self.assertEqual(self.server.post("/api/generate", {"model": MODEL, "prompt": "x", "context": ids, "stream": False})[0], 400)
        self.still_there()

    def test_a_context_that_cannot_fit_is_refused_with_the_plan(self):
        with Server("--memory-budget", "400MiB", "--parallel", "1", "--ctx-size", "512") as server:
            status, reply = server.post("/api/generate", {"model": MODEL, "prompt": "x", "options": {"num_ctx": 2**20}})
            self.assertIn(status, (400, 500))
            self.assertRegex(reply["error"], "need|context")
            self.assertEqual(server.post("/api/generate", {"model": MODEL, "prompt": "x", "stream": False, "options": {"num_predict": 1}})[0], 200)

    def test_deep_json_is_refused(self):
        for depth in (200, 100_000):
            body = b'{"model":"m","format":' + b"[" * depth + b"]" * depth + b"}"
            status, reply = self.server.post("/api/generate", body)
            self.assertEqual(status, 400)
            self.assertIn("deeper", reply["error"])

    def test_broken_bodies_are_client_errors(self):
        for body in (b"{", b"[]", b"nul", b'{"model":1}', b'{"model":null}', b"\xff\xfe", b'{"model":"m","options":[]}', b'"x"'):
            for path in ("/api/generate", "/api/chat", "/api/embed", "/api/show", "/api/pull", "/api/create", "/tokenize", "/completion"):
                if (body, path) in ((b'{"model":null}', "/tokenize"), (b'{"model":"m","options":[]}', "/api/pull")):
                    continue  # an empty text, and a name to pull: nothing is wrong with these
                with self.subTest(body=body, path=path):
                    status, _, data = self.server.request("POST", path, body)
                    self.assertIn(status, (400, 404), data)
                    json.loads(data)

    def test_compressed_bodies_are_refused(self):
        status, _, _ = self.server.request("POST", "/api/show", b"\x1f\x8b\x08", headers={"Content-Encoding": "gzip"})
        self.assertEqual(status, 415)

    def test_endless_bodies_are_refused(self):
        head = b"POST /api/generate HTTP/1.1\r\nHost: localhost\r\n"
        self.assertEqual(status_of(self.server.raw(head + b"Content-Length: 99999999999\r\n\r\n")), 413)
        chunk = b"100000\r\n" + b" " * 0x100000 + b"\r\n"
        self.assertEqual(status_of(self.server.raw(head + b"Transfer-Encoding: chunked\r\n\r\n" + chunk * 70)), 413)
        self.still_there()

    def test_contradicting_lengths_are_refused(self):
        head = b"POST /api/show HTTP/1.1\r\nHost: localhost\r\n"
        for lines in (b"Content-Length: 2\r\nContent-Length: 3\r\n", b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n",
                      b"Content-Length: -2\r\n", b"Content-Length: 2x\r\n"):
            with self.subTest(lines):
                self.assertEqual(status_of(self.server.raw(head + lines + b"\r\n{}")), 400)

    def test_long_headers_are_refused(self):
        many = b"".join(b"X-%d: %s\r\n" % (i, b"a" * 1000) for i in range(200))
        self.assertEqual(status_of(self.server.raw(b"GET / HTTP/1.1\r\nHost: localhost\r\n" + many + b"\r\n")), 431)
        self.assertIn(status_of(self.server.raw(b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\n\r\n")), (400, 414, 431))
        self.still_there()

    def test_nonsense_is_answered_with_400(self):
        for data in (b"\x00" * 100 + b"\r\n\r\n", b"GET\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n", b"FOO / HTTP/1.1\r\n\r\n"):
            with self.subTest(data):
                self.assertEqual(status_of(self.server.raw(data)), 400)

    def test_slow_headers_time_out(self):
        begin = time.monotonic()
        with socket.create_connection(("127.0.0.1", self.server.port)) as connection:
            connection.settimeout(1)
            connection.sendall(b"GET / HTTP/1.1\r\n")
            answer = b""
            while time.monotonic() - begin < 20:
                with contextlib.suppress(socket.timeout, BrokenPipeError, ConnectionResetError):
                    connection.sendall(b"X")
                    piece = connection.recv(1000)
                    answer += piece
                    if not piece:
                        break
        self.assertEqual(status_of(answer), 408)
        self.assertLess(time.monotonic() - begin, 15)

    def test_thousands_of_idle_connections_are_bounded(self):
        held = []
        try:
            for _ in range(600):
                held.append(socket.create_connection(("127.0.0.1", self.server.port)))
            self.assertTrue(self.server.wait_until(lambda: b"503" in held[-1].recv(100) or True, 5))
            time.sleep(0.2)
        finally:
            for connection in held:
                connection.close()
        self.assertTrue(self.server.wait_until(lambda: self.server.raw(
            b"GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").startswith(b"HTTP/1.1 200"), 10))

    def test_one_clients_output_is_not_seen_by_another(self):
        secret = "The code word is Xylophone. "
        self.server.post("/api/generate", {"model": MODEL, "prompt": secret * 20, "raw": True, "stream": False, "options": {"num_predict": 1}})
        bodies = [{"model": MODEL, "prompt": "The code word is", "raw": True, "stream": False, "options": {"temperature": 0, "num_predict": 8}}] * 4
        answers = {self.server.post("/api/generate", body)[1]["response"] for body in bodies}
        self.assertEqual(len(answers), 1)
        self.assertNotIn("Xylophone", answers.pop())

    def test_threat_templates_of_requests_are_bounded(self):
        loop = "{% for a in range(100000) %}{% for b in range(100000) %}{% endfor %}{% endfor %}"
        double = "{% set ns = namespace(x='aaaaaaaaaa') %}{% for i in range(60) %}{% set ns.x = ns.x ~ ns.x %}{% endfor %}"
        for template in (loop, double, "{% set x = 'a' * 200000000 %}"):
            with self.subTest(template):
                before = time.monotonic()
                status, reply = self.server.post("/api/generate", {"model": MODEL, "prompt": "a", "template": template})
                self.assertEqual(status, 400, reply)
                self.assertIn("template", reply["error"])
                self.assertLess(time.monotonic() - before, 10)  # on a busy machine; a quiet one takes a tenth
        self.still_there()

    def test_threat_grammars_cannot_hold_up_other_answers(self):
        stream = self.server.stream("/api/generate", {"model": MODEL, "prompt": "Count:", "raw": True, "options": {"num_predict": 150, "temperature": 0}})
        next(stream)
        gaps = []

        def follow():
            before = time.monotonic()
            for now, _ in stream:
                gaps.append(now - before)
                before = now

        watcher = threading.Thread(target=follow)
        watcher.start()
        for grammar in ("".join(f"[!-{last}]{{0,40}} " for last in string.ascii_uppercase + string.ascii_lowercase[:18]),
                        "".join(f"[a-{last}0-9]{{0,90}} " for last in "bcdefghijklmnopqrst"),
                        "".join(f"([a-{last}]{{0,9}} \" \"?){{0,9}} " for last in "bcdefghijklmnopqrst")):
            status, reply = self.server.post("/completion", {"prompt": "x", "n_predict": 8, "grammar": "root ::= " + grammar})
            self.assertEqual(status, 400, reply)
            self.assertIn("too much work", reply["error"])
        watcher.join()
        print(f"longest wait of another answer: {max(gaps):.2f} s")
        self.assertLess(max(gaps), 2)  # on a busy machine; a quiet one takes a tenth
        self.still_there()

    def test_unknown_paths_and_methods(self):
        self.assertEqual(self.server.get("/nothing/here")[0], 404)
        status, headers, _ = self.server.request("DELETE", "/api/tags")
        self.assertEqual((status, headers["Allow"]), (405, "GET"))

    def test_a_connection_is_used_again(self):
        request = b"GET /health HTTP/1.1\r\nHost: localhost\r\n"
        answer = self.server.raw(request + b"\r\n" + request + b"Connection: close\r\n\r\n")
        self.assertEqual(answer.count(b"HTTP/1.1 200"), 2)


class Keys(unittest.TestCase):
    def test_without_the_key_nothing_is_told(self):
        with Server("--api-key", "secret-1", "--api-key", "secret-2") as server:
            for path in ("/api/tags", "/metrics", "/memory", "/api/ps"):
                self.assertEqual(server.get(path)[0] if path != "/metrics" else server.request("GET", path)[0], 401)
            for headers in ({"Authorization": "Bearer secret-"}, {"Authorization": "Bearer secret-11"}, {"x-api-key": ""},
                            {"Authorization": "Basic secret-1"}):
                self.assertEqual(server.get("/api/tags", headers=headers)[0], 401)
            for headers in ({"Authorization": "Bearer secret-1"}, {"x-api-key": "secret-2"}):
                self.assertEqual(server.get("/api/tags", headers=headers)[0], 200)
            self.assertEqual(server.get("/health")[0], 200)

    def test_keys_come_from_a_file_that_only_its_owner_can_read(self):
        with tempfile.NamedTemporaryFile("w", delete=False) as file:
            file.write("# keys\nfrom-a-file\n")
        self.addCleanup(os.unlink, file.name)
        with Server("--api-key-file", file.name) as server:
            self.assertEqual(server.get("/api/tags")[0], 401)
            self.assertEqual(server.get("/api/tags", headers={"Authorization": "Bearer from-a-file"})[0], 200)
        os.chmod(file.name, 0o644)
        with self.assertRaisesRegex(RuntimeError, "chmod 600"):
            Server("--api-key-file", file.name)

    def test_bleeding_llama_other_machines_need_a_key(self):
        with self.assertRaisesRegex(RuntimeError, "--api-key"):
            Server("--host", "0.0.0.0")
        with Server() as server:
            listening = pathlib.Path(f"/proc/{server.process.pid}/net/tcp").read_text().splitlines()[1:]
            ours = [line.split()[1] for line in listening if line.split()[1].endswith(f":{server.port:04X}") and line.split()[3] == "0A"]
            self.assertEqual(ours, [f"0100007F:{server.port:04X}"])
            other = next((a for a in socket.gethostbyname_ex(socket.gethostname())[2] if not a.startswith("127.")), None)
            if other:
                with self.assertRaises(OSError):
                    socket.create_connection((other, server.port), timeout=2).close()


class OtherNamespace(unittest.TestCase):
    """What another machine sees, played by a network namespace that a pair of virtual cards joins to this one."""

    HERE, THERE = "198.18.77.1", "198.18.77.2"
    SCAN = """
import socket, sys
found = []
for port in range(1, 65536):
    with socket.socket() as probe:
        probe.settimeout(1)
        if probe.connect_ex((sys.argv[1], port)) == 0:
            found.append(port)
print(*found)
"""

    def setUp(self):
        if shutil.which("ip") is None:
            self.skipTest("ip (iproute2) is not installed, so no network namespace can be made")
        self.name = f"mullama-{os.getpid()}"
        self.card = f"mul{os.getpid() % 100000}"
        made = self.ip("netns", "add", self.name)
        if made.returncode != 0:
            self.skipTest(f"no network namespace can be made here: {made.stderr.strip()}")
        self.addCleanup(self.ip, "netns", "delete", self.name)
        for command in (("link", "add", self.card, "type", "veth", "peer", "name", "other", "netns", self.name),
                        ("addr", "add", f"{self.HERE}/30", "dev", self.card), ("link", "set", self.card, "up"),
                        ("-n", self.name, "addr", "add", f"{self.THERE}/30", "dev", "other"),
                        ("-n", self.name, "link", "set", "other", "up")):
            done = self.ip(*command)
            if done.returncode != 0:
                self.skipTest(f"no virtual network card can be made here: {done.stderr.strip()}")

    def ip(self, *arguments):
        return subprocess.run(["ip", *arguments], capture_output=True, encoding="utf-8", check=False)

    def scan(self):
        done = subprocess.run(["ip", "netns", "exec", self.name, sys.executable, "-c", self.SCAN, self.HERE], capture_output=True,
                              encoding="utf-8", check=True, timeout=300)
        return {int(port) for port in done.stdout.split()}

    def test_bleeding_llama_a_port_scan_finds_nothing_by_default(self):
        with Server() as hidden, Server("--host", "0.0.0.0", "--api-key", "secret") as open_to_all:
            found = self.scan()
            self.assertIn(open_to_all.port, found)  # the scan sees what there is to see
            self.assertNotIn(hidden.port, found)


class HalfOpen(unittest.TestCase):
    def test_a_reader_that_stops_reading_does_not_stop_others(self):
        with Server("--model", MODEL, "--parallel", "2", "--ctx-size", "1024") as server:
            stuck = socket.create_connection(("127.0.0.1", server.port))
            stuck.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1024)
            body = json.dumps({"model": MODEL, "prompt": "Count:", "raw": True, "options": {"num_predict": 400}}).encode()
            stuck.sendall(b"POST /api/generate HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
            status, reply = server.post("/api/generate", {"model": MODEL, "prompt": "Hi", "stream": False, "options": {"num_predict": 4}})
            self.assertEqual(status, 200, reply)
            self.assertTrue(server.wait_until(lambda: server.running()["running"] == 0, 60))
            stuck.close()
