"""Where things lie: the checkout, the two environments, the results."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PRODUCT_PYTHON = ROOT / ".venv" / "bin" / "python"
"""Runs Logferry and the sandbox."""
PEER_PYTHON = ROOT / ".venv-bench" / "bin" / "python"
"""Runs the peers, the checks and the drawing: requirements-bench.txt."""
RESULTS = ROOT / "benchmarks" / "RESULTS.md"
ROUNDS = ROOT / "benchmarks" / "results.json"
GROWTH = ROOT / "docs" / "images" / "growth.svg"
