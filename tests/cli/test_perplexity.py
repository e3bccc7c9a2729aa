"""perplexity and bench on a real model."""

import json
import struct

from support import REAL_MODEL, RealModelTest

TEXT = (
    "The history of the sea is older than the history of the land. Long before there were mountains, there was water, and in "
    "the water the first living things began to move. They were small and simple, and they left few traces, but everything that "
    "came after them, the fishes and the forests and the people who would one day build ships, began there. "
) * 8


class Perplexity(RealModelTest):
    def setUp(self):
        super().setUp()
        (self.folder / "text.txt").write_text(TEXT)

    def measure(self, *arguments):
        return json.loads(self.check_ok("perplexity", REAL_MODEL, "text.txt", "--ctx-size", "128", "--json", *arguments))

    def test_figures(self):
        found = self.measure()
        self.assertGreater(found["perplexity"], 1)
        self.assertLess(found["perplexity"], 30)
        self.assertEqual(found["positions"], found["chunks"] * 63)
        everything = self.measure("--all-positions", "--chunks", "2")
        self.assertEqual((everything["positions"], everything["chunks"]), (2 * 127, 2))

    def test_logits_are_saved_and_compared(self):
        self.measure("--chunks", "2", "--save-logits", "logits.npy")
        data = (self.folder / "logits.npy").read_bytes()
        self.assertEqual(data[:8], b"\x93NUMPY\x01\x00")
        header = data[10:10 + struct.unpack("<H", data[8:10])[0]].decode()
        self.assertIn("'shape': (126, 49152)", header)
        self.assertEqual(len(data), 10 + len(header) + 126 * 49152 * 4)
        same = self.measure("--chunks", "2", "--kl-against", "logits.npy")
        self.assertEqual((same["kl"]["mean"], same["same_top"]), (0, 1))
        other = self.measure("--chunks", "2", "--kl-against", "logits.npy", "--kv-cache-type", "q4_0")
        self.assertGreater(other["kl"]["mean"], 0)
        self.assertLess(other["kl"]["mean"], 1)
        self.check_fails(4, "perplexity", REAL_MODEL, "text.txt", "-c", "128", "-q", "--chunks", "1", "--kl-against", "logits.npy")

    def test_too_short_a_text(self):
        error = self.check_fails(4, "perplexity", REAL_MODEL, "-", text="A few words.")
        self.assertIn("--ctx-size", error)


class Bench(RealModelTest):
    def test_medians(self):
        shares = {"prefill": [], "decode": []}
        for _ in range(3):
            found = json.loads(self.check_ok("bench", REAL_MODEL, "-p", "32", "-n", "4", "-r", "3", "--json"))
            self.assertEqual([test["test"] for test in found["tests"]], ["prefill", "decode"])
            for test in found["tests"]:
                self.assertEqual(len(test["runs"]), 3)
                self.assertEqual(test["median"], sorted(test["runs"])[1])
                self.assertGreater(test["median"], 0)
                self.assertGreater(test["roof"]["median"], 0)
                self.assertGreater(test["roof"]["share"], 0)
                shares[test["test"]].append(test["roof"]["share"])
        # Other work on the machine may slow the roof down and not what is measured against it.
        for share in shares.values():
            self.assertLess(min(share), 1.5, shares)
        self.assertIn("decode", self.check_ok("bench", REAL_MODEL, "-p", "0", "-n", "2", "-r", "1"))
        self.check_fails(4, "bench", REAL_MODEL, "-p", "0", "-n", "0")

    def test_lists(self):
        found = json.loads(self.check_ok("bench", REAL_MODEL, "-p", "8,16", "-n", "2", "-r", "1", "-d", "0,40", "-s", "1,3", "-t", "1,2",
                                         "--kv-cache-type", "f16,q8_0", "--no-roof", "--json"))
        self.assertEqual(len(found["tests"]), 2 * 2 * 2 * (2 + 2))
        seen = {(t["test"], t["tokens"], t["depth"], t["sequences"], t["threads"], t["kv_cache_type"]) for t in found["tests"]}
        self.assertEqual(len(seen), len(found["tests"]))
        self.assertIn(("decode", 2, 40, 3, 2, "q8_0"), seen)
        self.check_fails(4, "bench", REAL_MODEL, "--kv-cache-type", "f16,q9")
