"""The short form of ``make chaos``: a fixed seed and few windows, on disk and on an S3 server at the same time."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.integration

PROJECT = Path(__file__).resolve().parents[2]
SEED = "2312"
ROUNDS_AND_WINDOWS = {"local": (7, 2), "s3": (3, 2)}
"""Seven kinds of rounds on disk; on S3, which is slower, a race, a struck run and a stale one."""


@pytest.fixture(scope="module")
def halves(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    folder = tmp_path_factory.mktemp("chaos")
    started = {}
    for store, (rounds, windows) in ROUNDS_AND_WINDOWS.items():
        command = [sys.executable, "-m", "tests.chaos", "--seed", SEED, "--store", store]
        command += ["--rounds", str(rounds), "--windows", str(windows), "--json", str(folder / store)]
        started[store] = subprocess.Popen(
            command, cwd=PROJECT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
    said = {store: process.communicate()[0] for store, process in started.items()}
    for store, process in started.items():
        assert process.returncode == 0, said[store]
    return {store: json.loads((folder / store).read_text())["stores"][0] for store in started}


@pytest.mark.parametrize("store", ROUNDS_AND_WINDOWS)
def test_faults_kills_and_races_lose_no_row_and_double_none(
    halves: dict[str, dict[str, Any]], store: str
) -> None:
    half = halves[store]
    assert half["violations"] == []
    assert (half["lost"], half["duplicated"]) == (0, 0)
    assert half["rows"] > 200


def test_the_short_chaos_really_was_one(halves: dict[str, dict[str, Any]]) -> None:
    def happened(name: str) -> int:
        return sum(sum(half[name].values()) for half in halves.values())

    assert happened("faults") > 10
    assert happened("kills") > 0
    assert happened("races") > 0
    assert all(half["late_releases"] > 0 and half["objects_read"] > 0 for half in halves.values())
