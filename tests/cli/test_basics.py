"""Help, errors, exit codes and completions: what needs no model."""

import os
import pathlib
import re
import shutil
import subprocess

from gguf_files import write_small_model
from support import BINARY, ProgramTest

ROOT = pathlib.Path(__file__).resolve().parents[2]
COMMANDS = [
    "run", "show", "list", "pull", "create", "cp", "rm", "tokenize", "embed", "render", "serve", "daemon", "ps", "stop", "plan", "quantize",
    "perplexity", "kv-quality", "bench", "completions",
]
DAEMON_COMMANDS = ["start", "stop", "restart", "status", "ping", "load", "unload", "logs"]
VARIABLE = r"(?:MULLAMA|OLLAMA|HF)_[A-Z_]+"


class Help(ProgramTest):
    def test_every_command_has_help_with_examples(self):
        overview = self.check_ok("--help")
        for command in COMMANDS:
            self.assertIn(f"\n  {command}", overview)
            text = self.check_ok(command, "--help")
            self.assertIn("Usage: mullama " + command, text)
            self.assertIn(f"Examples:\n  mullama {command}", text.replace("cat notes.txt | ", ""))
        listed = re.findall(r"^  ([a-z-]+)", overview[overview.index("Subcommands:"):overview.index("Examples:")], re.M)
        self.assertEqual(sorted(listed), sorted(COMMANDS))

    def test_every_command_of_daemon_has_help_with_examples(self):
        overview = self.check_ok("daemon", "--help")
        for command in DAEMON_COMMANDS:
            self.assertIn(f"\n  {command}", overview)
            text = self.check_ok("daemon", command, "--help")
            self.assertIn(f"Usage: mullama daemon {command}", text)
            self.assertIn(f"Examples:\n  mullama daemon {command}", text)

    def test_environment_variables_are_in_the_help(self):
        """Those that the sources read are those of docs/cli.md, and a help text lists each."""
        sources = "".join(path.read_text() for path in (ROOT / "src").rglob("*.[ch]pp"))
        table = re.search(r"\n## Environment\n[\s\S]*?(?=\n## )", (ROOT / "docs" / "cli.md").read_text())[0]
        documented = set(re.findall(f"`({VARIABLE})`", table))
        self.assertEqual(documented, set(re.findall(f'"({VARIABLE})"', sources)))
        self.assertIn("MULLAMA_HOST", documented)
        serve, run = (set(re.findall(rf"\b{VARIABLE}\b", self.check_ok(command, "--help"))) for command in ("serve", "run"))
        self.assertEqual(documented - serve, {"OLLAMA_NOHISTORY"})
        self.assertIn("OLLAMA_NOHISTORY", run)

    def test_exit_codes_of_run_are_in_its_help(self):
        codes = re.findall(r"^\| (\d+) \|", (ROOT / "docs" / "cli.md").read_text(), re.M)
        self.assertIn("6", codes)
        told = re.search(r"Exit codes: ([\s\S]*?anything else)\.", self.check_ok("run", "--help"))[1]
        self.assertEqual(sorted(re.findall(r"(?:^|, )(\d+)\s", told.replace("\n", " "))), sorted(codes))

    def test_version(self):
        self.assertRegex(self.check_ok("--version"), r"^mullama \d+\.\d+\.\d+\n$")
        self.assertEqual(self.check_ok("-v"), self.check_ok("--version"))

    def test_help_as_a_command(self):
        self.assertEqual(self.check_ok("help"), self.check_ok("--help"))
        self.assertEqual(self.check_ok("help", "run"), self.check_ok("run", "--help"))

    def test_nothing_typed(self):
        done = self.run_program()
        self.assertEqual((done.returncode, done.stdout), (4, ""))
        self.assertIn("Usage: mullama", done.stderr)

    def test_other_tools_spellings_are_not_advertised(self):
        self.assertNotIn("ngl", self.check_ok("run", "--help"))


