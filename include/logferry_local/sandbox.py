"""The sandbox of the local run, on the same ports at every start.

The address of a source is part of an export's fingerprint (``logferry.spec.fingerprint``): on other ports, all that
an earlier start has exported would be of another definition.
"""

from __future__ import annotations

import json
import random
import socket
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from logferry.errors import LogferryError
from logferry_local.processes import Children
from logferry_local.settings import Settings

SERVERS = ("datadog", "azure", "entra", "arm", "imds")
"""What each ``--port-…`` of ``python -m logferry_sandbox`` is for."""

_STARTED_S = 60.0
_FROM, _BEFORE = 20_000, 32_000
"""Below those that the system gives to whoever connects to somebody, which come and go while the sandbox is down
(ip_local_port_range in https://docs.kernel.org/networking/ip-sysctl.html)."""


@dataclass(frozen=True, slots=True)
class Ports:
    """``numbers``: by server; ``moved``: the servers whose kept port somebody else has, with that port."""

    numbers: dict[str, int]
    moved: dict[str, int]

    @property
    def sentence(self) -> str | None:
        """What a person should know of the moved ones, None where there are none."""
        if not self.moved:
            return None
        moves = ", ".join(
            f"{server} from {port} to {self.numbers[server]}" for server, port in self.moved.items()
        )
        return (
            f"ports of the sandbox are taken by another program, so these servers moved: {moves}; what earlier "
            "starts exported from there shows as of another definition"
        )


def choose_ports(home: Path) -> Ports:
    """The ports that ``keep_ports`` wrote down in the run's folder, where they are free, and new ones for the rest."""
    kept = _kept(home)
    numbers: dict[str, int] = {}
    moved: dict[str, int] = {}
    for server in SERVERS:
        port = kept.get(server)
        if port is not None and port not in numbers.values() and _is_free(port):
            numbers[server] = port
            continue
        numbers[server] = _new_port({*kept.values(), *numbers.values()})
        if port is not None:
            moved[server] = port
    return Ports(numbers, moved)


def keep_ports(home: Path, ports: Ports) -> None:
    """Write them down for the next start."""
    file = _file(home)
    unfinished = file.with_suffix(".part")
    unfinished.write_text(json.dumps(ports.numbers))
    unfinished.replace(file)


def start_sandbox(settings: Settings, children: Children, ports: Ports) -> dict[str, Any]:
    """Start it as the child ``sandbox`` and wait for it; its addresses and fake credentials.

    LogferryError when it ends or is not up after a minute.
    """
    state_file = settings.home / "sandbox.json"
    state_file.unlink(missing_ok=True)
    command = [sys.executable, "-m", "logferry_sandbox", "--state-file", str(state_file)]
    for server, port in ports.numbers.items():
        command += [f"--port-{server}", str(port)]
    children.start("sandbox", command, settings.environment, settings.root)
    deadline = time.monotonic() + _STARTED_S
    while not state_file.exists():
        if children.dead() or time.monotonic() > deadline:
            raise LogferryError(f"the sandbox did not start; see {children.log_of('sandbox')}")
        time.sleep(0.1)
    keep_ports(settings.home, ports)
    state: dict[str, Any] = json.loads(state_file.read_text())
    return state


def _file(home: Path) -> Path:
    return home / "sandbox-ports.json"


def _kept(home: Path) -> Mapping[str, int]:
    """Empty where the file is missing or damaged: then the sandbox begins anew."""
    try:
        found = json.loads(_file(home).read_text())
    except (OSError, ValueError):
        return {}
    kept = found if isinstance(found, dict) else {}
    return {server: kept[server] for server in SERVERS if kept.get(server) in range(1, 65_536)}


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        # As the sandbox itself does: connections that an earlier one has just closed are nobody's.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def _new_port(others: set[int]) -> int:
    dice = random.SystemRandom()
    for _ in range(1000):
        port = dice.randrange(_FROM, _BEFORE)
        if port not in others and _is_free(port):
            return port
    raise LogferryError(
        f"the sandbox finds no free port from {_FROM} to {_BEFORE} on 127.0.0.1; stop what listens on them"
    )
