"""scripts/environment.sh: the sentence for each thing that can be missing, and no work done twice.

The interpreters and installers here are small shell scripts that note what they were asked to do.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TOOLS = [
    *("sh", "cat", "cksum", "tr", "df", "awk", "rm", "mkdir"),
    *("grep", "dirname", "chmod", "printf", "cp", "touch"),
]
COPIED = [
    "pyproject.toml",
    *("requirements.txt", "requirements-dev.txt", "requirements-bench.txt", "requirements-uv.txt"),
]

# Answers like an interpreter; `-m venv` puts a copy of itself into the new environment.
PYTHON = """#!/bin/sh
echo "python $*" >>"$CALLS"
case "$*" in
  *"sys.exit(not (3, 11)"*) exit {supported} ;;
  "-c import venv"|"-c import ensurepip"|"-c import pip") exit {complete} ;;
  -V) echo "Python 3.11.99" ;;
  "-m venv"*) for folder; do :; done; mkdir -p "$folder/bin" && cp "$0" "$folder/bin/python" ;;
  *install*) {install} ;;
esac
"""


class Checkout:
    """A folder with the script and the files it reads, and a PATH of nothing but what a test puts there."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "checkout"
        self.path = folder / "bin"
        self.calls = folder / "calls"
        (self.folder / "scripts").mkdir(parents=True)
        self.path.mkdir()
        shutil.copy(ROOT / "scripts" / "environment.sh", self.folder / "scripts")
        for name in COPIED:
            shutil.copy(ROOT / name, self.folder)
        for tool in TOOLS:
            if found := shutil.which(tool):
                (self.path / tool).symlink_to(found)

    def add(self, name: str, text: str) -> None:
        (self.path / name).unlink(missing_ok=True)
        (self.path / name).write_text(text)
        (self.path / name).chmod(0o755)

    def add_python(
        self, name: str = "python3", *, supported: int = 0, complete: int = 0, install: str = ":"
    ) -> None:
        self.add(name, PYTHON.format(supported=supported, complete=complete, install=install))

    def run(self, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        self.calls.write_text("")
        return subprocess.run(
            ["scripts/environment.sh", *arguments],
            cwd=self.folder,
            env={"PATH": str(self.path), "CALLS": str(self.calls), **variables},
            capture_output=True,
            text=True,
            check=False,
        )

    def installs(self) -> list[str]:
        lines = self.calls.read_text().splitlines()
        return [line.split()[-1] for line in lines if " install " in line and "-uv.txt" not in line]


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    return Checkout(tmp_path)


def refusal(done: subprocess.CompletedProcess[str]) -> str:
    """The one sentence of a failed run."""
    assert done.returncode == 1
    *progress, sentence = done.stderr.strip().splitlines()
    assert all(line.startswith("logferry: ") and line.endswith("...") for line in progress)
    return sentence


def test_no_interpreter_at_all_is_one_sentence(checkout: Checkout) -> None:
    assert "No Python 3.11, 3.12 or 3.13 found" in refusal(checkout.run())


def test_an_interpreter_that_is_too_old_does_not_count(checkout: Checkout) -> None:
    checkout.add_python(supported=1)
    assert "No Python 3.11, 3.12 or 3.13 found" in refusal(checkout.run())


def test_a_chosen_interpreter_that_is_too_old_is_named(checkout: Checkout) -> None:
    checkout.add_python("old-python", supported=1)
    assert "PYTHON=old-python is not a working Python" in refusal(checkout.run(PYTHON="old-python"))


def test_debians_missing_venv_module_is_named_with_its_package(checkout: Checkout) -> None:
    checkout.add_python(complete=1)
    assert "apt-get install python3-venv" in refusal(checkout.run())


def test_a_complete_interpreter_is_preferred_to_a_newer_one_without_venv(checkout: Checkout) -> None:
    checkout.add_python("python3.13", complete=1)
    checkout.add_python("python3.11")
    assert checkout.run().returncode == 0


def test_a_full_disk_is_noticed_before_anything_is_written(checkout: Checkout) -> None:
    checkout.add_python()
    checkout.add("df", "#!/bin/sh\nprintf 'Disk Blocks Used Free\\n/dev/a 9 9 102400\\n'")
    assert "Only 100 MB are free" in refusal(checkout.run())
    assert not (checkout.folder / ".venv").exists()


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ("Failed to establish a new connection: [Errno 111] Connection refused", "cannot be reached"),
        ("OSError: [Errno 28] No space left on device", "The disk is full"),
        ("THESE PACKAGES DO NOT MATCH THE HASHES", "does not match its checksum in requirements.txt"),
        ("something nobody expected", "Installing requirements.txt failed"),
    ],
)
def test_a_failed_installation_says_what_to_do(checkout: Checkout, words: str, sentence: str) -> None:
    checkout.add_python(install=f"echo '{words}' >&2; exit 1")
    assert sentence in refusal(checkout.run())
    assert words in (checkout.folder / ".venv" / "install.log").read_text()
    assert not (checkout.folder / ".venv" / ".installed").exists()


def test_the_lock_is_installed_with_its_hashes_and_then_the_project(checkout: Checkout) -> None:
    checkout.add_python()
    assert checkout.run().returncode == 0
    assert checkout.installs() == ["requirements.txt", "."]
    calls = checkout.calls.read_text()
    assert "--require-hashes -r requirements.txt" in calls
    assert "--no-deps --no-build-isolation -e ." in calls


def test_a_second_run_installs_nothing(checkout: Checkout) -> None:
    checkout.add_python()
    checkout.run()
    again = checkout.run()
    assert (again.returncode, again.stderr, checkout.installs()) == (0, "", [])


def test_a_new_modification_time_alone_installs_nothing(checkout: Checkout) -> None:
    checkout.add_python()
    checkout.run()
    os.utime(checkout.folder / "requirements.txt")
    checkout.run()
    assert checkout.installs() == []


def test_tests_add_their_packages_once(checkout: Checkout) -> None:
    checkout.add_python()
    checkout.run()
    checkout.run("dev")
    assert checkout.installs() == ["requirements-dev.txt"]
    checkout.run("dev")
    assert checkout.installs() == []


def test_the_peers_live_by_themselves_and_are_installed_once(checkout: Checkout) -> None:
    checkout.add_python()
    checkout.run()
    checkout.run("bench")
    assert checkout.installs() == ["requirements-bench.txt"]
    assert (checkout.folder / ".venv-bench" / "bin" / "python").exists()
    checkout.run("bench")
    assert checkout.installs() == []
    with (checkout.folder / "requirements-bench.txt").open("a") as file:
        file.write("# changed\n")
    checkout.run("bench")
    assert checkout.installs() == ["requirements-bench.txt"]


@pytest.mark.parametrize(
    ("changed", "installed"),
    [
        ("requirements.txt", ["requirements.txt", ".", "requirements-dev.txt"]),
        ("pyproject.toml", ["."]),
        ("requirements-dev.txt", ["requirements-dev.txt"]),
    ],
)
def test_only_what_a_change_touches_is_installed_again(
    checkout: Checkout, changed: str, installed: list[str]
) -> None:
    checkout.add_python()
    checkout.run("dev")
    with (checkout.folder / changed).open("a") as file:
        file.write("# changed\n")
    checkout.run("dev")
    assert checkout.installs() == installed


def test_an_environment_that_was_moved_is_made_anew(checkout: Checkout) -> None:
    checkout.add_python()
    checkout.run()
    checkout.folder = checkout.folder.rename(checkout.folder.with_name("elsewhere"))
    checkout.run()
    assert checkout.installs() == ["requirements.txt", "."]
