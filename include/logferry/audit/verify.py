"""``verify``: whether an archive still is what was published, without asking the source for anything.

It compares the journal with itself, with HEAD, checkpoint and window copies, with witnesses from elsewhere, and every
object with the record that names it. What it finds is told and remembered, never mended: a run of the window does that.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from operator import attrgetter

from logferry.audit.findings import Finding, remember
from logferry.audit.verify_journal import Witness, check_journal, interrupted
from logferry.audit.verify_manifests import key_of
from logferry.audit.verify_objects import Expected, ObjectCheck
from logferry.layout import day_prefixes, slice_key, slice_of
from logferry.records.ledger import Ledger, OpenIntent, read_ledger
from logferry.records.manifest import Span
from logferry.stores.base import Store
from logferry.window import Window, format_instant

__all__ = ["Verification", "Witness", "verify"]

_IN_TIME = attrgetter("start", "end")
"""To sort windows by, at a tenth of the price of comparing them."""
_ROUNDS = 3
"""Publications that come meanwhile make what was read before them look wrong: then it is looked at again."""


@dataclass(frozen=True, slots=True)
class Verification:
    """``window`` None: the whole archive. ``seq``, ``hash``: the last record of the journal, a witness for later."""

    export: str
    window: Window | None
    deep: bool
    seq: int
    hash: str | None
    records: int
    objects: int
    findings: tuple[Finding, ...]

    @property
    def failed(self) -> bool:
        return any(one.level == "finding" for one in self.findings)


def verify(
    store: Store,
    export: str,
    *,
    now: int,
    window: Window | None = None,
    deep: bool = False,
    witnesses: Sequence[Witness] = (),
    since: int | None = None,
) -> Verification:
    """Verify the objects of a range (None: of all) and the journal; remember what was found.

    ``since``: the record from which the journal, and the copies of windows, are looked at; None: the whole of it.
    ``now``: a tick, for the memory alone. ``deep``: decode every row too. Raises StoreError and CredentialsError when
    the store does not answer; what it answers is never an error.
    """
    check = check_journal(store, export, tuple(witnesses), since=since)
    objects, found = _objects(store, export, check.ledger, window, deep=deep)
    ledger = check.ledger
    for _ in range(_ROUNDS):
        if not found and not any(one.level == "finding" for one in check.findings):
            break
        newer = read_ledger(store, export)
        if newer.head == ledger.head:
            break
        ledger = newer
        check = check_journal(store, export, tuple(witnesses), since=since)
        again = {key for key, _ in found}
        found = _objects(store, export, ledger, window, deep=deep, only=again)[1]
    findings = (
        *check.findings,
        *(finding for _, finding in found),
        *interrupted(export, ledger, window),
    )
    remember(
        store,
        export,
        findings,
        verified=window,
        since=check.since,
        deep=deep,
        newest={slice_: one.seq for slice_, one in ledger.slices.items()},
        seq=ledger.head.seq,
        found_at=format_instant(now),
    )
    return Verification(
        export=export,
        window=window,
        deep=deep,
        seq=ledger.head.seq,
        hash=ledger.head.hash,
        records=len(check.records),
        objects=objects,
        findings=findings,
    )


def _objects(
    store: Store,
    export: str,
    ledger: Ledger,
    window: Window | None,
    *,
    deep: bool,
    only: set[str] | None = None,
) -> tuple[int, list[tuple[str, Finding]]]:
    """How many objects were looked at, and each finding with its key. ``only``: these keys."""
    sizes = _listed(store, export, window)
    expected = _expected(export, ledger, window)
    strays = [key for key in sizes if key not in expected]
    wanted = [one for key, one in expected.items() if only is None or key in only]
    by_sha256 = {one.entry.file.sha256: slice_ for slice_, one in ledger.slices.items() if one.entry.rows}
    check = ObjectCheck(store, export, by_sha256=by_sha256, deep=deep)
    found = [
        (one.key, finding)
        for one, findings in zip(wanted, check.run(wanted, sizes), strict=True)
        for finding in findings
    ]
    published = sorted(ledger.slices, key=_IN_TIME) if strays else []
    found += [
        (key, stray)
        for key in strays
        if (only is None or key in only) and (stray := _stray(export, key, published, window)) is not None
    ]
    return len(wanted), found


def _listed(store: Store, export: str, window: Window | None) -> dict[str, int]:
    """The size of every object in the table, or in the days that the window touches."""
    prefixes = [f"{export}/"] if window is None else day_prefixes(export, window)
    return {info.key: info.size for prefix in prefixes for info in store.list(prefix)}


def _expected(export: str, ledger: Ledger, window: Window | None) -> dict[str, Expected]:
    """By key, in order of time: what is published, and what runs that did not end may have written."""
    found = {}
    slices = ledger.slices.keys() | ledger.open_intents.keys()
    for slice_ in sorted(slices, key=_IN_TIME):
        if window is not None and not slice_.overlaps(window):
            continue
        key = key_of(export, slice_)
        if key is None:
            continue  # the record that names it contradicts itself, which is a finding
        explained = _explained(ledger.open_intents.get(slice_, ()))
        found[key] = Expected(key, slice_, ledger.slices.get(slice_), explained)
    return found


def _explained(intents: Sequence[OpenIntent]) -> frozenset[str | None]:
    return frozenset(row_hash for intent in intents for row_hash in (intent.old, intent.new))


def _stray(export: str, key: str, published: Sequence[Window], window: Window | None) -> Finding | None:
    """An object in the table that the journal does not name. Outside the range it is for another verification.

    ``published``: the slices, sorted.
    """
    slice_ = slice_of(key)
    if window is not None and (slice_ is None or not slice_.overlaps(window)):
        return None
    if slice_ is None or slice_key(export, slice_) != key:
        how = "it is no file of this export, and readers of the table may read it"
        return Finding(
            kind="object_stray",
            window=None,
            key=key,
            detail=how,
            remedy="move it out of the table or delete it",
        )
    span = Span.of(slice_)
    at = bisect_left(published, slice_.end, key=lambda one: one.start) - 1
    if at >= 0 and (twice := published[at]).overlaps(slice_):
        how = f"no publication names it, and readers meet its rows beside those of {twice}"
        again = f"logferry export {export} --from {_start(twice, slice_)} --to {_end(twice, slice_)}"
        remedy = f"delete it, or export the range again ({again}), which removes leftovers of another `slice`"
    else:
        how = "no publication names it"
        remedy = (
            f"export the slice (logferry export {export} --from {span.start} --to {span.end}), or delete it"
        )
    return Finding(kind="object_stray", window=span, key=key, detail=how, remedy=remedy)


def _start(one: Window, other: Window) -> str:
    return format_instant(min(one.start, other.start))


def _end(one: Window, other: Window) -> str:
    return format_instant(max(one.end, other.end))
