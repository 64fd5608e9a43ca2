"""Requests of several threads that are answered in an order that a test chooses."""

from __future__ import annotations

import random
import threading


class Turnstile:
    """Every request stands still in ``pass_through`` until its turn, which dice throw among those that stand there.

    Within ``with`` it turns by itself; without, and after it, whoever comes goes straight through unless it is
    ``shut``, which keeps everyone until ``open``.
    """

    def __init__(self, seed: int = 0) -> None:
        self._dice = random.Random(seed)
        self._changed = threading.Condition()
        self._standing: list[threading.Event] = []
        self._turning = False
        self._shut = False
        self.most_standing = 0

    def pass_through(self) -> None:
        turn = threading.Event()
        with self._changed:
            if not self._turning and not self._shut:
                return
            self._standing.append(turn)
            self.most_standing = max(self.most_standing, len(self._standing))
            self._changed.notify_all()
        turn.wait()

    def shut(self) -> None:
        with self._changed:
            self._shut = True

    def open(self) -> None:
        with self._changed:
            self._shut = False
            self._let_all()

    def let_by(self) -> None:
        """Those that stand here, and nobody after them."""
        with self._changed:
            self._let_all()

    def wait_for(self, standing: int) -> None:
        """Until so many requests stand here at once."""
        with self._changed:
            assert self._changed.wait_for(lambda: len(self._standing) >= standing, timeout=30)

    def __enter__(self) -> Turnstile:
        self._turning = True
        self._thread = threading.Thread(target=self._turn, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        with self._changed:
            self._turning = False
            self._let_all()
            self._changed.notify_all()
        self._thread.join()

    def _turn(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._standing or not self._turning)
                if not self._turning:
                    return
                self._standing.pop(self._dice.randrange(len(self._standing))).set()

    def _let_all(self) -> None:
        for turn in self._standing:
            turn.set()
        self._standing.clear()
