"""The program on a terminal of its own: a pseudo terminal, typed at and read like by a person."""

import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import termios
import time
from pathlib import Path

from valet_server import ANSWER_S, BIN, STOP_S, child_env

CTRL_C, CTRL_D, CTRL_R, ENTER, UP, LEFT = "\x03", "\x04", "\x12", "\r", "\x1b[A", "\x1b[D"
ALT_ENTER = "\x1b\r"

# What moves the cursor, colours and clears: all that is no text.
ESCAPES = re.compile(r"\x1b\[[0-9;?]*[a-zA-Z]|\x1b[=>]|\x1b[()][A-Z0-9]|[\x00\x07\x08\r]")


def plain(text):
    return ESCAPES.sub("", text)


def environment(state, **more):
    """The program's: its home is the folder `state`."""
    # libedit never frees the names of functions that are added to it.
    suppressions = Path(state, "lsan")
    suppressions.write_text("leak:wcsdup\n")
    return {
        **child_env(),
        "LSAN_OPTIONS": f"suppressions={suppressions}:print_suppressions=0",
        "XDG_STATE_HOME": str(state),
        "HOME": str(state),
        **more,
    }


class Terminal:
    """`valet ARGS` on a terminal of 100 columns and 40 rows. stdout may be a file instead."""

    def __init__(self, *args, state, term="xterm", stdout=None, env=None):
        self.master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 100, 0, 0))
        self.seen = ""  # all that came, as text
        self.at = 0  # behind what was last waited for
        self.bytes = b""  # of a character that has not come as a whole
        self.settings = termios.tcgetattr(slave)
        self.slave = slave
        self.process = subprocess.Popen(
            [BIN, *args],
            stdin=slave,
            stdout=stdout or slave,
            stderr=slave,
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
            env=environment(state, TERM=term, **(env or {})),
        )

    def type(self, text):
        os.write(self.master, text.encode())

    def _read(self, seconds):
        if not select.select([self.master], [], [], seconds)[0]:
            return False
        self.bytes += os.read(self.master, 65536)
        try:
            self.seen += self.bytes.decode()
            self.bytes = b""
        except UnicodeDecodeError as cut:
            assert len(self.bytes) - cut.start < 4, self.bytes
            self.seen += self.bytes[: cut.start].decode()
            self.bytes = self.bytes[cut.start :]
        return True

    def wait(self, pattern, seconds=ANSWER_S, raw=False):
        """Reads until the pattern is in what came since the last wait; gives what came up to its end."""
        deadline = time.monotonic() + seconds
        while True:
            new = self.seen[self.at :]
            match = re.search(pattern, new if raw else plain(new), re.DOTALL)
            if match:
                self.at = len(self.seen)
                return new if raw else plain(new)
            left = deadline - time.monotonic()
            assert left > 0, f"not within {seconds} s: {pattern!r}; there is {new!r}"
            ended = self.process.poll() is not None
            assert self._read(0 if ended else min(left, 0.2)) or not ended, f"ended before {pattern!r}: {new!r}"

    def prompt(self, seconds=ANSWER_S):
        """Until the program waits for input; gives what came before the prompt."""
        text = self.wait(r"\n(> |\.\.\. )$", seconds)
        return text[: text.rfind("\n") + 1]

    def say(self, text):
        """Types a line and gives what is shown between it and the next prompt."""
        self.type(text + ENTER)
        return self.prompt().split("\n", 1)[1]

    def paste(self, text):
        """As terminals do it that mark what is pasted."""
        self.type("\x1b[200~" + text + "\x1b[201~")

    def send_signal(self, number):
        self.process.send_signal(number)

    def mode_is_sane(self):
        """Whether the terminal is as it was before the program."""
        now = termios.tcgetattr(self.slave)
        return now[:4] == self.settings[:4] and now[6] == self.settings[6]

    def resize(self, rows, columns):
        fcntl.ioctl(self.slave, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        self.process.send_signal(signal.SIGWINCH)

    def end(self, seconds=STOP_S):
        """Waits for the end of the program, reading on; gives its exit status."""
        deadline = time.monotonic() + seconds
        while self.process.poll() is None:
            assert time.monotonic() < deadline, f"no end within {seconds} s; there is {self.seen[self.at:]!r}"
            self._read(0.02)
        while self._read(0):
            pass
        return self.process.returncode

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        os.close(self.slave)
        os.close(self.master)
