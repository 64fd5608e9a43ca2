"""The archives that the coverage page is looked at with: real exports of the sandbox, with one of every state."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

import msgspec
import yaml

from logferry.clock import SystemClock
from logferry.connection import Connection
from logferry.layout import head_key, journal_key, manifest_key, slice_key
from logferry.opening import open_ferry
from logferry.records.journal import Head
from logferry.records.ledger import read_ledger
from logferry.records.manifest import Manifest, RunEntry, content_hash, decode_manifest
from logferry.spec import ExportSpec, load_export
from logferry.stores.local import LocalStore
from logferry.window import TICK_PER_DAY, TICK_PER_HOUR, TICK_PER_SECOND, Window, format_instant
from logferry_sandbox.datadog_sandbox import DatadogSandbox

SHOP, HOSTILE, DARK = "shop_orders", "hostile", "unreachable"
NAMES = (SHOP, HOSTILE, DARK)
RETENTION_DAYS = 5
WINDOW = 6 * TICK_PER_HOUR
DAYS = 8
"""How long ago the export of the shop began, unless the caller wants more."""
MARKUP = "<img src=x onerror=alert(1)>"
SCRIPT = "<script>alert(2)</script>"
CONTROLS = "bell\x07 escape\x1b[31m zero\x00 turned\u202eback line\u2028end"
LONG = "x" * 1_000_000


class At:
    """A clock of another time; waiting costs none, and a look at it a moment."""

    def __init__(self, tick: int) -> None:
        self.tick = tick

    def now(self) -> int:
        self.tick += TICK_PER_SECOND // 100
        return self.tick

    def sleep(self, seconds: float) -> None:
        self.tick += int(seconds * TICK_PER_SECOND) + 1


class Killed(BaseException):
    """Ends a run where it stands, as a worker that is gone."""


@dataclass(frozen=True)
class Places:
    """Where in the shop's archive what is to be found: slices of an hour, and windows of six."""

    today: int

    def hour(self, days_ago: int, hour: int, hours: int = 1) -> Window:
        start = self.today - days_ago * TICK_PER_DAY + hour * TICK_PER_HOUR
        return Window(start, start + hours * TICK_PER_HOUR)

    @property
    def unproven(self) -> Window:
        """Exported when the source no longer promised to have all of it."""
        return self.hour(8, 0, 24)

    @property
    def proven(self) -> Window:
        return self.hour(7, 9)

    @property
    def to_corrupt(self) -> Window:
        return self.hour(6, 10)

    @property
    def short(self) -> Window:
        return self.hour(5, 7)

    @property
    def late(self) -> Window:
        """Exported twice: the second time there were more rows."""
        return self.hour(4, 6, 6)

    @property
    def interrupted(self) -> Window:
        """Published, and then begun again by a run that died: there were more rows."""
        return self.hour(3, 12, 6)

    @property
    def gap(self) -> Window:
        """A whole window of the schedule that was never exported."""
        return self.hour(2, 6, 6)

    @property
    def hole(self) -> Window:
        """An hour inside a window that was never exported."""
        return self.hour(2, 15)


