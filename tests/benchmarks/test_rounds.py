"""What became of a round, whatever its helpers say."""

from __future__ import annotations

from pathlib import Path

import pytest
from benchmarks.measure import Measured
from benchmarks.scenarios import LOGFERRY, PROFILE, Scenario

from benchmarks import hot_path, rounds


def test_a_reader_that_dies_without_a_word_is_the_rounds_verdict(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    silent = tmp_path / "silent"
    silent.write_text("#!/bin/sh\nexit 3\n")
    silent.chmod(0o755)
    monkeypatch.setattr(rounds, "PEER_PYTHON", silent)
    found = rounds._check("datadog", tmp_path, tmp_path, is_product=True)
    assert found == {"error": "the result cannot be read: its reader ended with 3, without a word"}


def test_an_export_that_never_ends_leaves_the_other_results(monkeypatch: pytest.MonkeyPatch) -> None:
    stopped = Measured(code=None, wall_s=900.0, cpu_s=1.0, peak_bytes=1, last_words="")
    monkeypatch.setattr(hot_path, "run_measured", lambda *args, **named: stopped)
    monkeypatch.setattr(hot_path, "prepare", lambda *args: None)
    scenario = Scenario(PROFILE, "datadog", 10, (LOGFERRY,), 1)
    text = hot_path.profile(scenario, None)  # type: ignore[arg-type]
    assert text == "No profile: the export was stopped after 900 s.\n"
