"""Conversations with a made model whose template knows thoughts: what switches them, and what --keepalive does."""

import json
import pathlib
import subprocess
import time

import ollama_store
from support import BINARY, WRITE_TINY_MODEL, ProgramTest

# What the template does with its variables is seen in the length of the prompt.
TEMPLATE = (
    "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}assistant: "
    "{% if reasoning_effort is defined %}<effort {{ reasoning_effort }}>{% endif %}"
    "{% if enable_thinking is defined and not enable_thinking %}<think>\n\n</think>\n\n{% endif %}"
)
GREEDY = ("--temperature", "0", "-n", "6")


class ConversationTest(ProgramTest):
    def setUp(self):
        super().setUp()
        self.model = self.folder / "tiny.gguf"
        subprocess.run([WRITE_TINY_MODEL, self.model, TEMPLATE], check=True)


class Thinking(ConversationTest):
    def prompt_tokens(self, *arguments):
        return json.loads(self.check_ok("run", self.model, "Hi", "--json", *GREEDY, *arguments))["prompt_eval_count"]

    def test_think_reaches_the_template(self):
        plain = self.prompt_tokens()
        self.assertEqual(self.prompt_tokens("--think"), plain)
        self.assertGreater(self.prompt_tokens("--think=false"), plain)
        low, medium = self.prompt_tokens("--think=low"), self.prompt_tokens("--think=medium")
        self.assertTrue(plain < low < medium, (plain, low, medium))
        self.assertIn("true, false, low", self.check_fails(4, "run", self.model, "Hi", "--think=much"))

    def test_a_model_that_cannot_think_says_so(self):
        subprocess.run([WRITE_TINY_MODEL, self.model], check=True)
        self.assertIn("does not support thinking", self.check_fails(4, "run", self.model, "Hi", "--think"))
        self.check_ok("run", self.model, "Hi", "--think=false", *GREEDY)

    def test_set_think_and_nothink(self):
        done = self.run_program("run", self.model, "--interactive", "--verbose", *GREEDY, text=(
            "Hi\n/clear\n/set nothink\nHi\n/clear\n/set think\nHi\n/clear\n/set think medium\nHi\n/set think much\n"))
        self.assertEqual(done.returncode, 0, done.stderr)
        counts = [int(line.split()[3]) for line in done.stderr.splitlines() if line.startswith("prompt eval count:")]
        self.assertEqual(len(counts), 4, done.stderr)
        plain, without, with_thought, medium = counts
        self.assertGreater(without, plain)
        self.assertEqual(with_thought, plain)
        self.assertGreater(medium, plain)
        self.assertIn("Set 'nothink' mode.", done.stderr)
        self.assertIn("Error: think is true, false, low", done.stderr)


class ChatOrRaw(ConversationTest):
    def test_X15_run_and_conversations_chat_and_raw_does_not(self):
        def tokens(text):
            return int(self.check_ok("tokenize", self.model, "--count", "--bos", text))

        chat, raw = tokens("user: Hi\nassistant: "), tokens("Hi")
        self.assertNotEqual(chat, raw)
        for flags, expected in (((), chat), (("--raw",), raw)):
            once = json.loads(self.check_ok("run", self.model, "Hi", "--json", *GREEDY, *flags))
            self.assertEqual(once["prompt_eval_count"], expected)
            done = self.run_program("run", self.model, "--interactive", "--verbose", *GREEDY, *flags, text="Hi\n")
            self.assertEqual(done.returncode, 0, done.stderr)
            self.assertRegex(done.stderr, rf"\nprompt eval count: +{expected} token")