class MadeLake:
    """Definitions and one lake in ``folder``, exported to from ``sandbox``, which is already started."""

    def __init__(self, folder: Path, sandbox: DatadogSandbox, *, days: int = DAYS) -> None:
        self.exports = folder / "exports"
        self.lake = folder / "lake"
        self.places = Places(SystemClock().now() // TICK_PER_DAY * TICK_PER_DAY)
        self._sandbox = sandbox
        self._begin = self.places.today - days * TICK_PER_DAY
        self._own = folder / "preparing"
        self.exports.mkdir()
        self._own.mkdir()

    def define(self, name: str, *, retention: str | None = None, query: str = "*", **rest: Any) -> None:
        """Write the definition of an export that began with the lake."""
        source = {"kind": "datadog", "connection": "page_datadog", "query": query}
        definition = {
            "name": name,
            "source": source | ({"retention": retention} if retention else {}),
            "schedule": "@daily",
            "start": format_instant(self._begin),
            "settle": "0m",
            "destination": {"url": self.lake.as_uri()},
            **rest,
        }
        (self.exports / f"{name}.yaml").write_text(yaml.safe_dump(definition, sort_keys=False))

    def spec(self, name: str) -> ExportSpec:
        return load_export(self.exports / f"{name}.yaml")

    def variables(self) -> dict[str, str]:
        """The environment of an Airflow that exports to this lake."""
        return {
            "LOGFERRY_EXPORTS_DIR": str(self.exports),
            "AIRFLOW_CONN_PAGE_DATADOG": json.dumps({"conn_type": "datadog_logs", **self._datadog()}),
        }

    def store(self) -> LocalStore:
        return LocalStore(self.lake)

    def connect(self, conn_id: str, kind: str) -> Connection:
        return Connection(conn_id, "datadog_logs", **self._datadog())

    def carry(self, spec: ExportSpec, window: Window, *, after: int = TICK_PER_HOUR) -> Manifest:
        """Export ``window``, ``after`` so many ticks after its end."""
        run_id = f"scheduled__{format_instant(window.end)}"
        with open_ferry(spec, self.connect, run_id=run_id, clock=At(window.end + after)) as ferry:
            return ferry.carry(window)

    @contextmanager
    def preparing(self) -> Iterator[None]:
        """No time passes here, so no allowance comes back: the source gives any. Budgets meet in the temporary folder:
        what they learn here is not told to others."""
        api = self._sandbox.api
        before = api.settings
        api.settings = before.updated({"search_limit": 1_000_000, "aggregate_limit": 1_000_000})
        with patch.object(tempfile, "tempdir", str(self._own)):
            yield
        api.settings = before

    def define_shop(self) -> None:
        self.define(SHOP, query="service:web-store", schedule="0 */6 * * *", retention=f"{RETENTION_DAYS}d")

    def carry_shop(self) -> None:
        """Export the shop with one of every state; see ``Places``."""
        spec, places, api = self.spec(SHOP), self.places, self._sandbox.api
        ended = SystemClock().now() // WINDOW * WINDOW
        for window in spec.schedule_windows(Window(spec.start, ended)):
            if window == places.gap:
                continue
            if window == places.interrupted:
                self._carry_early(spec, window)
                with patch.object(LocalStore, "place", side_effect=Killed), expected_death():
                    self.carry(spec, window, after=12 * TICK_PER_HOUR)
            elif window.covers(places.hole):
                self.carry(spec, Window(window.start, places.hole.start))
                self.carry(spec, Window(places.hole.end, window.end))
            elif window.covers(places.short):
                self.carry(spec, Window(window.start, places.short.start))
                api.plan.replace([{"fault": "datadog:drop_row"}])
                self.carry(spec, places.short)
                api.plan.replace([])
                self.carry(spec, Window(places.short.end, window.end))
            elif window == places.late:
                self._carry_early(spec, window)
                self.carry(spec, window, after=12 * TICK_PER_HOUR)
            elif places.unproven.covers(window):
                self.carry(spec, window, after=(RETENTION_DAYS + 1) * TICK_PER_DAY)
            else:
                self.carry(spec, window)

    def cells(self) -> dict[Window, str]:
        """What the ledger says of the shop's slices, by slice."""
        ledger = read_ledger(self.store(), SHOP)
        return {slice_: published.entry.status for slice_, published in ledger.slices.items()}

    def manifest(self, window: Window) -> Manifest:
        """Of the publication that is the last word on the first slice of ``window``."""
        return decode_manifest(self.store().read(journal_key(SHOP, self.seq_of(window))))

    def seq_of(self, window: Window) -> int:
        """The number of the shop's publication that is the last word on the window's first hour."""
        first = Window(window.start, window.start + TICK_PER_HOUR)
        return read_ledger(self.store(), SHOP).slices[first].seq

    def _carry_early(self, spec: ExportSpec, window: Window) -> None:
        """Export a window before the last of its rows have arrived."""
        api = self._sandbox.api
        calm = api.settings
        api.settings = calm.updated({"late_every": 7})
        self.carry(spec, window)
        api.settings = calm

    def _datadog(self) -> dict[str, Any]:
        told = self._sandbox.describe()
        keys = {"api_key": told["api_key"], "app_key": told["app_key"], "sandbox": True}
        return {"host": told["base_url"], "extra": keys}


class PreparedLake(MadeLake):
    """The shop, an export with everything hostile in it, and one whose lake listens on no port (``dark_port``)."""

    def __init__(self, folder: Path, sandbox: DatadogSandbox, *, dark_port: int) -> None:
        super().__init__(folder, sandbox)
        self._dark_port = dark_port
        self.define_shop()
        self.define(HOSTILE, query=f'"{MARKUP}" OR status:error')
        self.define(DARK, destination={"url": "s3://acme-lake/logs", "connection": "page_dark"})

    def variables(self) -> dict[str, str]:
        dark = {
            "conn_type": "aws",
            "login": "nobody",
            "password": "nothing-secret",
            "extra": {"endpoint_url": f"http://127.0.0.1:{self._dark_port}", "region_name": "eu-west-1"},
        }
        return {**super().variables(), "AIRFLOW_CONN_PAGE_DARK": json.dumps(dark)}

    def prepare(self) -> None:
        with self.preparing():
            self.carry_shop()
            self._carry_hostile()

    def late_rows(self) -> tuple[Window, int, int]:
        """A slice of the shop that has more rows than at first; how many it had, and has."""
        for entry in self.manifest(self.places.late).slices:
            if entry.previous_rows is not None:
                return entry.window(), entry.previous_rows, entry.rows
        raise AssertionError("no slice was exported again with more rows")

    def corrupt(self, slice_: Window) -> str:
        """Overwrite one byte in the middle of the slice's file; its key."""
        key = slice_key(SHOP, slice_)
        path = self.lake / key
        data = bytearray(path.read_bytes())
        data[len(data) // 2] ^= 0xFF
        path.write_bytes(bytes(data))
        return key

    def _carry_hostile(self) -> None:
        """Real publications, then one that says everything a page could trip over, and a record that is none."""
        spec, places = self.spec(HOSTILE), self.places
        for days_ago in (4, 3, 2):
            self.carry(spec, places.hour(days_ago, 0, 24))
        store = self.store()
        ledger = read_ledger(store, HOSTILE)
        last = max(published.seq for published in ledger.slices.values())
        told = decode_manifest(store.read(journal_key(HOSTILE, last)))
        first = told.slices[0]
        odd = msgspec.structs.replace(
            told,
            seq=ledger.head.seq + 1,
            previous=ledger.head.hash,
            source={**told.source, "query": f"{MARKUP} {SCRIPT} {CONTROLS} {LONG}", MARKUP: SCRIPT},
            columns=[{"name": MARKUP, "type": SCRIPT, "source_name": CONTROLS, "source_type": LONG}],
            requests={MARKUP: 1, "search": 2},
            slices=[
                msgspec.structs.replace(first, notes={MARKUP: 3, CONTROLS: 4, LONG: 5}),
                *told.slices[1:],
            ],
            run=RunEntry(
                id=f"{MARKUP}{CONTROLS}",
                attempt=1,
                started_at=told.run.started_at,
                finished_at=told.run.finished_at,
                engine=f"{SCRIPT}{LONG}",
            ),
            intent=None,
        )
        data = odd.encode()
        store.put_bytes(journal_key(HOSTILE, odd.seq), data)
        store.put_bytes(manifest_key(HOSTILE, odd.window.window()), data)
        head = Head(odd.seq, content_hash(data))
        store.put_bytes(head_key(HOSTILE), msgspec.json.encode(head))
        store.put_bytes(journal_key(HOSTILE, 2), b'{"format": 1, "record": "' + SCRIPT.encode())

    def hostile_seq(self) -> int:
        """The number of the record that is odd on purpose."""
        return read_ledger(self.store(), HOSTILE).head.seq


@contextmanager
def expected_death() -> Iterator[None]:
    try:
        yield
    except Killed:
        return
    raise AssertionError("the run was to die and did not")
