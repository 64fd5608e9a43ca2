"""The Airflow of ``make run``, whose settings no other shell has: how its command line is reached while it is up."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from logferry.audit.gaps import Remedy
from logferry.project import project_root


def instead_of_airflow(remedies: Iterable[Remedy]) -> str | None:
    """A sentence where one of the commands is Airflow's and ``make run`` is up; None elsewhere."""
    if not any(remedy.whole for remedy in remedies):
        return None
    # Where ``make run`` writes it, and takes it away when it ends.
    home = Path(os.environ.get("LOGFERRY_HOME") or project_root() / ".logferry").expanduser().absolute()
    command = home / "airflow-cli"
    if not command.is_file():
        return None
    shown = command.relative_to(Path.cwd()) if command.is_relative_to(Path.cwd()) else command
    return f"for the Airflow of make run, begin that with {shown} in place of airflow"
