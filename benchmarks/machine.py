"""What the figures were measured on and with: machine, Python, versions of everything that takes part."""

from __future__ import annotations

import json
import os
import platform
import subprocess
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks.places import PEER_PYTHON, PRODUCT_PYTHON, ROOT

_PRODUCT_PACKAGES = ("logferry", "pyarrow", "requests", "urllib3", "msgspec")
_PEER_PACKAGES = (
    "datadog-api-client",
    "dlt",
    "azure-monitor-query",
    "pandas",
    "pyarrow",
    "requests",
    "urllib3",
    "orjson",
    "duckdb",
)
_ASK = """
import importlib.metadata, json, platform, sys
found = {}
for name in sys.argv[1:]:
    try:
        found[name] = importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        pass
print(json.dumps({"python": platform.python_version(), **found}))
"""


@dataclass(frozen=True, slots=True)
class Machine:
    """``cores``: those this process may use."""

    cpu: str
    cores: int
    memory_bytes: int
    kernel: str
    product: dict[str, str]
    peers: dict[str, str]
    revision: str

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    def same_hardware(self, other: dict[str, Any]) -> bool:
        """Whether figures from there can stand in one table with figures from here."""
        return (self.cpu, self.cores, self.memory_bytes, self.kernel) == tuple(
            other.get(name) for name in ("cpu", "cores", "memory_bytes", "kernel")
        )


def this_machine() -> Machine:
    return Machine(
        cpu=_cpu(),
        cores=len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1,
        memory_bytes=os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        kernel=f"{platform.system()} {platform.release()} {platform.machine()}",
        product=_versions(PRODUCT_PYTHON, _PRODUCT_PACKAGES),
        peers=_versions(PEER_PYTHON, _PEER_PACKAGES),
        revision=_revision(),
    )


def _cpu() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def _versions(python: Path, packages: tuple[str, ...]) -> dict[str, str]:
    done = subprocess.run([str(python), "-c", _ASK, *packages], capture_output=True, text=True, check=True)
    found: dict[str, str] = json.loads(done.stdout)
    return found


def _revision() -> str:
    """The commit measured, with a plus sign when files differ from it; empty outside a repository."""
    try:
        commit = _git("rev-parse", "--short", "HEAD")
        return commit + ("+" if _git("status", "--porcelain", "--untracked-files=no") else "")
    except (OSError, subprocess.CalledProcessError):
        return ""


def _git(*arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=True)
    return done.stdout.strip()
