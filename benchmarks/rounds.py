"""One round: run the contestant in a process of its own, then see what it wrote and what the server counted."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.contestants.task import Task
from benchmarks.figures import Round, verdict
from benchmarks.measure import run_measured
from benchmarks.places import PEER_PYTHON, PRODUCT_PYTHON, ROOT
from benchmarks.scenarios import DAY, Contestant, Scenario
from benchmarks.server import Sandbox, Truth, served_between

_UNWANTED = ("PYTHONDONTWRITEBYTECODE", "PYTHONPATH", "LOGFERRY_EXPORTS_DIR")


def run_round(
    contestant: Contestant,
    number: int,
    scenario: Scenario,
    server: Sandbox,
    truth: Truth,
    contents: Path,
    *,
    limit_s: float,
) -> Round:
    """Run and check; whatever the contestant does wrong becomes the round's verdict.

    ``contents``: the folder of ``write_contents``.
    """
    with tempfile.TemporaryDirectory(prefix="logferry-bench-") as scratch:
        folder = Path(scratch)
        output = prepare(folder, contestant, scenario, server)
        before = server.stats()
        measured = run_measured(
            command_of(contestant, folder), folder=folder, environment=environment(folder), limit_s=limit_s
        )
        served = served_between(before, server.stats())
        found = _check(scenario.api, output, contents, is_product=contestant.is_product)
        if "error" in found:
            said = str(found["error"])
        elif measured.code is None:
            said = f"stopped after {limit_s:,.0f} s"
        elif measured.code != 0:
            said = f"failed with exit code {measured.code} ({measured.last_words}); {found['ids']:,} rows written"
        else:
            said = verdict(
                rows=found["rows"],
                ids=found["ids"],
                ids_sha256=found["ids_sha256"],
                truth_rows=truth.rows,
                truth_sha256=truth.ids_sha256,
                differing=found["differing"],
                # The peers promise no order.
                unordered=found["unordered"] if contestant.is_product else 0,
            )
        return Round(
            contestant=contestant.name,
            number=number,
            verdict=said,
            wall_s=measured.wall_s,
            cpu_s=measured.cpu_s,
            peak_bytes=measured.peak_bytes,
            carry_s=_report(folder).get("carry_s"),
            server_cpu_s=served.cpu_s,
            requests=served.requests,
            throttled=served.throttled,
            served_rows=served.rows,
            served_bytes=served.bytes,
            rows=found.get("rows", 0),
            files=found.get("files", 0),
            bytes=found.get("bytes", 0),
            tree_bytes=measured.tree_bytes,
        )


def prepare(folder: Path, contestant: Contestant, scenario: Scenario, server: Sandbox) -> Path:
    """Write the contestant's task into ``folder``, and make there what it needs; returns the folder of its output."""
    output = folder / "output"
    output.mkdir()
    (folder / "temp").mkdir()
    task = Task(
        api=scenario.api,
        start=DAY[0],
        end=DAY[1],
        folder=str(output),
        server=server.described,
        table=server.table,
        in_flight=contestant.in_flight,
    )
    task.write(folder / "task.json")
    return output


def command_of(contestant: Contestant, folder: Path) -> list[str]:
    python = PRODUCT_PYTHON if contestant.is_product else PEER_PYTHON
    task = ["-m", "benchmarks.contestants.task", contestant.module]
    return [str(python), *task, str(folder / "task.json"), str(folder / "report.json")]


def environment(folder: Path | None = None) -> dict[str, str]:
    """The child's variables: this process's, without what would change a contestant's way of working.

    Temporary files go into ``folder``, so that nothing learned in one round is known in the next.
    """
    kept = {
        name: value
        for name, value in os.environ.items()
        if name not in _UNWANTED and not name.startswith(("AIRFLOW_", "DD_", "AZURE_"))
    }
    own = {} if folder is None else {"TMPDIR": str(folder / "temp")}
    return {**kept, **own, "PYTHONPATH": str(ROOT)}


def write_contents(scenario: Scenario, folder: Path) -> None:
    """Have ``truth`` tell what every column of the scenario's rows must be."""
    held = [str(scenario.rows), str(scenario.event_bytes), *scenario.held, str(folder)]
    command = [str(PRODUCT_PYTHON), "-m", "benchmarks.truth", scenario.api, *held]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"bench: the truth about {scenario.key} is not known: {done.stderr.strip()[-300:]}")


def _check(api: str, output: Path, contents: Path, *, is_product: bool) -> dict[str, Any]:
    whose = "product" if is_product else "peer"
    done = subprocess.run(
        [str(PEER_PYTHON), "-m", "benchmarks.check", api, str(output), str(contents), whose],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        said = done.stderr.strip().splitlines() or [
            f"its reader ended with {done.returncode}, without a word"
        ]
        return {"error": f"the result cannot be read: {said[-1][:300]}"}
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def _report(folder: Path) -> dict[str, Any]:
    try:
        found: dict[str, Any] = json.loads((folder / "report.json").read_text(encoding="utf-8"))
    except FileNotFoundError:  # it did not get so far
        return {}
    return found


def warm_up(contestant: Contestant) -> None:
    """Import what the contestant imports, so that no round pays for compiling it."""
    python = PRODUCT_PYTHON if contestant.is_product else PEER_PYTHON
    load = f"import benchmarks.contestants.{contestant.module}"
    done = subprocess.run(
        [str(python), "-c", load], cwd=ROOT, env=environment(), capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise SystemExit(f"bench: {contestant.name} cannot be loaded: {done.stderr.strip()[-300:]}")
