"""Real and made files that are cut, flipped or that lie: each is a clear error, on every path that reads them, and never a crash."""

import os
import random
import shutil
import signal
import struct
import subprocess

from gguf_files import gguf_string, gguf_value, write_small_model
from support import BINARY, REAL_MODEL, ProgramTest, RealModelTest


class FilesThatLie(ProgramTest):
    def write_beyond(self, offset, sizes):
        """A model whose tensor says that it lies elsewhere than the file's 64 bytes of data."""
        out = struct.pack("<IIQQ", 0x46554747, 3, 1, 1) + gguf_string("general.architecture") + gguf_value("llama")
        out += gguf_string("token_embd.weight") + struct.pack("<I", len(sizes)) + struct.pack(f"<{len(sizes)}Q", *sizes)
        out += struct.pack("<IQ", 0, offset)
        (self.folder / "lie.gguf").write_bytes(out + bytes(-len(out) % 32 + 64))

    def test_CVE_2026_7482_every_path_proves_the_range_of_a_tensor(self):
        for offset, sizes in ((0, [1024]), (1 << 20, [4]), (2**64 - 32, [64]), (0, [1 << 31, 1 << 30]), (32, [16])):
            self.write_beyond(offset, sizes)
            (self.folder / "Modelfile").write_text("FROM ./lie.gguf\n")
            for command in (
                ("show", "./lie.gguf"), ("show", "./lie.gguf", "-v"), ("run", "./lie.gguf", "hi"), ("plan", "./lie.gguf"),
                ("tokenize", "./lie.gguf", "hi"), ("quantize", "./lie.gguf", "out.gguf", "Q8_0"), ("create", "lie"),
                ("pull", f"file://{self.folder}/lie.gguf"), ("perplexity", "./lie.gguf", "Modelfile"), ("bench", "./lie.gguf"),
            ):
                with self.subTest(offset=offset, sizes=sizes, command=command[0]):
                    done = self.run_program(*command)
                    self.assertEqual(done.returncode, 1, done.stderr + done.stdout)
                    self.assertIn("token_embd.weight", done.stderr.splitlines()[-1])
                    self.assertEqual(done.stdout, "")
            self.assertFalse((self.folder / "out.gguf").exists())
            self.assertEqual(self.check_ok("list", "-q"), "")

    def test_CVE_2024_37032_names_and_digests_stay_in_the_store(self):
        write_small_model(self.folder / "tiny.gguf")
        (self.folder / "Modelfile").write_text("FROM ./tiny.gguf\n")
        self.check_ok("create", "tiny")
        before = sorted(self.folder.rglob("*"))
        for name in ("../../etc/x", "a/../../b", "x@sha256:../../../etc/passwd", "x:../y", "x\x00y"):
            if "\0" in name:
                continue  # no argument can hold it
            for command in (("create", name), ("cp", "tiny", name), ("rm", name), ("show", name)):
                with self.subTest(name=name, command=command[0]):
                    self.assertIn(self.run_program(*command).returncode, (3, 4))
        self.assertEqual(sorted(self.folder.rglob("*")), before)


class RealFile(RealModelTest):
    """A copy of the real model, damaged in place."""

    def setUp(self):
        super().setUp()
        import json

        self.copy = self.folder / "copy.gguf"
        shutil.copyfile(json.loads(self.check_ok("show", REAL_MODEL, "--json"))["path"], self.copy)
        self.size = self.copy.stat().st_size

    def header_bytes(self):
        """Where the tensor data begins, about: the header ends before the first run of tensor names does."""
        data = self.copy.read_bytes()[:8 << 20]
        return data.rindex(b"blk.") + 64

    def test_E8_a_real_model_cut_at_200_places(self):
        chance = random.Random(8)
        header = self.header_bytes()
        # Half of them in the header, where more can go wrong; longest first, since a cut file cannot grow back.
        cuts = sorted({0, 1, 23, 24, *(chance.randrange(header) for _ in range(96)), *(chance.randrange(self.size) for _ in range(100))},
                      reverse=True)
        self.assertEqual(len(cuts), 200)
        for i, length in enumerate(cuts):
            os.truncate(self.copy, length)
            command = (("run", "./copy.gguf", "hi", "-n", "1"), ("show", "./copy.gguf"), ("tokenize", "./copy.gguf", "hi"))[i % 3]
            with self.subTest(length=length, command=command[0]):
                error = self.check_fails(1, *command)
                self.assertIn("copy.gguf", error)
                self.assertGreater(len(error), 60)

    def test_E8_flipped_bits_in_the_header_of_a_real_model(self):
        chance = random.Random(9)
        header = self.header_bytes()
        refused = 0
        with open(self.copy, "r+b", buffering=0) as file:
            for i in range(120):
                # The first bytes hold counts and sizes, the last the tensors' shapes and places; between them is the vocabulary.
                place = (chance.randrange(1500), chance.randrange(header - 12000, header), chance.randrange(header))[i % 3]
                before = os.pread(file.fileno(), 1, place)
                os.pwrite(file.fileno(), bytes([before[0] ^ 1 << chance.randrange(8)]), place)
                with self.subTest(place=place, before=before):
                    done = self.run_program("run", "./copy.gguf", "hi", "-n", "1", "--ctx-size", "64", "--memory-budget", "1GiB", timeout=120)
                    self.assertIn(done.returncode, (0, 1, 4, 8), done.stderr)
                    if done.returncode != 0:
                        refused += 1
                        self.assertRegex(done.stderr, r"\AError: [^\n]{30,}\n\Z")
                os.pwrite(file.fileno(), before, place)
        self.assertGreater(refused, 30)
        self.check_ok("run", "./copy.gguf", "hi", "-n", "1")

    def test_the_file_is_cut_under_the_mapping_while_it_answers(self):
        # A random answer may end early.
        process = subprocess.Popen([BINARY, "run", "./copy.gguf", "Write a very long story", "-n", "4000", "--temperature", "0"],
                                   env=self.environment, cwd=self.folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                   stdin=subprocess.DEVNULL)
        try:
            process.stdout.read(1)
            os.truncate(self.copy, self.size // 2)
            _, error = process.communicate(timeout=120)
        finally:
            process.kill()
            process.wait()
        self.assertEqual(process.returncode, 1, error)
        self.assertNotEqual(process.returncode, -signal.SIGBUS)
        self.assertIn(b"Error: ", error)
