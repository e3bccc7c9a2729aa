"""The interactive prompt on a pseudo-terminal, with a real model."""

import codecs
import os
import pty
import re
import select
import signal
import struct
import fcntl
import termios
import time
import unittest

from support import BINARY, REAL_MODEL, RealModelTest

PROMPT = ">>> "


class Terminal:
    """A program on a terminal of its own: what is typed goes in, what the screen would show comes out."""

    def __init__(self, arguments, environment, folder, columns=100, program=BINARY):
        self.pid, self.master = pty.fork()
        if self.pid == 0:
            fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", 30, columns, 0, 0))
            os.chdir(folder)
            os.execve(program, [program, *arguments], environment)
        self.ended = None
        self.decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self.raw = ""

    def type(self, text):
        os.write(self.master, text.encode())

    def expect(self, pattern, timeout=240):
        """Waits until the new output, without escape sequences, matches; returns it and starts over."""
        deadline = time.monotonic() + timeout
        while True:
            seen = plain(self.raw)
            if re.search(pattern, seen):
                self.raw = ""
                return seen
            ready, _, _ = select.select([self.master], [], [], max(0, deadline - time.monotonic()))
            if not ready:
                raise AssertionError(f"no {pattern!r} in {seen!r}")
            try:
                data = os.read(self.master, 65536)
            except OSError:
                data = b""
            if not data:
                raise AssertionError(f"the program ended without {pattern!r}; it showed {seen!r}")
            self.raw += self.decoder.decode(data)

    def close(self):
        """Ends what a failed test has left running."""
        if self.ended is None:
            os.kill(self.pid, signal.SIGKILL)
            self.ended = os.waitpid(self.pid, 0)[1]
        os.close(self.master)

    def exit_code(self, timeout=60):
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.ended = status
                return os.waitstatus_to_exitcode(status)
            try:
                if select.select([self.master], [], [], 0.05)[0]:
                    os.read(self.master, 65536)
            except OSError:
                time.sleep(0.05)
        raise AssertionError("the program did not end")


def plain(text):
    """Without escape sequences, carriage returns and the placeholder."""
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]|\x1b[=>()][A-Z0-9]?", "", text)
    return text.replace("\r", "").replace("Send a message (/? for help)", "")


