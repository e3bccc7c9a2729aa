"""Ollama's wire format, on the real model."""

import hashlib
import json
import pathlib
import shutil
import tempfile
import unittest

import ollama_store
from support import MODEL, MODELS, Server, ServerTest

GREEDY = {"temperature": 0, "num_predict": 12}

# What the model's own template writes, but for a system message that is always this one.
SYSTEM = "You answer like a pirate."
GO = (f"<|im_start|>system\n{SYSTEM}<|im_end|>\n{{{{ range .Messages }}}}<|im_start|>{{{{ .Role }}}}\n{{{{ .Content }}}}<|im_end|>\n"
      "{{ end }}<|im_start|>assistant\n")
JINJA = (f"<|im_start|>system\n{SYSTEM}<|im_end|>\n{{% for m in messages %}}{{{{ '<|im_start|>' + m.role + '\\n' + m.content + '<|im_end|>\\n' }}}}"
         "{% endfor %}{{ '<|im_start|>assistant\\n' }}")


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

    def test_unknown_options_are_ignored_and_logged(self):
        options = {"no_such_option": 1, "num_predict": 1, "sp\nlit\x1b[31m": 2, "l" * 100: 3, **{f"other{i}": i for i in range(20)}}
        self.assertEqual(self.server.post("/api/generate", {"model": MODEL, "prompt": "x", "stream": False, "options": options})[0], 200)
        (line,) = [line for line in self.server.log().splitlines() if "no_such_option" in line]
        self.assertRegex(line, rf"Warning: a request to {MODEL} has options that are not known and were ignored: no_such_option, sp lit\[31m, ")
        self.assertIn("l" * 64 + ",", line)
        self.assertNotIn("l" * 65, line)
        self.assertNotIn("\x1b", line)
        # A request cannot fill the log.
        self.assertTrue(line.endswith("other4"), line)

    def test_prompt_beyond_the_context_is_refused_not_cut(self):
        status, reply = self.server.post("/api/generate", {"model": MODEL, "prompt": "word " * 300, "options": {"num_ctx": 128}})
        self.assertEqual(status, 400)
        self.assertIn("the context holds 128", reply["error"])

    def test_truncate_drops_the_oldest_messages_and_tells(self):
        talk = [{"role": "system", "content": "Be brief."}]
        for word in ("red", "green", "blue", "white"):
            talk += [{"role": "user", "content": f"{word} " * 60}, {"role": "assistant", "content": "Fine."}]
        talk.append({"role": "user", "content": "Say hello."})
        body = {"model": MODEL, "messages": talk, "stream": False, "options": {**GREEDY, "num_ctx": 128}}
        status, reply = self.server.post("/api/chat", body)
        self.assertEqual(status, 400)
        self.assertIn("truncate", reply["error"])
        status, reply = self.server.post("/api/chat", {**body, "truncate": True})
        self.assertEqual(status, 200, reply)
        self.assertLessEqual(reply["prompt_eval_count"], 128 - 12)
        whole = self.server.post("/api/chat", {**body, "options": GREEDY})[1]
        self.assertEqual(reply["receipt"]["tokens_cut"], whole["prompt_eval_count"] - reply["prompt_eval_count"])
        self.assertEqual(whole["receipt"]["tokens_cut"], 0)
        # What is left is what a client would have sent itself: the system message, and a conversation from a user's message on.
        same = [self.server.post("/api/chat", {**body, "messages": [talk[0], *talk[start:]]}) for start in (5, 7, 9)]
        self.assertIn(reply["message"]["content"], [answer["message"]["content"] for code, answer in same if code == 200])
        status, reply = self.server.post("/api/chat", {**body, "truncate": True, "messages": [{"role": "user", "content": "word " * 300}]})
        self.assertEqual(status, 400)
        self.assertIn("the last message alone does not fit", reply["error"])

    def test_truncate_of_a_text_keeps_its_beginning_and_its_end(self):
        body = {"model": MODEL, "prompt": "One two three four. " + "word " * 300 + "1, 2, 3, 4,", "raw": True, "stream": False, "truncate": True,
                "options": {**GREEDY, "num_ctx": 128, "num_keep": 5}}
        status, reply = self.server.post("/api/generate", body)
        self.assertEqual(status, 200, reply)
        self.assertEqual(reply["prompt_eval_count"], 128 - 12)
        self.assertGreater(reply["receipt"]["tokens_cut"], 180)
        self.assertIn("5", reply["response"])

    def test_shift_goes_on_beyond_the_context_and_tells(self):
        body = {"model": MODEL, "prompt": "1, 2, 3, 4, 5, 6,", "raw": True, "stream": False,
                "options": {"temperature": 0, "num_ctx": 96, "num_predict": 200}}
        ended = self.server.post("/api/generate", body)[1]
        self.assertEqual((ended["done_reason"], ended["receipt"]["tokens_cut"]), ("length", 0))
        self.assertLess(ended["eval_count"], 97)
        shifted = self.server.post("/api/generate", {**body, "shift": True})[1]
        self.assertEqual((shifted["done_reason"], shifted["eval_count"]), ("length", 200))
        self.assertGreater(shifted["receipt"]["tokens_cut"], 90)
        self.assertTrue(shifted["response"].startswith(ended["response"]))
        streamed = "".join(line["response"] for _, line in self.server.stream("/api/generate", {**body, "shift": True}))
        self.assertEqual(streamed, shifted["response"])
        # One that would never end is ended.
        endless = self.server.post("/api/generate", {**body, "shift": True, "options": {"temperature": 0, "num_ctx": 32, "num_predict": -1, "stop": []}})[1]
        self.assertLessEqual(endless["eval_count"], 320)

    def test_a_request_brings_its_own_template(self):
        body = {"model": MODEL, "prompt": "The capital of France is", "stream": False, "options": {"temperature": 0, "num_predict": 8}}
        raw = self.server.post("/api/generate", {**body, "raw": True})[1]
        for template in ("{{ .Prompt }}", "{{ if .System }}{{ .System }}{{ end }}{{ .Prompt }}{{ .Response }}", "{{ messages[-1].content }}"):
            with self.subTest(template):
                own = self.server.post("/api/generate", {**body, "template": template, "system": "" if "System" in template else None})[1]
                self.assertIn("Paris", own["response"])
                if "messages" not in template:
                    self.assertEqual(own["response"], raw["response"])
        status, reply = self.server.post("/api/generate", {**body, "template": "{{ printf .Prompt }}"})
        self.assertIn(status, (400, 501))
        self.assertIn("printf", reply["error"])
        self.assertEqual(self.server.post("/api/generate", {**body, "template": "{{ .Prompt"})[0], 400)

    def test_tools_are_offered_to_a_template_that_knows_none(self):
        tools = [{"type": "function", "function": {"name": "get_weather", "description": "Weather of a city", "parameters": {"type": "object"}}}]
        prompt = self.server.post("/apply-template", {"messages": [{"role": "user", "content": "Hi"}], "tools": tools})[1]["prompt"]
        self.assertIn("get_weather", prompt)
        self.assertIn("<tool_call>", prompt)
        self.assertEqual(self.server.post("/api/chat", {"model": MODEL, "stream": False, "messages": [{"role": "user", "content": "Hi"}], "tools": tools,
                                                        "options": GREEDY})[0], 200)

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

    def test_embeddings_of_token_ids(self):
        texts = ["a cat", "a dog"]
        expected = [row["embedding"] for row in self.server.post("/v1/embeddings", {"model": MODEL, "input": texts})[1]["data"]]
        ids = [self.server.post("/tokenize", {"content": text, "add_special": True, "parse_special": False})[1]["tokens"] for text in texts]
        status, reply = self.server.post("/v1/embeddings", {"model": MODEL, "input": ids})
        self.assertEqual(status, 200)
        self.assertEqual([row["embedding"] for row in reply["data"]], expected)
        self.assertEqual(reply["usage"]["prompt_tokens"], sum(map(len, ids)))
        one = self.server.post("/v1/embeddings", {"model": MODEL, "input": ids[0]})[1]["data"]
        self.assertEqual([row["embedding"] for row in one], expected[:1])
        for beyond in ([2**31 - 1], [ids[0], [10**6]]):
            status, reply = self.server.post("/v1/embeddings", {"model": MODEL, "input": beyond})
            self.assertEqual(status, 400)
            self.assertIn("vocabulary", reply["error"]["message"])

    def test_completion_tells_probabilities(self):
        body = {"prompt": "1, 2, 3,", "n_predict": 4, "temperature": 0}
        plain = self.server.post("/completion", body)[1]
        self.assertNotIn("completion_probabilities", plain)
        done = self.server.post("/completion", {**body, "n_probs": 3})[1]
        self.assertEqual(done["content"], plain["content"])
        rows = done["completion_probabilities"]
        self.assertEqual(len(rows), 4)
        self.assertEqual(b"".join(bytes(row["bytes"]) for row in rows).decode(), done["content"])
        for row in rows:
            self.assertEqual(len(row["top_logprobs"]), 3)
            # Greedy: the chosen one is the most likely.
            self.assertEqual({key: row[key] for key in ("id", "token", "bytes", "logprob")}, row["top_logprobs"][0])
            falling = [other["logprob"] for other in row["top_logprobs"]]
            self.assertEqual(falling, sorted(falling, reverse=True))
            self.assertLessEqual(falling[0], 0)

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


    def test_an_embedding_tells_what_it_cut(self):
        text = "word " * 300
        whole = self.server.post("/api/embed", {"model": MODEL, "input": text})[1]
        self.assertEqual(whole["receipt"]["tokens_cut"], 0)
        cut = self.server.post("/api/embed", {"model": MODEL, "input": text, "options": {"num_ctx": 64}})[1]
        self.assertEqual(cut["prompt_eval_count"] + cut["receipt"]["tokens_cut"], whole["prompt_eval_count"])
        status, reply = self.server.post("/api/embed", {"model": MODEL, "input": text, "truncate": False, "options": {"num_ctx": 64}})
        self.assertEqual((status, reply["error"]), (400, "the input length exceeds the context length"))


