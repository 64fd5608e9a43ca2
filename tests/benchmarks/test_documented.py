"""What the page of benchmarks names is there and starts."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "benchmarks.md").read_text(encoding="utf-8")
PROGRAMS = re.findall(r"`\.venv/bin/python -m ([\w.]+)`", PAGE)


def test_the_page_names_programs() -> None:
    assert {"logferry_sandbox.rate", "benchmarks.budget_use", "benchmarks.eta", "benchmarks.stages"} <= {
        *PROGRAMS
    }
    assert not re.search(r"benchmarks/\w+\.py", PAGE)


@pytest.mark.parametrize("program", PROGRAMS)
def test_every_program_of_the_page_starts(program: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", program, "--help"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "usage:" in done.stdout
