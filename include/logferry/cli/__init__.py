"""The ``logferry`` command: search, plan, export and doctor, without Airflow.

Exit codes: 0 all proven (or unproven by nature), 1 unexpected, 2 usage or definition, 3 short or a finding,
4 credentials or permission, 5 source unavailable after retries, 6 store failure, 130 interrupted, 141 nobody reads
the output any more.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from logferry import __version__
from logferry.cli.output import reader_gone

__all__ = ["main"]


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command (default: of ``sys.argv``) and return its exit code; errors are one sentence on stderr."""
    if list(sys.argv[1:] if argv is None else argv) == ["--version"]:
        try:
            print(f"logferry {__version__}", flush=True)
        except BrokenPipeError:
            return reader_gone()
        return 0
    from logferry.cli.app import run  # a tenth of a second, which the version does without

    return run(argv)
