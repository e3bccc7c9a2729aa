"""Ollama's wire format, on the real model."""

import hashlib
import json
import pathlib
import shutil
import tempfile

from support import MODEL, MODELS, Server, ServerTest

GREEDY = {"temperature": 0, "num_predict": 12}


class Answers(ServerTest):
    arguments = ("--model", MODEL, "--parallel", "2")

    def test_root_says_that_it_runs(self):
        status, headers, body = self.server.request("GET", "/")
        self.assertEqual((status, body), (200, b"Ollama is running"))
        self.assertEqual(self.server.request("HEAD", "/")[0], 200)
        self.assertIn("text/plain", headers["Content-Type"])

    def test_version_is_one(self):
        self.assertRegex(self.server.get("/api/version")[1]["version"], r"^\d+\.\d+\.\d+$")

    def test_generate_streams_lines_and_ends_with_figures(self):
        lines = [line for _, line in self.server.stream("/api/generate", {"model": MODEL, "prompt": "Hi", "options": GREEDY})]
        self.assertGreater(len(lines), 2)
        for line in lines[:-1]:
            self.assertFalse(line["done"])
            self.assertEqual(line["model"], MODEL)
            self.assertRegex(line["created_at"], r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z$")
        last = lines[-1]
        self.assertTrue(last["done"])
        self.assertEqual(last["response"], "")
        self.assertIn(last["done_reason"], ("stop", "length"))
        for figure in ("total_duration", "load_duration", "prompt_eval_count", "prompt_eval_duration", "eval_count", "eval_duration"):
            self.assertGreater(last[figure], 0, figure)
        self.assertEqual(len(last["context"]), last["prompt_eval_count"] + last["eval_count"])

    def test_generate_at_once_equals_the_stream(self):
        body = {"model": MODEL, "prompt": "Name a color.", "options": GREEDY}
        streamed = "".join(line["response"] for _, line in self.server.stream("/api/generate", body))
        status, whole = self.server.post("/api/generate", {**body, "stream": False})
        self.assertEqual(status, 200)
        self.assertEqual(whole["response"], streamed)
        self.assertTrue(whole["done"])

    def test_length_is_the_reason_at_the_limit(self):
        whole = self.server.post("/api/generate", {"model": MODEL, "prompt": "Count to one hundred:", "raw": True, "stream": False,
                                                   "options": {"num_predict": 5, "temperature": 0}})[1]
        self.assertEqual((whole["done_reason"], whole["eval_count"]), ("length", 5))

    def test_stop_ends_before_its_text(self):
        body = {"model": MODEL, "prompt": "1, 2, 3, 4,", "raw": True, "stream": False}
        whole = self.server.post("/api/generate", {**body, "options": {"temperature": 0, "num_predict": 30, "stop": [" 8"]}})[1]
        self.assertEqual(whole["done_reason"], "stop")
        self.assertNotIn("8", whole["response"])
        self.assertIn("7", whole["response"])

    def test_context_goes_on(self):
        first = self.server.post("/api/generate", {"model": MODEL, "prompt": "My name is Ada.", "stream": False, "options": GREEDY})[1]
        second = self.server.post("/api/generate", {"model": MODEL, "prompt": "What is my name?", "context": first["context"],
                                                    "stream": False, "options": {"temperature": 0, "num_predict": 24}})[1]
        self.assertGreater(second["prompt_eval_count"], len(first["context"]))
        self.assertEqual(second["context"][:len(first["context"])], first["context"])
        # What was said before is not computed again but for the page that was not full.
        self.assertGreaterEqual(second["receipt"]["prefix_tokens_reused"], len(first["context"]) // 32 * 32)

    def test_chat_answers_with_a_message(self):
        messages = [{"role": "user", "content": "Say hello."}]
        lines = [line for _, line in self.server.stream("/api/chat", {"model": MODEL, "messages": messages, "options": GREEDY})]
        self.assertTrue(all(line["message"]["role"] == "assistant" for line in lines))
        self.assertTrue("".join(line["message"]["content"] for line in lines))
        self.assertNotIn("context", lines[-1])
        self.assertTrue(lines[-1]["done"])

    def test_seed_decides_and_greedy_repeats(self):
        body = {"model": MODEL, "prompt": "Once upon a time", "stream": False, "options": {"seed": 7, "num_predict": 12, "temperature": 1.5}}
        answers = {self.server.post("/api/generate", body)[1]["response"] for _ in range(2)}
        self.assertEqual(len(answers), 1)

    def test_logprobs_name_tokens(self):
        whole = self.server.post("/api/generate", {"model": MODEL, "prompt": "Hi", "stream": False, "logprobs": True, "top_logprobs": 3,
                                                   "options": GREEDY})[1]
        self.assertEqual("".join(entry["token"] for entry in whole["logprobs"])[:len(whole["response"])], whole["response"])
        for entry in whole["logprobs"]:
            self.assertEqual(len(entry["top_logprobs"]), 3)
            self.assertLessEqual(entry["logprob"], 0)

    def test_empty_prompts_load_and_unload(self):
        loaded = self.server.post("/api/generate", {"model": MODEL, "stream": False, "keep_alive": "30m"})[1]
        self.assertEqual((loaded["done_reason"], loaded["done"]), ("load", True))
        self.assertEqual([model["name"] for model in self.server.get("/api/ps")[1]["models"]], [MODEL])
        gone = self.server.post("/api/chat", {"model": MODEL, "stream": False, "messages": [], "keep_alive": 0})[1]
        self.assertEqual(gone["done_reason"], "unload")
        self.assertEqual(self.server.get("/api/ps")[1]["models"], [])

    def test_errors_have_the_words_that_clients_know(self):
        cases = [
            ("/api/generate", b"", 400, "missing request body"),
            ("/api/generate", {}, 400, "model is required"),
            ("/api/generate", {"model": "nothere", "prompt": "x"}, 404, "model 'nothere' not found"),
            ("/api/chat", {"model": MODEL, "messages": [{"role": "user", "content": "x"}], "think": True}, 400,
             f'"{MODEL}" does not support thinking'),
            ("/api/generate", {"model": MODEL, "prompt": "x", "logprobs": True, "top_logprobs": 21}, 400,
             "top_logprobs must be between 0 and 20"),
            ("/api/generate", {"model": MODEL, "prompt": "x", "options": {"top_k": "many"}}, 400,
             'option "top_k" must be of type integer'),
            ("/api/generate", {"model": MODEL, "prompt": "x", "options": {"num_ctx": "many"}}, 400,
             'option "num_ctx" must be of type integer'),
            ("/api/copy", {"source": "nothere", "destination": "x"}, 404, 'model "nothere" not found'),
        ]
        for path, body, status, words in cases:
            with self.subTest(words):
                got, reply = self.server.post(path, body)
                self.assertEqual((got, reply["error"]), (status, words))

    def test_unknown_options_are_ignored(self):
        self.assertEqual(self.server.post("/api/generate", {"model": MODEL, "prompt": "x", "stream": False,
                                                            "options": {"no_such_option": 1, "num_predict": 1}})[0], 200)

    def test_prompt_beyond_the_context_is_refused_not_cut(self):
        status, reply = self.server.post("/api/generate", {"model": MODEL, "prompt": "word " * 300, "options": {"num_ctx": 128}})
        self.assertEqual(status, 400)
        self.assertIn("the context holds 128", reply["error"])

    def test_embeddings_have_length_one(self):
        status, reply = self.server.post("/api/embed", {"model": MODEL, "input": ["a cat", "a dog", "a cat"]})
        self.assertEqual(status, 200)
        self.assertEqual(len(reply["embeddings"]), 3)
        self.assertEqual(reply["embeddings"][0], reply["embeddings"][2])
        self.assertNotEqual(reply["embeddings"][0], reply["embeddings"][1])
        self.assertAlmostEqual(sum(x * x for x in reply["embeddings"][0]), 1, places=4)
        self.assertGreater(reply["prompt_eval_count"], 0)
        one = self.server.post("/api/embeddings", {"model": MODEL, "prompt": "a cat"})[1]["embedding"]
        self.assertEqual(one, reply["embeddings"][0])

    def test_tags_and_show_describe(self):
        models = {model["name"]: model for model in self.server.get("/api/tags")[1]["models"]}
        self.assertEqual(models[MODEL]["details"]["family"], "llama")
        self.assertEqual(len(models[MODEL]["digest"]), 64)
        shown = self.server.post("/api/show", {"model": MODEL})[1]
        self.assertEqual(shown["model_info"]["general.architecture"], "llama")
        self.assertGreater(shown["model_info"]["llama.context_length"], 0)
        self.assertIn("completion", shown["capabilities"])

    def test_native_routes_agree_with_each_other(self):
        tokens = self.server.post("/tokenize", {"content": "Hello world"})[1]["tokens"]
        self.assertEqual(self.server.post("/detokenize", {"tokens": tokens})[1]["content"], "Hello world")
        prompt = self.server.post("/apply-template", {"messages": [{"role": "user", "content": "Hi"}]})[1]["prompt"]
        self.assertIn("Hi", prompt)
        done = self.server.post("/completion", {"prompt": "1, 2, 3,", "n_predict": 4, "temperature": 0})[1]
        self.assertEqual(done["tokens_predicted"], 4)
        self.assertEqual(self.server.get("/health")[1], {"status": "ok"})
        self.assertEqual(self.server.get("/props")[1]["total_slots"], 2)


class Store(ServerTest):
    """What writes into a models folder, on a copy of it."""

    @classmethod
    def setUpClass(cls):
        cls.folder = pathlib.Path(tempfile.mkdtemp(prefix="mullama-store-"))
        shutil.copytree(MODELS, cls.folder / "models", symlinks=True)
        cls.server = Server(models=cls.folder / "models")

    @classmethod
    def tearDownClass(cls):
        super().tearDownClass()
        shutil.rmtree(cls.folder)

    def names(self):
        return {model["name"] for model in self.server.get("/api/tags")[1]["models"]}

    def test_copy_and_delete_answer_with_nothing(self):
        self.assertEqual(self.server.request("POST", "/api/copy", {"source": MODEL, "destination": "twin"})[::2], (200, b""))
        self.assertIn("twin:latest", self.names())
        self.assertEqual(self.server.request("DELETE", "/api/delete", {"model": "twin"})[::2], (200, b""))
        self.assertNotIn("twin:latest", self.names())
        status, reply = self.server.request("DELETE", "/api/delete", {"model": "twin"})[::2]
        self.assertEqual((status, json.loads(reply)["error"]), (404, "model 'twin' not found"))

    def test_create_from_a_model_with_a_system_message(self):
        lines = [line for _, line in self.server.stream("/api/create", {
            "model": "pirate", "from": MODEL, "system": "You are a pirate.", "parameters": {"temperature": 0, "stop": ["x"]}})]
        self.assertEqual(lines[-1], {"status": "success"})
        shown = self.server.post("/api/show", {"model": "pirate"})[1]
        self.assertEqual(shown["system"], "You are a pirate.")
        self.assertIn("temperature", shown["parameters"])
        self.assertIn("pirate", self.server.post("/apply-template", {
            "model": "pirate", "messages": [{"role": "user", "content": "Hi"}]})[1]["prompt"])

    def test_blobs_are_kept_only_under_their_own_digest(self):
        data = b"some bytes"
        digest = "sha256:" + hashlib.sha256(data).hexdigest()
        self.assertEqual(self.server.request("HEAD", f"/api/blobs/{digest}")[0], 404)
        wrong = "sha256:" + "0" * 64
        status, _, body = self.server.request("POST", f"/api/blobs/{wrong}", data)
        self.assertEqual(status, 400, body)
        self.assertEqual(self.server.request("HEAD", f"/api/blobs/{wrong}")[0], 404)
        self.assertEqual(self.server.request("POST", f"/api/blobs/{digest}", data)[0], 201)
        self.assertEqual(self.server.request("HEAD", f"/api/blobs/{digest}")[0], 200)
        # It is no model, which whoever makes one of it learns.
        lines = [line for _, line in self.server.stream("/api/create", {"model": "bad", "files": {"a.gguf": digest}})]
        self.assertIn("error", lines[-1])
        self.assertNotIn("bad:latest", self.names())
