"""``python -m logferry_sandbox``: run every local stand-in until SIGTERM or Ctrl-C.

Prints one JSON line with addresses and fake credentials, ``{"datadog": {…}, "azure": {…}}``, once all servers
accept connections; ``--state-file`` gets the same. Files it made are removed at the end.

``--prepared ROWS`` serves a history of known size to measure clients by: ROWS Datadog events and as many rows of
Azure's AppRequests between ``--from`` and ``--to``, uncompressed, without a Datadog rate limit unless one is given.
"""

import argparse
import gc
import json
import re
import signal
import sys
import tempfile
import threading
from collections.abc import Sequence
from contextlib import ExitStack
from datetime import datetime
from pathlib import Path

from logferry_sandbox.azure_sandbox import AzureSandbox
from logferry_sandbox.azure_workspace import AzureKnobs
from logferry_sandbox.datadog_sandbox import DatadogSandbox
from logferry_sandbox.datadog_settings import DatadogSettings
from logferry_sandbox.datadog_store import DatadogStore
from logferry_sandbox.prepared import PreparedHistory

_AZURE_SERVERS = {"azure": "query", "entra": "entra", "arm": "arm", "imds": "imds"}
"""The port flag of each Azure server."""
_UNLIMITED = (1_000_000_000, 1)


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
        except ValueError as error:
            print(f"sandbox: cannot start: {error}", file=sys.stderr)
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
    history = _history(options)
    datadog = DatadogSandbox(
        seed=options.seed,
        events_per_day=options.events_per_day,
        ports={"datadog": options.port_datadog},
        settings=_settings(options),
        store=DatadogStore(history.datadog()) if history else None,
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
            knobs=_knobs(options),
            prepared=history.azure() if history else None,
        )
        azure.start()
        cleanup.callback(azure.stop)
        described["azure"] = azure.describe()
    if history:
        described["prepared"] = history.describe()
        # Some hundred thousand lasting objects, which every full collection would walk through.
        gc.collect()
        gc.freeze()
    return described


def _history(options: argparse.Namespace) -> PreparedHistory | None:
    if options.prepared is None:
        return None
    return PreparedHistory(
        options.prepared,
        options.start,
        options.end,
        row_bytes=options.event_bytes,
        odd_every=options.odd_every,
        seed=options.seed,
    )


def _settings(options: argparse.Namespace) -> DatadogSettings:
    usual = DatadogSettings(hide_future=options.prepared is None, compress=options.prepared is None)
    search = options.rate_limit or (_UNLIMITED if options.prepared else None)
    count = options.count_rate_limit or (_UNLIMITED if options.prepared else None)
    changes: dict[str, object] = {"latency_s": options.latency_ms / 1000}
    if search:
        changes |= {"search_limit": search[0], "search_period_s": search[1]}
    if count:
        changes |= {"aggregate_limit": count[0], "aggregate_period_s": count[1]}
    return usual.updated(changes)


def _knobs(options: argparse.Namespace) -> AzureKnobs:
    knobs = AzureKnobs(latency_s=options.latency_ms / 1000, compress=options.prepared is None)
    if options.azure_rate_limit:
        knobs.rate_limit, knobs.rate_window_s = options.azure_rate_limit
    return knobs


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m logferry_sandbox", description=__doc__)
    for name in ("datadog", *_AZURE_SERVERS):
        parser.add_argument(f"--port-{name}", type=int, default=0, metavar="N", help="default: a free port")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="another seed, another history")
    parser.add_argument("--events-per-day", type=int, default=4000, metavar="N", help="of Datadog")
    parser.add_argument("--rows-per-day", type=int, metavar="N", help="of Azure's AppRequests only")
    parser.add_argument("--state-file", type=Path, metavar="PATH", help="where to write the JSON line too")
    parser.add_argument(
        "--latency-ms", type=int, default=0, metavar="N", help="every answer takes at least this long"
    )
    for name, of in (
        ("rate-limit", "Datadog searches"),
        ("count-rate-limit", "Datadog aggregations"),
        ("azure-rate-limit", "queries of one Azure application"),
    ):
        parser.add_argument(
            f"--{name}", type=_rate, metavar="N/Ss", help=f"most {of} in S seconds, e.g. 3/10s"
        )
    prepared = parser.add_argument_group("a prepared history")
    prepared.add_argument(
        "--prepared", type=int, metavar="ROWS", help="serve so many rows to measure clients"
    )
    for name, destination, day in (("from", "start", 20), ("to", "end", 21)):
        default = f"2026-11-{day}T00:00:00Z"
        prepared.add_argument(
            f"--{name}",
            dest=destination,
            type=datetime.fromisoformat,
            default=datetime.fromisoformat(default),
            metavar="TIME",
            help=f"default: {default}",
        )
    prepared.add_argument("--event-bytes", type=int, default=1100, metavar="N", help="about so many a row")
    prepared.add_argument("--odd-every", type=int, default=1000, metavar="N", help="awkward rows; 0 for none")
    parser.add_argument("--no-azure", action="store_true", help="only Datadog")
    return parser


def _rate(text: str) -> tuple[int, int]:
    match = re.fullmatch(r"(\d+)/(\d+)s", text)
    if match is None or not int(match[2]):
        raise argparse.ArgumentTypeError(f"a rate looks like 3/10s, not {text!r}")
    return int(match[1]), int(match[2])


def _write(path: Path, text: str) -> None:
    """Write whole or not at all: somebody may be waiting for the file to appear."""
    unfinished = path.with_name(path.name + ".part")
    unfinished.write_text(text, encoding="utf-8")
    unfinished.replace(path)


if __name__ == "__main__":
    sys.exit(main())
