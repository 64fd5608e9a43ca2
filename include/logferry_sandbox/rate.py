"""``python -m logferry_sandbox.rate``: how fast the sandbox itself serves, to a reader that parses nothing.

One connection asks for page after page over a raw socket, so server and reader take turns. Printed are rows a second
of that, and the server's CPU time per row: a benchmark may be limited by the sandbox where its own rows a second come
near ``1 / CPU time per row``. The prepared history is read once, after a first answer that is not measured; generated
days twice, the second time from memory.
"""

from __future__ import annotations

import argparse
import json
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any
from urllib.parse import urlencode, urlsplit
from urllib.request import urlopen

_DAY = datetime(2026, 11, 20, tzinfo=UTC)
_AZURE_ROWS = 50_000
"""About the rows of 1.1 KB in an answer."""
_BUFFER_BYTES = 8 * 1024 * 1024
_NO_LIMIT = "1000000000/1s"
_COLUMNS = ("server", "rows", "bytes/row", "rows/s", "MB/s", "server CPU us/row", "reader CPU us/row")


class Reader:
    """One keep-alive connection that receives answers and looks at nothing but their length and their end."""

    def __init__(self, base_url: str, headers: dict[str, str]) -> None:
        address = urlsplit(base_url)
        self._url = base_url
        self._socket = socket.create_connection((str(address.hostname), int(address.port or 80)))
        self._lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        self._buffer = memoryview(bytearray(_BUFFER_BYTES))

    def close(self) -> None:
        """End the connection."""
        self._socket.close()

    def post(self, path: str, body: dict[str, Any]) -> bytes:
        """The last few hundred bytes of the answer. Raises RuntimeError unless it is 200."""
        raw = json.dumps(body).encode()
        head = f"POST {path} HTTP/1.1\r\nHost: sandbox\r\nContent-Length: {len(raw)}\r\n{self._lines}\r\n"
        self._socket.sendall(head.encode() + raw)
        got, end = 0, -1
        while end < 0:
            got += self._receive(got)
            end = bytes(self._buffer[:got]).find(b"\r\n\r\n")
        status, *lines = bytes(self._buffer[:end]).decode().split("\r\n")
        if " 200 " not in f"{status} ":
            raise RuntimeError(f"the sandbox answered {status}")
        missing = next(int(line[15:]) for line in lines if line.lower().startswith("content-length:"))
        missing -= got - end - 4
        while missing > 0:
            if got == _BUFFER_BYTES:
                self._buffer[:1024], got = self._buffer[-1024:], 1024
            received = self._receive(got)
            got, missing = got + received, missing - received
        return bytes(self._buffer[max(0, got - 1024) : got])

    def stats(self) -> dict[str, Any]:
        """What the server counted so far."""
        with urlopen(f"{self._url}/_sandbox/stats") as answer:
            counted: dict[str, Any] = json.load(answer)
        return counted

    def _receive(self, at: int) -> int:
        received = self._socket.recv_into(self._buffer[at:])
        if not received:
            raise RuntimeError("the sandbox closed the connection")
        return received


@dataclass(frozen=True, slots=True)
class Rate:
    """What one pass over a history took."""

    server: str
    rows: int
    body_bytes: int
    seconds: float
    server_cpu_s: float
    reader_cpu_s: float

    def cells(self) -> list[str]:
        """The row of the table."""
        return [
            self.server,
            f"{self.rows:,}",
            f"{self.body_bytes / self.rows:,.0f}",
            f"{self.rows / self.seconds:,.0f}",
            f"{self.body_bytes / self.seconds / 1e6:,.0f}",
            f"{self.server_cpu_s / self.rows * 1e6:.2f}",
            f"{self.reader_cpu_s / self.rows * 1e6:.2f}",
        ]


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(prog="python -m logferry_sandbox.rate", description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000, metavar="N", help="of the prepared history")
    parser.add_argument(
        "--generated", type=int, default=200_000, metavar="N", help="of the generated day; 0: leave it out"
    )
    parser.add_argument("--json", action="store_true", help="a list of objects instead of the table")
    options = parser.parse_args(argv)
    rates = list(_prepared(options.rows))
    if options.generated:
        rates += _generated(options.generated)
    if options.json:
        print(json.dumps([asdict(rate) for rate in rates]))
        return 0
    _print_table([list(_COLUMNS), *(rate.cells() for rate in rates)])
    return 0


