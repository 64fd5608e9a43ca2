"""The peers stay out of the product: out of its requirements, its code and its tests."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PEERS = {"dlt", "matplotlib", "pandas", "py_spy"}
"""The vendors' clients are not among them: the sandbox's own tests use these."""


def imported(file: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module.partition(".")[0]


def pins(lock: str) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for name, version in re.findall(r"^([a-z0-9._-]+)==([^ ;]+)", (ROOT / lock).read_text(), re.MULTILINE):
        found.setdefault(name, set()).add(version)
    return found


@pytest.mark.parametrize("folder", ["include", "plugins", "dags", "tests"])
def test_no_peer_is_imported(folder: str) -> None:
    files = (ROOT / folder).rglob("*.py")
    assert {(file.name, name) for file in files for name in imported(file) if name in PEERS} == set()


def test_no_peer_is_required() -> None:
    asked = (ROOT / "requirements.in").read_text() + (ROOT / "requirements-dev.in").read_text()
    assert {
        name for name in PEERS if re.search(rf"^{name}\b", asked.replace("-", "_"), re.MULTILINE)
    } == set()


@pytest.mark.parametrize("name", ["pyarrow", "requests", "urllib3"])
def test_peers_and_product_have_the_same_version_of_what_they_share(name: str) -> None:
    assert pins("requirements-bench.txt")[name] == pins("requirements.txt")[name]
