"""An export's archive, opened for reading: the store it lies in, and the definition it is compared with.

Nothing here sends a request to the source, and neither keys nor a connection to it are needed.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from logferry.audit.coverage import Coverage, cover, default_range
from logferry.audit.definitions import DefinitionUse, definitions
from logferry.audit.findings import Remembered, beside, damage, remembered
from logferry.connection import Connect, Connection, is_sandbox
from logferry.errors import LogferryError
from logferry.layout import head_key
from logferry.records.ledger import Ledger, OpenIntent, read_ledger
from logferry.spec import (
    AzureLogSearchSourceSpec,
    AzureMonitorSourceSpec,
    DatadogSourceSpec,
    ExportSpec,
    fingerprint,
    lake_url,
)
from logferry.stores.base import Store
from logferry.stores.opening import open_store
from logferry.window import Window

if TYPE_CHECKING:
    from logferry.sources.base import LogSource


@dataclass(frozen=True, slots=True)
class Definition:
    """The export as it is defined now. ``fingerprint`` None: it cannot be told; ``note``: what was assumed, or why."""

    fingerprint: str | None
    note: str | None = None
    source: Mapping[str, Any] | None = None
    """What it asks, as a record would tell it."""


class Archive:
    """One export's archive. See ``open_archive``."""

    def __init__(self, spec: ExportSpec, store: Store, connection: Connection | None, missing: str) -> None:
        self.spec = spec
        self.store = store
        self._connection = connection
        self._missing = missing

    @property
    def connection(self) -> Connection | None:
        """The connection to the source; None where there is none that could be read."""
        return self._connection

    def source(self, newest: Mapping[str, Any] | None) -> LogSource | None:
        """The source as the present definition asks it, to reckon with. ``newest``: see ``definition``.

        None where neither the connection nor a record tells the endpoint.
        """
        from logferry.sources.opening import open_source

        if self._connection is not None:
            with contextlib.suppress(LogferryError):
                return open_source(self.spec, self._connection).source
        return _recorded_source(self.spec, newest)

    def definition(self, newest: Mapping[str, Any] | None) -> Definition:
        """The present definition. ``newest``: the ``source`` of the newest record, which tells the endpoint where
        the connection does not.
        """
        # Only who compares definitions pays for importing what asks a source.
        from logferry.sources.opening import open_source

        why = self._missing
        if self._connection is not None:
            try:
                identity = open_source(self.spec, self._connection).source.identity()
            except LogferryError as error:
                why = str(error)
            else:
                return Definition(fingerprint(identity, self.spec), source=identity)
        source = _recorded_source(self.spec, newest)
        if source is None:
            return Definition(None, f"the definition cannot be compared with the archive's: {why}")
        identity = source.identity()
        return Definition(
            fingerprint(identity, self.spec),
            f"the definition is compared as if its connection still led to {identity['endpoint']}: {why}",
            identity,
        )


def open_archive(spec: ExportSpec, connect: Connect) -> Archive:
    """The archive of an export, its connections looked up through ``connect`` (see ``ferry.open_ferry``).

    A connection to the source that is missing or wrong stops nothing. Raises DefinitionError or CredentialsError
    where the destination cannot be opened.
    """
    connection: Connection | None = None
    missing = ""
    sandbox = False
    try:
        connection = connect(spec.source.connection, spec.source.kind)
        sandbox = is_sandbox(connection)
    except LogferryError as error:
        missing = str(error)
    destination = spec.destination.connection
    lake = connect(destination, "aws") if destination else None
    store = open_store(lake_url(spec, sandbox=sandbox), lake)
    if connection is None and spec.destination.url is None and store.head(head_key(spec.name)) is None:
        # Without the connection nobody says whether the data is the sandbox's; the archive itself does.
        other = open_store(lake_url(spec, sandbox=True), lake)
        if other.head(head_key(spec.name)) is not None:
            store = other
    return Archive(spec, store, connection, missing)


def _recorded_source(spec: ExportSpec, newest: Mapping[str, Any] | None) -> LogSource | None:
    """The source of the definition at the endpoint of a record; None when the record is of another kind."""
    endpoint = (newest or {}).get("endpoint")
    if newest is None or newest.get("kind") != spec.source.kind or not isinstance(endpoint, str):
        return None
    match spec.source:
        case DatadogSourceSpec() as datadog:
            from logferry.sources.datadog import DatadogSource

            org = newest.get("org")
            return DatadogSource(
                datadog, spec.columns, base_url=endpoint, org=org if isinstance(org, str) else None
            )
        case AzureMonitorSourceSpec() as monitor:
            from logferry.sources.azure_monitor import AzureMonitorSource

            return AzureMonitorSource(monitor, query_endpoint=endpoint)
        case AzureLogSearchSourceSpec() as legacy:
            from logferry.sources.azure_log_search import AzureLogSearchSource

            return AzureLogSearchSource(legacy, arm_endpoint=endpoint)


@dataclass(frozen=True, slots=True)
class Interrupted:
    """A run that is at work, or died. ``window``: from its first to its last slice of the range."""

    intent: OpenIntent
    window: Window
    slices: int


@dataclass(frozen=True, slots=True)
class Examined:
    """An archive as it stands. ``found``: what ``verify`` remembers, of any range."""

    archive: Archive
    ledger: Ledger
    definition: Definition
    coverage: Coverage
    found: tuple[Remembered, ...]

    def definitions(self) -> list[DefinitionUse]:
        """The definitions that the range was written under."""
        name = self.archive.spec.name
        return definitions(self.archive.store, name, self.coverage, fingerprint=self.definition.fingerprint)

    def interrupted(self) -> list[Interrupted]:
        """The runs that began to replace slices of the range and have not published, oldest first."""
        window = self.coverage.window
        began: dict[int, tuple[OpenIntent, list[Window]]] = {}
        for slice_, intents in sorted(self.ledger.open_intents.items()):
            if slice_.start < window.end and window.start < slice_.end:
                for intent in intents:
                    began.setdefault(intent.seq, (intent, []))[1].append(slice_)
        return [
            Interrupted(intent, Window(slices[0].start, slices[-1].end), len(slices))
            for _, (intent, slices) in sorted(began.items())
        ]

    def beside(self) -> list[Remembered]:
        """What ``verify`` remembers that is about no slice's rows and still stands."""
        newest = {window: one.seq for window, one in self.ledger.windows.items()}
        for slice_, one in self.ledger.slices.items():
            newest[slice_] = max(one.seq, newest.get(slice_, 0))
        return beside(self.found, newest)


def examine(archive: Archive, window: Window | None, *, now: int) -> Examined:
    """The coverage of a range (None: all up to ``now``, a tick) and what is known against it.

    Raises StoreError and CredentialsError when the store does not answer.
    """
    spec = archive.spec
    ledger = read_ledger(archive.store, spec.name)
    definition = archive.definition(ledger.source)
    found = remembered(archive.store, spec.name)
    coverage = cover(
        spec,
        ledger,
        window or default_range(spec, now),
        now=now,
        fingerprint=definition.fingerprint,
        damage=damage(found, {slice_: one.seq for slice_, one in ledger.slices.items()}),
    )
    return Examined(archive, ledger, definition, coverage, tuple(found))
