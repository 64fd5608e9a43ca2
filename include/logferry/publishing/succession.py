"""The end of the journal as one publication sees it: what others append meanwhile, and what it appends itself."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from logferry.errors import Superseded
from logferry.layout import journal_key
from logferry.records.fold import Ledger, OpenIntent
from logferry.records.journal import Journal, Record
from logferry.records.manifest import Intent, Manifest
from logferry.stores.base import AlreadyExists, Store
from logferry.window import Window


class Overtaken(Exception):
    """Another writer's step came between two of ours: what was decided must be decided again."""


class Succession:
    """``ledger`` follows the journal as it is read on. ``still_ours`` is called before each record is written."""

    def __init__(self, store: Store, export: str, window: Window, still_ours: Callable[[], None]) -> None:
        self._store = store
        self._export = export
        self._window = window
        self._still_ours = still_ours
        self._journal = Journal(store, export)
        self._own: set[int] = set()
        """Numbers of the records that were appended here."""
        self.ledger = Ledger()

    def append(
        self, content: Manifest | Intent, *, where_others_began: Callable[[Record], None]
    ) -> tuple[Record, bytes]:
        """Append a record under the first free number; records of other windows may come before it.

        ``where_others_began`` is called with a record of overlapping time, and raises.
        """
        while True:
            self._still_ours()
            head = self.ledger.head
            sealed = msgspec.structs.replace(content, seq=head.seq + 1, previous=head.hash)
            data = sealed.encode()
            record = Record.of(data)
            try:
                self._store.put_bytes(journal_key(self._export, record.seq), data, if_absent=True)
            except AlreadyExists:
                following = self.next()
                if following is None:
                    raise Overtaken(f"record {record.seq} came and went") from None
                if following.window.overlaps(self._window):
                    where_others_began(following)
            else:
                self._own.add(record.seq)
                self.ledger.apply(record)
                return record, data

    def others_begun(self, slice_: Window) -> list[OpenIntent]:
        """What other runs said that they would do with the slice and have not published."""
        return [one for one in self.ledger.open_intents.get(slice_, ()) if one.seq not in self._own]

    def next(self) -> Record | None:
        """Take the record after the last one known into the ledger; None when there is none."""
        head = self.ledger.head
        try:
            record = self._journal.record_at(head.seq + 1)
        except ValueError as error:
            raise Overtaken(f"record {head.seq + 1} is damaged ({error})") from None
        if record is None:
            return None
        if record.content.previous != head.hash or record.content.export != self._export:
            raise Overtaken(f"record {record.seq} does not follow record {head.seq}")
        self.ledger.apply(record)
        return record

    def check_not_superseded(self) -> None:
        """Read the journal on. Raises Superseded when another run began to publish some of the same time."""
        while (record := self.next()) is not None:
            if record.window.overlaps(self._window):
                self.superseded(record)
        self._still_ours()

    def superseded(self, by: Record) -> None:
        raise Superseded(
            f"the run {by.content.run.id} began to publish {by.window} of {self._export} in {self._store.url} after "
            f"this one began {self._window}; nothing was committed; run the window again if that run does not finish"
        )

    def decide_again(self, by: Record) -> None:
        """Raises Overtaken: another run published or began to, after the ledger was read."""
        raise Overtaken(f"record {by.seq} of {by.content.run.id} came in between")
