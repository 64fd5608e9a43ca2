"""The fold of a journal: for every slice, what its last publication says, and who began to replace it since."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec

from logferry.records.journal import Damage, Head, Record
from logferry.records.manifest import Intent, Manifest, SliceEntry, Status
from logferry.window import Window, instant_or_none

_LONGEST_TIME = 40
"""Characters of a time as text; a record that says more there is not believed."""


class Published(msgspec.Struct, frozen=True):
    """The last word on one slice. ``fingerprint``: of the definition its rows were written under.

    ``first_rows``: rows of its first publication under that definition that was not short: what mends a short one came
    late to nobody. None where there is none yet, and where an older checkpoint does not tell.
    """

    window: Window
    entry: SliceEntry
    fingerprint: str
    seq: int
    proof: SliceEntry | None
    """The newest record that proved the rows which are still published, whatever was said of them since."""
    first_rows: int | None = None


class OpenIntent(msgspec.Struct, frozen=True):
    """A run that said it would replace a slice's object and has not published it: it works, or it died.

    ``old``, ``new``: row hashes of the object before and after, None for no object; either may lie there.
    ``etag``: of the object before. ``began_at``: as text.
    """

    seq: int
    run: str
    began_at: str
    old: str | None
    new: str | None
    etag: str | None

    @property
    def creates(self) -> bool:
        """Whether the run means to put an object where there was none."""
        return self.old is None and self.new is not None


class Requests(msgspec.Struct, frozen=True, omit_defaults=True):
    """Requests that one publication cost: by purpose, and of all of them those sent again and those answered 429."""

    search: int = 0
    count: int = 0
    schema: int = 0
    retried: int = 0
    throttled: int = 0

    @property
    def sent(self) -> int:
        return self.search + self.count + self.schema

    @classmethod
    def told(cls, requests: Mapping[str, int]) -> Requests:
        """What a manifest tells; other names are passed over."""
        return cls(**{name: requests[name] for name in cls.__struct_fields__ if name in requests})


class PublishedWindow(msgspec.Struct, frozen=True):
    """The last publication of a window as such; its slices may have been published again by other windows.

    From ``rows`` on: None where an older checkpoint does not tell. ``started_at``, ``finished_at``: as text.
    """

    window: Window
    seq: int
    hash: str
    status: Status
    run: str
    intent: int | None
    rows: int | None = None
    attempt: int | None = None
    started_at: str | None = None
    finished_at: str | None = None
    requests: Requests | None = None


@dataclass(slots=True)
class Ledger:
    """``head``: the last record and the newest checkpoint. ``named``: what HEAD.json says, None without it.

    ``held``: per slice the ETags that a run which never published may still hold, however long ago: an object that
    has one of them could be replaced by that run at any time. ``created``: per slice the row hashes of objects that
    such a run may have created, and may take away again. ``source``: of the newest publication.
    ``first_published_at``: tick of the first publication ever.

    ``mended``: the damaged records that publications acknowledged, with the hash of what lay there. ``without``: the
    damaged records that were left out of this ledger, likewise. ``through``: the checkpoint that it was read through.
    """

    slices: dict[Window, Published] = field(default_factory=dict)
    open_intents: dict[Window, list[OpenIntent]] = field(default_factory=dict)
    windows: dict[Window, PublishedWindow] = field(default_factory=dict)
    held: dict[Window, list[str]] = field(default_factory=dict)
    created: dict[Window, list[str]] = field(default_factory=dict)
    mended: set[tuple[int, str | None]] = field(default_factory=set)
    without: dict[int, str | None] = field(default_factory=dict)
    first_published_at: int | None = None
    source: dict[str, Any] | None = None
    head: Head = field(default_factory=lambda: Head(0, None))
    named: Head | None = None
    damage: list[Damage] = field(default_factory=list)
    through: int | None = field(default=None, compare=False)

    def apply(self, record: Record) -> None:
        """Take the record that follows ``head``, or the next one that is intact."""
        if record.publication is not None:
            self._publish(record, record.publication)
        elif record.intent is not None:
            self._announce(record, record.intent)
        self.head = Head(record.seq, record.hash, self.head.checkpoint, self.head.checkpoint_hash)

    def _announce(self, record: Record, intent: Intent) -> None:
        for slice_, intended in zip(record.slices, intent.slices, strict=True):
            self.open_intents.setdefault(slice_, []).append(
                OpenIntent(
                    record.seq,
                    intent.run.id,
                    intent.run.finished_at,
                    intended.old,
                    intended.new,
                    intended.etag,
                )
            )

    def _publish(self, record: Record, manifest: Manifest) -> None:
        for slice_, entry in zip(record.slices, manifest.slices, strict=True):
            fingerprint = entry.fingerprint or manifest.fingerprint
            before = self.slices.get(slice_)
            proof = _proof(entry, fingerprint, before)
            first = _first_rows(entry, fingerprint, before)
            self.slices[slice_] = Published(slice_, entry, fingerprint, record.seq, proof, first)
            self._close(slice_, manifest.intent)
        for removed in record.removed:
            self.slices.pop(removed, None)
            self._close(removed, manifest.intent)
        self.mended.update((mend.seq, mend.found) for mend in manifest.mends)
        self.windows[record.window] = PublishedWindow(
            record.window,
            record.seq,
            record.hash,
            manifest.status,
            manifest.run.id,
            manifest.intent,
            manifest.rows,
            manifest.run.attempt,
            _time(manifest.run.started_at),
            _time(manifest.run.finished_at),
            Requests.told(manifest.requests),
        )
        self.source = manifest.source
        if self.first_published_at is None:
            self.first_published_at = instant_or_none(manifest.run.finished_at)

    def _close(self, slice_: Window, fulfilled: int | None) -> None:
        """No intent for the slice is open any more; those of others were given up, but their writers may live."""
        for intent in self.open_intents.pop(slice_, ()):
            if intent.seq == fulfilled:
                continue
            if intent.etag is not None:
                _add(self.held, slice_, intent.etag)
            elif intent.creates and intent.new is not None:
                _add(self.created, slice_, intent.new)


def fold(records: Iterable[Record]) -> Ledger:
    """The ledger of a journal from its first record on; slices of another grid stay apart."""
    ledger = Ledger()
    for record in records:
        ledger.apply(record)
    return ledger


def _add(to: dict[Window, list[str]], slice_: Window, what: str) -> None:
    known = to.setdefault(slice_, [])
    if what not in known:
        known.append(what)


def _time(text: str) -> str | None:
    return text if len(text) <= _LONGEST_TIME else None


def _first_rows(entry: SliceEntry, fingerprint: str, before: Published | None) -> int | None:
    """See ``Published``."""
    if before is not None and before.fingerprint == fingerprint:
        only_short = before.first_rows is None and before.entry.status == "short"
        if not only_short:
            return before.first_rows
    return None if entry.status == "short" else entry.rows


def _proof(entry: SliceEntry, fingerprint: str, before: Published | None) -> SliceEntry | None:
    if entry.status == "proven":
        return entry
    if before is None or before.proof is None or before.fingerprint != fingerprint:
        return None
    return before.proof if before.proof.file.row_hash == entry.file.row_hash else None