class Repl(RealModelTest):
    def start(self, *arguments):
        """A conversation whose answers are greedy and short unless `arguments` say otherwise: each must end, and soon."""
        terminal = Terminal(["run", REAL_MODEL, "--temperature", "0", "-n", "8", *arguments], self.environment, self.folder)
        self.addCleanup(terminal.close)
        terminal.expect(re.escape(PROMPT))
        return terminal

    def test_C13_talk_and_leave(self):
        terminal = self.start("--interactive", "--ctx-size", "4096", "-n", "40")
        terminal.type("Name the capital of France in one sentence.\r")
        self.assertIn("Paris", terminal.expect(r"Paris[\s\S]*>>> $"))
        terminal.type("/bye\r")
        self.assertEqual(terminal.exit_code(), 0)

    def test_C19_the_context_is_reused(self):
        terminal = self.start("-n", "16", "--verbose")
        terminal.type("My name is Robert. Remember that name, please.\r")
        first = terminal.expect(r"mlock:[\s\S]*>>> $")
        terminal.type("Hello\r")
        second = terminal.expect(r"mlock:[\s\S]*>>> $")

        def evaluated(text):
            return int(re.search(r"prompt eval count: +(\d+)", text)[1])

        self.assertLess(evaluated(second), evaluated(first))
        used = [int(re.search(r"context used: +(\d+)/", text)[1]) for text in (first, second)]
        self.assertGreater(used[1], used[0])
        sizes = [re.search(r"KV cache: +(\S+ \S+) ", text)[1] for text in (first, second)]
        self.assertEqual(*sizes)
        terminal.type("/clear\r")
        terminal.expect(r"Cleared session context[\s\S]*>>> $")
        terminal.type("/bye\r")
        self.assertEqual(terminal.exit_code(), 0)

    def test_interrupts(self):
        # Far more tokens than are waited for, whose end would take minutes; punctuation may stand between the words. What was typed
        # may be shown twice, by the terminal and by the editor.
        terminal = self.start("-n", "3000", "--verbose")
        terminal.type("Write a very long story about the sea and the moon.\r")
        terminal.expect(r"moon\.\s+(?!Write|>)(\w+\W+){3}")
        terminal.type("\x03")
        cut = terminal.expect(r"mlock:[\s\S]*>>> $")
        self.assertLess(int(re.search(r"\neval count: +(\d+)", cut)[1]), 3000)
        # What was said stays in the context.
        terminal.type("/set parameter num_predict 4\r")
        terminal.expect(r"Set parameter 'num_predict' to '4'[\s\S]*>>> $")
        terminal.type("And then?\r")
        after = terminal.expect(r"mlock:[\s\S]*>>> $")
        used = [int(re.search(r"context used: +(\d+)/", text)[1]) for text in (cut, after)]
        self.assertGreater(used[1], used[0])
        terminal.type("\x03")
        terminal.expect(r"Use Ctrl \+ d or /bye to exit\.\s+>>> $")
        terminal.type("thrown away\x03")
        terminal.expect(r">>> $")
        terminal.type("\x04")
        self.assertEqual(terminal.exit_code(), 0)

    def test_an_interrupt_while_the_editor_is_busy_is_not_lost(self):
        terminal = self.start()
        for _ in range(20):
            terminal.type("some words that are never sent\x03")
            terminal.expect(r">>> $", timeout=20)
        terminal.type("\x04")
        self.assertEqual(terminal.exit_code(), 0)

    def test_settings(self):
        terminal = self.start()
        terminal.type("/set parameter temperature 0\r")
        terminal.expect(r"Set parameter 'temperature' to '0'[\s\S]*>>> $")
        terminal.type("/set parameter num_ctx 256\r")
        terminal.expect(r"Set parameter 'num_ctx' to '256'[\s\S]*>>> $")
        terminal.type("/set parameter top_q 1\r")
        terminal.expect(r'unknown option "top_q"; did you mean "top_[kp]"\?[\s\S]*>>> $')
        terminal.type("/set parameter top_k many\r")
        terminal.expect(r"top_k[\s\S]*>>> $")
        terminal.type("/set system You answer with one word.\r")
        terminal.expect(r"Set system message\.[\s\S]*>>> $")
        terminal.type("/show system\r")
        terminal.expect(r"You answer with one word\.\s+>>> $")
        terminal.type("/show parameters\r")
        self.assertRegex(terminal.expect(r"num_ctx[\s\S]*>>> $"), r"temperature 0\n[\s\S]*num_ctx 256")
        terminal.type("/show info\r")
        terminal.expect(r"architecture[\s\S]*>>> $")
        terminal.type("/frobnicate\r")
        terminal.expect(r"Unknown command '/frobnicate'\. Type /\? for help\s+>>> $")
        for topic, words in (("", "/set"), (" set", "parameter"), (" show", "license"), (" shortcuts", r"Ctrl \+ l")):
            terminal.type(f"/?{topic}\r")
            terminal.expect(words + r"[\s\S]*>>> $")
        terminal.type("/list\r")
        terminal.expect(r"NAME +ID[\s\S]*smollm2:135m[\s\S]*>>> $")
        terminal.type("/exit\r")
        self.assertEqual(terminal.exit_code(), 0)

    def test_the_terminal_takes_single_keys_as_soon_as_the_prompt_shows(self):
        terminal = self.start("-n", "1")
        for _ in range(20):
            self.assertFalse(termios.tcgetattr(terminal.master)[3] & termios.ICANON)
            terminal.type("/set verbose\r")
            terminal.expect(r"[^ ]>>> $|\n>>> $")
        terminal.type("\x04")
        self.assertEqual(terminal.exit_code(), 0)

    def test_several_lines(self):
        terminal = self.start("--temperature", "0", "-n", "8")
        terminal.type('"""The first line\r')
        terminal.expect(r"\.\.\. $")
        terminal.type('the second line"""\r')
        terminal.expect(r"\w[\s\S]*>>> $")
        # A pasted line end is part of the message and does not send it.
        terminal.type("\x1b[200~/set system one\r\ntwo\x1b[201~\r")
        terminal.expect(r"Set system message\.[\s\S]*>>> $")
        terminal.type("/show system\r")
        terminal.expect(r"one\n+two\s+>>> $")
        terminal.type("\x04")
        self.assertEqual(terminal.exit_code(), 0)

    def test_editing_and_history(self):
        terminal = self.start()
        terminal.type("/show nonsense\x01\x0b/list\r")  # Ctrl-A, Ctrl-K
        terminal.expect(r"NAME +ID[\s\S]*>>> $")
        terminal.type("/show wrong\x17system\x15/list\r")  # Ctrl-W, Ctrl-U
        terminal.expect(r"NAME +ID[\s\S]*>>> $")
        terminal.type("/bye\r")
        self.assertEqual(terminal.exit_code(), 0)
        history = self.folder / ".mullama" / "history"
        self.assertIn("/list", history.read_text())
        self.assertEqual(history.stat().st_mode & 0o077, 0)
        terminal = self.start()
        terminal.type("\x1b[A\x1b[A\r")  # twice up, past /bye
        terminal.expect(r"NAME +ID[\s\S]*>>> $")
        terminal.type("\x04")
        self.assertEqual(terminal.exit_code(), 0)

    def test_formats(self):
        done = self.run_program("run", REAL_MODEL, "--interactive", "--temperature", "0", "-n", "300",
                                text="/set format json\nBob\n/set format missing.json\n/set noformat\n")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertTrue(done.stdout.startswith("{"))
        self.assertIn("missing.json", done.stderr)
        self.assertIn("Disabled format", done.stderr)

    def test_no_terminal_no_decoration(self):
        done = self.run_program("run", REAL_MODEL, "--interactive", "--temperature", "0", "-n", "8",
                                text="Name the capital of France in one sentence.\n/show system\n")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertNotIn(PROMPT, done.stdout)
        self.assertNotIn("\x1b", done.stdout + done.stderr)
        self.assertIn("France", done.stdout)


if __name__ == "__main__":
    unittest.main()
