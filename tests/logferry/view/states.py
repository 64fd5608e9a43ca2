"""What the tests of the views share: an archive in memory, as the page has it."""

from __future__ import annotations

from typing import Any

from tests.logferry.publishing_runs import EXPORT, START
from tests.logferry.view.made_year import connect

from logferry.audit.archive import Archive
from logferry.clock import SystemClock
from logferry.spec import ExportSpec, export_from
from logferry.stores.base import Store
from logferry.view.archive_state import ArchiveState
from logferry.view.reading import look
from logferry.view.shared_boards import SharedBoards
from logferry.view.stored_records import StoredRecords
from logferry.window import format_instant


def spec_of(**fields: Any) -> ExportSpec:
    """The export whose journal ``Scribe`` writes: hourly slices, a window every six hours."""
    definition = {
        "name": EXPORT,
        "source": {"kind": "datadog", "connection": "datadog_default"},
        "schedule": "0 */6 * * *",
        "start": format_instant(START),
    }
    return export_from(definition | fields, where=EXPORT, written=True)


def state_of(store: Store, spec: ExportSpec | None = None) -> ArchiveState:
    """The state after a first reading."""
    spec = spec or spec_of()
    archive = Archive(spec, store, connect("datadog_default", "datadog"), "")
    return ArchiveState(
        spec,
        look(archive, opened_at=0, now=0),
        StoredRecords(),
        SharedBoards(connect, SystemClock()),
        read_at=0,
    )
