"""What repeats the journal beside it: the latest manifest of each window, and the checkpoint."""

from __future__ import annotations

import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

from logferry.audit.findings import Finding
from logferry.layout import checkpoint_key, manifest_key, manifests_prefix
from logferry.records.journal import Damage, Record
from logferry.records.ledger import Ledger, Published, PublishedWindow, fold
from logferry.records.manifest import Span, content_hash
from logferry.stores.base import NotFound, Store
from logferry.window import TICK_PER_SECOND, Window, parse_instant

_COPY = re.compile(r"(\d{8}T\d{6})Z-(\d{8}T\d{6})Z\.json")
_READERS = 8


def check_copies(
    store: Store, export: str, ledger: Ledger, records: list[Record], damage: list[Damage]
) -> list[Finding]:
    """The latest manifest of each window, for people and tools, against the last record of that window."""
    hashes = {record.seq: record.hash for record in records}
    hashes |= {one.seq: one.expected for one in damage if one.seq and one.expected}
    known = set(hashes.values())
    lagging = _lagging(ledger, records)
    there = {
        window
        for info in store.list(manifests_prefix(export))
        if (window := _copied_window(info.key.removeprefix(manifests_prefix(export)))) is not None
    }
    last = ledger.windows
    keys = {window: manifest_key(export, window) for window in sorted(there)}
    with ThreadPoolExecutor(1 if store.url.startswith("file:") else _READERS) as pool:
        found = pool.map(lambda key: _hash(store, key), keys.values())
        contents = dict(zip(keys, found, strict=True))
    findings = []
    for window in sorted(there | {window for window in last if whole_seconds(window)}):
        finding = _copy(export, window, last.get(window), contents.get(window), known, lagging)
        if finding is not None:
            findings.append(finding)
    return findings


def _copy(
    export: str,
    window: Window,
    last: PublishedWindow | None,
    found: str | None,
    known: set[str],
    lagging: int | None,
) -> Finding | None:
    if last is not None and found == last.hash:
        return None
    span = Span.of(window)
    again = f"export the window again (logferry export {export} --from {span.start} --to {span.end})"
    key = manifest_key(export, window)
    if last is None:
        if found in known:
            return None
        how = "the journal has no publication of this window: its record was removed, or it was never one"
        return Finding(kind="copy_unknown", window=span, key=key, detail=how, remedy=again)
    if last.seq == lagging and (found is None or found in known):
        how = (
            f"it is not record {last.seq} yet: the run that wrote the record died right after, or still works"
        )
        return Finding(kind="copy_differs", level="note", window=span, key=key, detail=how, remedy=again)
    if found is None:
        return Finding(kind="copy_missing", window=span, key=key, detail="it is missing", remedy=again)
    if found in known:
        how = f"it is an older record, the last one of the window is {last.seq}"
    else:
        how = f"its content is {found}, record {last.seq} is {last.hash}"
    return Finding(kind="copy_differs", window=span, key=key, detail=how, remedy=again)


def _lagging(ledger: Ledger, records: list[Record]) -> int | None:
    """The last record, where HEAD does not name it: its run has not come to its end."""
    if not records:
        return None
    named = ledger.named
    last = records[-1].seq
    return last if named is None or named.seq < last else None


def check_checkpoint(
    export: str, ledger: Ledger, records: list[Record], damage: list[Damage]
) -> Iterator[Finding]:
    """The ledger through the newest checkpoint against the ledger from the first record."""
    seq = ledger.head.checkpoint
    if seq is None or not records or records[-1].seq != ledger.head.seq:
        return
    damaged = {one.seq for one in damage if one.seq}
    folded = fold(records)
    through = ledger
    differing = [
        f"of {slice_}"
        for slice_ in sorted(folded.slices.keys() | through.slices.keys())
        if not _agree(folded.slices.get(slice_), through.slices.get(slice_), damaged)
    ]
    if not damaged and folded.windows != through.windows:
        differing.append("of a window's last publication")
    if not damaged and folded.open_intents != through.open_intents:
        differing.append("of the runs that did not end")
    if differing:
        yield Finding(
            kind="checkpoint",
            window=None,
            key=checkpoint_key(export, seq),
            detail=f"it says something else than the journal {differing[0]}",
            remedy="delete it: the journal is the truth, and a later publication writes a new one",
        )


def _agree(folded: Published | None, through: Published | None, damaged: set[int]) -> bool:
    """Whether a checkpoint can be right about a slice; it may know what a record said that is damaged since."""
    if folded == through or not damaged:
        return folded == through
    if folded is None or through is None or through.seq in damaged:
        return True
    return folded.entry == through.entry


def whole_seconds(window: Window) -> bool:
    """Whether its bounds are whole seconds, as those of every window of an export are."""
    return window.on_grid(TICK_PER_SECOND)


def _hash(store: Store, key: str) -> str | None:
    try:
        return content_hash(store.read(key))
    except NotFound:
        return None


def _copied_window(name: str) -> Window | None:
    found = _COPY.fullmatch(name)
    if found is None:
        return None
    try:
        start, end = (
            parse_instant(f"{text[:4]}-{text[4:6]}-{text[6:11]}:{text[11:13]}:{text[13:15]}Z")
            for text in found.groups()
        )
        return Window(start, end)
    except ValueError:
        return None
