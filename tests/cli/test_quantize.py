"""Files of every type that users choose, written by `quantize` from one source, are what they are called and still the model."""

import json
import re
import subprocess
from pydoc_data.topics import topics

from support import REAL_MODEL, WRITE_TINY_MODEL, ProgramTest, RealModelTest

TEXT = "\n".join(topics[name] for name in sorted(topics))[:6000]


class Types(ProgramTest):
    """On a model whose rows fill blocks of 256, as those of most models do. Its weights are random, so a wrong kernel shows at once:
    nothing is left of the source's choices then, at a divergence of many nats."""

    def measure(self, model, *arguments):
        return json.loads(self.check_ok("perplexity", model, "-", "-c", "512", "--chunks", "2", "--json", *arguments, text=TEXT))

    def tensor_types(self, model):
        return set(re.findall(r"\b(?:Q\d_\w+|F16)\b", self.check_ok("show", "-v", model).split("Tensors\n")[1]))

    def test_G37_fewer_bits_stray_further_from_the_source(self):
        subprocess.run([WRITE_TINY_MODEL, self.folder / "source.gguf", "", "F16"], check=True)
        self.measure("./source.gguf", "--save-logits", "logits.npy")
        before = -1
        # The divergences measured are half of these bounds (0.0038, 0.030, 0.063, 0.28, 0.46), each with an error of a tenth.
        for kind, types, bound in (
            ("F16", {"F16"}, 0), ("Q8_0", {"Q8_0"}, 0.0076), ("Q6_K", {"Q6_K"}, 0.06), ("Q5_K_M", {"Q5_K", "Q6_K"}, 0.13),
            ("Q4_K_M", {"Q4_K", "Q6_K"}, 0.56), ("Q3_K_M", {"Q3_K", "Q4_K", "Q5_K", "Q6_K"}, 0.92),
        ):
            with self.subTest(kind):
                self.check_ok("quantize", "./source.gguf", f"./{kind}.gguf", kind, "--quiet")
                self.assertEqual(self.tensor_types(f"./{kind}.gguf"), types)
                divergence = self.measure(f"./{kind}.gguf", "--kl-against", "logits.npy")["kl"]["mean"]
                self.assertGreater(divergence, before)
                self.assertLessEqual(divergence, bound)
                before = divergence


class RealTypes(RealModelTest):
    def perplexity(self, model):
        text = self.check_ok("perplexity", model, "-", "-c", "256", "--chunks", "2", "--all-positions", "--json", text=TEXT)
        return json.loads(text)["perplexity"]

    def test_G37_files_of_every_type_answer(self):
        source = "./F16.gguf"
        self.check_ok("quantize", REAL_MODEL, source, "F16", "--allow-requantize", "--quiet")
        expected = self.perplexity(source)
        # Measured on two texts: 0.9 and 1.2 % for the file that the source was made from, at most 1.1 % from eight bits to five, 5.3
        # and 5.8 % with four, 8.8 and 10.7 % with three. Each bound is twice that.
        self.assertAlmostEqual(self.perplexity(REAL_MODEL) / expected, 1, delta=0.024)
        for kind, more in (("F16", 0), ("Q8_0", 0.022), ("Q6_K", 0.022), ("Q5_K_M", 0.022), ("Q4_K_M", 0.116), ("Q3_K_M", 0.214)):
            with self.subTest(kind):
                model = f"./{kind}.gguf"
                if model != source:
                    self.check_ok("quantize", source, model, kind, "--quiet")
                self.assertLessEqual(self.perplexity(model) / expected, 1 + more)
                answer = self.check_ok("run", model, "Name the capital of France in one sentence.", "-n", "16", "--temperature", "0")
                self.assertIn("Paris", answer)
