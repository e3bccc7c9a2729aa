"""Requests together: they advance together, none changes another's text, prefixes are shared, and who leaves frees its place."""

import concurrent.futures
import contextlib
import http.client
import json
import pathlib
import re
import time
import unittest

from support import MODEL, Server, ServerTest, in_threads

PROMPTS = ["1, 2, 3, 4,", "A, B, C, D,", "Once upon a time there was a king who", "10, 20, 30, 40,"]


def long_answer(prompt, tokens):
    return {"model": MODEL, "prompt": prompt, "raw": True, "options": {"temperature": 0, "num_predict": tokens}}


class ThreeSequences(ServerTest):
    arguments = ("--model", MODEL, "--parallel", "3", "--ctx-size", "2048")

    def test_C03_three_advance_together_and_a_fourth_waits(self):
        # Long enough that all four arrive within the first answer on a busy machine too.
        tokens = 200
        solo = [self.server.post("/api/generate", {**long_answer(prompt, tokens), "stream": False})[1] for prompt in PROMPTS]
        self.assertEqual([answer["eval_count"] for answer in solo], [tokens] * 4)
        alone = [answer["response"] for answer in solo]
        self.server.post("/api/generate", {"model": MODEL, "keep_alive": -1, "stream": False})

        def together(prompt):
            pieces = list(self.server.stream("/api/generate", long_answer(prompt, tokens)))
            return pieces[0][0], pieces[-1][0], "".join(piece["response"] for _, piece in pieces)

        runs = in_threads(together, PROMPTS)
        self.assertEqual([text for _, _, text in runs], alone)
        # The first three overlap: each begins before any ends. The last to begin began after one had ended.
        begins = sorted(begin for begin, _, _ in runs)
        ends = sorted(end for _, end, _ in runs)
        self.assertLess(begins[2], ends[0])
        # Both moments are those of a client's thread, which may get to them late.
        self.assertGreater(begins[3], ends[0] - 0.05 * (ends[0] - begins[0]))

    def test_C04_memory_is_one_model_and_three_caches(self):
        in_threads(lambda prompt: list(self.server.stream("/api/generate", long_answer(prompt, 200))), PROMPTS[:3])
        model = self.server.running()
        report = self.server.get("/memory")[1]
        pools = {pool["pool"]: pool["bytes"] for pool in report["pools"]}
        self.assertEqual(pools["weights (mapped)"], model["weight_bytes"])
        self.assertEqual(pools["kv"], model["kv_bytes"])
        resident = {pool["pool"]: pool["residency"]["resident"] for pool in report["pools"]}
        self.assertLessEqual(resident["weights (mapped)"], model["weight_bytes"] + (1 << 20))
        # What the system says of the process: 1 x weights, 3 x KV as far as used, working memory, and our own heap and code.
        status = pathlib.Path(f"/proc/{self.server.process.pid}/status").read_text(encoding="utf-8")
        rss = int(re.search(r"VmRSS:\s+(\d+) kB", status)[1]) << 10
        self.assertLessEqual(rss, sum(pools.values()) + (48 << 20))
        self.assertGreaterEqual(rss, resident["weights (mapped)"] + resident["kv"])
        with Server("--model", MODEL, "--parallel", "1", "--ctx-size", "2048") as single:
            self.assertEqual(model["kv_bytes"], 3 * single.running()["kv_bytes"])

    def test_a_client_that_leaves_frees_its_pages_at_once(self):
        connection = http.client.HTTPConnection("127.0.0.1", self.server.port)
        with contextlib.closing(connection):
            connection.request("POST", "/api/generate", json.dumps(long_answer("Count:", 1500)))
            reply = connection.getresponse()
            reply.readline()
            self.assertGreater(self.server.running()["kv_bytes_used"], 0)
        begin = time.monotonic()
        self.assertTrue(self.server.wait_until(lambda: self.server.running()["running"] == 0, 5))
        self.assertLess(time.monotonic() - begin, 2)
        self.assertEqual(self.server.running()["kv_bytes_used"], 0)

    def test_a_client_that_waits_without_a_stream_can_leave_too(self):
        connection = http.client.HTTPConnection("127.0.0.1", self.server.port)
        connection.request("POST", "/api/generate", json.dumps({**long_answer("Count:", 1500), "stream": False}))
        self.assertTrue(self.server.wait_until(lambda: self.server.running()["running"] == 1, 5))
        connection.close()
        self.assertTrue(self.server.wait_until(lambda: self.server.running()["running"] == 0, 5))

    def test_embeddings_beside_answers(self):
        want = self.server.post("/api/embed", {"model": MODEL, "input": "a cat"})[1]["embeddings"]

        def work(index):
            if index % 2:
                return self.server.post("/api/embed", {"model": MODEL, "input": "a cat"})[1]["embeddings"]
            return self.server.post("/api/generate", {**long_answer("1, 2, 3,", 16), "stream": False})[1]["response"]

        results = in_threads(work, range(8))
        for got in results[1::2]:
            for a, b in zip(got[0], want[0]):
                self.assertAlmostEqual(a, b, places=3)
        self.assertEqual(len(set(results[0::2])), 1)


