"""embed: texts in, one array of numbers each out."""

import json
import math

from support import REAL_MODEL, RealModelTest

TEXT = "Why is the sky blue?"


class Embed(RealModelTest):
    def vectors(self, *arguments, **options):
        return [json.loads(line) for line in self.check_ok("embed", REAL_MODEL, *arguments, **options).splitlines()]

    def test_an_array_of_length_one_a_text(self):
        both = self.vectors(TEXT, "a cat")
        self.assertEqual([len(vector) for vector in both], [576, 576])
        for vector in both:
            self.assertAlmostEqual(math.hypot(*vector), 1, places=5)
        self.assertEqual(both, [*self.vectors(TEXT), *self.vectors("a cat")])

    def test_standard_input_whole_or_line_by_line(self):
        self.assertEqual(self.vectors(text=TEXT), self.vectors(TEXT))
        self.assertEqual(self.vectors("-", text=TEXT), self.vectors(TEXT))
        self.assertEqual(self.vectors("--lines", text=f"{TEXT}\r\n\na cat"), self.vectors(TEXT, "a cat"))

    def test_dimensions_are_cut_before_the_length_is_made_one(self):
        whole = self.vectors(TEXT)[0]
        [cut] = self.vectors(TEXT, "--dimensions", "8")
        length = math.hypot(*whole[:8])
        for value, of in zip(cut, whole[:8], strict=True):
            self.assertAlmostEqual(value, of / length, places=5)
        self.assertEqual(self.vectors(TEXT, "--dimensions", "5000"), [whole])

    def test_values_as_the_model_computes_them(self):
        [raw] = self.vectors(TEXT, "--no-normalize")
        length = math.hypot(*raw)
        self.assertGreater(abs(length - 1), 0.1)
        for value, of in zip(self.vectors(TEXT)[0], raw, strict=True):
            self.assertAlmostEqual(value, of / length, places=5)

    def test_poolings(self):
        [first], [last], [mean] = (self.vectors("a cat", "--no-normalize", "--pooling", name) for name in ("first", "last", "mean"))
        # Both of two tokens: the mean is what lies in the middle.
        self.assertEqual(self.check_ok("tokenize", REAL_MODEL, "--count", "a cat"), "2\n")
        for a, b, middle in zip(first, last, mean, strict=True):
            self.assertAlmostEqual((a + b) / 2, middle, places=4)
        self.assertIn("mean, first or last", self.check_fails(4, "embed", REAL_MODEL, "x", "--pooling", "nosuch"))

    def test_json_is_one_document(self):
        document = json.loads(self.check_ok("embed", REAL_MODEL, TEXT, "a cat", "--json"))
        self.assertEqual(document["model"], REAL_MODEL)
        self.assertEqual(document["embeddings"], self.vectors(TEXT, "a cat"))

    def test_what_cannot_be_embedded_says_why(self):
        self.assertIn("empty", self.check_fails(4, "embed", REAL_MODEL, text=""))
        self.assertIn("empty", self.check_fails(4, "embed", REAL_MODEL, "a cat", ""))
        self.assertIn("empty", self.check_fails(4, "embed", REAL_MODEL, "--lines", text="\n\n"))
        self.assertRegex(self.check_fails(1, "embed", REAL_MODEL, "a " * 100, "--ctx-size", "64"), "context of 64.*--ctx-size")
        self.assertIn("trained for 8192", self.check_fails(1, "embed", REAL_MODEL, text="a " * 9000))
        self.assertIn("budget", self.check_fails(8, "embed", REAL_MODEL, TEXT, "--memory-budget", "10MiB"))
        self.assertIn("--lines", self.check_fails(4, "embed", REAL_MODEL, TEXT, "--lines"))
