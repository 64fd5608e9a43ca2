"""``python -m logferry_sandbox``: run every local stand-in until SIGTERM or Ctrl-C.

Prints one JSON line with addresses and fake credentials, ``{"datadog": {…}, "azure": {…}}``, once all servers
accept connections; ``--state-file`` gets the same. Files it made are removed at the end.
"""

import argparse
import json
import signal
import sys
import tempfile
import threading
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from logferry_sandbox.azure_sandbox import AzureSandbox
from logferry_sandbox.datadog_sandbox import DatadogSandbox
from logferry_sandbox.datadog_settings import DatadogSettings

_AZURE_SERVERS = {"azure": "query", "entra": "entra", "arm": "arm", "imds": "imds"}
"""The port flag of each Azure server."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the sandbox; 0 after a signal, 1 if a server cannot start."""
    options = _parser().parse_args(argv)
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    with ExitStack() as cleanup:
        try:
            described = _start(options, cleanup)
        except OSError as error:
            print(f"sandbox: cannot start: {error}; give other ports, or 0 for free ones", file=sys.stderr)
            return 1
        line = json.dumps(described)
        if options.state_file is not None:
            _write(options.state_file, line + "\n")
            cleanup.callback(options.state_file.unlink, missing_ok=True)
        print(line, flush=True)
        stop.wait()
    return 0


def _start(options: argparse.Namespace, cleanup: ExitStack) -> dict[str, object]:
    described: dict[str, object] = {}
    datadog = DatadogSandbox(
        seed=options.seed,
        events_per_day=options.events_per_day,
        ports={"datadog": options.port_datadog},
        settings=DatadogSettings(hide_future=True),
    )
    datadog.start()
    cleanup.callback(datadog.stop)
    described["datadog"] = datadog.describe()
    if not options.no_azure:
        state_dir = Path(cleanup.enter_context(tempfile.TemporaryDirectory(prefix="logferry-sandbox-")))
        azure = AzureSandbox(
            seed=options.seed,
            rows_per_day=options.rows_per_day,
            ports={server: getattr(options, f"port_{flag}") for flag, server in _AZURE_SERVERS.items()},
            state_dir=state_dir,
        )
        azure.start()
        cleanup.callback(azure.stop)
        described["azure"] = azure.describe()
    return described


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m logferry_sandbox", description=__doc__)
    for name in ("datadog", *_AZURE_SERVERS):
        parser.add_argument(f"--port-{name}", type=int, default=0, metavar="N", help="default: a free port")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="another seed, another history")
    parser.add_argument("--events-per-day", type=int, default=4000, metavar="N", help="of Datadog")
    parser.add_argument("--rows-per-day", type=int, metavar="N", help="of Azure's AppRequests only")
    parser.add_argument("--state-file", type=Path, metavar="PATH", help="where to write the JSON line too")
    parser.add_argument("--no-azure", action="store_true", help="only Datadog")
    return parser


def _write(path: Path, text: str) -> None:
    """Write whole or not at all: somebody may be waiting for the file to appear."""
    unfinished = path.with_name(path.name + ".part")
    unfinished.write_text(text, encoding="utf-8")
    unfinished.replace(path)


if __name__ == "__main__":
    sys.exit(main())
