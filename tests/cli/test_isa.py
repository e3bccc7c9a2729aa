"""E7: the greedy text of quantized models is the same on every instruction set. Those that this machine lacks are named and left out."""

import json

from support import REAL_MODEL, RealModelTest

INSTRUCTION_SETS = ("scalar", "avx2", "avxvnni", "avx512", "avx512vnni", "avx512bf16", "neon")
PROMPTS = ("Write a short poem about the sea.", "List three primes, then explain what a prime is.")


class InstructionSets(RealModelTest):
    def tokens_of_answers(self, model):
        """For each instruction set that runs here, what it answers to the prompts."""
        answers = {}
        for isa in INSTRUCTION_SETS:
            texts = []
            for prompt in PROMPTS:
                done = self.run_program("run", model, prompt, "--temperature", "0", "-n", "32", "--json", timeout=600, MULLAMA_ISA=isa)
                if done.returncode != 0:
                    self.assertRegex(done.stderr, f'(this CPU cannot run|unknown) instruction set "{isa}"; choose one of scalar')
                    print(f"{isa} does not run here: {done.stderr.strip()}")
                    break
                texts.append(json.loads(done.stdout)["response"])
            else:
                answers[isa] = texts
        return answers

    def check_equal(self, model):
        answers = self.tokens_of_answers(model)
        if len(answers) < 2:
            self.skipTest("only the scalar kernels run here, so there is nothing to compare")
        for isa, texts in answers.items():
            self.assertEqual(texts, answers["scalar"], isa)
        print(f"{model}: {', '.join(answers)} give the same texts")

    def test_an_unknown_one_is_a_wrong_argument(self):
        self.assertIn('unknown instruction set "avx3"; choose one of scalar', self.check_fails(4, "run", REAL_MODEL, "x", "--isa", "avx3"))

    def test_E7_smollm2(self):
        self.check_equal(REAL_MODEL)

    def test_E7_gemma3(self):
        if self.run_program("show", "gemma3:270m").returncode != 0:
            self.skipTest("gemma3:270m is not in the test models folder")
        self.check_equal("gemma3:270m")
