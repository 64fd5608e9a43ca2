"""The locks: complete, hashed, agreeing with each other, and naming no index."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
LOCKS = ["requirements", "requirements-dev", "requirements-bench", "requirements-compose", "requirements-uv"]
SUPERSETS = ["requirements-dev", "requirements-compose"]


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def blocks(lock: str) -> list[str]:
    """One string per locked package: the pin with its hashes."""
    return (ROOT / f"{lock}.txt").read_text().replace("\\\n", " ").strip().splitlines()


def pins(lock: str) -> set[str]:
    return {block.split("--hash")[0].strip() for block in blocks(lock)}


def asked_for(source: str) -> set[str]:
    names = set()
    for line in (ROOT / f"{source}.in").read_text().splitlines():
        requirement = line.split("#")[0].strip()
        if requirement and not requirement.startswith("-"):
            match = re.match(r"[A-Za-z0-9._-]+", requirement)
            assert match, f"{source}.in: {line}"
            names.add(normal(match.group()))
    return names


@pytest.mark.parametrize("lock", LOCKS)
def test_everything_asked_for_is_locked(lock: str) -> None:
    locked = {normal(pin.split("==")[0]) for pin in pins(lock)}
    assert asked_for(lock) <= locked


@pytest.mark.parametrize("lock", LOCKS)
def test_every_package_is_pinned_exactly_and_hashed(lock: str) -> None:
    pinned = re.compile(r"[a-z0-9][a-z0-9._-]*==[^ ;]+( ; [^-]+?)?( +--hash=sha256:[0-9a-f]{64})+")
    assert [block for block in blocks(lock) if not pinned.fullmatch(block)] == []


@pytest.mark.parametrize("lock", LOCKS)
def test_no_index_host_or_local_path_is_named(lock: str) -> None:
    for suffix in ("in", "txt"):
        text = (ROOT / f"{lock}.{suffix}").read_text()
        assert re.findall(r"://|index-url|find-links|trusted-host|@ |^-e|file:", text, re.MULTILINE) == []


@pytest.mark.parametrize("lock", SUPERSETS)
def test_the_larger_locks_contain_the_first_one_unchanged(lock: str) -> None:
    assert set(blocks("requirements")) - set(blocks(lock)) == set()


def test_every_direct_requirement_says_why_it_is_there() -> None:
    for source in LOCKS:
        commented = False
        for line in (ROOT / f"{source}.in").read_text().splitlines():
            if not line or line.startswith("#"):
                commented = line.startswith("#")
                continue
            assert "#" in line or commented or line.startswith("-"), f"{source}.in: {line}"


def test_an_intel_mac_gets_a_release_that_still_has_a_wheel() -> None:
    versions = {pin for pin in pins("requirements") if pin.startswith("cryptography==")}
    assert len(versions) == 2
    assert any("platform_machine == 'x86_64' and sys_platform == 'darwin'" in pin for pin in versions)
