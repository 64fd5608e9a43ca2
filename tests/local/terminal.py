"""A program on a terminal of its own: what it shows, what is typed, how it ends."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import signal
import struct
import subprocess
import termios
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

_ESCAPE = re.compile(r"\x1b\[[0-9;?]*[a-zA-Z]")
_ROWS, _COLUMNS = 50, 160


def _take_terminal() -> None:
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)
    # A shell starts what runs in the background with Ctrl-C ignored, which programs inherit.
    signal.signal(signal.SIGINT, signal.SIG_DFL)


class Terminal:
    """Start ``command`` as the foreground group of a new terminal, wide enough for whole lines."""

    def __init__(self, command: Sequence[str], environment: Mapping[str, str], folder: Path) -> None:
        self._ours, theirs = pty.openpty()
        fcntl.ioctl(self._ours, termios.TIOCSWINSZ, struct.pack("HHHH", _ROWS, _COLUMNS, 0, 0))
        self.process = subprocess.Popen(
            command,
            env=dict(environment),
            cwd=folder,
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
            preexec_fn=_take_terminal,
        )
        os.close(theirs)
        self._shown = bytearray()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    @property
    def text(self) -> str:
        """Everything shown until now, without colours and cursor movements."""
        return _ESCAPE.sub("", self._shown.decode(errors="replace")).replace("\r", "")

    def wait_for(self, words: str, seconds: float) -> None:
        """Until ``words`` were shown; AssertionError with all of the text when they were not."""
        deadline = time.monotonic() + seconds
        while words not in self.text:
            assert self.process.poll() is None, f"ended with {self.process.returncode}:\n{self.text}"
            assert time.monotonic() < deadline, f"no {words!r} within {seconds} s:\n{self.text}"
            time.sleep(0.2)

    def type(self, keys: bytes) -> None:
        os.write(self._ours, keys)

    def wait(self, seconds: float) -> int:
        """The exit code, after all output was read."""
        code = self.process.wait(seconds)
        self._reader.join(seconds)
        return code

    def close(self) -> None:
        """Let go of the terminal; a program that still runs gets SIGHUP."""
        os.close(self._ours)

    def _read(self) -> None:
        while True:
            try:
                data = os.read(self._ours, 65_536)
            except OSError:
                return
            if not data:
                return
            self._shown += data
