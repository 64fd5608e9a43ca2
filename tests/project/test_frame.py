"""The files around the code: what they promise to each other."""

from __future__ import annotations

import importlib.metadata
import os
import re
import subprocess
import tomllib
from pathlib import Path

import pytest
from tests.longest import LONGEST

import logferry

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())


def test_ci_runs_make_test_and_nothing_after_it() -> None:
    script = (ROOT / ".ci" / "run").read_text()
    assert os.access(ROOT / ".ci" / "run", os.X_OK)
    assert "set -euo pipefail" in script
    assert script.strip().splitlines()[-1] == "exec make test </dev/null"


def make(*arguments: str) -> str:
    # Without the variables of a make that runs this test.
    environ = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}
    done = subprocess.run(
        ["make", *arguments], cwd=ROOT, env=environ, capture_output=True, text=True, check=True
    )
    return done.stdout


def test_make_test_checks_style_before_pytest_and_ends_with_it() -> None:
    steps = [line for line in make("--dry-run", "test").splitlines() if ".venv/bin/" in line]
    tools = [match.group(1) for step in steps if (match := re.search(r"\.venv/bin/(\w+)", step))]
    assert tools == ["ruff", "ruff", "mypy", "python"]
    assert "-m pytest" in steps[-1]


def test_the_files_that_are_to_come_first_are_there_and_the_order_is_kept() -> None:
    assert [name for name in LONGEST if not (ROOT / "tests" / name).is_file()] == []
    assert "--dist loadfile --no-loadscope-reorder" in make("--dry-run", "test")


def test_make_alone_lists_every_command() -> None:
    listed = {line.split()[1] for line in make().splitlines()}
    assert listed == {
        *("help", "run", "test", "chaos", "bench", "screenshots"),
        *("lint", "format", "sandbox", "lock", "clean"),
    }


@pytest.mark.parametrize(
    "path",
    [
        ".venv/x",
        ".logferry/x",
        ".airflow/x",
        "lake/x",
        "lake-sandbox/x",
        ".env",
        ".env.local",
        "a/__pycache__/x",
    ],
)
def test_git_never_sees_environments_state_data_or_secrets(path: str, tmp_path: Path) -> None:
    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)
    (tmp_path / ".gitignore").write_text((ROOT / ".gitignore").read_text())
    ask = ["git", "-C", str(tmp_path), "check-ignore", "-q"]
    assert subprocess.run([*ask, path], check=False).returncode == 0
    assert subprocess.run([*ask, ".env.example"], check=False).returncode == 1
    assert subprocess.run([*ask, "include/logferry/stores/lake.py"], check=False).returncode == 1


def test_the_plugin_loader_is_kept_out_of_the_package() -> None:
    lines = (ROOT / "plugins" / ".airflowignore").read_text().splitlines()
    assert "logferry_airflow/" in lines


def test_the_version_has_one_source() -> None:
    assert PROJECT["project"]["dynamic"] == ["version"]
    assert PROJECT["tool"]["setuptools"]["dynamic"]["version"]["attr"] == "logferry.__version__"
    compose = (ROOT / "docker-compose.yml").read_text()
    assert f"image: logferry:{logferry.__version__}\n" in compose


def test_airflow_finds_the_connection_forms_under_the_distributions_name() -> None:
    entry = PROJECT["project"]["entry-points"]["apache_airflow_provider"]["provider_info"]
    info = importlib.metadata.EntryPoint("provider_info", entry, "apache_airflow_provider").load()()
    assert info["package-name"] == PROJECT["project"]["name"]


def test_the_license_is_the_apache_license() -> None:
    text = (ROOT / "LICENSE").read_text()
    assert "Apache License" in text
    assert "END OF TERMS AND CONDITIONS" in text
    assert PROJECT["project"]["license"] == "Apache-2.0"