class Mistakes(ProgramTest):
    def test_unknown_command(self):
        self.assertIn("Did you mean 'run'?", self.check_fails(4, "rnu", "x"))
        self.assertNotIn("Did you mean", self.check_fails(4, "frobnicate"))

    def test_unknown_option(self):
        self.assertIn("'--ctx-size'", self.check_fails(4, "run", "x", "--ctx-sise", "5"))
        self.assertIn("unknown option '--zzzzzzz'", self.check_fails(4, "list", "--zzzzzzz"))

    def test_mistakes_inside_a_command_of_daemon(self):
        error = self.check_fails(4, "daemon", "start", "--paralel", "3")
        self.assertIn("unknown option '--paralel'. Did you mean '--parallel'? See: mullama daemon start --help", error)
        self.assertIn("'--follow'", self.check_fails(4, "daemon", "logs", "--folow"))
        self.assertIn("--lines must be a whole number in range, not 'x'. See: mullama daemon logs --help",
                      self.check_fails(4, "daemon", "logs", "--lines", "x"))
        self.assertIn("unexpected argument 'now'. See: mullama daemon stop --help", self.check_fails(4, "daemon", "stop", "now"))
        self.assertIn("unknown option '--jsn'", self.check_fails(4, "daemon", "--jsn", "status"))
        self.assertIn("Did you mean 'start'? See: mullama daemon --help", self.check_fails(4, "daemon", "strat"))
        self.assertIn("See: mullama daemon --help", self.check_fails(4, "daemon"))

    def test_no_daemon_answers(self):
        for command in (("ps",), ("stop", "x")):
            self.assertIn("no daemon answers at 127.0.0.1:1. Start one with: mullama daemon start", self.check_fails(2, *command))
        self.assertEqual(self.run_program("daemon", "status").returncode, 2)

    def test_wrong_values(self):
        for value in ("many", "-5", "1.5", "99999999999"):
            self.assertIn(f"--ctx-size must be a whole number in range, not '{value}'",
                          self.check_fails(4, "run", "x", "hi", "--ctx-size", value))
        self.assertIn("required", self.check_fails(4, "show"))
        error = self.check_fails(4, "completions", "tcsh")
        for shell in ("bash", "zsh", "fish"):
            self.assertIn(shell, error)

    def test_C08_bad_kv_cache_type_names_the_valid_ones(self):
        write_small_model(self.models / "x.gguf")
        error = self.check_fails(4, "run", "x", "hi", "--kv-cache-type", "q3_7")
        for name in ("f32", "f16", "bf16", "q8_0", "q4_0"):
            self.assertIn(name, error)

    def test_missing_models(self):
        self.assertIn("Try: mullama pull nothere", self.check_fails(3, "run", "nothere", "hi"))
        self.check_fails(3, "show", "./none.gguf")
        self.assertIn("mullama list", self.check_fails(3, "rm", "nothere"))
        self.check_fails(4, "run", "a/../etc", "hi")

    def test_no_prompt(self):
        self.assertIn("--interactive", self.check_fails(4, "run", "x"))

    def test_unreadable_environment(self):
        write_small_model(self.models / "x.gguf")
        self.assertIn("MULLAMA_CONTEXT_SIZE", self.check_fails(4, "run", "x", "hi", MULLAMA_CONTEXT_SIZE="lots"))


class Streams(ProgramTest):
    def test_a_reader_that_leaves_ends_it_quietly(self):
        for i in range(300):
            write_small_model(self.models / f"model-number-{i:03}-with-a-name-long-enough-to-fill-a-pipe.gguf")
        shell = subprocess.run(
            f"'{BINARY}' show ./models/model-number-001-with-a-name-long-enough-to-fill-a-pipe.gguf --json | head -c 1;"
            f"'{BINARY}' list --json | head -c 10; echo ${{PIPESTATUS[0]}}",
            shell=True, executable="/bin/bash", capture_output=True, encoding="utf-8", env=self.environment, cwd=self.folder,
            check=False,
        )
        self.assertEqual(shell.stderr, "")
        self.assertIn(shell.stdout.split()[-1], ("141", "0"))

    def shell(self, command):
        return subprocess.run(command, shell=True, executable="/bin/bash", capture_output=True, encoding="utf-8", env=self.environment,
                              cwd=self.folder, check=False)

    def test_output_that_cannot_be_written_is_an_error(self):
        write_small_model(self.folder / "x.gguf")
        for command in ("list", "show ./x.gguf", "--help", "completions bash"):
            with self.subTest(command):
                done = self.shell(f"'{BINARY}' {command} > /dev/full")
                self.assertEqual(done.returncode, 1)
                self.assertIn("could be written", done.stderr)

    def test_closed_streams_do_not_end_up_in_files(self):
        write_small_model(self.folder / "x.gguf")
        self.assertEqual(self.shell(f"'{BINARY}' quantize x.gguf good.gguf Q8_0 --allow-requantize").returncode, 0)
        good = (self.folder / "good.gguf").read_bytes()
        for streams in ("2>&-", ">&- 2>&-", "<&- >&- 2>&-"):
            with self.subTest(streams):
                self.shell(f"'{BINARY}' quantize x.gguf out.gguf Q8_0 --allow-requantize {streams}")
                self.assertEqual((self.folder / "out.gguf").read_bytes(), good)
                (self.folder / "out.gguf").unlink()

    def test_no_escapes_without_a_terminal(self):
        write_small_model(self.folder / "x.gguf")
        (self.folder / "Modelfile").write_text("FROM ./x.gguf\n")
        done = self.run_program("create", "x")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertNotIn("\x1b", done.stderr + done.stdout)
        self.assertEqual(done.stdout, "")


class Completions(ProgramTest):
    def test_shells_accept_the_scripts(self):
        for shell, check in (("bash", ["bash", "-n"]), ("zsh", ["zsh", "-n"]), ("fish", ["fish", "-n"])):
            script = self.check_ok("completions", shell)
            self.assertIn("quantize", script)
            if shutil.which(shell) is None:
                continue
            path = self.folder / f"script.{shell}"
            path.write_text(script)
            subprocess.run([*check, path], check=True)

    def test_bash_completes_commands_options_and_models(self):
        write_small_model(self.models / "llama9.gguf")
        script = self.folder / "script"
        script.write_text(self.check_ok("completions", "bash"))

        def complete(*words):
            quoted = " ".join(f"'{word}'" for word in words)
            lines = subprocess.run(
                ["bash", "-c", f". '{script}'; COMP_WORDS=(mullama {quoted}); COMP_CWORD={len(words)}; _mullama; "
                 'printf "%s\\n" "${COMPREPLY[@]}"'],
                capture_output=True, encoding="utf-8", check=True,
                env={**self.environment, "PATH": os.path.dirname(BINARY) + ":" + self.environment["PATH"]}, cwd=self.folder,
            )
            return lines.stdout.split()

        self.assertEqual(complete("tok"), ["tokenize"])
        self.assertIn("--kv-cache-type", complete("run", "--kv"))
        self.assertEqual(complete("show", "llam"), ["llama9"])
