"""Ports for servers that are started later, or more than once on the same one."""

from __future__ import annotations

import random
import socket

_FROM, _BEFORE = 20_000, 32_000
"""Below those that the system itself gives away: what binds port 0, or connects to somebody, may be given such a one
before the server has begun (ip_local_port_range in https://docs.kernel.org/networking/ip-sysctl.html)."""


def free_port() -> int:
    """A port of 127.0.0.1 that nobody listens on, and that nobody is likely to choose meanwhile."""
    dice = random.SystemRandom()  # A seed that tests share would have all of them choose the same.
    for _ in range(100):
        port = dice.randrange(_FROM, _BEFORE)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        return port
    raise AssertionError(f"no port from {_FROM} to {_BEFORE} is free")