class LongEmbedding(ServerTest):
    arguments = ("--model", MODEL, "--parallel", "2", "--ctx-size", "4096", "--batch-size", "128")
    text = "one two three four five six seven " * 500

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        # The first request of a server takes longer than the next.
        cls.embed("Hello")
        begin = time.monotonic()
        cls.embed(cls.text)
        cls.seconds = time.monotonic() - begin

    @classmethod
    def embed(cls, text):
        status, reply = cls.server.post("/api/embed", {"model": MODEL, "input": text})
        assert status == 200, reply
        return reply["embeddings"]

    def test_an_answer_beside_it_goes_on(self):
        times = []
        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            embedding = None
            for moment, _ in self.server.stream("/api/generate", long_answer("Count:", 400)):
                embedding = embedding or pool.submit(self.embed, "Again: " + self.text)
                times.append(moment)
            embedding.result()
        # It has 28 batches, and a token comes after each.
        longest = max(after - before for before, after in zip(times, times[1:]))
        self.assertLess(longest, self.seconds / 2)

    def test_a_client_that_leaves_ends_it(self):
        connection = http.client.HTTPConnection("127.0.0.1", self.server.port)
        connection.request("POST", "/api/embed", json.dumps({"model": MODEL, "input": "Another: " + self.text}))
        self.assertTrue(self.server.wait_until(lambda: self.server.running()["running"] == 1, 5))
        connection.close()
        begin = time.monotonic()
        self.assertTrue(self.server.wait_until(lambda: self.server.running()["running"] == 0, 20))
        self.assertLess(time.monotonic() - begin, self.seconds / 2)
        self.assertEqual(self.server.running()["kv_bytes_used"], 0)


class SmallQueue(ServerTest):
    arguments = ("--model", MODEL, "--parallel", "1", "--max-queue", "1", "--ctx-size", "2048")

    def test_one_too_many_is_refused(self):
        def post(_):
            return self.server.post("/api/generate", {**long_answer("Count:", 400), "stream": False})

        with concurrent.futures.ThreadPoolExecutor(2) as pool:
            running = pool.submit(post, 0)
            self.assertTrue(self.server.wait_until(lambda: self.server.running()["running"] == 1))
            waiting = pool.submit(post, 1)
            self.assertTrue(self.server.wait_until(lambda: self.server.running()["waiting"] == 1))
            for status, reply in in_threads(post, range(3)):
                self.assertEqual(status, 503)
                self.assertTrue(reply["error"].startswith("server busy"))
            self.assertEqual((running.result()[0], waiting.result()[0]), (200, 200))


class SharedPrefix(ServerTest):
    arguments = ("--model", MODEL, "--parallel", "2", "--ctx-size", "4096")

    def first_token(self, prompt):
        begin = time.monotonic()
        pieces = list(self.server.stream("/api/generate", long_answer(prompt, 2)))
        return pieces[0][0] - begin, pieces[-1][1]

    def test_a_long_shared_prefix_is_computed_once(self):
        prefix = "The quick brown fox jumps over the lazy dog and runs away. " * 154
        first, one = self.first_token(prefix + "First question")
        self.assertEqual(one["receipt"]["prefix_bytes_reused"], 0)
        later = [self.first_token(f"{prefix}{word} question") for word in ("Second", "Third", "Fourth", "Fifth", "Sixth")]
        for _, reply in later:
            self.assertGreaterEqual(reply["prompt_eval_count"], 2000)
            self.assertGreaterEqual(reply["receipt"]["prefix_tokens_reused"], reply["prompt_eval_count"] - 40)
            self.assertGreater(reply["receipt"]["prefix_bytes_reused"], 0)
        # Other work on the machine only adds to a time, so the least is the nearest to what the answer takes.
        least = min(seconds for seconds, _ in later)
        print(f"prefix of {one['prompt_eval_count']} tokens: first token after {first:.3f} s, then {least:.3f} s ({least / first:.1%})")
        self.assertLess(least, 0.1 * first)
        self.assertGreater(self.server.running()["prompt_cache_bytes"], 0)


class CappedCache(unittest.TestCase):
    def test_the_cache_keeps_to_its_bytes(self):
        limit = 4 << 20
        with Server("--model", MODEL, "--parallel", "2", "--ctx-size", "2048", "--prompt-cache", "4MiB") as server:
            for word in ("red ", "green ", "blue "):
                server.post("/api/generate", {**long_answer(word * 400, 2), "stream": False})
                self.assertLessEqual(server.running()["prompt_cache_bytes"], limit)
            self.assertGreater(server.running()["prompt_cache_bytes"], 0)
            self.assertEqual(server.running()["prompt_cache_limit"], limit)
