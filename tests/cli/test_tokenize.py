"""tokenize and render: text in, ids or prompt out."""

import json

from gguf_files import write_vocabulary
from support import ProgramTest


class Tokenize(ProgramTest):
    def setUp(self):
        super().setUp()
        self.tokens = write_vocabulary(self.folder / "vocab.gguf")

    def ids(self, *arguments, **options):
        return json.loads(self.check_ok("tokenize", "./vocab.gguf", "--json", *arguments, **options))

    def test_ids_are_a_plain_array(self):
        self.assertEqual([self.tokens[i] for i in self.ids("hello")], ["hello"])
        self.assertEqual([self.tokens[i] for i in self.ids("hello world")], ["hello", "\u0120w", "o", "r", "l", "d"])

    def test_bos_and_special_tokens_only_when_asked(self):
        bos, end = len(self.tokens) - 2, len(self.tokens) - 1
        self.assertEqual(self.ids("--bos", "hello")[0], bos)
        self.assertNotIn(end, self.ids("<end>"))
        self.assertEqual(self.ids("--special", "<end>"), [end])

    def test_text_from_standard_input(self):
        self.assertEqual(self.ids(text="hello\n"), [*self.ids("hello"), *self.ids("\n")])
        self.assertEqual(self.ids("-", text="hello"), self.ids("hello"))
        self.assertEqual(self.ids(text=""), [])

    def test_pieces_are_quoted(self):
        lines = self.check_ok("tokenize", "./vocab.gguf", 'hello"\n\x01é').splitlines()
        self.assertEqual([line.split(maxsplit=1)[1] for line in lines],
                         ['"hello"', '"\\""', '"\\n"', '"\\x01"', '"\\xc3"', '"\\xa9"'])

    def test_count(self):
        self.assertEqual(self.check_ok("tokenize", "./vocab.gguf", "--count", "hello hello"), "3\n")

    def test_unknown_pre_tokenizer_says_how_to_override(self):
        self.assertIn("--pre", self.check_fails(1, "tokenize", "./vocab.gguf", "--pre", "nonsense", "x"))


class Render(ProgramTest):
    def test_a_template_file(self):
        (self.folder / "t.jinja").write_text(
            "{% for m in messages %}<{{ m.role }}>{{ m.content }}\n{% endfor %}{% if add_generation_prompt %}<ai>{% endif %}{{ x }}"
        )
        (self.folder / "in.json").write_text(
            json.dumps({"messages": [{"role": "user", "content": "Hé"}], "add_generation_prompt": True, "x": 3})
        )
        self.assertEqual(self.check_ok("render", "t.jinja", "--input", "in.json"), "<user>Hé\n<ai>3")

    def test_errors(self):
        (self.folder / "t.jinja").write_text("{{ raise_exception('no roles') }}")
        self.assertIn("no roles", self.check_fails(4, "render", "t.jinja", text="{}"))
        self.check_fails(4, "render", "t.jinja", text="[]")
        self.check_fails(4, "render", "missing.jinja", text="{}")
        (self.folder / "t.jinja").write_text("{% if %}")
        self.check_fails(4, "render", "t.jinja", text="{}")
