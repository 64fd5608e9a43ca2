"""scripts/browser.sh: which browser is taken, and what is said where there is none."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


class Machine:
    """A PATH of nothing but what a test puts there. ``installer``: what its apt-get does, besides noting the call."""

    def __init__(self, folder: Path, *, user: int) -> None:
        self.path = folder / "bin"
        self.calls = folder / "calls"
        self.path.mkdir()
        (self.path / "sh").symlink_to(shutil.which("sh") or "/bin/sh")
        self.add("id", f"echo {user}")

    def add(self, name: str, text: str = ":") -> str:
        (self.path / name).write_text(f"#!/bin/sh\n{text}\n")
        (self.path / name).chmod(0o755)
        return str(self.path / name)

    def add_installer(self, then: str) -> None:
        self.add("apt-get", f'echo "$*" >>{self.calls}; {then}')

    def run(self, **variables: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [ROOT / "scripts" / "browser.sh"],
            env={"PATH": str(self.path), **variables},
            capture_output=True,
            text=True,
            check=False,
        )


@pytest.fixture
def root(tmp_path: Path) -> Machine:
    return Machine(tmp_path, user=0)


@pytest.fixture
def person(tmp_path: Path) -> Machine:
    return Machine(tmp_path, user=1000)


def test_a_browser_that_is_there_is_printed_and_nothing_is_installed(root: Machine) -> None:
    root.add_installer("exit 1")
    browser = root.add("chromium-browser")
    done = root.run()
    assert (done.returncode, done.stdout, done.stderr) == (0, f"{browser}\n", "")
    assert not root.calls.exists()


def test_the_named_browser_wins(person: Machine) -> None:
    person.add("chromium")
    chosen = person.add("my-chrome")
    assert person.run(LOGFERRY_BROWSER=chosen).stdout == f"{chosen}\n"


def test_a_named_browser_that_is_not_there_is_a_sentence(person: Machine) -> None:
    person.add("chromium")
    done = person.run(LOGFERRY_BROWSER="/no/such/chrome")
    assert (done.returncode, done.stdout) == (1, "")
    assert "LOGFERRY_BROWSER=/no/such/chrome is not a program" in done.stderr


def test_root_on_debian_gets_one_installed(root: Machine) -> None:
    browser = root.path / "chromium"
    copy = f"{shutil.which('cp')} {root.path}/id {browser}"
    root.add_installer(f'case "$1" in install) {copy} ;; esac')
    done = root.run()
    assert (done.returncode, done.stdout) == (0, f"{browser}\n")
    assert root.calls.read_text().splitlines() == [
        "update -qq",
        "install -y -qq --no-install-recommends chromium",
    ]


def test_an_installation_that_fails_is_a_sentence(root: Machine) -> None:
    root.add_installer("exit 100")
    done = root.run()
    assert (done.returncode, done.stdout) == (1, "")
    assert "Chromium could not be installed" in done.stderr.splitlines()[-1]


def test_everybody_else_is_told_what_to_install(person: Machine) -> None:
    person.add_installer("exit 1")
    done = person.run()
    assert (done.returncode, done.stdout) == (1, "")
    assert "apt-get install chromium" in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert not person.calls.exists()
