"""How long Airflow takes to parse the DAG files with many definitions, and what parsing imports.

``.venv/bin/python benchmarks/airflow_parse.py [--exports 50]``

Makes definitions in a temporary folder. Every file is parsed in a process of its own that has imported Airflow, as
the DAG processor does (it forks one for each file), and the DAGs' file once more as a task does, which asks for one
DAG. Prints CPU and clock seconds (the best of ``--rounds``) and which libraries parsing imported. The interpreter's own
account of the imports:

``.venv/bin/python -X importtime benchmarks/airflow_parse.py --file dags/log_exports.py --folder include/exports``
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from logferry.project import project_root

FILES = ("log_exports.py", "archive_upkeep.py", "archive_verify.py", "broken_exports.py")
DEFINITION = """\
name: export_{number}
source:
  kind: datadog
  connection: datadog_default
  query: "service:web-store status:error @http.status_code:>=500"
  indexes: ["*"]
schedule: "{schedule}"
start: 2026-01-01T00:00:00Z
horizon: 24h
pool: default_pool
columns:
  http_status: {{path: http.status_code, type: int64}}
  duration: {{path: duration, type: float64}}
"""
AZURE = """\
name: export_{number}
source:
  kind: azure_monitor
  connection: azure_default
  workspace: 7a1c0f5e-0000-4000-8000-00000000000a
  table: AppRequests
  pipeline: "| where Success == false | project-away Properties"
schedule: "{schedule}"
start: 2026-01-01T00:00:00Z
"""
SCHEDULES = ("@daily", "@hourly", "0 */6 * * *", "0 2 * * 1-5")
HEAVY = ("pyarrow", "numpy", "pandas", "boto3", "botocore", "requests", "urllib3", "msal", "azure")


def parse(file: Path, dag_id: str | None) -> dict[str, object]:
    """Parse one file in this process; what it took."""
    import time

    import airflow.sdk  # noqa: F401 - what the DAG processor has before it forks
    from airflow.dag_processing.dagbag import DagBag

    if dag_id is not None:
        os.environ["_AIRFLOW_PARSING_CONTEXT_DAG_ID"] = dag_id
    before = set(sys.modules)
    clock, cpu = time.perf_counter(), time.process_time()
    bag = DagBag(file)
    took = {"clock": time.perf_counter() - clock, "cpu": time.process_time() - cpu}
    new = set(sys.modules) - before
    if bag.import_errors:
        raise SystemExit("\n".join(bag.import_errors.values()))
    return {
        **took,
        "dags": len(bag.dags),
        "modules": len(new),
        "heavy": sorted(name for name in new if name in HEAVY),
    }


def measured(file: Path, folder: Path, rounds: int, dag_id: str | None = None) -> dict[str, float]:
    command = [sys.executable, __file__, "--file", str(file), "--folder", str(folder)]
    if dag_id is not None:
        command += ["--dag", dag_id]
    found = []
    for _ in range(rounds):
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        found.append(json.loads(done.stdout.splitlines()[-1]))
    return min(found, key=lambda one: one["cpu"])


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    options.add_argument("--exports", type=int, default=50)
    options.add_argument("--rounds", type=int, default=3)
    options.add_argument("--file", type=Path, help=argparse.SUPPRESS)
    options.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    options.add_argument("--dag", help=argparse.SUPPRESS)
    asked = options.parse_args()
    dags = project_root() / "dags"
    with tempfile.TemporaryDirectory(prefix="logferry-parse-") as made:
        os.environ.setdefault("AIRFLOW_HOME", f"{made}/airflow")
        os.environ["AIRFLOW__CORE__LOAD_EXAMPLES"] = "False"
        os.environ["AIRFLOW__CORE__PLUGINS_FOLDER"] = str(project_root() / "plugins")
        os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
        if asked.file is not None:
            os.environ["LOGFERRY_EXPORTS_DIR"] = str(asked.folder.absolute())
            print(json.dumps(parse(asked.file, asked.dag)))
            return
        folder = Path(made)
        for number in range(asked.exports):
            text = AZURE if number % 3 == 2 else DEFINITION
            schedule = SCHEDULES[number % len(SCHEDULES)]
            (folder / f"{number}.yaml").write_text(text.format(number=number, schedule=schedule))
        rows = [(name, measured(dags / name, folder, asked.rounds)) for name in FILES]
        of_a_task = measured(dags / FILES[0], folder, asked.rounds, "export_export_7")
        rows.append((f"{FILES[0]} for a task", of_a_task))
    print(f"{asked.exports} definitions")
    print(f"{'file':<28} {'DAGs':>4} {'CPU s':>6} {'clock s':>7} {'modules imported':>16}  heavy ones")
    for name, took in rows:
        print(
            f"{name:<28} {took['dags']:>4} {took['cpu']:>6.2f} {took['clock']:>7.2f} {took['modules']:>16}  "
            f"{', '.join(took['heavy']) or 'none'}"
        )


if __name__ == "__main__":
    main()