def _prepared(rows: int) -> Iterator[Rate]:
    with _sandbox("--prepared", str(rows)) as described:
        yield _datadog("Datadog, prepared", described, warm=True)
        yield _azure("Azure, prepared", described, rows, warm=True)


def _generated(rows: int) -> Iterator[Rate]:
    with _sandbox(
        "--events-per-day", str(rows), "--rows-per-day", str(rows), "--rate-limit", _NO_LIMIT
    ) as described:
        for turn in ("first time", "again"):
            yield _datadog(f"Datadog, generated, {turn}", described)
        for turn in ("first time", "again"):
            yield _azure(f"Azure, generated, {turn}", described, rows)


def _datadog(name: str, described: dict[str, Any], *, warm: bool = False) -> Rate:
    access = described["datadog"]
    keys = {"DD-API-KEY": access["api_key"], "DD-APPLICATION-KEY": access["app_key"]}
    span = {"from": _text(_DAY), "to": _text(_DAY + timedelta(days=1))}

    def read(reader: Reader, page: dict[str, Any]) -> bytes:
        return reader.post("/api/v2/logs/events/search", {"filter": span, "sort": "timestamp", "page": page})

    def read_all(reader: Reader) -> None:
        page: dict[str, Any] = {"limit": 1000}
        while True:
            _, found, cursor = read(reader, page).rpartition(b'"after":"')
            if not found:
                return
            page["cursor"] = cursor.partition(b'"')[0].decode()

    reader = Reader(access["base_url"], keys)
    if warm:
        read(reader, {"limit": 1})
    return _measure(name, reader, read_all)


def _azure(name: str, described: dict[str, Any], rows: int, *, warm: bool = False) -> Rate:
    access = described["azure"]
    headers = {
        "Authorization": f"Bearer {_token(access)}",
        "Content-Type": "application/json",
        "Cache-Control": "no-cache",
    }
    answers = -(-rows // _AZURE_ROWS)
    edges = [_DAY + timedelta(days=1) * number / answers for number in range(answers + 1)]

    def read(reader: Reader, start: datetime, end: datetime) -> None:
        query = (
            f"AppRequests | where TimeGenerated >= datetime({_text(start)}) and TimeGenerated <"
            f" datetime({_text(end)}) | extend _lf_time = TimeGenerated, _lf_item = _ItemId"
        )
        reader.post(f"/v1/workspaces/{access['workspace']}/query", {"query": query})

    def read_all(reader: Reader) -> None:
        for start, end in pairwise(edges):
            read(reader, start, end)

    reader = Reader(access["query_endpoint"], headers)
    if warm:  # the text of these columns is made once
        read(reader, _DAY, _DAY + timedelta(seconds=1))
    return _measure(name, reader, read_all)


def _measure(name: str, reader: Reader, read_all: Callable[[Reader], None]) -> Rate:
    before = reader.stats()
    started, cpu = time.perf_counter(), time.process_time()
    read_all(reader)
    seconds, cpu = time.perf_counter() - started, time.process_time() - cpu
    after = reader.stats()
    reader.close()
    served, sent, server = (after[key] - before[key] for key in ("rows_served", "body_bytes", "cpu_s"))
    return Rate(name, served, sent, seconds, server, cpu)


@contextmanager
def _sandbox(*arguments: str) -> Iterator[dict[str, Any]]:
    command = [sys.executable, "-m", "logferry_sandbox", "--azure-rate-limit", _NO_LIMIT, *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield json.loads(process.stdout.readline())
        finally:
            process.terminate()


def _token(access: dict[str, Any]) -> str:
    form = {
        "grant_type": "client_credentials",
        "client_id": access["client_id"],
        "client_secret": access["client_secret"],
        "scope": access["scope"],
    }
    trusted = ssl.create_default_context(cafile=access["ca_bundle"])
    url = f"{access['authority']}/oauth2/v2.0/token"
    with urlopen(url, urlencode(form).encode(), context=trusted) as answer:
        token: str = json.load(answer)["access_token"]
    return token


def _text(at: datetime) -> str:
    return at.isoformat().replace("+00:00", "Z")


def _print_table(rows: Sequence[Sequence[str]]) -> None:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        first, *rest = (
            cell.rjust(width) if at else cell.ljust(width)
            for at, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        print("  ".join([first, *rest]))


if __name__ == "__main__":
    sys.exit(main())