class OwnTemplates(ConversationTest):
    """What a store keeps beside a model's file answers, not what stands in the file."""

    GO = "[{{ .System }}]{{ .Prompt }}>{{ .Response }}"
    JINJA = "[{% for m in messages if m.role == 'system' %}{{ m.content }}{% endfor %}]{{ messages[-1].content }}>"

    def setUp(self):
        super().setUp()
        self.environment["OLLAMA_MODELS"] = str(self.folder / "ollama")

    def answer(self, model, *arguments):
        """The length of the prompt and the answer, and what was said beside it."""
        done = self.run_program("run", model, "Hi", "--json", "--system", "Be kind.", *GREEDY, *arguments)
        self.assertEqual(done.returncode, 0, done.stderr)
        document = json.loads(done.stdout)
        return (document["prompt_eval_count"], document["response"]), done.stderr

    def create(self, name, text):
        (self.folder / "Modelfile").write_text(text)
        return "create", name, "--quiet"

    def test_a_modelfiles_template_answers(self):
        subprocess.run([WRITE_TINY_MODEL, self.folder / "same.gguf", self.JINJA], check=True)
        expected, _ = self.answer(self.folder / "same.gguf")
        self.assertNotEqual(self.answer(self.model)[0], expected)
        for name, template in (("go", self.GO), ("jinja", self.JINJA)):
            with self.subTest(name):
                self.check_ok(*self.create(name, f'FROM ./tiny.gguf\nTEMPLATE """{template}"""\n'))
                self.assertEqual(self.answer(name), (expected, ""))
                self.assertEqual(self.check_ok("show", name, "--template"), template + "\n")
                messages = {"messages": [{"role": "system", "content": "Be kind."}, {"role": "user", "content": "Hi"}]}
                self.assertEqual(self.check_ok("render", name, text=json.dumps(messages)), "[Be kind.]Hi>")
        # The file's own knows thoughts, and these do not.
        self.assertIn("does not support thinking", self.check_fails(4, "run", "go", "Hi", "--think"))
        capabilities = [json.loads(self.check_ok("show", model, "--json"))["capabilities"] for model in (self.model, "go")]
        self.assertEqual(capabilities, [["completion", "thinking"], ["completion"]])

    def test_a_models_template_comes_back_with_it(self):
        self.check_ok(*self.create("go", f'FROM ./tiny.gguf\nTEMPLATE """{self.GO}"""\n'))
        talks = [self.run_program("run", "go", "--interactive", "--verbose", *GREEDY, *flags, text="Hi\n/clear\nHi\n")
                 for flags in ((), ("--keepalive", "0"))]
        counts = [[line for line in done.stderr.splitlines() if line.startswith("prompt eval count:")] for done in talks]
        self.assertEqual(*counts)
        self.assertEqual(len(set(counts[0])), 1)

    def test_an_ollama_stores_template_answers(self):
        ollama_store.add_model(self.folder / "ollama", "theirs", self.model, template=self.GO)
        self.check_ok(*self.create("ours", f'FROM ./tiny.gguf\nTEMPLATE """{self.GO}"""\n'))
        self.assertEqual(self.answer("theirs"), self.answer("ours"))

    def test_one_that_cannot_be_read_gives_way_with_a_warning(self):
        ollama_store.add_model(self.folder / "ollama", "odd", self.model, template="{{ html .Prompt }}")
        warning = ("Warning: the stored template of 'odd:latest' cannot be read: the template calls 'html' with 1 values, which is not known here; "
                   "the one in the model's file answers instead\n")
        self.assertEqual(self.answer("odd"), (self.answer(self.model)[0], warning))
        done = self.run_program("show", "odd", "--json")
        self.assertEqual((json.loads(done.stdout)["capabilities"], done.stderr), (["completion", "thinking"], warning))

    def test_where_there_is_no_other_it_is_an_error(self):
        subprocess.run([WRITE_TINY_MODEL, self.folder / "bare.gguf", ""], check=True)
        ollama_store.add_model(self.folder / "ollama", "odd", self.folder / "bare.gguf", template="{{ html .Prompt }}")
        done = self.run_program("run", "odd", "Hi", *GREEDY)
        self.assertEqual((done.returncode, done.stdout), (1, ""))
        for words in ("'odd:latest'", "'html'", "--raw", "TEMPLATE"):
            self.assertIn(words, done.stderr.splitlines()[-1])
        self.check_ok("run", "odd", "Hi", "--raw", *GREEDY)

    def test_create_refuses_what_cannot_be_read(self):
        for template, code, cause in (("{{ html .Prompt }}", 1, "'html'"), ("{{ .Prompt", 4, "misses a }}"), ("{% for %}", 4, "line 1")):
            with self.subTest(template):
                error = self.check_fails(code, *self.create("bad", f"FROM ./tiny.gguf\nTEMPLATE {template}\n"))
                self.assertIn("the TEMPLATE cannot be used", error)
                self.assertIn(cause, error)
        self.assertEqual(self.check_ok("list", "-q"), "")

    def test_a_model_with_an_adapter_is_refused(self):
        self.check_ok(*self.create("tuned", "FROM ./tiny.gguf\nADAPTER ./tiny.gguf\n"))
        self.assertEqual(self.check_fails(1, "run", "tuned", "Hi"), "Error: model 'tuned:latest' has adapters, which this version cannot apply\n")


class KeepAlive(ConversationTest):
    def talk(self, *arguments):
        process = subprocess.Popen([BINARY, "run", self.model, "--interactive", *GREEDY, *arguments], stdin=subprocess.PIPE,
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=self.environment, cwd=self.folder)
        self.addCleanup(process.communicate)
        self.addCleanup(process.kill)
        return process

    def ask(self, process, text):
        """The answer's line; a made model may say anything but that."""
        process.stdin.write(text.encode() + b"\n")
        process.stdin.flush()
        return process.stdout.readline()

    def is_mapped(self, process):
        return str(self.model) in pathlib.Path(f"/proc/{process.pid}/maps").read_text(encoding="utf-8")

    def wait_until_unmapped(self, process):
        deadline = time.monotonic() + 30
        while self.is_mapped(process):
            self.assertLess(time.monotonic(), deadline, "the model stays in memory")
            time.sleep(0.01)

    def test_the_model_leaves_memory_and_the_conversation_stays(self):
        stays = self.talk()
        leaves = self.talk("--keepalive", "10ms")
        for question in ("Hello", "And then?", "Why?"):
            self.wait_until_unmapped(leaves)
            self.assertEqual(self.ask(leaves, question), self.ask(stays, question))
            self.assertTrue(self.is_mapped(stays))
        output, notes = leaves.communicate(b"/set parameter num_ctx 256\n/show parameters\n/bye\n", timeout=60)
        self.assertEqual(leaves.returncode, 0, notes)
        self.assertIn(b"num_ctx 256", output)

    def test_bad_durations_are_refused(self):
        self.assertIn("duration", self.check_fails(4, "run", self.model, "Hi", "--keepalive", "soon"))
