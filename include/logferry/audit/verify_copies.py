"""What repeats the journal beside it: the latest manifest of each window, HEAD, and the checkpoint."""

from __future__ import annotations

import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from operator import attrgetter

from logferry.audit.findings import Finding
from logferry.layout import (
    checkpoint_key,
    checkpoint_prefix,
    findings_key,
    head_key,
    journal_prefix,
    lease_key,
    manifest_key,
    manifests_prefix,
    notices_key,
    number_of,
)
from logferry.records.journal import Damage, Record
from logferry.records.ledger import Ledger, Published, PublishedWindow, fold
from logferry.records.manifest import Span, content_hash
from logferry.stores.base import NotFound, Store
from logferry.window import TICK_PER_SECOND, Window, parse_instant

_COPY = re.compile(r"(\d{8}T\d{6})Z-(\d{8}T\d{6})Z\.json")
_READERS = 8
_BATCH = 64
_IN_TIME = attrgetter("start", "end")


def check_copies(
    store: Store, export: str, ledger: Ledger, records: list[Record], damage: list[Damage]
) -> list[Finding]:
    """The latest manifest of each window, for people and tools, against the last record of that window."""
    hashes = {record.seq: record.hash for record in records}
    hashes |= {one.seq: one.expected for one in damage if one.seq and one.expected}
    known = set(hashes.values())
    lagging = _lagging(ledger, records)
    prefix = manifests_prefix(export)
    there: dict[Window, str] = {}
    findings = []
    for info in store.list(prefix):
        window = _copied_window(info.key[len(prefix) :])
        if window is not None:
            there[window] = info.key
        elif not _is_known(export, info.key):
            findings.append(_stray(info.key))
    last = ledger.windows
    contents = dict(zip(there, _hashes(store, list(there.values())), strict=True))
    every = there.keys() | {window for window in last if whole_seconds(window)}
    for window in sorted(every, key=_IN_TIME):
        found = contents.get(window)
        if (latest := last.get(window)) is not None and found == latest.hash:
            continue
        if found in known and (other := _window_in(store, there[window])) not in (None, window):
            found, how = None, f"it is the manifest of {other}"
        else:
            how = None
        finding = _copy(export, window, latest, found, known, lagging, how)
        if finding is not None:
            findings.append(finding)
    findings += _head_behind(export, ledger, records)
    return findings


def _copy(
    export: str,
    window: Window,
    last: PublishedWindow | None,
    found: str | None,
    known: set[str],
    lagging: int | None,
    foreign: str | None,
) -> Finding | None:
    """``foreign``: what else lies under the name of this window's copy."""
    span = Span.of(window)
    again = f"export the window again (logferry export {export} --from {span.start} --to {span.end})"
    key = manifest_key(export, window)
    if foreign is not None:
        return Finding(kind="copy_differs", window=span, key=key, detail=foreign, remedy=again)
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


def _head_behind(export: str, ledger: Ledger, records: list[Record]) -> Iterator[Finding]:
    """HEAD names an older record than the last publication: nothing is lost, as the journal is read on from there."""
    named = ledger.named
    last = next((one for one in reversed(records) if one.publication is not None), None)
    if named is None or last is None or named.seq >= last.seq:
        return
    span = Span.of(last.window)
    yield Finding(
        kind="head",
        level="note",
        window=None,
        key=head_key(export),
        detail=(
            f"it names record {named.seq}, the last publication is {last.seq}: the run that wrote that one died right "
            "after or still works, or HEAD was set back"
        ),
        remedy=(
            "nothing is lost, and the next publication moves it on "
            f"(logferry export {export} --from {span.start} --to {span.end})"
        ),
    )


def _is_known(export: str, key: str) -> bool:
    """Whether Logferry itself keeps something under this key of ``_manifests``, beside the copies of windows."""
    if key in (head_key(export), findings_key(export), notices_key(export), lease_key(export)):
        return True
    suffix = {journal_prefix(export): ".json", checkpoint_prefix(export): ".json.gz"}
    name = key.rpartition("/")[2]
    folder = key.removesuffix(name)
    return number_of(key) is not None and name[12:] == suffix.get(folder)


def _stray(key: str) -> Finding:
    return Finding(
        kind="manifest_stray",
        level="note",
        window=None,
        key=key,
        detail="Logferry writes no such file and does not read it",
        remedy="delete it if nothing else needs it",
    )


def _window_in(store: Store, key: str) -> Window | None:
    """The window that a copy is of; None for what is no record."""
    try:
        return Record.of(store.read(key)).window
    except (NotFound, ValueError):
        return None


def check_newest_copies(store: Store, export: str, ledger: Ledger, since: int) -> Iterator[Finding]:
    """The copies of windows published last by a record from ``since`` on, whose runs have come to their ends."""
    done = 0 if ledger.named is None else ledger.named.seq
    newest = {
        window: one
        for window, one in ledger.windows.items()
        if since <= one.seq <= done and whole_seconds(window)
    }
    keys = [manifest_key(export, window) for window in newest]
    for (window, one), key, found in zip(newest.items(), keys, _hashes(store, keys), strict=True):
        if found == one.hash:
            continue
        span = Span.of(window)
        yield Finding(
            kind="copy_missing" if found is None else "copy_differs",
            window=span,
            key=key,
            detail="it is missing"
            if found is None
            else f"it is not record {one.seq}, the last of its window",
            remedy=f"export the window again (logferry export {export} --from {span.start} --to {span.end})",
        )


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
    """The ledger through the checkpoint it was read from against the ledger from the first record."""
    seq = ledger.through
    if seq is None or not records or records[-1].seq != ledger.head.seq:
        return
    damaged = {one.seq for one in damage if one.seq}
    folded = fold(records)
    through = ledger
    differing = [
        f"of {slice_}"
        for slice_ in sorted(folded.slices.keys() | through.slices.keys(), key=_IN_TIME)
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


def _hashes(store: Store, keys: list[str]) -> list[str | None]:
    """The hash of each object's bytes; None where there is none."""
    if store.url.startswith("file:"):
        return [_hash(store, key) for key in keys]
    batches = [keys[at : at + _BATCH] for at in range(0, len(keys), _BATCH)]
    with ThreadPoolExecutor(_READERS) as pool:
        found = pool.map(lambda batch: [_hash(store, key) for key in batch], batches)
        return [one for batch in found for one in batch]


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