class NamedFile(unittest.TestCase):
    def test_a_file_is_served_under_the_name_it_was_given(self):
        path = next(blob for blob in pathlib.Path(MODELS).glob("blobs/sha256-*") if blob.open("rb").read(4) == b"GGUF")
        with Server("--model", f"chat={path}", "--parallel", "1", "--ctx-size", "512") as server:
            for name in ("chat", "chat:latest", "Chat"):
                status, reply = server.post("/api/generate", {"model": name, "prompt": "Hi", "stream": False, "options": {"num_predict": 1}})
                self.assertEqual(status, 200, reply)
            self.assertEqual([model["name"] for model in server.get("/api/tags")[1]["models"] if model["name"].startswith("chat")], ["chat:latest"])
            self.assertEqual(server.post("/api/generate", {"model": "chat:other", "prompt": "Hi"})[0], 404)


class Store(ServerTest):
    """What writes into a models folder, on a copy of it."""

    @classmethod
    def setUpClass(cls):
        cls.folder = pathlib.Path(tempfile.mkdtemp(prefix="mullama-store-"))
        shutil.copytree(MODELS, cls.folder / "models", symlinks=True)
        weights = ollama_store.weights_of(cls.folder / "models", MODEL)
        cls.weights_digest = "sha256:" + weights.name.removeprefix("sha256-")
        ollama_store.add_model(cls.folder / "ollama", "fixed", weights, template=GO)
        ollama_store.add_model(cls.folder / "ollama", "odd", weights, template="{{ html .Prompt }}")
        cls.server = Server(models=cls.folder / "models", OLLAMA_MODELS=str(cls.folder / "ollama"))

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

    def test_a_failed_pull_tells_no_folders(self):
        name = "localhost:1/library/nothing"
        *_, (_, last) = self.server.stream("/api/pull", {"model": name})
        status, reply = self.server.post("/api/pull", {"model": name, "stream": False})
        self.assertGreaterEqual(status, 400)
        for error in (last["error"], reply["error"]):
            self.assertTrue(error)
            self.assertNotIn(str(self.folder), error)

    def test_a_failed_upload_tells_no_folders(self):
        staging = self.folder / "models" / "tmp"
        shutil.rmtree(staging, ignore_errors=True)
        staging.write_text("no folder")
        self.addCleanup(staging.unlink)
        status, _, body = self.server.request("POST", "/api/blobs/sha256:" + "1" * 64, b"x")
        self.assertGreaterEqual(status, 400)
        self.assertIn("(models folder)", json.loads(body)["error"])
        self.assertNotIn(str(self.folder), json.loads(body)["error"])

    def test_create_from_a_model_with_a_system_message(self):
        lines = [line for _, line in self.server.stream("/api/create", {
            "model": "pirate", "from": MODEL, "system": "You are a pirate.", "parameters": {"temperature": 0, "stop": ["x"]}})]
        self.assertEqual(lines[-1], {"status": "success"})
        shown = self.server.post("/api/show", {"model": "pirate"})[1]
        self.assertEqual(shown["system"], "You are a pirate.")
        self.assertIn("temperature", shown["parameters"])
        self.assertIn("pirate", self.server.post("/apply-template", {
            "model": "pirate", "messages": [{"role": "user", "content": "Hi"}]})[1]["prompt"])

    def test_a_models_own_messages_stand_behind_the_system_message(self):
        own = [{"role": "user", "content": "one"}, {"role": "assistant", "content": "two"}]
        *_, (_, last) = self.server.stream("/api/create", {"model": "talker", "from": MODEL, "messages": own})
        self.assertEqual(last, {"status": "success"})
        given = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "three"}]
        prompts = [self.server.post("/apply-template", {"model": model, "messages": messages})[1]["prompt"]
                   for model, messages in (("talker", given), (MODEL, [given[0], *own, given[1]]))]
        self.assertEqual(*prompts)

    def create(self, name, **body):
        """The lines of a stream that makes a model of the real one."""
        return [line for _, line in self.server.stream("/api/create", {"model": name, "from": MODEL, **body})]

    def chat(self, model, messages=({"role": "user", "content": "Who are you?"},), **body):
        return self.server.post("/api/chat", {"model": model, "messages": list(messages), "stream": False, "options": GREEDY, **body})

    def prompt(self, model):
        return self.server.post("/apply-template", {"model": model, "messages": [{"role": "user", "content": "Who are you?"}]})[1]["prompt"]

    def test_the_end_of_a_stream_is_said_once(self):
        states = [line.get("status") for line in self.create("once", system="s")]
        self.assertEqual((states[-1], states.count("success")), ("success", 1), states)
        *_, (_, last) = self.server.stream("/api/pull", {"model": "localhost:1/library/nothing"})
        self.assertNotIn("status", last)

    def test_a_models_own_template_answers(self):
        user = {"role": "user", "content": "Who are you?"}
        expected = self.chat(MODEL, [{"role": "system", "content": SYSTEM}, user])[1]
        plain = self.chat(MODEL)[1]
        self.assertNotEqual(plain["message"], expected["message"])
        for name, template in (("go", GO), ("jinja", JINJA), ("fixed", None)):
            with self.subTest(name):
                if template:
                    self.assertEqual(self.create(name, template=template)[-1], {"status": "success"})
                    self.assertEqual(self.server.post("/api/show", {"model": name})[1]["template"], template)
                prompt = self.prompt(name)
                self.assertEqual(prompt, f"<|im_start|>system\n{SYSTEM}<|im_end|>\n<|im_start|>user\nWho are you?<|im_end|>\n<|im_start|>assistant\n")
                tokens = self.server.post("/tokenize", {"model": name, "content": prompt})[1]["tokens"]
                answer = self.chat(name)[1]
                self.assertEqual(answer["prompt_eval_count"], len(tokens))
                self.assertEqual(answer["message"], expected["message"])
                generated = self.server.post("/api/generate", {"model": name, "prompt": "Who are you?", "stream": False, "options": GREEDY})[1]
                self.assertEqual(generated["response"], expected["message"]["content"])
                # A request's own comes before it, and none of them is asked about a raw text.
                own = self.server.post("/api/generate", {"model": name, "prompt": "The capital of France is", "template": "{{ .Prompt }}", "stream": False,
                                                         "options": GREEDY})[1]
                raw = self.server.post("/api/generate", {"model": name, "prompt": "The capital of France is", "raw": True, "stream": False,
                                                         "options": GREEDY})[1]
                self.assertEqual(own["response"], raw["response"])
        other = self.server.post("/v1/chat/completions", {"model": "go", "messages": [user], "temperature": 0, "max_tokens": 12})[1]
        self.assertEqual(other["choices"][0]["message"]["content"], expected["message"]["content"])

    def test_capabilities_are_those_of_the_template_that_answers(self):
        tools = GO + "{{ range .Tools }}{{ .Function.Name }}{{ end }}"
        self.create("caller", template=tools)
        self.create("thinker", template=GO + "<think>\n")
        self.create("neither", template=GO + "{{/* tools, <think> */}}")
        listed = {model["name"]: model["capabilities"] for model in self.server.get("/api/tags")[1]["models"]}
        for name, expected in (("caller", ["completion", "tools"]), ("thinker", ["completion", "thinking"]), ("neither", ["completion"])):
            with self.subTest(name):
                self.assertEqual(self.server.post("/api/show", {"model": name})[1]["capabilities"], expected)
                self.assertEqual(listed[f"{name}:latest"], expected)
        self.assertEqual(listed["odd:latest"], listed[MODEL])
        # A new template under the old name is seen.
        self.create("caller", template=GO)
        listed = {model["name"]: model["capabilities"] for model in self.server.get("/api/tags")[1]["models"]}
        self.assertEqual(listed["caller:latest"], ["completion"])
        # What is read out of answers follows it too: this prompt ends within a thought.
        message = self.chat("thinker")[1]["message"]
        self.assertTrue(message["thinking"])
        self.assertEqual(message["content"], "")
        status, reply = self.chat("neither", think=True)
        self.assertEqual((status, reply["error"]), (400, '"neither:latest" does not support thinking'))

    def test_a_template_that_cannot_be_read_is_refused_or_told(self):
        for template, cause in (("{{ html .Prompt }}", "'html'"), ("{{ .Prompt", "misses a }}"), ("{% for %}", "line 1")):
            with self.subTest(template):
                last = self.create("bad", template=template)[-1]
                self.assertIn("the TEMPLATE cannot be used", last["error"])
                self.assertIn(cause, last["error"])
                self.assertEqual(self.server.post("/api/create", {"model": "bad", "from": MODEL, "template": template, "stream": False})[0], 400)
        self.assertNotIn("bad:latest", self.names())
        self.assertEqual(self.prompt("odd"), self.prompt(MODEL))
        self.assertRegex(self.server.log(), r"Warning: the stored template of 'odd:latest' cannot be read: .*'html'.* the model's file answers instead")

    def test_a_model_with_an_adapter_is_refused(self):
        last = self.create("tuned", adapters={"a.gguf": self.weights_digest})[-1]
        self.assertEqual(last, {"status": "success"})
        status, reply = self.chat("tuned")
        self.assertEqual((status, reply), (400, {"error": "model 'tuned:latest' has adapters, which this version cannot apply", "code": "unsupported"}))
        self.assertEqual(self.server.post("/api/embed", {"model": "tuned", "input": "a"})[0], 400)
        self.assertEqual(self.server.post("/api/show", {"model": "tuned"})[0], 200)

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
